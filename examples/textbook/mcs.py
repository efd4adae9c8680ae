# SPDX-License-Identifier: Apache-2.0
"""The queue lock of Mellor-Crummey and Scott (ACM TOCS 9(1), 1991): what the kernel's spinlocks grew from.

quiesce check examples/textbook/mcs.py
"""

from __future__ import annotations

from examples.textbook.numbered import Numbered
from quiesce.protocol import Array, Bool, Int, atomic, wait_until

NONE = 0
"""No process; others are kept one higher than their number."""


class Mcs(Numbered):
    """BEEM's *mcs* without its planted error."""

    tail = Int(NONE, high=9)

    def __init__(self, processes: int = 3) -> None:
        super().__init__(processes)
        self.next = Array(Int(NONE, high=9), processes)
        self.locked = Array(Bool(), processes)
        # A process that has not begun has seen process 0, as in the original.
        self.pred = Array(Int(NONE, low=-1, high=9), processes)

    @atomic
    def forget_next(self, me: int) -> None:
        self.next[me] = NONE

    @atomic
    def swap_tail(self, me: int) -> None:
        # Kept so that the initial value stands for process 0.
        self.pred[me] = self.tail - 1
        self.tail = me + 1

    @atomic
    def has_predecessor(self, me: int) -> bool:
        return self.pred[me] != -1

    @atomic
    def set_locked(self, me: int) -> None:
        self.locked[me] = True

    @atomic
    def link(self, me: int) -> None:
        self.next[self.pred[me]] = me + 1

    @atomic
    def spin(self, me: int) -> None:
        wait_until(not self.locked[me])

    @atomic
    def has_next(self, me: int) -> bool:
        return self.next[me] != NONE

    @atomic
    def drop_tail(self, me: int) -> bool:
        if self.tail == me + 1:
            self.tail = NONE
            return True
        return False

    @atomic
    def wait_for_next(self, me: int) -> None:
        wait_until(self.next[me] != NONE)

    @atomic
    def unlock_next(self, me: int) -> None:
        self.locked[self.next[me] - 1] = False

    def process(self, me: int) -> None:
        while True:
            self.forget_next(me)
            self.swap_tail(me)
            if self.has_predecessor(me):
                self.set_locked(me)
                self.link(me)
                self.spin(me)
            if not self.has_next(me):
                if self.drop_tail(me):
                    continue
                self.wait_for_next(me)
            self.unlock_next(me)
