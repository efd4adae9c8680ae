# SPDX-License-Identifier: Apache-2.0
"""RCU: readers that never wait, and ``synchronize_rcu()``, which waits for them.

A grace period ends when every reader that was inside when it began has left; readers that came
later do not delay it. Grace periods run one after the other. For lockdep a read section is a
recursive reader of the map ``rcu_read_lock``.
"""

from __future__ import annotations

from quiesce.primitives.base import MOST_NESTED, Lock, WaitType, might_sleep
from quiesce.protocol import (
    SHARED_RECURSIVE,
    Int,
    PerTask,
    TaskRef,
    TaskSet,
    acquires,
    atomic,
    current,
    releases,
    wait_until,
)


class Rcu(Lock):
    """One flavour of RCU; its read sections may nest. ``with rcu:`` is a read section."""

    wait_type_inner: WaitType = "CONFIG"
    wait_type_outer: WaitType = "FREE"

    nesting = PerTask(Int(0, high=MOST_NESTED))
    readers = TaskSet()
    grace_period = TaskRef()
    """The task that runs one."""
    awaited = TaskSet()
    """The readers that it still waits for."""

    def __init__(self, name: str = "rcu_read_lock") -> None:
        super().__init__(name)

    @atomic(label="rcu_read_lock")
    def rcu_read_lock(self) -> None:
        """Begin a read section."""
        acquires(self, SHARED_RECURSIVE)
        self.nesting[current()] += 1
        self.readers.add(current())

    @atomic(label="rcu_read_unlock")
    def rcu_read_unlock(self) -> None:
        """End the innermost read section."""
        assert self.nesting[current()] > 0, "bad unlock: no read section of this thread is open"
        releases(self)
        self.nesting[current()] -= 1
        if self.nesting[current()] == 0:
            self.readers.discard(current())
            self.awaited.discard(current())

    def synchronize_rcu(self) -> None:
        """Wait for the readers that are inside now. May sleep, so not in a read section."""
        self._begin_grace_period()
        self._end_grace_period()

    @atomic(label="synchronize_rcu", queued=True)
    def _begin_grace_period(self) -> None:
        might_sleep()
        assert self.nesting[current()] == 0, "synchronize_rcu() in a read section of its own"
        wait_until(self.grace_period is None)
        self.grace_period = current()
        self.awaited = self.readers

    @atomic(label="wait_for_readers")
    def _end_grace_period(self) -> None:
        wait_until(not self.awaited)
        self.grace_period = None

    def lock(self) -> None:
        """The same as :meth:`rcu_read_lock`."""
        self.rcu_read_lock()

    def unlock(self) -> None:
        """The same as :meth:`rcu_read_unlock`."""
        self.rcu_read_unlock()
