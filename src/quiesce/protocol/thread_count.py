# SPDX-License-Identifier: Apache-2.0
"""``THREADS``: the number of threads of a scenario, which is not known where a range is declared."""

from __future__ import annotations


class ThreadCount:
    """The number of threads of the scenario, or a multiple of it.

    :param factor: how many times the number of threads.
    """

    def __init__(self, factor: int = 1) -> None:
        self.factor = factor

    def __mul__(self, factor: int) -> ThreadCount:
        if not isinstance(factor, int) or factor < 1:
            raise ValueError(f"{factor!r} * THREADS: the factor must be an integer of 1 or more")
        return ThreadCount(self.factor * factor)

    __rmul__ = __mul__

    def of(self, threads: int) -> int:
        """Return what this stands for in a scenario of *threads* threads."""
        return self.factor * threads

    def __repr__(self) -> str:
        return "THREADS" if self.factor == 1 else f"{self.factor} * THREADS"


THREADS = ThreadCount()
"""Stands for the number of threads of the scenario: ``Int(0, high=THREADS)``, ``2 * THREADS``."""
