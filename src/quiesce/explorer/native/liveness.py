# SPDX-License-Identifier: Apache-2.0
"""Stuck threads and starvation on the whole graph: ``waiting.py`` and ``fairness.py`` for large spaces.

Fairness is promised to each thread by itself, so the graph is that of the space without symmetry or
partial order. It is built in a second pass over the visited states: each is expanded once more and its
successors are looked up. An edge takes five bytes.

A fair cycle is found as in ``fairness.py``, all components at once: those that starve a thread of a
queued step lose the states where it could take it, and what is left is cut again, until nothing changes.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quiesce.compiler.program import Program
from quiesce.explorer.native import graph_kernels as kernels
from quiesce.explorer.native.edges import Edges
from quiesce.explorer.native.properties import evaluate_property
from quiesce.explorer.native.records import Sighting
from quiesce.explorer.native.search import Search
from quiesce.explorer.native.settle import settle
from quiesce.explorer.native.stored import words_at
from quiesce.explorer.native.worker import Worker

Masks = npt.NDArray[np.uint64]
_NOBODY = 255
_BYTES_OF_A_STATE = 100


@dataclass(frozen=True, slots=True)
class NativeLasso:
    """A run that goes on for ever: from state *entry*, the edges *loop* lead back to it."""

    entry: int
    loop: tuple[int, ...]


class StepGraph:
    """All steps between the states of a finished search without reductions.

    States are numbered in the order of :func:`~quiesce.explorer.native.settle.settle`.
    """

    def __init__(self, search: Search) -> None:
        assert not search.symmetry.sizes[5]
        settle(search)
        self.search = search
        self.program: Program = search.program
        self.worker: Worker = search.workers[0]
        self.count = self.worker.count
        self.threads = len(self.program.threads)
        self.everyone = (1 << self.threads) - 1
        edges = Edges(search)
        self.first, self.targets, self.movers = edges.first, edges.targets, edges.movers
        self.moves: Masks = np.zeros(self.count, np.uint64)
        self.fails: Masks = np.zeros(self.count, np.uint64)
        kernels.who_moves(self.first, self.movers, self.count, self.moves, self.fails)
        self._order = np.zeros(self.count + 1, np.uint32)
        self._index = np.zeros(self.count, np.uint32)
        self._stack = np.zeros(self.count, np.uint32)
        self._calls = np.zeros(self.count, np.uint32)
        self._at = np.zeros(self.count, np.int64)
        self._bounds = np.zeros(self.count + 2, np.int64)

    @staticmethod
    def bytes_for(search: Search) -> int:
        """Return the memory that the graph takes, and what is done with it, beside the search."""
        # The vectors of this class, the largest of what a fair cycle is found with, and a second copy of
        # the states while they are put in order.
        return search.transitions * 5 + search.states * (_BYTES_OF_A_STATE + search.workers[0].each)

    def sighting(self, number: int) -> Sighting:
        """Return state *number* and its depth."""
        starts = [start for start, *_ in self.search.levels]
        words = words_at(self.worker.states.array, number, self.worker.shape)
        return Sighting(bisect_right(starts, number) - 1, tuple(words.tolist()))

    def marks(self, wanted: list[list[bool]]) -> Masks:
        """Return for each state, as a mask, which threads are at a location that *wanted* has."""
        pad = self.search.compiled.locations
        flat = [int(x) for row in wanted for x in row + [False] * (pad - len(row))]
        result: Masks = np.zeros(self.count, np.uint64)
        kernels.mark_locations(
            self.search.compiled.machine, self.worker.states.array, self.count,
            np.array(flat, np.int64), self.worker.here, result,
        )  # fmt: skip
        return result

    def components(self, region: npt.NDArray[np.uint32], without: int, every: bool) -> int:
        """Find the components of each region; see the kernel of that name."""
        return int(
            kernels.components(
                self.first,
                self.targets,
                self.movers,
                self.count,
                region,
                without,
                self._order,
                self._index,
                self._stack,
                self._calls,
                self._at,
                self._bounds,
                every,
            )
        )

    # --- Stuck threads ----------------------------------------------------------------------------

    def stuck_threads(self) -> Masks:
        """Return for each state, as a mask, who can never move again though others can.

        As in ``waiting.py``: a run that ends because something is wrong says nothing about what would
        have come after it.
        """
        region = np.ones(self.count, np.uint32)
        found = self.components(region, _NOBODY, True)
        can: Masks = np.zeros(self.count, np.uint64)
        goals = np.where(self._unknown_beyond(), np.uint64(self.everyone), self.moves)
        kernels.who_can_ever_move(
            self.first, self.targets, self._order, self._bounds, found, goals, can
        )
        final = self.marks([[at.final for at in k.locations] for k in self.program.kinds])
        waiting = sum(1 << i for i, t in enumerate(self.program.threads) if not t.daemon)
        stuck = ~(can | final) & np.uint64(waiting)
        stuck[self.moves == 0] = 0
        return stuck

    def _unknown_beyond(self) -> npt.NDArray[np.bool_]:
        """Return the states where a run ends because something is wrong."""
        cut: npt.NDArray[np.bool_] = self.worker.cut.array[: self.count] != 0
        beyond: npt.NDArray[np.bool_] = cut | (self.fails != 0)
        return beyond

    def false_in(self, index: int) -> npt.NDArray[np.bool_]:
        """Return for each state whether property *index* is not true in it."""
        false = np.zeros(self.count, np.uint8)
        w = self.worker
        evaluate_property(
            self.search.compiled.machine, w.states.array, self.count, index, w.here, w.ram, false
        )
        answer: npt.NDArray[np.bool_] = false != 0
        return answer

    # --- Fair cycles ------------------------------------------------------------------------------

    def find_fair_cycle(
        self, avoids: npt.NDArray[np.bool_], fairness: str, without: int = -1
    ) -> NativeLasso | None:
        """Return the fair lasso that is entered first, its loop in the states that *avoids* marks."""
        if not avoids.any():
            return None
        strong = self._queued(fairness)
        region = avoids.astype(np.uint32)
        component = np.zeros(self.count, np.uint32)
        nobody = without if without >= 0 else _NOBODY
        best: tuple[int, int, npt.NDArray[np.uint32]] | None = None
        while True:
            found = self.components(region, nobody, False)
            if not found:
                break
            summary: Masks = np.zeros(4 * found, np.uint64)
            component[:] = 0
            kernels.summaries(
                self.first, self.targets, self.movers, self.moves, strong, self.everyone,
                self._order, self._bounds, found, component, nobody, summary,
            )  # fmt: skip
            least, moved, disabled, queued = summary.reshape(found, 4).T
            starved = queued & ~moved
            fair = starved == 0
            if fairness != "none":
                fair &= (moved | disabled) == np.uint64(self.everyone)
            for c in np.flatnonzero(fair):
                if best is None or int(least[c]) < best[0]:
                    members = self._order[self._bounds[c] : self._bounds[c + 1]].copy()
                    best = int(least[c]), int(moved[c]), members
            # What a starving component has left is searched again, each by itself.
            starving = np.concatenate([np.zeros(1, np.uint64), starved])[component]
            region = np.where((starving != 0) & (strong & starving == 0), component, 0)
            region = region.astype(np.uint32)
            if not region.any():
                break
        if best is None:
            return None
        entry, moved_there, members = best
        return NativeLasso(entry, self._loop(entry, members, moved_there, fairness, strong, nobody))

    def find_dead_end(self, avoids: npt.NDArray[np.bool_]) -> NativeLasso | None:
        """Return the earliest run that simply ends in a state that *avoids* marks."""
        ends = avoids & (self.moves == 0) & ~self._unknown_beyond()
        return NativeLasso(int(ends.argmax()), ()) if ends.any() else None

    def _queued(self, fairness: str) -> Masks:
        """Return who can take a queued step in each state, as masks."""
        if fairness != "strong":
            return np.zeros(self.count, np.uint64)
        kinds = self.program.kinds
        return self.marks([[at.queued for at in k.locations] for k in kinds]) & self.moves

    def _loop(
        self, entry: int, members: npt.NDArray[np.uint32], moved: int, fairness: str,
        strong: Masks, nobody: int,
    ) -> tuple[int, ...]:  # fmt: skip
        """Return a fair loop from *entry* through *members*; short, as in ``fairness.py``."""
        inside = np.zeros(self.count, np.uint8)
        inside[members] = 1
        rooms = (
            np.empty(self.count, np.int64), np.empty(self.count, np.uint32),
            np.empty(self.count + 1, np.int64),
        )  # fmt: skip

        def walk(here: int, must_move: int, must_wait: int, goal: int) -> list[int] | None:
            length = kernels.shortest_walk(
                self.first, self.targets, self.movers, self.count, self.moves, inside, here,
                nobody, must_move, must_wait, goal, *rooms,
            )  # fmt: skip
            return None if length < 0 else [int(e) for e in rooms[2][:length][::-1]]

        def tour(must_move: int) -> tuple[int, ...]:
            must_wait = 0 if fairness == "none" else self.everyone & ~must_move
            must_move = 0 if fairness == "none" else must_move
            here, edges = entry, list[int]()
            must_wait &= int(self.moves[here])
            while must_move or must_wait:
                part = walk(here, must_move, must_wait, -1)
                if part is None:
                    return ()
                for edge in part:
                    must_move &= ~(1 << int(self.movers[edge]))
                    must_wait &= int(self.moves[self.targets[edge]])
                edges += part
                here = int(self.targets[edges[-1]])
            if here != entry or not edges:
                back = walk(here, 0, 0, entry)
                assert back is not None
                edges += back
            return tuple(edges)

        best = tour(moved)
        for thread in range(self.threads):
            if moved >> thread & 1:
                shorter = tour(moved & ~(1 << thread))
                if (
                    shorter
                    and len(shorter) <= len(best)
                    and self.is_fair(shorter, fairness, strong)
                ):
                    best, moved = shorter, moved & ~(1 << thread)
        assert self.is_fair(best, fairness, strong)
        return best

    def is_fair(self, loop: tuple[int, ...], fairness: str, strong: Masks) -> bool:
        """Whether going round *loop* for ever is a fair run."""
        if fairness == "none":
            return True
        moved = disabled = queued = 0
        for edge in loop:
            state = self.targets[edge]
            moved |= 1 << int(self.movers[edge])
            disabled |= self.everyone & ~int(self.moves[state])
            queued |= int(strong[state])
        return (moved | disabled) == self.everyone and not queued & ~moved
