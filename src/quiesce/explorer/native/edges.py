# SPDX-License-Identifier: Apache-2.0
"""All steps between the states of a settled search, found by all cores: each state is expanded once more."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from quiesce.explorer.native.chunks import Chunk
from quiesce.explorer.native.kernels.edge_levels import edge_levels, loop_table
from quiesce.explorer.native.kernels.graph_levels import count_edges
from quiesce.explorer.native.kernels.visited import find
from quiesce.explorer.native.search import Search
from quiesce.explorer.native.worker import Worker

Targets = npt.NDArray[np.uint32]
Movers = npt.NDArray[np.uint8]

_BATCH = 4096


class Edges:
    """``targets[first[s]:first[s + 1]]`` are the states after state s, ``movers`` the threads that moved.

    ``levels`` says which loops the steps leave (``edge_levels.py``).

    :param search: complete and settled; no step is left out of it.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._count = search.workers[0].count
        self._owners = np.array([search.workers[0].states.address], np.int64)
        self.first = np.zeros(self._count + 1, np.int64)
        self.targets: Targets = np.empty(int(search.transitions) + 1, np.uint32)
        self.movers: Movers = np.empty(int(search.transitions) + 1, np.uint8)
        self.levels: Movers = np.empty(int(search.transitions) + 1, np.uint8)
        self._loops = loop_table(search.compiled)
        self._batches = iter(range(0, self._count, _BATCH))
        self._lock = threading.Lock()
        self._found: dict[int, list[tuple[Targets, Movers, Movers]]] = {}
        """By its first state, the edges of a batch that comes after one that is not finished."""
        self._next = 0
        self._written = 0
        search.each(self._work, search.workers)
        np.cumsum(self.first, out=self.first)

    def _work(self, w: Worker) -> None:
        for lo in self._batches:
            parts = []
            chunk = Chunk(0, lo, min(lo + _BATCH, self._count))
            while chunk.lo < chunk.hi:
                done = self._search.fill_box(w, chunk, 0, True)
                chunk = chunk._replace(lo=done)
                levels = self._levels_of(w)
                parts.append((self._look_up(w), w.movers[: w.boxed].copy(), levels))
                count_edges(w.sources, w.boxed, self.first)
            w.boxed = 0
            with self._lock:
                self._found[lo] = parts
                self._write()

    def _look_up(self, w: Worker) -> Targets:
        """Return the numbers of the states in the box."""
        table = self._search.table
        found = np.empty(w.boxed, np.uint32)
        missing = find(
            w.box, w.boxed, w.shape, self._owners, table.memory.array, table.slots,
            table.number_bits, w.hashes, w.places, found,
        )  # fmt: skip
        assert missing == 0
        return found

    def _levels_of(self, w: Worker) -> Movers:
        """Return the bytes that say which loops the steps in the box leave."""
        levels = np.empty(w.boxed, np.uint8)
        states = self._search.workers[0].states.array
        edge_levels(
            self._search.compiled.machine, states, w.box, w.sources, w.movers, w.boxed, self._loops,
            w.here, levels,
        )  # fmt: skip
        return levels

    def _write(self) -> None:
        """Write the batches that are next, as far as they are found."""
        while self._next in self._found:
            for targets, movers, levels in self._found.pop(self._next):
                end = self._written + len(targets)
                self.targets[self._written : end] = targets
                self.movers[self._written : end] = movers
                self.levels[self._written : end] = levels
                self._written = end
            self._next += _BATCH
