# SPDX-License-Identifier: Apache-2.0
"""struct work_struct: a function that a worker runs later.

A scenario gives the worker a thread of its own::

    @thread(daemon=True)
    def kworker(self) -> None:
        while True:
            self.work.begin()
            ...                     the function
            self.work.end()

What is modelled (``kernel/workqueue.c``): queuing a pending work does nothing; a work that is queued
while it runs, runs again; it never runs twice at the same time. ``flush_work()`` waits for the instance
that was queued last, and for none that is queued later. ``cancel_work_sync()`` takes a pending instance
away and waits for the running one; until it returns, the work cannot be queued. For lockdep the
function runs inside the work's map, and both waits acquire it.

Left out: delayed work, ordered and frozen queues, how many workers there are (a work has one of its own
here, so a deadlock for want of workers is not found), flushing a complete queue.
"""

from __future__ import annotations

from quiesce.primitives.base import Lock, WaitType, might_sleep
from quiesce.protocol import (
    THREADS,
    Bool,
    Int,
    TaskSet,
    acquires,
    atomic,
    current,
    releases,
    wait_until,
)


class Work(Lock):
    """One work item."""

    wait_type_inner: WaitType = "SLEEP"
    pending = Bool()
    running = Bool()
    cancelling = Int(0, high=THREADS)
    waiting_for_pending = TaskSet()
    """The tasks that flush the pending instance."""
    waiting_for_running = TaskSet()
    """The tasks that flush or cancel the running one."""

    @atomic(label="queue_work")
    def queue_work(self) -> bool:
        """Queue the work; return False if it was pending already, or is being cancelled."""
        if self.pending or self.cancelling > 0:
            return False
        self.pending = True
        return True

    def flush_work(self) -> bool:
        """Sleep until the instance that was queued last has ended; return False if the work was idle."""
        if not self._start_flush():
            return False
        self._wait_for_end()
        return True

    @atomic(label="flush_work")
    def _start_flush(self) -> bool:
        might_sleep()
        if self.pending:
            self.waiting_for_pending.add(current())
            return True
        if self.running:
            self.waiting_for_running.add(current())
            return True
        return False

    def cancel_work_sync(self) -> bool:
        """Take a pending instance away, sleep until the running one has ended; return whether one was."""
        was_pending = self._start_cancel()
        self._wait_for_end()
        self._finish_cancel()
        return was_pending

    @atomic(label="cancel_work_sync")
    def _start_cancel(self) -> bool:
        might_sleep()
        was_pending = self.pending
        self.pending = False
        self.waiting_for_pending.clear()
        self.cancelling += 1
        if self.running:
            self.waiting_for_running.add(current())
        return was_pending

    @atomic(label="wait_for_work")
    def _wait_for_end(self) -> None:
        acquires(self)
        wait_until(
            current() not in self.waiting_for_pending and current() not in self.waiting_for_running
        )
        releases(self)

    @atomic(label="cancel_work_done")
    def _finish_cancel(self) -> None:
        self.cancelling -= 1

    @atomic(label="process_one_work")
    def begin(self) -> None:
        """The worker: wait until the work is queued, and begin to run it."""
        wait_until(self.pending and not self.running)
        acquires(self)
        self.pending = False
        self.running = True
        self.waiting_for_running = self.waiting_for_pending
        self.waiting_for_pending.clear()

    @atomic(label="work_done")
    def end(self) -> None:
        """The worker: the function has returned."""
        releases(self)
        self.running = False
        self.waiting_for_running.clear()

    def lock(self) -> None:
        """The same as :meth:`begin`."""
        self.begin()

    def unlock(self) -> None:
        """The same as :meth:`end`."""
        self.end()
