# SPDX-License-Identifier: Apache-2.0
"""Processes that know their number, as textbook algorithms want it: ``process(0)``, ``process(1)``, ...

Threads of one kind are identical and have no number. So each process is a thread of its own kind here.
"""

from __future__ import annotations

from quiesce.protocol import Scenario, thread

MOST = 9


class Numbered(Scenario):
    """*processes* processes, from 1 to 9; a subclass says what each does in ``process(me)``."""

    def __init__(self, processes: int) -> None:
        assert 1 <= processes <= MOST
        self.processes = processes
        self.has_1, self.has_2, self.has_3, self.has_4 = (int(processes > i) for i in range(1, 5))
        self.has_5, self.has_6, self.has_7, self.has_8 = (int(processes > i) for i in range(5, 9))

    def process(self, me: int) -> None:
        """What process number *me* does."""
        raise NotImplementedError

    @thread()
    def p0(self) -> None:
        self.process(0)

    @thread(count="has_1")
    def p1(self) -> None:
        self.process(1)

    @thread(count="has_2")
    def p2(self) -> None:
        self.process(2)

    @thread(count="has_3")
    def p3(self) -> None:
        self.process(3)

    @thread(count="has_4")
    def p4(self) -> None:
        self.process(4)

    @thread(count="has_5")
    def p5(self) -> None:
        self.process(5)

    @thread(count="has_6")
    def p6(self) -> None:
        self.process(6)

    @thread(count="has_7")
    def p7(self) -> None:
        self.process(7)

    @thread(count="has_8")
    def p8(self) -> None:
        self.process(8)
