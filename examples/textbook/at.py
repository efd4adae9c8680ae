# SPDX-License-Identifier: Apache-2.0
"""Alur and Taubenfeld's timing-based mutual exclusion ("Fast timing-based algorithms", 1996).

quiesce check examples/textbook/at.py
"""

from __future__ import annotations

from examples.textbook.numbered import Numbered
from quiesce.protocol import Array, Bool, Int, atomic, thread, wait_until

NOBODY = -1
NO_LIMIT = 0
"""A deadline that never comes. Others are kept one higher than the time that is left."""


class AlurTaubenfeld(Numbered):
    """BEEM's *at*: a process takes at most *step* time units for a step, and waits *delay* at the fork."""

    expect = {"no_starvation": "violated"}

    x = Int(0, high=9)
    y = Int(NOBODY, low=NOBODY, high=9)
    z = Bool(False)

    def __init__(self, processes: int = 3, step: int = 2, delay: int = 5) -> None:
        super().__init__(processes)
        self.step = step
        self.delay = delay
        self.deadline = Array(Int(NO_LIMIT, high=15), processes)

    @thread()
    def timer(self) -> None:
        while True:
            self.tick()

    @atomic
    def tick(self) -> None:
        for i in range(self.processes):
            wait_until(self.deadline[i] != 1)
        for i in range(self.processes):
            if self.deadline[i] != NO_LIMIT:
                self.deadline[i] -= 1

    def hurry(self, me: int) -> None:
        self.deadline[me] = self.step + 1

    def rest(self, me: int) -> None:
        self.deadline[me] = NO_LIMIT

    @atomic
    def set_x(self, me: int) -> None:
        self.x = me
        self.rest(me)

    @atomic
    def wait_for_y(self, me: int) -> None:
        wait_until(self.y == NOBODY)
        self.hurry(me)

    @atomic
    def set_y(self, me: int) -> None:
        self.y = me
        self.hurry(me)

    @atomic
    def is_alone(self, me: int) -> bool:
        if self.x == me:
            self.hurry(me)
            return True
        self.deadline[me] = self.delay + 1
        return False

    @atomic
    def set_z(self, me: int) -> None:
        self.z = True
        self.rest(me)

    @atomic
    def wait_delay(self, me: int) -> None:
        wait_until(self.deadline[me] == 1)
        self.hurry(me)

    @atomic
    def has_won(self, me: int) -> bool:
        if self.y == me:
            self.rest(me)
            return True
        self.hurry(me)
        return False

    @atomic
    def wait_for_z(self, me: int) -> None:
        wait_until(not self.z)

    @atomic
    def leave(self, me: int) -> None:
        self.z = False
        self.hurry(me)

    @atomic
    def still_mine(self, me: int) -> bool:
        if self.y == me:
            self.hurry(me)
            return True
        self.rest(me)
        return False

    @atomic
    def clear_y(self, me: int) -> None:
        self.y = NOBODY
        self.rest(me)

    def process(self, me: int) -> None:
        while True:
            self.set_x(me)
            self.wait_for_y(me)
            self.set_y(me)
            if self.is_alone(me):
                self.set_z(me)
            else:
                self.wait_delay(me)
                if not self.has_won(me):
                    continue
                self.wait_for_z(me)
            self.leave(me)
            if self.still_mine(me):
                self.clear_y(me)
