# SPDX-License-Identifier: Apache-2.0
"""How often an ``@eventually`` property comes true in a run, and for how long it stays false.

The checker decides whether such a property can stay false forever. A run cannot; it counts. The
property is evaluated after each step, under the scenario's lock. What plain statements make true and
false again between two steps is not seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from quiesce.protocol.scenario import PropertySpec


class PropertyProgress:
    """One property, over all rounds of a run.

    :param spec: the property.
    """

    def __init__(self, spec: PropertySpec) -> None:
        self.name = spec.name
        self.informational = spec.informational
        self.times = 0
        """How often it has become true."""
        self.longest = 0.0
        """For how many seconds it was false at most, after every step."""
        self.steps = 0
        """How many steps all threads took in that time."""
        self._spec = spec
        self._true = False
        self._since = (0.0, 0)

    def begin(self, spec: PropertySpec) -> None:
        """Begin a round, in the initial state."""
        self._spec = spec
        self._since = (time.monotonic(), 0)
        self._true = self._is_true()

    def look(self, steps: Callable[[], int]) -> None:
        """Evaluate the property, after a step.

        :param steps: returns how many steps all threads have taken in this round.
        """
        now_true = self._is_true()
        if now_true == self._true:
            return
        self._true = now_true
        if now_true:
            self.times += 1
            self._close(steps)
        else:
            self._since = (time.monotonic(), steps())

    def end(self, steps: Callable[[], int]) -> None:
        """End a round; *steps* returns how many steps all threads have taken in it."""
        if not self._true:
            self._close(steps)

    def _close(self, steps: Callable[[], int]) -> None:
        since, before = self._since
        seconds = time.monotonic() - since
        if seconds > self.longest:
            self.longest, self.steps = seconds, steps() - before

    def _is_true(self) -> bool:
        try:
            return bool(self._spec.method(self._spec.component))
        except Exception:
            return False  # in the middle of another thread's plain statements
