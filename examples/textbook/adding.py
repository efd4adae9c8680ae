# SPDX-License-Identifier: Apache-2.0
"""Adding puzzle: two processes each read a counter twice and write the sum back; which values can it have?

quiesce check examples/textbook/adding.py
"""

from __future__ import annotations

from examples.textbook.numbered import Numbered
from quiesce.protocol import Array, Int, atomic, wait_until


class Adding(Numbered):
    """BEEM's *adding*: stops once the counter has reached *limit*."""

    expect = {"no_deadlock": "violated"}  # the counter has reached the limit

    c = Int(1, high=1000)

    def __init__(self, limit: int = 20) -> None:
        super().__init__(2)
        self.limit = limit
        self.x = Array(Int(0, high=1000), 2)

    @atomic
    def read(self, me: int) -> None:
        wait_until(self.c < self.limit)
        self.x[me] = self.c

    @atomic
    def add(self, me: int) -> None:
        self.x[me] += self.c

    @atomic
    def write(self, me: int) -> None:
        self.c = self.x[me]

    def process(self, me: int) -> None:
        while True:
            self.read(me)
            self.add(me)
            self.write(me)
