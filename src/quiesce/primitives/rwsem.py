# SPDX-License-Identifier: Apache-2.0
"""struct rw_semaphore, fair as Linux's is, and an unfair sibling.

What makes the rwsem of the MMU-notifier patch deadlock is its fairness: with a reader inside and a
writer queued, the next reader queues *behind the writer*. So a task that holds the semaphore for
reading and acquires it again, or that waits for another task that does so, waits for the writer, and
the writer waits for the task. The rules modelled (``kernel/locking/rwsem.c``):

* A new reader enters immediately if no writer holds the semaphore and no writer is queued; or if no
  task holds it, even though a writer is queued (``rwsem_down_read_slowpath()`` steals). A reader that
  steals wakes the queued readers, too.
* Otherwise a reader queues. It does not take the semaphore later by itself: a releasing writer hands
  it to *all* queued readers at once (``rwsem_mark_wake()``: phase-fair), and they find that they have
  it. So writers cannot starve readers.
* A writer takes the semaphore when it is free. Queued writers may be overtaken, but not forever
  (``RWSEM_FLAG_HANDOFF``, set after 4 ms): strong fairness.

Each operation is one step if it gets what it wants, else two: queue, and wait. The lock is declared
as acquired once, in the step that gets it; so a thread standing before the second step is known to
wait for it.

Left out: the order of readers and writers in the queue. Where Linux would let a writer that queued
first go before the readers, the readers go first here; there is no scenario in which this makes a
reader or a writer wait for a task that it would not wait for in Linux.
"""

from __future__ import annotations

from quiesce.primitives.base import MOST_NESTED, Lock, WaitType, might_sleep
from quiesce.protocol import (
    SHARED,
    SHARED_RECURSIVE,
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


class RwSem(Lock):
    """A fair reader/writer semaphore. ``with rwsem:`` takes it for writing."""

    wait_type_inner: WaitType = "SLEEP"
    owner = TaskRef()
    """The writer that holds it."""
    readers = Int(0, high=MOST_NESTED * THREADS)
    """How often it is held for reading."""
    held = PerTask(Int(0, high=MOST_NESTED))
    """By whom."""
    waiting_readers = TaskSet()
    waiting_writers = Int(0, high=THREADS)

    def down_read(self) -> None:
        """Take the semaphore for reading; wait for writers that hold it or are queued."""
        if not self._read_or_queue():
            self._wait_as_reader()

    @atomic(label="down_read")
    def _read_or_queue(self) -> bool:
        might_sleep()
        if self.owner is None and (self.waiting_writers == 0 or self.readers == 0):
            acquires(self, SHARED)
            # Queued readers come along.
            self.readers += 1 + len(self.waiting_readers)
            self.waiting_readers.clear()
            self.held[current()] += 1
            return True
        self.waiting_readers.add(current())
        return False

    @atomic(label="rwsem_down_read_slowpath", queued=True)
    def _wait_as_reader(self) -> None:
        acquires(self, SHARED)
        wait_until(current() not in self.waiting_readers)
        self.held[current()] += 1

    @atomic(label="down_read_trylock")
    def down_read_trylock(self) -> bool:
        """Take the semaphore for reading if no writer holds it and no thread is queued."""
        # Readers queue only behind a writer that holds the semaphore or is queued itself.
        if self.owner is not None or self.waiting_writers:
            return False
        acquires(self, SHARED, trylock=True)
        self.readers += 1
        self.held[current()] += 1
        return True

    @atomic(label="up_read")
    def up_read(self) -> None:
        """Release one hold for reading."""
        assert self.held[current()] > 0, "bad unlock: not held for reading by this thread"
        releases(self)
        self.held[current()] -= 1
        self.readers -= 1

    def down_write(self) -> None:
        """Take the semaphore for writing, alone."""
        if not self._write_or_queue():
            self._wait_as_writer()

    @atomic(label="down_write")
    def _write_or_queue(self) -> bool:
        might_sleep()
        if self.owner is None and self.readers == 0:
            acquires(self)
            self.owner = current()
            return True
        self.waiting_writers += 1
        return False

    @atomic(label="rwsem_down_write_slowpath", queued=True)
    def _wait_as_writer(self) -> None:
        acquires(self)
        wait_until(self.owner is None and self.readers == 0)
        self.waiting_writers -= 1
        self.owner = current()

    @atomic(label="up_write")
    def up_write(self) -> None:
        """Release the semaphore, to all queued readers if there are any."""
        assert self.owner is current(), "bad unlock: not held for writing by this thread"
        releases(self)
        self.owner = None
        self.readers = len(self.waiting_readers)
        self.waiting_readers.clear()

    def lock(self) -> None:
        """The same as :meth:`down_write`."""
        self.down_write()

    def unlock(self) -> None:
        """The same as :meth:`up_write`."""
        self.up_write()


class RwSemUnfair(Lock):
    """The unfair sibling: a reader waits only for a writer that *holds* it, so readers may nest.

    For lockdep its readers are recursive, which takes the cycle of the seed away; the price is that
    readers can keep a writer out forever. Linux's percpu-rwsem and the rwsem of PREEMPT_RT come close.
    """

    wait_type_inner: WaitType = "SLEEP"
    owner = TaskRef()
    readers = Int(0, high=MOST_NESTED * THREADS)
    held = PerTask(Int(0, high=MOST_NESTED))

    @atomic(label="down_read", queued=True)
    def down_read(self) -> None:
        """Take it for reading; wait for a writer that holds it."""
        might_sleep()
        acquires(self, SHARED_RECURSIVE)
        wait_until(self.owner is None)
        self.readers += 1
        self.held[current()] += 1

    @atomic(label="up_read")
    def up_read(self) -> None:
        """Release one hold for reading."""
        assert self.held[current()] > 0, "bad unlock: not held for reading by this thread"
        releases(self)
        self.held[current()] -= 1
        self.readers -= 1

    @atomic(label="down_write", queued=True)
    def down_write(self) -> None:
        """Take it for writing; wait until no task holds it."""
        might_sleep()
        acquires(self)
        wait_until(self.owner is None and self.readers == 0)
        self.owner = current()

    @atomic(label="up_write")
    def up_write(self) -> None:
        """Release it after writing."""
        assert self.owner is current(), "bad unlock: not held for writing by this thread"
        releases(self)
        self.owner = None

    def lock(self) -> None:
        """The same as :meth:`down_write`."""
        self.down_write()

    def unlock(self) -> None:
        """The same as :meth:`up_write`."""
        self.up_write()
