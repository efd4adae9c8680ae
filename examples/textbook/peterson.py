# SPDX-License-Identifier: Apache-2.0
"""Peterson's mutual exclusion for any number of processes ("Myths about mutual exclusion", IPL 12, 1981).

quiesce check examples/textbook/peterson.py
"""

from __future__ import annotations

from examples.textbook.numbered import Numbered
from quiesce.protocol import Array, Int, atomic, choose, wait_until


class Peterson(Numbered):
    """BEEM's *peterson* without its planted error."""

    def __init__(self, processes: int = 3) -> None:
        super().__init__(processes)
        self.pos = Array(Int(0, high=processes), processes)
        self.step = Array(Int(0, high=processes - 1), processes)
        self.j = Array(Int(0, high=processes), processes)
        self.k = Array(Int(0, high=processes), processes)

    @atomic
    def begin(self, me: int) -> None:
        self.j[me] = 1

    @atomic
    def climb(self, me: int) -> bool:
        if self.j[me] < self.processes:
            self.pos[me] = self.j[me]
            return True
        return False

    @atomic
    def announce(self, me: int) -> None:
        self.step[self.j[me] - 1] = me
        self.k[me] = 0

    @atomic
    def look_at_next(self, me: int) -> bool:
        """Either look at one process more, or go on to the next level: both may be possible."""
        if choose(True, False):
            k = self.k[me]
            wait_until(k < self.processes)
            wait_until(k == me or self.pos[k] < self.j[me])
            self.k[me] = k + 1
            return True
        wait_until(self.k[me] == self.processes or self.step[self.j[me] - 1] != me)
        self.j[me] += 1
        return False

    @atomic
    def leave(self, me: int) -> None:
        self.pos[me] = 0

    def process(self, me: int) -> None:
        while True:
            self.begin(me)
            while self.climb(me):
                self.announce(me)
                while self.look_at_next(me):
                    pass
            self.leave(me)
