# SPDX-License-Identifier: Apache-2.0
"""The hash table of visited states: how large it is, and how it grows (``visited.py`` says what is in it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quiesce.explorer.native.grown import Grown
from quiesce.explorer.native.kernels.visited import BUCKET, MARGIN, fill_table, spread

if TYPE_CHECKING:
    from quiesce.explorer.native.worker import Worker

_FIRST = 1 << 14
_FILL = 0.75
_LONGEST_RUN = 1 << 14


def _larger(slots: int) -> int:
    """Return how many slots a table has next."""
    return slots + slots // (2 * BUCKET) * BUCKET


class VisitedTable:
    """A table for the states of several cores.

    :param owner_bits: bits of a number that say whose state it is.
    :param states: how many states it has room for, at least.
    """

    def __init__(self, owner_bits: int, states: int = 0) -> None:
        self.owner_bits = owner_bits
        self.slots = max(_FIRST, -(-int(states / _FILL) // BUCKET) * BUCKET + BUCKET)
        self.memory = Grown(np.uint64, self.slots + MARGIN)

    @property
    def limit(self) -> int:
        """How many states it may hold."""
        return int(self.slots * _FILL)

    @property
    def number_bits(self) -> int:
        """How many bits of a slot hold a number."""
        return (self.limit << self.owner_bits).bit_length()

    @property
    def bytes(self) -> int:
        """The memory that it takes."""
        return 8 * (self.slots + MARGIN)

    def bytes_for(self, states: int) -> int:
        """Return the memory that it takes with so many *states*."""
        slots = self.slots
        while int(slots * _FILL) < states:
            slots = _larger(slots)
        return 8 * (slots + MARGIN)

    def make_room(self, states: int, workers: list[Worker]) -> None:
        """Let it hold *states* states.

        :param workers: whose states are in it.
        """
        while self.limit < states:
            end, bits = self.slots + MARGIN, self.number_bits
            self._enlarge()
            filled = np.zeros((self.slots + MARGIN) // BUCKET, np.uint8)
            run = np.empty(_LONGEST_RUN, np.uint64)
            # Numbers of more than 32 bits hide some of what says where a slot belongs.
            if self.number_bits > 32 or not spread(
                self.memory.array, end, self.slots, bits, self.number_bits, filled, run
            ):
                self.fill(workers)

    def fill(self, workers: list[Worker]) -> None:
        """Enter the states of *workers* again; they are fewer than its limit."""
        while not self._fill(workers):
            self._enlarge()

    def _enlarge(self) -> None:
        self.slots = _larger(self.slots)
        self.memory.resize(self.slots + MARGIN)

    def _fill(self, workers: list[Worker]) -> bool:
        self.memory.array[:] = 0
        return all(
            fill_table(
                w.states.array, w.count, w.shape, w.number, self.owner_bits, self.memory.array,
                self.slots, self.number_bits, w.here,
            )
            for w in workers
        )  # fmt: skip
