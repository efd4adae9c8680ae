# SPDX-License-Identifier: Apache-2.0
"""A cyclic barrier (``pthread_barrier_t``, ``threading.Barrier``): so many tasks wait for each other.

Not a memory barrier: those are not modelled.
"""

from __future__ import annotations

from quiesce.primitives.base import might_sleep
from quiesce.protocol import THREADS, Int, Protocol, TaskSet, atomic, current, wait_until


class Barrier(Protocol):
    """A meeting point of *parties* tasks.

    :param parties: how many must arrive, at least 1. If more tasks use it, each round has *parties* of them.
    """

    arrived = Int(0, high=THREADS)
    waiting = TaskSet()

    def __init__(self, parties: int) -> None:
        self.parties = parties

    def wait(self) -> bool:
        """Wait until *parties* tasks have come; return True in the one that came last."""
        if self._arrive():
            return True
        self._pass()
        return False

    @atomic(label="barrier_wait")
    def _arrive(self) -> bool:
        might_sleep()
        if self.arrived + 1 == self.parties:
            self.arrived = 0
            self.waiting.clear()
            return True
        self.arrived += 1
        self.waiting.add(current())
        return False

    @atomic(label="barrier_passed")
    def _pass(self) -> None:
        wait_until(current() not in self.waiting)
