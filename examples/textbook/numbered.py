# SPDX-License-Identifier: Apache-2.0
"""Processes that know their number, as textbook algorithms want it: ``process(0)``, ``process(1)``, ..."""

from __future__ import annotations

from quiesce.protocol import Scenario, thread

MOST = 9


class Numbered(Scenario):
    """*processes* processes, from 1 to 9; a subclass says what each does in ``process(me)``."""

    def __init__(self, processes: int) -> None:
        assert 1 <= processes <= MOST
        self.processes = processes

    @thread("processes")
    def p(self, me: int) -> None:
        self.process(me)

    def process(self, me: int) -> None:
        """What process number *me* does."""
        raise NotImplementedError
