# SPDX-License-Identifier: Apache-2.0
"""What ``choose`` returns inside a step that may have to wait.

    slot = choose(0, 1)
    wait_until(self.slot[slot] is None)

This step can be taken if *some* option lets it through: the explorers try each. So a step that
cannot be taken with the options drawn is tried with all others before its thread goes to sleep;
only then is it known that the thread can do nothing but wait.
"""

from __future__ import annotations

from random import Random
from typing import Any


class Choices:
    """Enumerates the choices of one step, in an order that the seed decides.

    :param random: the thread's source of choices. It is drawn from once for each ``choose`` that is
        met, however often the step has to be tried, so that waiting does not shift later choices.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._draws: list[float] = []
        self._path: list[list[int]] = []
        """[offset from the draw, number of options] of each choice on the way."""
        self._position = 0

    def begin(self) -> None:
        """Forget the step before."""
        self._draws.clear()
        self._path.clear()
        self._position = 0

    def pick(self, options: tuple[Any, ...]) -> Any:
        """Return the option of the next ``choose`` of the step."""
        here = self._position
        self._position += 1
        if here == len(self._path):
            self._path.append([0, len(options)])
        if here == len(self._draws):
            self._draws.append(self._random.random())
        drawn = int(self._draws[here] * len(options))
        return options[(drawn + self._path[here][0]) % len(options)]

    def advance(self) -> bool:
        """Turn to the next combination; False, and back at the first, when all were tried."""
        self._position = 0
        while self._path:
            offset, count = self._path[-1]
            if offset + 1 < count:
                self._path[-1][0] += 1
                return True
            self._path.pop()
        return False
