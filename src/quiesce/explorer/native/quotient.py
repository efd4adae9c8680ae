# SPDX-License-Identifier: Apache-2.0
"""Stuck threads and fair cycles on representatives: ``liveness.py`` where identical threads are exchanged.

The graph has a representative of all states that differ only in which of several identical threads is which.
Fairness is promised to each thread by itself; which thread is which after a step is noted on the edges
(``kernels/threaded.py``). Where one of several identical threads is asked about, the nodes are those of
one more graph: a representative, and the thread that is followed. What is decided is the same as on the
unreduced graph, at the same depth, round by round: a component of representatives stands for components
of the unreduced graph that are exchanged with each other, and all of them lose the same states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quiesce.explorer.native.kernels import follow, renaming, threaded, threaded_stuck
from quiesce.explorer.native.kernels import graph_levels as kernels
from quiesce.explorer.native.kernels.expand import FAILURE
from quiesce.explorer.native.kernels.threaded import NOBODY, TRACKED, Threaded
from quiesce.explorer.native.liveness import Masks, StepGraph, StuckStates
from quiesce.explorer.native.quotient_edges import NotReducible, QuotientEdges
from quiesce.explorer.native.search import Search
from quiesce.explorer.native.settle import settle
from quiesce.explorer.native.stuck_questions import StuckQuestions
from quiesce.explorer.reference.fairness import NONE_LEFT_OUT, LeftOut

_BYTES_OF_AN_EDGE = 20
_BYTES_OF_A_STATE = 300
MOST_THREADS = TRACKED - 2
"""Threads of a program whose graph can be reduced."""


@dataclass(frozen=True, slots=True)
class FairPart:
    """A component in which a fair run can stay.

    :param entry: its least node; *inside*: which nodes are members.
    :param up: for each threaded node, one above it in its set; *flags*: what is noted of each root.
    :param left_out: which edges do not count, as the graph numbers the movers.
    """

    graph: Threaded
    entry: int
    inside: npt.NDArray[np.bool_]
    up: npt.NDArray[np.uint32]
    flags: npt.NDArray[np.uint8]
    left_out: LeftOut

    def leaves_out(self, edge: int) -> bool:
        """Whether *edge* does not count, as the kernels have it."""
        mover = int(self.graph.movers[edge])
        if mover & FAILURE or self.left_out.moves >> mover & 1:
            return True
        progress = int(self.graph.levels[edge]) & kernels.PROGRESS
        return bool(progress and self.left_out.progress >> mover & 1)

    def flags_of(self, threaded_node: int) -> int:
        """Return what is noted in the component of the thread of *threaded_node*."""
        x = threaded_node
        while int(self.up[x]) != x:
            x = int(self.up[x])
        return int(self.flags[x])


class Quotient(StepGraph):
    """All steps between the representatives of a finished search with symmetry.

    :raises NotReducible: there are too many threads, or more ways to rename them than can be numbered.
    """

    def __init__(self, search: Search) -> None:
        if len(search.program.threads) > MOST_THREADS:
            raise NotReducible("there are too many threads")
        settle(search)
        edges = QuotientEdges(search)
        self._take(search, edges)
        self.renames, self.renamings = edges.renames, edges.renamings
        self.leaders: Masks = np.zeros(self.count, np.uint64)
        renaming.mark_leaders(
            self.worker.states.array, self.count, self.worker.shape, search.symmetry,
            self.worker.here, self.leaders,
        )  # fmt: skip
        for masks in (self.moves, self.enabled):
            renaming.spread(self.leaders, self.count, self.threads, masks)

    @staticmethod
    def bytes_for(search: Search) -> int:
        """Return the memory that the graph takes, and what is decided on it, beside the search."""
        threads = len(search.program.threads)
        each = _BYTES_OF_A_STATE + 20 * threads + search.workers[0].each
        return search.transitions * _BYTES_OF_AN_EDGE + search.states * each

    def threaded(self, fairness: str, levels: npt.NDArray[np.uint8]) -> Threaded:
        """Return the graph for the kernels; no thread is followed."""
        edges = len(self.targets)
        return Threaded(
            self.first, self.targets, self.movers, levels, self.renames,
            np.full(edges, NOBODY, np.uint8), self.renamings.table,
            np.arange(self.count, dtype=np.uint32), np.full(self.count, NOBODY, np.uint8),
            self.leaders, self.enabled, self._queued(fairness), self.threads,
        )  # fmt: skip

    # --- Stuck threads ----------------------------------------------------------------------------

    def find_stuck_threads(self) -> StuckStates:
        """Return where threads can never get on again; threads are those of the representatives.

        :raises NotReducible: a kind of threads has too many loops.
        """
        found = self.components(np.ones(self.count, np.uint32), NONE_LEFT_OUT, True)
        graph = self.threaded("none", self.levels)
        questions = StuckQuestions(self.program, self.search.compiled.locations)
        nodes = self.count * self.threads
        can = np.zeros(nodes, np.uint32)
        machine, states, here = (
            self.search.compiled.machine, self.worker.states.array, self.worker.here,
        )  # fmt: skip
        threaded_stuck.note_answers(
            machine, states, self.count, graph, questions.left, questions.depths,
            questions.unknown, here, can,
        )  # fmt: skip
        masks: Masks = np.zeros(self.count, np.uint64)
        beyond = np.zeros(self.count, np.uint8)
        daemons = [t.daemon for t in self.program.threads]
        not_daemons = sum(1 << i for i, daemon in enumerate(daemons) if not daemon)
        threaded_stuck.find_stuck(
            machine, states, graph, self._order, self._bounds, found,
            np.zeros(self.count, np.uint32), questions.asked, questions.final, not_daemons,
            np.zeros(nodes, np.uint32), np.zeros(nodes, np.uint8), can, here, masks, beyond,
        )  # fmt: skip
        return StuckStates(masks & np.uint64(not_daemons), beyond)

    # --- Fair cycles ------------------------------------------------------------------------------

    def find_fair_part(
        self, avoids: npt.NDArray[np.bool_], fairness: str, left_out: LeftOut = NONE_LEFT_OUT
    ) -> FairPart | None:
        """Return where a fair run can stay in states that *avoids* marks; the one that is entered first.

        *left_out* names only threads without likes, or all threads.
        """
        if not avoids.any():
            return None
        levels = self.levels.copy() if left_out.progress else self.levels
        graph = self.threaded(fairness, levels)
        return _find_fair_part(graph, avoids.astype(np.uint32), fairness, left_out)

    def find_fair_part_of(
        self, thread: int, wanted: Masks, fairness: str, spins: bool
    ) -> FairPart | None:
        """Return where a fair run can stay while one of several identical threads waits, or spins.

        :param thread: one of them.
        :param wanted: for each state, which of them may be that thread.
        :param spins: it may move, but not get on.
        """
        like = self.search.symmetry.like
        kind = sum(1 << t for t in range(self.threads) if like[t] == like[thread])
        heads = self.leaders & wanted & np.uint64(kind)
        base = np.zeros(self.count + 1, np.int64)
        follow.number_nodes(heads, self.count, base)
        nodes = int(base[-1])
        if not nodes:
            return None
        graph = self.threaded(fairness, self.levels)
        nothing = np.zeros(1, np.int64)
        byte, short, number = (np.zeros(1, t) for t in (np.uint8, np.uint16, np.uint32))
        edges = follow.follow(
            graph, self.count, kind, wanted, spins, base, False,
            nothing, number, byte, byte, short, byte, number, byte,
        )  # fmt: skip
        followed = Threaded(
            np.zeros(nodes + 1, np.int64), np.empty(edges + 1, np.uint32),
            np.empty(edges + 1, np.uint8), np.empty(edges + 1, np.uint8),
            np.empty(edges + 1, np.uint16), np.empty(edges + 1, np.uint8), graph.table,
            np.empty(nodes, np.uint32), np.empty(nodes, np.uint8), graph.leaders, graph.enabled,
            graph.strong, graph.threads,
        )  # fmt: skip
        follow.follow(
            graph, self.count, kind, wanted, spins, base, True, followed.first, followed.targets,
            followed.movers, followed.levels, followed.renames, followed.before,
            followed.state_of, followed.at,
        )  # fmt: skip
        own = 1 << TRACKED
        left_out = LeftOut(progress=own, must_move=own) if spins else LeftOut(moves=own)
        return _find_fair_part(followed, np.ones(nodes, np.uint32), fairness, left_out)


class _Rooms:
    """Room for what kernels keep of each node."""

    def __init__(self, graph: Threaded) -> None:
        count = len(graph.state_of)
        self.order = np.zeros(count + 1, np.uint32)
        self.index = np.zeros(count, np.uint32)
        self.stack = np.zeros(count, np.uint32)
        self.calls = np.zeros(count, np.uint32)
        self.at = np.zeros(count, np.int64)
        self.bounds = np.zeros(count + 2, np.int64)
        self.component = np.zeros(count, np.uint32)
        self.up = np.zeros(count * graph.threads, np.uint32)
        self.flags = np.zeros(count * graph.threads, np.uint8)

    def components(self, graph: Threaded, region: npt.NDArray[np.uint32], left_out: LeftOut) -> int:
        """Find the components of each region that have a cycle; return how many."""
        return int(
            kernels.components(
                graph.first, graph.targets, graph.movers, graph.levels, len(graph.state_of), region,
                left_out.moves, left_out.progress, self.order, self.index, self.stack,
                self.calls, self.at, self.bounds, False,
            )
        )  # fmt: skip


def _find_fair_part(
    graph: Threaded, region: npt.NDArray[np.uint32], fairness: str, left_out: LeftOut
) -> FairPart | None:
    """Return the fair component that is entered first, in the nodes of *region*; None if there is none."""
    rooms = _Rooms(graph)
    best: tuple[int, npt.NDArray[np.uint32]] | None = None
    while found := rooms.components(graph, region, left_out):
        rooms.component[:] = 0
        if left_out.progress and kernels.refuse_choices(
            graph.first, graph.targets, graph.movers, graph.levels, rooms.order, rooms.bounds,
            found, rooms.component, left_out.moves, left_out.progress,
        ):  # fmt: skip
            continue
        verdicts = np.zeros(found, np.int64)
        _judge(graph, rooms, found, fairness, left_out, verdicts, region)
        for c in np.flatnonzero(verdicts):
            if best is None or int(verdicts[c]) - 1 < best[0]:
                members = rooms.order[rooms.bounds[c] : rooms.bounds[c + 1]].copy()
                best = int(verdicts[c]) - 1, members
        if not region.any():
            break
    if best is None:
        return None
    entry, members = best
    region[:] = 0
    region[members] = 1
    found = rooms.components(graph, region, left_out)
    verdicts = np.zeros(found, np.int64)
    _judge(graph, rooms, found, fairness, left_out, verdicts, region)
    assert found == 1 and verdicts[0] == entry + 1
    inside = np.zeros(len(region), np.bool_)
    inside[members] = True
    return FairPart(graph, entry, inside, rooms.up, rooms.flags, left_out)


def _judge(
    graph: Threaded, rooms: _Rooms, found: int, fairness: str, left_out: LeftOut,
    verdicts: npt.NDArray[np.int64], region: npt.NDArray[np.uint32],
) -> None:  # fmt: skip
    """Call the kernel of that name."""
    rooms.component[:] = 0
    threaded.judge(
        graph, rooms.order, rooms.bounds, found, rooms.component, left_out.moves,
        left_out.progress, left_out.must_move, fairness != "none", rooms.up, rooms.flags,
        verdicts, region,
    )  # fmt: skip
