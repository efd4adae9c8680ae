# SPDX-License-Identifier: Apache-2.0
"""Stuck threads and starvation on the whole graph: ``waiting.py`` and ``fairness.py`` for large spaces.

Fairness is promised to each thread by itself, so the graph is that of the space without symmetry or
partial order. It is built in a second pass over the visited states: each is expanded once more and its
successors are looked up. An edge takes six bytes.

A fair cycle is found as in ``fairness.py``, all components at once: those that starve a thread of a
queued step lose the states where it could take it, and what is left is cut again, until nothing changes.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quiesce.compiler.program import Program
from quiesce.explorer.native.edges import Edges
from quiesce.explorer.native.kernels import graph_levels as kernels
from quiesce.explorer.native.kernels import stuck as stuck_kernels
from quiesce.explorer.native.kernels.expand import FAILURE
from quiesce.explorer.native.kernels.properties import evaluate_property
from quiesce.explorer.native.kernels.records import Sighting
from quiesce.explorer.native.kernels.stored import words_at
from quiesce.explorer.native.loop_questions import loop_questions
from quiesce.explorer.native.quotient_edges import QuotientEdges
from quiesce.explorer.native.search import Search
from quiesce.explorer.native.settle import settle
from quiesce.explorer.native.worker import Worker
from quiesce.explorer.reference.fairness import NONE_LEFT_OUT, LeftOut

Masks = npt.NDArray[np.uint64]
_BYTES_OF_A_STATE = 140


@dataclass(frozen=True, slots=True)
class NativeLasso:
    """A run that goes on forever: from state *entry*, the edges *loop* lead back to it."""

    entry: int
    loop: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StuckStates:
    """For each state, the threads that are stuck in it as a mask, and the bits of ``who_is_stuck``."""

    masks: Masks
    beyond: npt.NDArray[np.uint8]

    def first(self, bit: int, several: bool | None) -> int | None:
        """Return the first state of which *bit* is said, or None.

        :param several: in which several threads are stuck (or one); None: any number.
        """
        wanted = (self.beyond & bit != 0) & (self.masks != 0)
        if several is None:
            return int(wanted.argmax()) if wanted.any() else None
        wanted &= self.beyond & stuck_kernels.AT_REST == 0
        wanted &= (self.masks & (self.masks - np.uint64(1)) != 0) == several
        return int(wanted.argmax()) if wanted.any() else None


class StepGraph:
    """All steps between the states of a finished search without reductions.

    States are numbered in the order of :func:`~quiesce.explorer.native.settle.settle`.
    """

    def __init__(self, search: Search) -> None:
        assert not search.symmetry.group_count
        settle(search)
        self._take(search, Edges(search))

    def _take(self, search: Search, edges: Edges | QuotientEdges) -> None:
        """Take the states of *search* and their *edges*."""
        self.search = search
        self.program: Program = search.program
        self.worker: Worker = search.workers[0]
        self.count = self.worker.count
        self.threads = len(self.program.threads)
        self.everyone = (1 << self.threads) - 1
        self.first, self.targets, self.movers = edges.first, edges.targets, edges.movers
        self.levels = edges.levels
        self.moves: Masks = np.zeros(self.count, np.uint64)
        self.fails: Masks = np.zeros(self.count, np.uint64)
        kernels.who_moves(self.first, self.movers, self.count, self.moves, self.fails)
        self.enabled: Masks = self.moves | self.fails
        """For each state, the threads that can take a step, be it one that fails, as a mask."""
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
        return search.transitions * 6 + search.states * (_BYTES_OF_A_STATE + search.workers[0].each)

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

    @property
    def failed_steps(self) -> int:
        """How many steps fail."""
        return int(np.count_nonzero(self.movers[: self.first[-1]] & FAILURE))

    def components(
        self, region: npt.NDArray[np.uint32], left_out: LeftOut, every: bool,
        levels: npt.NDArray[np.uint8] | None = None,
    ) -> int:  # fmt: skip
        """Find the components of each region; see the kernel of that name."""
        levels = self.levels if levels is None else levels
        return int(
            kernels.components(
                self.first, self.targets, self.movers, levels, self.count, region,
                left_out.moves, left_out.progress, self._order, self._index, self._stack,
                self._calls, self._at, self._bounds, every,
            )
        )  # fmt: skip

    # --- Stuck threads ----------------------------------------------------------------------------

    def find_stuck_threads(self) -> StuckStates:
        """Return where threads can never get on again; the same as ``waiting.py``."""
        found = self.components(np.ones(self.count, np.uint32), NONE_LEFT_OUT, True)
        final = self.marks([[at.final for at in k.locations] for k in self.program.kinds])
        stuck = ~(final | self._ever(self.moves, found))
        never_leaves = self._never_leave(found)
        if never_leaves.any():
            changes: Masks = np.zeros(self.count, np.uint64)
            stuck_kernels.who_changes(self.first, self.movers, self.levels, self.count, changes)
            stuck |= never_leaves & ~self._ever(changes, found)
        stuck &= np.uint64(self.everyone)
        ahead: Masks = np.zeros(self.count, np.uint64)
        stuck_kernels.what_can_ever_be(
            self.first, self.targets, self._order, self._bounds, found, self.enabled, ahead
        )
        not_daemons = sum(1 << i for i, t in enumerate(self.program.threads) if not t.daemon)
        beyond = np.zeros(self.count, np.uint8)
        stuck_kernels.who_is_stuck(
            self.first, self.targets, self.movers, self._order, self._bounds, found, self.enabled,
            stuck, ahead, self.everyone, not_daemons, np.zeros(self.count, np.uint32), beyond,
        )  # fmt: skip
        return StuckStates(stuck & np.uint64(not_daemons), beyond)

    def _ever(self, now: Masks, found: int) -> Masks:
        """Return which bits of *now* are set in some state that each state leads to.

        What comes after a failed step is not known, so all are taken to be set there.
        """
        can: Masks = np.zeros(self.count, np.uint64)
        goals = np.where(self.fails != 0, ~np.uint64(0), now)
        stuck_kernels.what_can_ever_be(
            self.first, self.targets, self._order, self._bounds, found, goals, can
        )
        return can

    def _never_leave(self, found: int) -> Masks:
        """Return the threads that are in a loop with an exit and never leave it, as masks."""
        marks: Masks = np.zeros(self.count, np.uint64)
        machine, states, here = (
            self.search.compiled.machine,
            self.worker.states.array,
            self.worker.here,
        )
        for questions in loop_questions(self.program, self.search.compiled.locations):
            goals: Masks = np.zeros(self.count, np.uint64)
            stuck_kernels.loop_goals(
                machine, states, self.count, self.first, self.movers, self.levels, questions.left,
                questions.depths, here, goals,
            )  # fmt: skip
            stuck_kernels.who_never_leaves(
                machine, states, self.count, questions.asked, self._ever(goals, found), here, marks
            )
        return marks

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
        self, avoids: npt.NDArray[np.bool_], fairness: str, left_out: LeftOut = NONE_LEFT_OUT
    ) -> NativeLasso | None:
        """Return the fair lasso that is entered first, its loop in the states that *avoids* marks."""
        if not avoids.any():
            return None
        strong = self._queued(fairness)
        region = avoids.astype(np.uint32)
        component = np.zeros(self.count, np.uint32)
        best: tuple[int, int, npt.NDArray[np.uint32]] | None = None
        # Steps that a fair choice forbids are marked in a copy.
        levels = self.levels.copy() if left_out.progress else self.levels
        while True:
            found = self.components(region, left_out, False, levels)
            if not found:
                break
            component[:] = 0
            if left_out.progress and kernels.refuse_choices(
                self.first, self.targets, self.movers, levels, self._order, self._bounds, found,
                component, left_out.moves, left_out.progress,
            ):  # fmt: skip
                continue
            summary: Masks = np.zeros(4 * found, np.uint64)
            component[:] = 0
            kernels.summaries(
                self.first, self.targets, self.movers, levels, self.enabled, strong,
                self.everyone, self._order, self._bounds, found, component, left_out.moves,
                left_out.progress, summary,
            )  # fmt: skip
            least, moved, disabled, queued = summary.reshape(found, 4).T
            starved = queued & ~moved
            fair = starved == 0
            if left_out.must_move:
                fair &= moved & np.uint64(left_out.must_move) != 0
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
        loop = self._loop(entry, members, moved_there, fairness, strong, left_out, levels)
        return NativeLasso(entry, loop)

    def find_dead_end(self, avoids: npt.NDArray[np.bool_]) -> NativeLasso | None:
        """Return the earliest run that simply ends in a state that *avoids* marks."""
        ends = avoids & (self.enabled == 0)
        return NativeLasso(int(ends.argmax()), ()) if ends.any() else None

    def _queued(self, fairness: str) -> Masks:
        """Return which threads can take a queued step in each state, as masks."""
        if fairness != "strong":
            return np.zeros(self.count, np.uint64)
        kinds = self.program.kinds
        return self.marks([[at.queued for at in k.locations] for k in kinds]) & self.enabled

    def _loop(
        self, entry: int, members: npt.NDArray[np.uint32], moved: int, fairness: str,
        strong: Masks, left_out: LeftOut, levels: npt.NDArray[np.uint8],
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
                self.first, self.targets, self.movers, levels, self.count, self.enabled,
                inside, here, left_out.moves, left_out.progress, must_move, must_wait, goal, *rooms,
            )  # fmt: skip
            return None if length < 0 else [int(e) for e in rooms[2][:length][::-1]]

        def tour(must_move: int) -> tuple[int, ...]:
            must_wait = 0 if fairness == "none" else self.everyone & ~must_move
            here, edges = entry, list[int]()
            must_wait &= int(self.enabled[here])
            while must_move or must_wait:
                part = walk(here, must_move, must_wait, -1)
                if part is None:
                    return ()
                for edge in part:
                    must_move &= ~(1 << int(self.movers[edge]))
                    must_wait &= int(self.enabled[self.targets[edge]])
                edges += part
                here = int(self.targets[edges[-1]])
            if here != entry or not edges:
                back = walk(here, 0, 0, entry)
                assert back is not None
                edges += back
            return tuple(edges)

        def will_do(loop: tuple[int, ...]) -> bool:
            movers = {int(self.movers[e]) for e in loop}
            must = left_out.must_move
            fair = self.is_fair(loop, fairness, strong)
            return fair and (not must or any(must >> t & 1 for t in movers))

        if fairness == "none":
            # Only a thread that must move has to.
            moved &= left_out.must_move
            moved &= -moved
        best = tour(moved)
        for thread in range(self.threads):
            if moved >> thread & 1:
                shorter = tour(moved & ~(1 << thread))
                if shorter and len(shorter) <= len(best) and will_do(shorter):
                    best, moved = shorter, moved & ~(1 << thread)
        while untaken := self._untaken(best, left_out):
            for edge in sorted(untaken):
                source, target = self._source(edge), int(self.targets[edge])
                there = [] if source == entry else walk(entry, 0, 0, source)
                back = [] if target == entry else walk(target, 0, 0, entry)
                assert there is not None and back is not None
                best += (*there, edge, *back)
        assert will_do(best)
        return best

    def _untaken(self, loop: tuple[int, ...], left_out: LeftOut) -> set[int]:
        """Return the options that *loop* is offered and never takes, of threads whose choices are fair."""
        options: set[int] = set()
        for edge in set(loop):
            thread = int(self.movers[edge])
            if left_out.progress >> thread & 1:
                source = self._source(edge)
                edges = range(int(self.first[source]), int(self.first[source + 1]))
                options.update(e for e in edges if int(self.movers[e]) == thread)
        return options - set(loop)

    def _source(self, edge: int) -> int:
        """Return the state that *edge* leaves."""
        return int(np.searchsorted(self.first, edge, "right")) - 1

    def is_fair(self, loop: tuple[int, ...], fairness: str, strong: Masks) -> bool:
        """Whether going round *loop* forever is a fair run."""
        if fairness == "none":
            return True
        moved = disabled = queued = 0
        for edge in loop:
            state = self.targets[edge]
            moved |= 1 << int(self.movers[edge])
            disabled |= self.everyone & ~int(self.enabled[state])
            queued |= int(strong[state])
        return (moved | disabled) == self.everyone and not queued & ~moved
