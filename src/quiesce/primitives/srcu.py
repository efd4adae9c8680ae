# SPDX-License-Identifier: Apache-2.0
"""SRCU: read sections that may sleep, in a domain of their own (``kernel/rcu/srcutree.c``).

Readers count themselves under the current one of two indices, and give the index back when they
leave. ``synchronize_srcu()`` flips the index and waits until the count of the old one is zero: readers
that come later use the new index and do not delay it.

The kernel flips with more care, since there a reader's look at the index and its increment are two
steps. Here they are one, and one flip suffices: when a grace period begins, the index that it does
*not* wait for is unused, because the grace period before waited until it was, and grace periods run
one after the other.

A reader must not wait, directly or not, for a ``synchronize_srcu()`` of the same domain. Lockdep knows
(6.4 and later): a read section is a recursive reader, and synchronising is ``lock_sync()``, declared
here as taking the lock for writing and letting go of it at once.
"""

from __future__ import annotations

from quiesce.primitives.base import MOST_NESTED, Lock, might_sleep
from quiesce.protocol import (
    SHARED_RECURSIVE,
    THREADS,
    Array,
    Int,
    TaskRef,
    acquires,
    atomic,
    current,
    releases,
    wait_until,
)


class Srcu(Lock):
    """struct srcu_struct. Up to ``MOST_NESTED`` read sections for each thread may be open."""

    index = Int(0, high=1)
    readers = Array[int](Int(0, high=MOST_NESTED * THREADS), 2)
    grace_period = TaskRef()
    """The task that runs one."""

    @atomic(label="srcu_read_lock")
    def srcu_read_lock(self) -> int:
        """Begin a read section; return the index for :meth:`srcu_read_unlock`."""
        acquires(self, SHARED_RECURSIVE)
        self.readers[self.index] += 1
        return self.index

    @atomic(label="srcu_read_unlock")
    def srcu_read_unlock(self, index: int) -> None:
        """End a read section.

        :param index: what its :meth:`srcu_read_lock` returned.
        """
        assert self.readers[index] > 0, "bad unlock: no read section of this index is open"
        releases(self)
        self.readers[index] -= 1

    def synchronize_srcu(self) -> None:
        """Wait for the read sections that are open now. May sleep, and not in a read section."""
        self.begin_grace_period()
        self.end_grace_period()

    @atomic(label="synchronize_srcu", queued=True)
    def begin_grace_period(self) -> None:
        """The first half of :meth:`synchronize_srcu`: later readers use the other index."""
        might_sleep()
        wait_until(self.grace_period is None)
        self.grace_period = current()
        self.index = 1 - self.index

    @atomic(label="srcu_wait_for_readers")
    def end_grace_period(self) -> None:
        """The second half: wait until no reader uses the old one."""
        acquires(self)
        wait_until(self.readers[1 - self.index] == 0)
        releases(self)
        self.grace_period = None
