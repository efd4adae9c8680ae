# SPDX-License-Identifier: Apache-2.0
"""What was never executed, asked of the states of a native search (``explorer/reference/coverage.py``).

The states are looked at a block at a time. For each thread and location that may still show something new,
the bits that its step depends on are cut out, and one state for each combination is shown to the stepper.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quiesce.explorer.analysis.footprint import places_of_step
from quiesce.explorer.findings import NeverExecuted
from quiesce.explorer.native.kernels.stored import LAST, STRIDE, WORDS
from quiesce.explorer.native.liveness import StepGraph
from quiesce.explorer.native.program.tables import Compiled
from quiesce.explorer.reference.coverage import Coverage

Words = npt.NDArray[np.uint64]

BLOCK = 1 << 16
"""States looked at together."""


def cover_natively(graph: StepGraph) -> list[NeverExecuted]:
    """Return what no state of *graph*, which has all that can be reached, executes.

    What a thread does in a representative, each thread that is identical to it does in some state.
    """
    blocks = _Blocks(graph)
    coverage = Coverage(graph.program)
    for first in range(0, graph.count, BLOCK):
        words = blocks.words(first, min(first + BLOCK, graph.count))
        for number, thread in enumerate(graph.program.threads):
            field = blocks.compiled.packing.fields[thread.base]
            here = words[:, field.word] >> np.uint64(field.shift) & np.uint64(field.mask)
            for location in np.unique(here).tolist():
                if thread.kind.locations[location].final:
                    coverage.ended.add(number)
                elif coverage.wants(number, location):
                    there = words[here == location]
                    for row in blocks.distinct(number, location, there):
                        coverage.look_at(blocks.compiled.unpack(tuple(row.tolist())), number)
    if graph.search.symmetry.group_count:
        like = graph.search.symmetry.like
        ended = {int(like[t]) for t in coverage.ended} - {-1}
        coverage.ended |= {t for t in range(graph.threads) if int(like[t]) in ended}
    return coverage.never_executed()


class _Blocks:
    """The states of a graph, as words."""

    def __init__(self, graph: StepGraph) -> None:
        self._graph = graph
        self.compiled: Compiled = graph.search.compiled
        self._masks: dict[tuple[int, int], Words] = {}
        self._seen: dict[tuple[int, int], set[bytes]] = {}

    def words(self, first: int, end: int) -> Words:
        """Return the states from *first* to before *end*, a row each."""
        shape = self.compiled.shape
        stride, words = int(shape[STRIDE]), int(shape[WORDS])
        raw = self._graph.worker.states.array[first * stride : end * stride]
        rows = np.zeros((end - first, 8 * words), np.uint8)
        rows[:, :stride] = raw.reshape(end - first, stride)
        found = rows.view(np.uint64)
        found[:, words - 1] &= np.uint64(int(shape[LAST]) & (1 << 64) - 1)
        return found

    def distinct(self, thread: int, location: int, rows: Words) -> Words:
        """Return those of *rows* that differ, from each other and from earlier ones, for this step."""
        mask = self._mask(thread, location)
        _, places = np.unique(rows & mask, axis=0, return_index=True)
        seen = self._seen.setdefault((thread, location), set())
        fresh = []
        for place in places.tolist():
            key = (rows[place] & mask).tobytes()
            if key not in seen:
                seen.add(key)
                fresh.append(place)
        return rows[fresh]

    def _mask(self, thread: int, location: int) -> Words:
        """Return the bits that the step depends on."""
        mask = self._masks.get((thread, location))
        if mask is None:
            program, packing = self._graph.program, self.compiled.packing
            bits = [0] * packing.words
            for place in places_of_step(program, program.threads[thread], location):
                field = packing.fields[place]
                bits[field.word] |= field.mask << field.shift
            mask = self._masks[thread, location] = np.array(bits, np.uint64)
        return mask
