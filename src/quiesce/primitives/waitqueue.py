# SPDX-License-Identifier: Apache-2.0
"""wait_queue_head_t: any number of tasks sleep until a condition may have changed.

``wait_event(wq, condition)`` is a macro around a loop, written out here::

    wq.prepare_to_wait()
    while not condition:
        wq.schedule()
        wq.prepare_to_wait()
    wq.finish_wait()

``prepare_to_wait()`` comes before each check of the condition; in the opposite order, a wakeup between
the check and the sleep is lost. A task that is woken is taken off the queue immediately
(``autoremove_wake_function()``), so *to sleep* is to be in the queue. Waiters are not exclusive: every
``wake_up()`` wakes them all.
"""

from __future__ import annotations

from quiesce.primitives.base import might_sleep
from quiesce.protocol import Protocol, TaskSet, atomic, current, wait_until


class WaitQueue(Protocol):
    """The tasks that are asleep here, or about to be."""

    waiters = TaskSet()

    @atomic(label="prepare_to_wait")
    def prepare_to_wait(self) -> None:
        """Queue the running task and announce that it will sleep."""
        might_sleep()
        self.waiters.add(current())

    @atomic(label="schedule")
    def schedule(self) -> None:
        """Sleep until a task has woken the queue since ``prepare_to_wait()``."""
        wait_until(current() not in self.waiters)

    @atomic(label="finish_wait")
    def finish_wait(self) -> None:
        """Leave the queue."""
        self.waiters.discard(current())

    @atomic(label="wake_up_all")
    def wake_up_all(self) -> None:
        """Wake every task in the queue."""
        self.waiters.clear()
