# SPDX-License-Identifier: Apache-2.0
"""rwlock_t as ``kernel/locking/qrwlock.c`` makes it: readers queue behind a waiting writer.

A reader gets in unless a writer holds the lock or waits for it; there is no stealing. Readers that
queued are let in together when the writer releases the lock, so writers cannot starve readers; and a
waiting writer keeps new readers out, so readers cannot starve writers. (In interrupts a reader only
waits for a writer that holds the lock; there are no interrupts here.) With PREEMPT_RT it sleeps.
"""

from __future__ import annotations

from quiesce.primitives.base import MOST_NESTED, Lock, WaitType, might_sleep
from quiesce.protocol import (
    SHARED,
    THREADS,
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


class RwLock(Lock):
    """A fair spinning reader/writer lock. ``with rwlock:`` takes it for writing.

    :param name: see :class:`Lock`.
    :param rt: as built with ``CONFIG_PREEMPT_RT``.
    """

    wait_type_inner: WaitType = "CONFIG"
    owner = TaskRef()
    readers = Int(0, high=MOST_NESTED * THREADS)
    held = PerTask(Int(0, high=MOST_NESTED))
    waiting_readers = TaskSet()
    waiting_writers = Int(0, high=THREADS)

    def __init__(self, name: str = "", rt: bool = False) -> None:
        super().__init__(name)
        self.rt = rt

    def read_lock(self) -> None:
        """Take the lock for reading."""
        if not self._read_or_queue():
            self._wait_as_reader()

    @atomic(label="read_lock")
    def _read_or_queue(self) -> bool:
        if self.rt:
            might_sleep()
        if self.owner is None and self.waiting_writers == 0:
            acquires(self, SHARED)
            self.readers += 1
            self.held[current()] += 1
            return True
        self.waiting_readers.add(current())
        return False

    @atomic(label="queued_read_lock_slowpath", queued=True)
    def _wait_as_reader(self) -> None:
        acquires(self, SHARED)
        wait_until(current() not in self.waiting_readers)
        self.held[current()] += 1

    @atomic(label="read_unlock")
    def read_unlock(self) -> None:
        """Release one hold for reading."""
        assert self.held[current()] > 0, "bad unlock: not held for reading by this thread"
        releases(self)
        self.held[current()] -= 1
        self.readers -= 1

    def write_lock(self) -> None:
        """Take the lock for writing, alone."""
        if not self._write_or_queue():
            self._wait_as_writer()

    @atomic(label="write_lock")
    def _write_or_queue(self) -> bool:
        if self.rt:
            might_sleep()
        if self.owner is None and self.readers == 0 and self.waiting_writers == 0:
            acquires(self)
            self.owner = current()
            return True
        self.waiting_writers += 1
        return False

    @atomic(label="queued_write_lock_slowpath", queued=True)
    def _wait_as_writer(self) -> None:
        acquires(self)
        wait_until(self.owner is None and self.readers == 0)
        self.waiting_writers -= 1
        self.owner = current()

    @atomic(label="write_unlock")
    def write_unlock(self) -> None:
        """Release the lock, to all queued readers if there are any."""
        assert self.owner is current(), "bad unlock: not held for writing by this thread"
        releases(self)
        self.owner = None
        self.readers = len(self.waiting_readers)
        self.waiting_readers.clear()

    def lock(self) -> None:
        """The same as :meth:`write_lock`."""
        self.write_lock()

    def unlock(self) -> None:
        """The same as :meth:`write_unlock`."""
        self.write_unlock()
