# SPDX-License-Identifier: Apache-2.0
"""All steps between the representatives of a settled search with symmetry, and whom each step renames.

Each state is expanded once more, as in ``edges.py``; before a successor is replaced by its representative, it
is noted which loops the step leaves, and afterwards which thread became which.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from quiesce.explorer.native.chunks import Chunk
from quiesce.explorer.native.kernels.edge_levels import edge_levels, loop_table
from quiesce.explorer.native.kernels.graph_levels import count_edges
from quiesce.explorer.native.kernels.renaming import canonicalise_noting
from quiesce.explorer.native.kernels.visited import find
from quiesce.explorer.native.search import Search
from quiesce.explorer.native.worker import Worker

_BATCH = 4096
_FIRST_RENAMINGS = 64
_MOST_RENAMINGS = 1 << 16


class NotReducible(Exception):
    """Runs that go on forever cannot be decided on representatives; the text says why."""


class Renamings:
    """The ways in which threads are renamed, numbered as they are met.

    ``table[n * threads + j]`` is who thread j becomes by renaming n.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.known = np.zeros(1, np.int64)
        self.table = np.zeros(0, np.uint8)
        self.slots = np.zeros(0, np.int64)
        self._grow()

    def _grow(self) -> None:
        rows = max(_FIRST_RENAMINGS, 2 * int(self.known[0]))
        if rows > _MOST_RENAMINGS:
            raise NotReducible("threads are renamed in too many ways")
        before = self.table[: int(self.known[0]) * self.threads]
        self.table = np.zeros(rows * self.threads, np.uint8)
        self.table[: len(before)] = before
        self.slots = np.zeros(4 * rows, np.int64)
        # They are entered again by looking at them: each hash leads to the same place or beyond.
        for number, row in enumerate(before.reshape(-1, self.threads).tolist()):
            place = _hash(row) & (len(self.slots) - 1)
            while self.slots[place]:
                place = (place + 1) & (len(self.slots) - 1)
            self.slots[place] = number + 1

    def canonicalise(self, search: Search, w: Worker) -> npt.NDArray[np.uint16]:
        """Replace the states in the box by representatives; return the renaming of each."""
        return self.replace(search, w.box, w.boxed)

    def replace(
        self, search: Search, box: npt.NDArray[np.int64], count: int
    ) -> npt.NDArray[np.uint16]:
        """Replace the first *count* states of *box* by representatives; return the renaming of each."""
        renames = np.zeros(count, np.uint16)
        scratch = np.zeros(search.symmetry.scratch, np.int64)
        done = 0
        while True:
            done = canonicalise_noting(
                box, done, count, search.compiled.words, search.symmetry, scratch, self.table,
                self.slots, self.known, renames,
            )  # fmt: skip
            if done == count:
                return renames
            self._grow()

    def row(self, number: int) -> tuple[int, ...]:
        """Return who each thread becomes by renaming *number*."""
        at = number * self.threads
        return tuple(self.table[at : at + self.threads].tolist())


def _hash(row: list[int]) -> int:
    """Return the hash of a renaming, as ``canonicalise_noting`` computes it."""
    h = 1469598103934665603
    for thread in row:
        h = ((h ^ thread) * 1099511628211) & ((1 << 64) - 1)
    return h >> 20


class QuotientEdges:
    """``targets[first[s]:first[s + 1]]`` are the representatives after state s; see ``edges.py``.

    ``renames[e]`` is the number of a row of ``table``: who each thread becomes along edge e.

    :param search: complete and settled; of threads that can be exchanged without a change, one moves.
    :raises NotReducible: there are more renamings than can be numbered.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._count = search.workers[0].count
        self._owners = np.array([search.workers[0].states.address], np.int64)
        transitions = int(search.transitions)
        self.first = np.zeros(self._count + 1, np.int64)
        self.targets = np.empty(transitions + 1, np.uint32)
        self.movers = np.empty(transitions + 1, np.uint8)
        self.levels = np.empty(transitions + 1, np.uint8)
        self.renames = np.empty(transitions + 1, np.uint16)
        self.renamings = Renamings(search.symmetry.threads)
        self._loops = loop_table(search.compiled)
        self._batches = iter(range(0, self._count, _BATCH))
        self._lock = threading.Lock()
        self._found: dict[int, list[tuple[npt.NDArray[Any], ...]]] = {}
        """By its first state, the edges of a batch that comes after one that is not finished."""
        self._next = 0
        self._written = 0
        search.each(self._work, search.workers)
        np.cumsum(self.first, out=self.first)

    def _work(self, w: Worker) -> None:
        renamings = Renamings(self.renamings.threads)
        for lo in self._batches:
            parts = []
            chunk = Chunk(0, lo, min(lo + _BATCH, self._count))
            while chunk.lo < chunk.hi:
                done = self._search.fill_box(w, chunk, 0, True, as_it_is=True)
                chunk = chunk._replace(lo=done)
                levels = np.empty(w.boxed, np.uint8)
                edge_levels(
                    self._search.compiled.machine, self._search.workers[0].states.array, w.box,
                    w.sources, w.movers, w.boxed, self._loops, w.here, levels,
                )  # fmt: skip
                renames = renamings.canonicalise(self._search, w)
                targets = self._look_up(w)
                parts.append((targets, w.movers[: w.boxed].copy(), levels, renames))
                count_edges(w.sources, w.boxed, self.first)
            w.boxed = 0
            with self._lock:
                numbers = self._numbers_of(renamings)
                self._found[lo] = [(*part[:3], numbers[part[3]]) for part in parts]
                self._write()

    def _numbers_of(self, other: Renamings) -> npt.NDArray[np.uint16]:
        """Return the numbers that the renamings of *other* have here, and add those that are new."""
        ours, threads = self.renamings, self.renamings.threads
        known = {ours.row(n): n for n in range(int(ours.known[0]))}
        numbers = np.zeros(int(other.known[0]), np.uint16)
        rows = [other.row(n) for n in range(int(other.known[0]))]
        for n, row in enumerate(rows):
            if row not in known:
                number = known[row] = len(known)
                if number >= _MOST_RENAMINGS:
                    raise NotReducible("threads are renamed in too many ways")
                if (number + 1) * threads > len(ours.table):
                    ours.table = np.concatenate([ours.table, np.zeros_like(ours.table)])
                ours.table[number * threads : (number + 1) * threads] = row
                ours.known[0] = number + 1
            numbers[n] = known[row]
        return numbers

    def _look_up(self, w: Worker) -> npt.NDArray[np.uint32]:
        """Return the numbers of the states in the box."""
        table = self._search.table
        found = np.empty(w.boxed, np.uint32)
        missing = find(
            w.box, w.boxed, w.shape, self._owners, table.memory.array, table.slots,
            table.number_bits, w.hashes, w.places, found,
        )  # fmt: skip
        assert missing == 0
        return found

    def _write(self) -> None:
        """Write the batches that are next, until one is missing."""
        while self._next in self._found:
            for targets, movers, levels, renames in self._found.pop(self._next):
                end = self._written + len(targets)
                self.targets[self._written : end] = targets
                self.movers[self._written : end] = movers
                self.levels[self._written : end] = levels
                self.renames[self._written : end] = renames
                self._written = end
            self._next += _BATCH
