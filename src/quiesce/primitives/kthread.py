# SPDX-License-Identifier: Apache-2.0
"""Stopping a kernel thread (``kernel/kthread.c``): ask it, wake it, and wait until it has returned.

The thread::

    self.kthread.begin()
    while not self.kthread.should_stop():
        ...
    self.kthread.exit()

``kthread_stop()`` wakes the thread once. A thread that looks at ``kthread_should_stop()``, *then*
announces that it sleeps, and calls ``schedule()`` sleeps through that wakeup: it must announce it first
(``set_current_state()``).
"""

from __future__ import annotations

from quiesce.primitives.base import might_sleep
from quiesce.primitives.schedule import wake_up_process
from quiesce.protocol import Bool, Protocol, TaskRef, atomic, current, wait_until


class Kthread(Protocol):
    """One kernel thread, and the request that it stops."""

    task = TaskRef()
    stop_requested = Bool()
    exited = Bool()

    @atomic(label="kthread_begin")
    def begin(self) -> None:
        """The thread: it runs."""
        self.task = current()

    @atomic(label="kthread_should_stop")
    def should_stop(self) -> bool:
        """The thread: return whether it has been asked to stop."""
        return self.stop_requested

    @atomic(label="kthread_exit")
    def exit(self) -> None:
        """The thread: it returns."""
        self.exited = True

    def stop(self) -> None:
        """Another task: ask the thread to stop, wake it, and sleep until it has returned."""
        self._request()
        self._wait()

    @atomic(label="kthread_stop")
    def _request(self) -> None:
        might_sleep()
        self.stop_requested = True
        if self.task is not None:
            wake_up_process(self.task)

    @atomic(label="wait_for_exit")
    def _wait(self) -> None:
        wait_until(self.exited)
