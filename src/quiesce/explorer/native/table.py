# SPDX-License-Identifier: Apache-2.0
"""The hash table of visited states: how large it is, and how it grows (``visited.py`` says what is in it)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from quiesce.explorer.native.grown import Grown
from quiesce.explorer.native.visited import BUCKET, MARGIN, fill_table, next_gap, spread

if TYPE_CHECKING:
    from quiesce.explorer.native.worker import Worker

_FIRST = 1 << 14
_FILL = 0.75
_LONGEST_RUN = 1 << 14
_SHARED = 1 << 18
"""Slots: what is below is spread by one core."""

Each = Callable[[Callable[["Worker"], None], list["Worker"]], None]


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

    def make_room(self, states: int, workers: list[Worker], each: Each) -> None:
        """Let it hold *states* states.

        :param workers: whose states are in it.
        :param each: lets each worker do something, all at once.
        """
        while self.limit < states:
            slots, bits = self.slots, self.number_bits
            self._enlarge()
            # Numbers of more than 32 bits hide some of what says where a slot belongs.
            if self.number_bits > 32 or not self._spread(slots, bits, workers, each):
                self.fill(workers)

    def _spread(self, slots: int, bits: int, workers: list[Worker], each: Each) -> bool:
        """Move everything to where it belongs; false if there was too little room.

        What is in the upper third belongs where nothing has been, so the workers can share it out
        among them; then the upper third of the rest belongs where that was.

        :param slots: how many slots there were; *bits*: bits of a number.
        """
        cores = len(workers)
        spread_all = _Spreading(self, bits)
        hi = slots + MARGIN
        while cores > 1 and hi > _SHARED:
            lo = self._gap(-(-(hi + BUCKET) * slots // self.slots))
            if lo >= hi:
                break
            cuts = [self._gap(lo + (hi - lo) * k // cores) for k in range(cores)]
            spread_all.cuts = [min(cut, hi) for cut in cuts] + [hi]
            each(spread_all.share, workers)
            hi = lo
        spread_all.part(0, hi, True)
        return spread_all.succeeded

    def _gap(self, at: int) -> int:
        return int(next_gap(self.memory.array, at))

    def fill(self, workers: list[Worker]) -> None:
        """Enter the states of *workers* anew; they are fewer than its limit."""
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


class _Spreading:
    """The table while it is being spread out.

    :param bits: how many bits of a number there were.
    """

    def __init__(self, table: VisitedTable, bits: int) -> None:
        self.table = table
        self.bits = bits
        self.cuts: list[int] = []
        """Where each worker's part begins, and where the last one ends."""
        self.succeeded = True

    def share(self, w: Worker) -> None:
        """Do the part of one worker."""
        self.part(self.cuts[w.number], self.cuts[w.number + 1], False)

    def part(self, lo: int, hi: int, alone: bool) -> None:
        """Move what is in the slots from *lo* to *hi*; *alone*: nobody does another part."""
        cluster = np.empty(_LONGEST_RUN, np.uint64)
        table = self.table
        if not spread(
            table.memory.array, lo, hi, table.slots, self.bits, table.number_bits, alone, cluster
        ):
            self.succeeded = False
