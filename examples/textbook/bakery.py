# SPDX-License-Identifier: Apache-2.0
"""Lamport's bakery: take a number, the lowest is served ("A new solution", CACM 17(8), 1974).

quiesce check examples/textbook/bakery.py
"""

from __future__ import annotations

from examples.textbook.numbered import Numbered
from quiesce.protocol import Array, Bool, Int, atomic, wait_until


class Bakery(Numbered):
    """BEEM's *bakery*: no process takes a number above *highest*."""

    expect = {"no_deadlock": "violated"}  # the numbers are used up

    def __init__(self, processes: int = 2, highest: int = 9) -> None:
        super().__init__(processes)
        self.highest = highest
        self.choosing = Array(Bool(), processes)
        self.number = Array(Int(0, high=15), processes)
        self.j = Array(Int(0, high=9), processes)
        self.most = Array(Int(0, high=15), processes)

    @atomic
    def begin(self, me: int) -> None:
        self.choosing[me] = True
        self.j[me] = 0
        self.most[me] = 0

    @atomic
    def look_for_highest(self, me: int) -> bool:
        j = self.j[me]
        if j < self.processes:
            if self.number[j] > self.most[me]:
                self.most[me] = self.number[j]
            self.j[me] += 1
            return True
        wait_until(self.most[me] < self.highest)
        self.number[me] = self.most[me] + 1
        self.j[me] = 0
        self.choosing[me] = False
        return False

    @atomic
    def wait_until_chosen(self, me: int) -> bool:
        j = self.j[me]
        if j < self.processes:
            wait_until(not self.choosing[j])
            return True
        return False

    @atomic
    def wait_for_lower(self, me: int) -> None:
        j = self.j[me]
        mine, other = self.number[me], self.number[j]
        wait_until(other == 0 or other > mine or (other == mine and me <= j))
        self.j[me] += 1

    @atomic
    def leave(self, me: int) -> None:
        self.number[me] = 0

    def process(self, me: int) -> None:
        while True:
            self.begin(me)
            while self.look_for_highest(me):
                pass
            while self.wait_until_chosen(me):
                self.wait_for_lower(me)
            self.leave(me)
