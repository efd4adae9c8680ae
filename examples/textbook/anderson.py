# SPDX-License-Identifier: Apache-2.0
"""Anderson's queue lock: each waits at a slot of its own in an array.

quiesce check examples/textbook/anderson.py
"""

from __future__ import annotations

from examples.textbook.numbered import Numbered
from quiesce.protocol import Array, Bool, Int, atomic, wait_until


class Anderson(Numbered):
    """BEEM's *anderson* without its planted error."""

    next = Int(0, high=63)

    def __init__(self, processes: int = 3) -> None:
        super().__init__(processes)
        self.opened = Array(Bool(), processes)
        self.my_place = Array(Int(0, high=63), processes)

    def slot(self, place: int) -> bool:
        """Whether a slot is open. At the start slot 0 is: what is kept is what differs from that."""
        return self.opened[place] != (place == 0)

    @atomic
    def take_ticket(self, me: int) -> None:
        self.my_place[me] = self.next
        self.next += 1

    @atomic
    def wrap_around(self, me: int) -> None:
        if self.my_place[me] == self.processes - 1:
            self.next -= self.processes
        else:
            self.my_place[me] = self.my_place[me] % self.processes

    @atomic
    def wait_for_turn(self, me: int) -> None:
        wait_until(self.slot(self.my_place[me]))

    @atomic
    def close_slot(self, me: int) -> None:
        place = self.my_place[me]
        self.opened[place] = place == 0

    @atomic
    def open_next_slot(self, me: int) -> None:
        place = (self.my_place[me] + 1) % self.processes
        self.opened[place] = place != 0

    def process(self, me: int) -> None:
        while True:
            self.take_ticket(me)
            self.wrap_around(me)
            self.wait_for_turn(me)
            self.close_slot(me)
            self.open_next_slot(me)
