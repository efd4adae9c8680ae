# SPDX-License-Identifier: Apache-2.0
"""A device goes away while a work of its may still run.

quiesce compare examples/kernel/work_teardown.py --over how

The work's function takes the device's lock. Flushing under that lock deadlocks; not cancelling, or
cancelling before the last task that queues the work has been stopped, lets the function run on
freed memory.
"""

from typing import Literal

from quiesce.primitives import Mutex, Work
from quiesce.protocol import Bool, Int, Scenario, thread


class Device(Scenario):
    work = Work()
    lock = Mutex()
    closing = Bool(marked=True)
    freed = Bool(marked=True)
    done = Int(0, high=3)

    def __init__(
        self,
        how: Literal["right", "flush_under_lock", "no_cancel", "cancel_first"] = "right",
    ) -> None:
        self.how = how
        self.expect = {} if how == "right" else {"assertions": "violated"}
        if how == "flush_under_lock":
            self.expect = {"no_deadlock": "violated"}

    @thread(daemon=True)
    def kworker(self) -> None:
        while True:
            self.work.begin()
            with self.lock:
                assert not self.freed, "use after free"
                self.done = min(self.done + 1, 3)
            self.work.end()

    @thread()
    def user(self) -> None:
        with self.lock:
            if not self.closing:
                self.work.queue_work()
            if self.how == "flush_under_lock":
                self.work.flush_work()
        if self.how == "right":
            self.work.flush_work()

    @thread()
    def remove(self) -> None:
        if self.how == "cancel_first":
            self.work.cancel_work_sync()
        with self.lock:
            self.closing = True
        if self.how in ("right", "flush_under_lock"):
            self.work.cancel_work_sync()
        self.freed = True
