# SPDX-License-Identifier: Apache-2.0
"""Dijkstra's dining philosophers, which may deadlock, and with a butler that admits all but some.

quiesce check examples/textbook/phils.py
"""

from __future__ import annotations

from examples.textbook.numbered import Numbered
from quiesce.protocol import Array, Bool, Int, atomic, choose, wait_until


class Philosophers(Numbered):
    """BEEM's *phils*: everyone takes the left fork first.

    :param seats: how many may be inside at once; 0: there is no butler.
    """

    inside = Int(0, high=9)

    def __init__(self, processes: int = 4, seats: int = 0) -> None:
        super().__init__(processes)
        self.seats = seats
        self.expect = {"no_starvation": "violated"}
        if not 0 < seats < processes:
            self.expect["no_deadlock"] = "violated"
        self.fork = Array(Bool(), processes)

    @atomic
    def go_in(self) -> None:
        wait_until(self.inside < self.seats)
        self.inside += 1

    @atomic
    def go_out_or_take(self, fork: int) -> bool:
        if choose(True, False):
            self.inside -= 1
            return False
        wait_until(not self.fork[fork])
        self.fork[fork] = True
        return True

    @atomic
    def take(self, fork: int) -> None:
        wait_until(not self.fork[fork])
        self.fork[fork] = True

    @atomic
    def put(self, fork: int) -> None:
        self.fork[fork] = False

    def process(self, me: int) -> None:
        left, right = me, (me + 1) % self.processes
        if self.seats > 0:
            while True:
                self.go_in()
                while self.go_out_or_take(left):
                    self.take(right)
                    self.put(left)
                    self.put(right)
        while True:
            self.take(left)
            self.take(right)
            self.put(left)
            self.put(right)
