# SPDX-License-Identifier: Apache-2.0
"""A fair loop of the protocol, from a component of representatives in which a fair run can stay.

The loop lets each thread move, or come by a state in which it cannot; what is needed of a thread is read off
the component. Then it is closed: by a short search among states of the protocol, or by going back to
the node where it began. Other threads may then stand where it began; going round again and again brings
each back to its place, since renamings have a finite order. The loop is checked by the reference
stepper alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quiesce.explorer.native.kernels.graph_levels import shortest_walk
from quiesce.explorer.native.kernels.threaded import DISABLED, MOVED, QUEUED
from quiesce.explorer.native.lift import Lift, LiftedStep, Point, Taken
from quiesce.explorer.native.quotient import FairPart
from quiesce.explorer.native.quotient_edges import NotReducible
from quiesce.explorer.reference.fairness import FairCycles, LeftOut
from quiesce.explorer.reference.getting_on import GettingOn
from quiesce.explorer.reference.graph import expand_only
from quiesce.explorer.reference.stepper import State

_CLOSING_STATES = 4_000
"""States of the protocol that are looked at to close a loop shortly."""
_FEW = 600
"""States of a component whose loop is left to the reference explorer."""
_ROUNDS = 5_000
"""Rounds of one loop, before it is given up."""
_DETOURS = 500
"""Options of fair choices that a loop is led past, before it is given up."""


@dataclass(frozen=True, slots=True)
class LoopDemands:
    """What a loop must satisfy, in threads of the protocol.

    :param followed: the thread that the nodes follow, or -1.
    :param left_out: threads that must not move, whose choices are fair, of which one must move.
    """

    followed: int
    left_out: LeftOut
    fairness: str


class LoopFinder:
    """Finds a loop in one component."""

    def __init__(self, lift: Lift, part: FairPart, wanted: LoopDemands) -> None:
        self.lift = lift
        self.part = part
        self.graph = part.graph
        self.wanted = wanted
        self._inside = part.inside.astype(np.uint8)
        self._rooms: tuple[npt.NDArray[Any], ...] | None = None
        """Room for what the kernel keeps of each node."""

    def find(self, entry: Point) -> list[LiftedStep]:
        """Return the steps of a fair loop from *entry*.

        :raises NotReducible: none was found.
        """
        loop = self._among_few(entry)
        if loop is None:
            loop = [
                LiftedStep(step.thread, self.lift.state_at(self.graph, step.point))
                for step in self._among_many(entry)
            ]
        return loop

    def _among_few(self, entry: Point) -> list[LiftedStep] | None:
        """Return the loop that the reference explorer finds, if the component has few states."""
        lift = self.lift
        home = lift.state_at(self.graph, entry)
        points = {home: entry}
        queue = deque([entry])
        while queue:
            for step in lift.ways(self.part, queue.popleft(), self.wanted.followed):
                state = lift.state_at(self.graph, step.point)
                if state not in points:
                    if len(points) >= _FEW:
                        return None
                    points[state] = step.point
                    queue.append(step.point)
        graph = expand_only(lift.stepper, list(points))
        progress = GettingOn(lift.program, graph).progress
        cycles = FairCycles(lift.program, graph, self.wanted.fairness, progress)
        found = cycles.find([True] * graph.expanded, self.wanted.left_out)
        if found is None or found.entry != 0:
            raise NotReducible("the reference finds no fair loop in a component")
        return [LiftedStep(graph.threads[e], graph.states[graph.targets[e]]) for e in found.loop]

    def _among_many(self, entry: Point) -> list[Taken]:
        loop = self._closed(entry, self._tour(entry))
        for _ in range(_DETOURS):
            detour = self._detour(entry, loop)
            if detour is None:
                return loop
            loop = loop + detour
        raise NotReducible("a loop passes too many options of fair choices")

    # --- What the threads need --------------------------------------------------------------------

    def _flags(self, point: Point, thread: int) -> int:
        """Return what is noted of *thread* of the protocol in the component, at *point*."""
        return self.part.flags_of(self.lift.position(self.graph, point, thread))

    def _tour(self, entry: Point) -> list[Taken]:
        """Return steps from *entry* in which each thread does what fairness demands of it."""
        taken: list[Taken] = []
        threads = [t for t in range(self.lift.threads) if t != self.wanted.followed]
        pending: dict[int, bool] = {}
        if self.wanted.fairness != "none":
            for thread in threads:
                flags = self._flags(entry, thread)
                pending[thread] = bool(flags & QUEUED) or not flags & DISABLED
                if pending[thread] and not flags & MOVED:
                    raise NotReducible("a thread neither moves nor waits in a fair component")
        here = entry
        self._cross_off(pending, here)
        while pending:
            part = self._nearest(here, pending)
            for step in part:
                pending.pop(step.thread, None)
                here = step.point
                self._cross_off(pending, here)
            taken += part
        must = self.wanted.left_out.must_move
        if must and not any(must >> step.thread & 1 for step in taken):
            taken += self._walk(here)
        if self.wanted.followed >= 0:
            taken += self._follow(taken[-1].point if taken else here, taken)
        return taken or self._any_step(here)

    def _follow(self, here: Point, taken: Sequence[Taken]) -> list[Taken]:
        """Return steps in which the followed thread waits, if it neither moved nor waited in *taken*."""
        followed = self.wanted.followed
        points = [here, *(step.source for step in taken)]
        idle = any(not self.lift.can_move(self.graph, p, followed) for p in points)
        if self.wanted.fairness == "none" or idle or any(s.thread == followed for s in taken):
            return []
        return self._walk_for(here, followed, False)

    def _cross_off(self, pending: dict[int, bool], here: Point) -> None:
        """Forget the threads that only had to come by a state in which they cannot move, and do."""
        for thread in [t for t, must_move in pending.items() if not must_move]:
            if not self.lift.can_move(self.graph, here, thread):
                del pending[thread]

    # --- Walks ------------------------------------------------------------------------------------

    def _nearest(self, here: Point, pending: dict[int, bool]) -> list[Taken]:
        """Return the shortest steps by which some thread of *pending* gets what it needs."""
        walks = [self._walk_for(here, thread, must) for thread, must in pending.items()]
        return min(walks, key=len)

    def _walk_for(self, here: Point, thread: int, must_move: bool) -> list[Taken]:
        """Return the shortest steps from *here* after which *thread* moves, or cannot move.

        Points at which only other threads stand elsewhere are looked at once.
        """
        lift, graph, followed = self.lift, self.graph, self.wanted.followed
        came: dict[int, Taken | None] = {lift.position(graph, here, thread): None}
        queue = deque([here])
        while queue:
            point = queue.popleft()
            for step in self._ways(point, thread):
                place = lift.position(graph, step.point, thread)
                done = step.thread == thread
                done = done or (not must_move and not lift.can_move(graph, step.point, thread))
                if done:
                    walk = [step]
                    above = came[lift.position(graph, point, thread)]
                    while above is not None:
                        walk.append(above)
                        above = came[lift.position(graph, above.source, thread)]
                    return walk[::-1]
                if place not in came:
                    came[place] = step
                    queue.append(step.point)
        raise NotReducible(f"thread {thread} does not get its turn (followed: {followed})")

    def _ways(self, point: Point, thread: int) -> list[Taken]:
        """Return one step for each edge from *point* with *thread* moving, and one without."""
        ways: dict[tuple[int, bool], Taken] = {}
        for step in self.lift.ways(self.part, point, self.wanted.followed):
            ways.setdefault((step.edge, step.thread == thread), step)
        return list(ways.values())

    def _walk(self, here: Point, goal: int = -1) -> list[Taken]:
        """Return the shortest steps from *here* to the node *goal*, or until a thread moves that must."""
        if self._rooms is None:
            count = len(self.graph.state_of)
            self._rooms = (
                np.empty(count, np.int64), np.empty(count, np.uint32), np.empty(count + 1, np.int64),
            )  # fmt: skip
        graph, left_out = self.graph, self.part.left_out
        length = shortest_walk(
            graph.first, graph.targets, graph.movers, graph.levels, len(graph.state_of),
            graph.enabled, self._inside, here.node, left_out.moves, left_out.progress,
            0 if goal >= 0 else left_out.must_move, 0, goal, *self._rooms,
        )  # fmt: skip
        if length < 0:
            raise NotReducible("a fair component has no such step")
        taken = []
        for edge in self._rooms[2][:length][::-1].tolist():
            mover = self.lift.movers(graph, here, edge, self.wanted.followed)[0]
            taken.append(self.lift.take(graph, here, edge, self.wanted.followed, mover))
            here = taken[-1].point
        return taken

    def _any_step(self, here: Point) -> list[Taken]:
        """Return one step from *here*."""
        return [next(self.lift.ways(self.part, here, self.wanted.followed))]

    # --- Closing ----------------------------------------------------------------------------------

    def _closed(self, entry: Point, taken: list[Taken]) -> list[Taken]:
        """Return *taken*, continued until it is back in the state at *entry*."""
        home = self.lift.state_at(self.graph, entry)
        end = taken[-1].point
        if self.lift.state_at(self.graph, end) == home:
            return taken
        back = self._straight_back(end, home)
        if back is not None:
            return taken + back
        if end.node != entry.node:
            taken = taken + self._walk(end, entry.node)
        return self._repeated(entry, taken, home)

    def _straight_back(self, start: Point, home: State) -> list[Taken] | None:
        """Return the shortest steps from *start* to the state *home*, among the nearest states."""
        lift, graph = self.lift, self.graph
        first = lift.state_at(graph, start)
        came: dict[State, tuple[State, Taken] | None] = {first: None}
        queue = deque([(first, start)])
        while queue and len(came) < _CLOSING_STATES:
            state, point = queue.popleft()
            for step in lift.ways(self.part, point, self.wanted.followed):
                after = lift.state_at(graph, step.point)
                if after in came:
                    continue
                came[after] = state, step
                if after == home:
                    walk: list[Taken] = []
                    link = came[after]
                    while link is not None:
                        walk.append(link[1])
                        link = came[link[0]]
                    return walk[::-1]
                queue.append((after, step.point))
        return None

    def _repeated(self, entry: Point, word: list[Taken], home: State) -> list[Taken]:
        """Return *word*, which leads from the node of *entry* to itself, repeated until it closes."""
        lift, graph, followed = self.lift, self.graph, self.wanted.followed
        places = [step.source.standing.index(step.thread) for step in word]
        before = [
            _difference(p.standing, step.source.standing) for p, step in self._joints(entry, word)
        ]
        loop, here = list(word), word[-1].point
        for _ in range(_ROUNDS):
            if lift.state_at(graph, here) == home:
                return loop
            if followed >= 0:
                # The followed thread may stand at another place of its class than it began.
                here = Point(
                    here.node, _swap(here.standing, followed, entry.standing.index(followed))
                )
            for step, place, change in zip(word, places, before, strict=True):
                standing = tuple(here.standing[j] for j in change)
                point = Point(here.node, standing)
                taken = lift.take(graph, point, step.edge, followed, standing[place])
                loop.append(taken)
                here = taken.point
        raise NotReducible("a loop does not close")

    def _joints(self, entry: Point, word: list[Taken]) -> list[tuple[Point, Taken]]:
        """Return each step of *word* with the point before threads were exchanged for it."""
        points = [entry, *(step.point for step in word[:-1])]
        return list(zip(points, word, strict=True))

    # --- Fair choices -----------------------------------------------------------------------------

    def _detour(self, entry: Point, loop: list[Taken]) -> list[Taken] | None:
        """Return a closed walk from *entry* that takes an option which *loop* is offered and never takes."""
        progress = self.wanted.left_out.progress
        if not progress:
            return None
        lift, graph = self.lift, self.graph
        states = [lift.state_at(graph, step.source) for step in loop]
        after = [lift.state_at(graph, step.point) for step in loop]
        known = {(s, step.thread, t) for s, step, t in zip(states, loop, after, strict=True)}
        for number, step in enumerate(loop):
            if not progress >> step.thread & 1:
                continue
            for option in lift.stepper.steps_of(states[number], step.thread):
                if option.failure is not None:
                    raise NotReducible("an option of a fair choice fails")
                if (states[number], step.thread, option.target) in known:
                    continue
                for way in lift.ways(self.part, step.source, self.wanted.followed):
                    reached = lift.state_at(graph, way.point)
                    if way.thread == step.thread and reached == option.target:
                        return self._closed(entry, [*loop[:number], way])
                raise NotReducible("an option of a fair choice leads out of the component")
        return None

    # --- The check --------------------------------------------------------------------------------

    def check(self, begin: State, moves: Sequence[LiftedStep]) -> None:
        """Check with the reference stepper alone that going round *moves* forever is a fair run.

        :raises NotReducible: it is not, or not what is wanted.
        """
        if not moves or moves[-1].state != begin:
            raise NotReducible("a loop does not close")
        wanted, threads = self.wanted, self.lift.program.threads
        stepper = self.lift.stepper
        moved = disabled = queued = 0
        for move in moves:
            moved |= 1 << move.thread
            for number, thread in enumerate(threads):
                if not stepper.steps_of(move.state, number):
                    disabled |= 1 << number
                elif thread.kind.locations[move.state[thread.base]].queued:
                    queued |= 1 << number
        everyone = (1 << len(threads)) - 1
        if wanted.fairness != "none" and moved | disabled != everyone:
            raise NotReducible("a lifted loop is not weakly fair")
        if wanted.fairness == "strong" and queued & ~moved:
            raise NotReducible("a lifted loop is not strongly fair")
        if moved & wanted.left_out.moves:
            raise NotReducible("a thread that must not move does")
        if wanted.left_out.must_move and not moved & wanted.left_out.must_move:
            raise NotReducible("no thread moves that must")


def _difference(before: Sequence[int], after: Sequence[int]) -> tuple[int, ...]:
    """Return for each place of *after* where its thread stood in *before*."""
    return tuple(before.index(thread) for thread in after)


def _swap(standing: tuple[int, ...], thread: int, place: int) -> tuple[int, ...]:
    """Return *standing* with *thread* at *place*, exchanged with the thread there."""
    order = list(standing)
    at = order.index(thread)
    order[at], order[place] = order[place], order[at]
    return tuple(order)
