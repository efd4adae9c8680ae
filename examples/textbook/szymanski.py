# SPDX-License-Identifier: Apache-2.0
"""Szymanski's mutual exclusion ("A simple solution to Lamport's concurrent programming problem", 1988).

quiesce check examples/textbook/szymanski.py
"""

from __future__ import annotations

from examples.textbook.numbered import Numbered
from quiesce.protocol import Array, Bool, Int, atomic, wait_until

STAY, ON, BACK = 0, 1, 2


class Szymanski(Numbered):
    """BEEM's *szymanski* without its planted error; the steps keep its names."""

    def __init__(self, processes: int = 3) -> None:
        super().__init__(processes)
        self.a = Array(Bool(), processes)
        self.w = Array(Bool(), processes)
        self.s = Array(Bool(), processes)
        self.j = Array(Int(0, high=9), processes)

    @atomic
    def announce(self, me: int) -> None:
        self.a[me] = True
        self.j[me] = 0

    @atomic
    def step_2(self, me: int) -> bool:
        j = self.j[me]
        if j < self.processes:
            wait_until(not self.s[j])
            self.j[me] = j + 1
            return True
        return False

    @atomic
    def step_3(self, me: int) -> None:
        self.w[me] = True
        self.a[me] = False

    @atomic
    def step_4(self, me: int) -> bool:
        self.j[me] = 0
        return self.s[me]

    @atomic
    def step_5(self, me: int) -> bool:
        j = self.j[me]
        if j < self.processes and not self.a[j]:
            self.j[me] = j + 1
            return True
        return False

    @atomic
    def step_6(self, me: int) -> bool:
        if self.j[me] == self.processes:
            self.s[me] = True
            self.j[me] = 0
            return True
        return False

    @atomic
    def step_61(self, me: int) -> int:
        j = self.j[me]
        if j == self.processes:
            self.w[me] = False
            self.j[me] = 0
            return ON
        if self.a[j]:
            self.s[me] = False
            return BACK
        self.j[me] = j + 1
        return STAY

    @atomic
    def step_64(self, me: int) -> bool:
        j = self.j[me]
        if j < self.processes:
            wait_until(not self.w[j])
            self.j[me] = j + 1
            return True
        return False

    @atomic
    def step_7(self, me: int) -> bool:
        if self.j[me] < self.processes:
            self.j[me] = 0
            return True
        return False

    @atomic
    def step_71(self, me: int) -> bool:
        j = self.j[me]
        if j < self.processes and (self.w[j] or not self.s[j]):
            self.j[me] = j + 1
            return True
        return False

    @atomic
    def step_8(self, me: int) -> None:
        if self.j[me] != me and self.j[me] < self.processes:
            self.s[me] = True
            self.w[me] = False

    @atomic
    def step_9(self, me: int) -> bool:
        j = self.j[me]
        if j == me:
            return False
        wait_until(j < me and not self.w[j] and not self.s[j])
        self.j[me] = j + 1
        return True

    @atomic
    def leave(self, me: int) -> None:
        self.s[me] = False

    def process(self, me: int) -> None:
        while True:
            self.announce(me)
            while self.step_2(me):
                pass
            self.step_3(me)
            while not self.step_4(me):
                while self.step_5(me):
                    pass
                if self.step_6(me):
                    where = self.step_61(me)
                    while where == STAY:
                        where = self.step_61(me)
                    if where == ON:
                        while self.step_64(me):
                            pass
                if self.step_7(me):
                    while self.step_71(me):
                        pass
                self.step_8(me)
            while self.step_9(me):
                pass
            self.leave(me)
