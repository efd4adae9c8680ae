# SPDX-License-Identifier: Apache-2.0
"""From runs through representatives to runs of the protocol: which thread really moves at each step.

A *point* of a run is a node of the graph of representatives and, for each of its threads, the thread of the
protocol that stands there now. Along an edge the threads are renamed; threads that can be exchanged without a
change are exchanged as is needed. Every step is taken by the reference stepper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quiesce.explorer.findings import Path
from quiesce.explorer.native.kernels.stored import words_at
from quiesce.explorer.native.kernels.threaded import TRACKED, Threaded
from quiesce.explorer.native.quotient import FairPart, Quotient
from quiesce.explorer.native.quotient_edges import NotReducible
from quiesce.explorer.native.symmetry import task_places
from quiesce.explorer.native.trace_back import Words, trace_back
from quiesce.explorer.reference.stepper import State, Stepper

Renaming = tuple[int, ...]
"""For each thread, who it becomes."""


@dataclass(frozen=True, slots=True)
class LiftedStep:
    """A step of a run: *thread* moves, which leads to *state*."""

    thread: int
    state: State


@dataclass(frozen=True, slots=True)
class Point:
    """Node *node*, at which ``standing[j]`` stands where its thread j is."""

    node: int
    standing: Renaming


@dataclass(frozen=True, slots=True)
class Taken:
    """Edge *edge* is taken when it stands *standing* at its source: *point* is where it leads."""

    source: Point
    edge: int
    thread: int
    point: Point


def inverse(renaming: Renaming) -> Renaming:
    """Return the renaming that undoes *renaming*."""
    back = [0] * len(renaming)
    for thread, becomes in enumerate(renaming):
        back[becomes] = thread
    return tuple(back)


def exchanged(standing: Renaming, a: int, b: int) -> Renaming:
    """Return *standing* with those at *a* and *b* exchanged."""
    order = list(standing)
    order[a], order[b] = order[b], order[a]
    return tuple(order)


class Lift:
    """Lifts what is found on a :class:`Quotient`."""

    def __init__(self, quotient: Quotient) -> None:
        self.quotient = quotient
        self.search = quotient.search
        self.program = quotient.program
        self.stepper = Stepper(self.program)
        self.threads = quotient.threads
        self._members = self.search.compiled.packing.members
        self._tasks = task_places(self.program)
        self._known: dict[int, State] = {}

    # --- States -----------------------------------------------------------------------------------

    def representative(self, number: int) -> State:
        """Return the state with that *number*."""
        if number not in self._known:
            worker = self.quotient.worker
            words = words_at(worker.states.array, number, worker.shape)
            self._known[number] = self.search.compiled.unpack(tuple(words.tolist()))
        return self._known[number]

    def renamed(self, state: State, becomes: Sequence[int]) -> State:
        """Return *state* with thread j renamed to ``becomes[j]``, wherever it is named."""
        after = list(state)
        for thread, target in enumerate(becomes):
            if thread != target:
                for source, place in zip(self._members[thread], self._members[target], strict=True):
                    after[place] = state[source]
        for place, is_set in self._tasks:
            value = after[place]
            if is_set:
                after[place] = sum(1 << becomes[t] for t in range(self.threads) if value >> t & 1)
            elif value > 0:
                after[place] = becomes[value - 1] + 1
        return tuple(after)

    def state_at(self, graph: Threaded | None, point: Point) -> State:
        """Return the state of the protocol at *point*."""
        number = int(graph.state_of[point.node]) if graph is not None else point.node
        return self.renamed(self.representative(number), point.standing)

    def canonical(self, state: State) -> tuple[Words, Renaming]:
        """Return the words of the representative of *state*, and the renaming that leads to it."""
        words = self.search.compiled.pack([state])
        number = int(self.quotient.renamings.replace(self.search, words, 1)[0])
        return tuple(words.tolist()), self.quotient.renamings.row(number)

    # --- The way to a state -----------------------------------------------------------------------

    def stem(self, number: int) -> tuple[State, list[LiftedStep], Renaming]:
        """Return a shortest run to a state that number *number* represents.

        :returns: where it begins, its steps, and who stands where at its end.
        """
        first, *rest = trace_back(self.search, self.quotient.sighting(number))
        begin = next(
            (s for s in self.stepper.initial_states() if self.canonical(s)[0] == first), None
        )
        if begin is None:
            raise NotReducible("no initial state has this representative")
        standing = inverse(self.canonical(begin)[1])
        moves: list[LiftedStep] = []
        here = first
        mover = -1
        for target in rest:
            state = self.search.compiled.unpack(here)
            options = []
            for step in self.stepper.successors(state):
                if step.failure is None:
                    words, becomes = self.canonical(step.target)
                    if words == target:
                        options.append((standing[step.thread], becomes))
            if not options:
                raise NotReducible("the reference stepper cannot take a step of the search")
            mover, becomes = min(options, key=lambda option: (option[0] != mover, option))
            back = inverse(becomes)
            standing = tuple(standing[back[j]] for j in range(self.threads))
            here = target
            after = self.renamed(self.search.compiled.unpack(here), standing)
            moves.append(LiftedStep(mover, after))
        return begin, moves, standing

    def with_thread(
        self, begin: State, moves: list[LiftedStep], standing: Renaming, at: int, thread: int
    ) -> tuple[State, list[LiftedStep], Renaming]:
        """Return the run with the thread that stands at *at* called *thread*, everywhere."""
        becomes = exchanged(tuple(range(self.threads)), standing[at], thread)
        return (
            self.renamed(begin, becomes),
            [LiftedStep(becomes[m.thread], self.renamed(m.state, becomes)) for m in moves],
            tuple(becomes[t] for t in standing),
        )

    def path(self, begin: State, moves: Sequence[LiftedStep]) -> Path:
        """Return the run as the reference explorer writes it: every step is one of the stepper's.

        :raises NotReducible: it is not a run.
        """
        initial = self.stepper.initial_states()
        if begin not in initial:
            raise NotReducible("a run does not begin in an initial state")
        path, state = [initial.index(begin)], begin
        for move in moves:
            path.append(self.action(state, move))
            state = move.state
        return tuple(path)

    def action(self, state: State, move: LiftedStep) -> int:
        """Return which of the stepper's successors of *state* the step is.

        :raises NotReducible: it is none of them.
        """
        for number, step in enumerate(self.stepper.successors(state)):
            if step.failure is None and step.thread == move.thread and step.target == move.state:
                return number
        raise NotReducible("the reference stepper cannot take a step of a lifted run")

    # --- Edges ------------------------------------------------------------------------------------

    def ways(self, part: FairPart, point: Point, followed: int) -> Iterator[Taken]:
        """Yield each step from *point* that stays in *part*, for each thread that may take it.

        :param followed: the thread of the protocol that the nodes follow; -1 for none.
        """
        graph = part.graph
        for edge in range(int(graph.first[point.node]), int(graph.first[point.node + 1])):
            if part.inside[int(graph.targets[edge])] and not part.leaves_out(edge):
                for mover in self.movers(graph, point, edge, followed):
                    yield self.take(graph, point, edge, followed, mover)

    def movers(self, graph: Threaded, point: Point, edge: int, followed: int) -> list[int]:
        """Return the threads of the protocol that may move along *edge*."""
        if graph.movers[edge] == TRACKED:
            return [followed]
        place = int(graph.movers[edge])
        members = self.class_at(graph, point.node, place)
        return [point.standing[j] for j in members if point.standing[j] != followed]

    def class_at(self, graph: Threaded, node: int, thread: int) -> list[int]:
        """Return the threads that can be exchanged with *thread* at *node*, itself among them."""
        leaders = int(graph.leaders[int(graph.state_of[node])])
        high = thread
        while not leaders >> high & 1:
            high += 1
        low = high
        while low > 0 and not leaders >> low - 1 & 1:
            low -= 1
        return list(range(low, high + 1))

    def take(self, graph: Threaded, point: Point, edge: int, followed: int, mover: int) -> Taken:
        """Take *edge* from *point* with thread *mover* moving."""
        standing = point.standing
        place = int(graph.movers[edge])
        if followed >= 0:
            standing = exchanged(standing, standing.index(followed), int(graph.before[edge]))
        if place == TRACKED:
            place = int(graph.before[edge])
        if standing[place] != mover:
            standing = exchanged(standing, standing.index(mover), place)
        back = inverse(self.quotient.renamings.row(int(graph.renames[edge])))
        after = tuple(standing[back[j]] for j in range(self.threads))
        source = Point(point.node, standing)
        return Taken(source, edge, mover, Point(int(graph.targets[edge]), after))

    def position(self, graph: Threaded, point: Point, thread: int) -> int:
        """Return the number of the threaded node at which *thread* of the protocol stands."""
        leaders = int(graph.leaders[int(graph.state_of[point.node])])
        place = point.standing.index(thread)
        return point.node * self.threads + (leaders & (1 << place) - 1).bit_count()

    def can_move(self, graph: Threaded, point: Point, thread: int) -> bool:
        """Whether *thread* of the protocol can take a step at *point*."""
        enabled = int(graph.enabled[int(graph.state_of[point.node])])
        return bool(enabled >> point.standing.index(thread) & 1)
