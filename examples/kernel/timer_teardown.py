# SPDX-License-Identifier: Apache-2.0
"""An object with a timer that arms itself again is freed.

quiesce compare examples/kernel/timer_teardown.py --over how

``timer_delete()`` does not wait for a function that runs, ``timer_delete_sync()`` does not keep
another task from arming the timer later, and waiting under a lock that the function takes
deadlocks. ``timer_shutdown_sync()`` is for this.
"""

from typing import Literal

from quiesce.primitives import SpinLock, Timer
from quiesce.protocol import Bool, Scenario, thread


class Watchdog(Scenario):
    timer = Timer()
    lock = SpinLock()
    freed = Bool(marked=True)

    def __init__(
        self, how: Literal["shutdown", "delete", "delete_sync", "under_lock"] = "shutdown"
    ) -> None:
        self.how = how
        self.expect = {
            "shutdown": {},
            "delete": {"assertions": "violated"},
            "delete_sync": {"assertions": "violated", "no_starvation": "violated"},
            "under_lock": {"no_deadlock": "violated"},
        }[how]

    @thread(daemon=True)
    def softirq(self) -> None:
        while True:
            self.timer.begin()
            with self.lock:
                assert not self.freed, "use after free"
            self.timer.mod_timer()
            self.timer.end()

    @thread()
    def user(self) -> None:
        self.timer.mod_timer()

    @thread()
    def remove(self) -> None:
        if self.how == "shutdown":
            self.timer.timer_shutdown_sync()
        elif self.how == "delete":
            self.timer.timer_delete()
        elif self.how == "delete_sync":
            self.timer.timer_delete_sync()
        else:
            with self.lock:
                self.timer.timer_shutdown_sync()
        self.freed = True
