# SPDX-License-Identifier: Apache-2.0
"""A buffer of one place, out of a mutex and condition variables; two producers, two consumers.

quiesce compare examples/kernel/bounded_buffer.py --over how

A task that is woken must look again, since another may have come first. With one condition variable
for both kinds, ``signal()`` may wake a task of the wrong kind, and everyone sleeps.
"""

from typing import Literal

from quiesce.primitives import CondVar, Mutex
from quiesce.protocol import Int, Scenario, thread


class Buffer(Scenario):
    mutex = Mutex()
    full = Int(0, high=1)

    def __init__(self, how: Literal["right", "if_once", "one_condition"] = "right") -> None:
        self.how = how
        wrong = {"if_once": "ranges", "one_condition": "no_deadlock"}
        self.expect = {wrong[how]: "violated"} if how in wrong else {}
        self.not_empty = CondVar()
        self.not_full = self.not_empty if how == "one_condition" else CondVar()

    @thread(2)
    def consumer(self) -> None:
        with self.mutex:
            if self.how == "if_once":
                if self.full == 0:
                    self.not_empty.wait(self.mutex)
            else:
                while self.full == 0:
                    self.not_empty.wait(self.mutex)
            self.full -= 1
            self.not_full.signal()

    @thread(2)
    def producer(self) -> None:
        with self.mutex:
            while self.full == 1:
                self.not_full.wait(self.mutex)
            self.full += 1
            self.not_empty.signal()
