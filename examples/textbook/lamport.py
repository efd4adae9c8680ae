# SPDX-License-Identifier: Apache-2.0
"""Lamport's fast mutual exclusion (ACM TOCS 5(1), 1987): seven steps without contention.

quiesce check examples/textbook/lamport.py
"""

from __future__ import annotations

from examples.textbook.numbered import Numbered
from quiesce.protocol import Array, Bool, Int, atomic, wait_until

NOBODY = -1


class Lamport(Numbered):
    """BEEM's *lamport* without its planted error."""

    expect = {"no_starvation": "violated"}

    x = Int(NOBODY, low=NOBODY, high=9)
    y = Int(NOBODY, low=NOBODY, high=9)

    def __init__(self, processes: int = 3) -> None:
        super().__init__(processes)
        self.b = Array(Bool(), processes)
        self.j = Array(Int(0, high=processes), processes)

    @atomic
    def announce(self, me: int) -> None:
        self.b[me] = True

    @atomic
    def set_x(self, me: int) -> None:
        self.x = me

    @atomic
    def door_is_closed(self, me: int) -> bool:
        if self.y != NOBODY:
            self.b[me] = False
            return True
        return False

    @atomic
    def wait_for_door(self) -> None:
        wait_until(self.y == NOBODY)

    @atomic
    def close_door(self, me: int) -> None:
        self.y = me

    @atomic
    def has_company(self, me: int) -> bool:
        if self.x != me:
            self.b[me] = False
            self.j[me] = 0
            return True
        return False

    @atomic
    def wait_for_others(self, me: int) -> bool:
        j = self.j[me]
        if j < self.processes:
            wait_until(not self.b[j])
            self.j[me] += 1
            return True
        return False

    @atomic
    def is_mine(self, me: int) -> bool:
        wait_until(self.y == me or self.y == NOBODY)
        return self.y == me

    @atomic
    def open_door(self) -> None:
        self.y = NOBODY

    @atomic
    def retire(self, me: int) -> None:
        self.b[me] = False

    def process(self, me: int) -> None:
        while True:
            self.announce(me)
            self.set_x(me)
            if self.door_is_closed(me):
                self.wait_for_door()
                continue
            self.close_door(me)
            if self.has_company(me):
                while self.wait_for_others(me):
                    pass
                if not self.is_mine(me):
                    continue
            self.open_door()
            self.retire(me)
