# SPDX-License-Identifier: Apache-2.0
"""The towers of Hanoi: six movers, one for each way from a pole to another.

quiesce check examples/textbook/hanoi.py
"""

from __future__ import annotations

from examples.textbook.numbered import Numbered
from quiesce.protocol import Array, Int, atomic, wait_until


class Hanoi(Numbered):
    """BEEM's *hanoi*: where each disk lies is all that there is to know; 3 to the *disks* states."""

    expect = {"no_starvation": "violated"}

    def __init__(self, disks: int = 8) -> None:
        super().__init__(6)
        self.disks = disks
        self.pole = Array(Int(0, high=2), disks)

    @atomic
    def move(self, source: int, target: int) -> None:
        """Move the smallest disk of *source*, if *target* has no smaller one."""
        disk = 0
        while disk < self.disks and self.pole[disk] != source:
            wait_until(self.pole[disk] != target)
            disk += 1
        wait_until(disk < self.disks)
        self.pole[disk] = target

    def process(self, me: int) -> None:
        source = me // 2
        target = (source + 1 + me % 2) % 3
        while True:
            self.move(source, target)
