# SPDX-License-Identifier: Apache-2.0
"""The frogs puzzle: toads and frogs move or jump towards each other, and have one free field.

quiesce check examples/textbook/frogs.py
"""

from __future__ import annotations

from quiesce.protocol import Array, Bool, Int, Scenario, atomic, choose, thread, wait_until

FREE, TOAD, FROG = 0, 1, 2


class Frogs(Scenario):
    """BEEM's *frogs* on one column: *each* toads above and *each* frogs below the free field."""

    expect = {"no_deadlock": "violated"}  # no animal can move

    done = Bool(False)
    shift = Int(0, low=-64, high=64)
    """How far the free field is from where it was."""

    def __init__(self, each: int = 8) -> None:
        self.each = each
        self.last = 2 * each
        # What lies on a field, as what differs from the start: 0 is what lay there then.
        self.moved = Array(Int(0, high=2), 2 * each + 1)

    def field(self, place: int) -> int:
        start = TOAD if place < self.each else FREE if place == self.each else FROG
        return (start + self.moved[place]) % 3

    def put(self, place: int, what: int) -> None:
        start = TOAD if place < self.each else FREE if place == self.each else FROG
        self.moved[place] = (what + 3 - start) % 3

    @atomic
    def move(self, who: int, other: int, direction: int) -> None:
        """Move into the hole from the next field, or jump into it over one of the others."""
        distance = choose(1, 2)
        hole = self.each + self.shift
        place = hole - direction * distance
        wait_until(0 <= place and place <= self.last)
        wait_until(self.field(place) == who)
        if distance == 2:
            wait_until(self.field(place + direction) == other)
        self.put(hole, who)
        self.put(place, FREE)
        self.shift = place - self.each

    @thread()
    def toads(self) -> None:
        while True:
            self.move(TOAD, FROG, 1)

    @thread()
    def frogs(self) -> None:
        while True:
            self.move(FROG, TOAD, -1)

    @atomic
    def check(self) -> None:
        for i in range(self.each):
            wait_until(self.field(i) == FROG)
            wait_until(self.field(self.last - i) == TOAD)
        self.done = True

    @thread()
    def checker(self) -> None:
        self.check()
