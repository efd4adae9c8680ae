# SPDX-License-Identifier: Apache-2.0
"""struct percpu_rw_semaphore: cheap for readers, dear for writers (``kernel/locking/percpu-rwsem.c``).

A writer first blocks new readers (``sem->block``), then waits until the readers that are inside have
left. So a reader waits for a writer that is only *waiting*, and a task that reads within its own read
section can deadlock, as with :class:`RwSem`; unlike there, a writer that waits never lets readers pass.

Left out: the count for each CPU and the grace period that makes the fast path safe (``rcu_sync``); they
decide what the operations cost, not who waits for whom.
"""

from __future__ import annotations

from quiesce.primitives.base import MOST_NESTED, Lock, WaitType, might_sleep
from quiesce.protocol import (
    SHARED,
    THREADS,
    Int,
    PerTask,
    TaskRef,
    acquires,
    atomic,
    current,
    releases,
    wait_until,
)


class PercpuRwSem(Lock):
    """A reader/writer semaphore whose writers block readers before they wait. ``with sem:`` writes."""

    wait_type_inner: WaitType = "SLEEP"
    block = TaskRef()
    """The writer that holds it or waits for readers to leave."""
    readers = Int(0, high=MOST_NESTED * THREADS)
    held = PerTask(Int(0, high=MOST_NESTED))

    @atomic(label="percpu_down_read", queued=True)
    def down_read(self) -> None:
        """Take it for reading; wait for a writer that holds it or waits for it."""
        might_sleep()
        acquires(self, SHARED)
        wait_until(self.block is None)
        self.readers += 1
        self.held[current()] += 1

    @atomic(label="percpu_down_read_trylock")
    def down_read_trylock(self) -> bool:
        """Take it for reading unless a writer holds it or waits; return whether it was taken."""
        if self.block is not None:
            return False
        acquires(self, SHARED, trylock=True)
        self.readers += 1
        self.held[current()] += 1
        return True

    @atomic(label="percpu_up_read")
    def up_read(self) -> None:
        """Release one hold for reading."""
        assert self.held[current()] > 0, "bad unlock: not held for reading by this thread"
        releases(self)
        self.held[current()] -= 1
        self.readers -= 1

    def down_write(self) -> None:
        """Take it for writing, alone."""
        self._block_readers()
        self._wait_for_readers()

    @atomic(label="percpu_down_write", queued=True)
    def _block_readers(self) -> None:
        might_sleep()
        wait_until(self.block is None)
        self.block = current()

    @atomic(label="percpu_down_write_wait_for_readers")
    def _wait_for_readers(self) -> None:
        acquires(self)
        wait_until(self.readers == 0)

    @atomic(label="percpu_up_write")
    def up_write(self) -> None:
        """Release it after writing."""
        assert self.block is current(), "bad unlock: not held for writing by this thread"
        releases(self)
        self.block = None

    def lock(self) -> None:
        """The same as :meth:`down_write`."""
        self.down_write()

    def unlock(self) -> None:
        """The same as :meth:`up_write`."""
        self.up_write()
