# SPDX-License-Identifier: Apache-2.0
"""Fair runs that go on forever, decided from the definition, on the graph of all single steps.

Instead of cutting components again and again, the oracle guesses which threads take steps forever. A run
in which exactly those move stays, from some point on, in a strongly connected part of the states where no
other thread could take a queued step (strong fairness) and where each other thread cannot move somewhere
(weak fairness). All guesses are tried, so that no cut is needed and no run is missed.

It takes from the explorers only the steps of a state, of the plain stepper and without fusion.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from quiesce.compiler.program import Program, ThreadKind
from quiesce.explorer.reference.evaluate import StepFailure
from quiesce.explorer.reference.stepper import PropertyReader, State, Stepper

SPIN = "spin"
"""Begins the label of a step that is the condition of a loop without a body: ``while not self.spin0():``."""


@dataclass(frozen=True)
class Edge:
    """A step of *thread* that does not fail.

    :ivar spins: it leaves its thread in the loop that it spins in.
    """

    source: int
    thread: int
    target: int
    spins: bool


class TooLarge(Exception):
    """The protocol has more states than the oracle may look at."""


class Space:
    """All states and steps of a program, and which threads can do what in each state."""

    def __init__(self, program: Program, most: int) -> None:
        self.program = program
        self.stepper = Stepper(program)
        self.threads = range(len(program.threads))
        self.states: list[State] = []
        self.edges: list[Edge] = []
        self.can_move: list[set[int]] = []
        self.fails: list[bool] = []
        numbers: dict[State, int] = {}

        def number(state: State) -> int:
            if state not in numbers:
                if len(numbers) >= most:
                    raise TooLarge
                numbers[state] = len(self.states)
                self.states.append(state)
            return numbers[state]

        for initial in self.stepper.initial_states():
            number(initial)
        here = 0
        while here < len(self.states):
            state = self.states[here]
            self.can_move.append(set())
            self.fails.append(False)
            for step in self.stepper.successors(state):
                self.can_move[here].add(step.thread)
                if step.failure is not None:
                    self.fails[here] = True
                else:
                    target = number(step.target)
                    spins = self._spins(state, step.target, step.thread)
                    self.edges.append(Edge(here, step.thread, target, spins))
            here += 1

    def _spins(self, before: State, after: State, thread: int) -> bool:
        kind, base = self._kind(thread), self.program.threads[thread].base
        return before[base] == after[base] and kind.locations[before[base]].label.startswith(SPIN)

    def _kind(self, thread: int) -> ThreadKind:
        return self.program.threads[thread].kind

    def _at(self, state: int, thread: int) -> int:
        return self.states[state][self.program.threads[thread].base]

    def waits(self, state: int, thread: int) -> bool:
        """Return True if the next step of *thread* has a ``wait_until``."""
        return self._kind(thread).locations[self._at(state, thread)].waits

    def can_take_queued(self, state: int, thread: int) -> bool:
        """Return True if *thread* can take a step that is declared as queued."""
        queued = self._kind(thread).locations[self._at(state, thread)].queued
        return queued and thread in self.can_move[state]

    def in_spin_loop(self, state: int, thread: int) -> bool:
        """Return True if *thread* stands in a loop without a body."""
        label = self._kind(thread).locations[self._at(state, thread)].label
        return label.startswith(SPIN)

    # What can still come.

    def reachable(self, states: set[int]) -> set[int]:
        """Return *states* and all that can come after them."""
        after: dict[int, set[int]] = {}
        for edge in self.edges:
            after.setdefault(edge.source, set()).add(edge.target)
        seen, todo = set(states), list(states)
        while todo:
            for target in after.get(todo.pop(), set()) - seen:
                seen.add(target)
                todo.append(target)
        return seen

    def is_stuck(self, state: int, thread: int) -> bool:
        """Return True if *thread* is stuck in *state*."""
        if self.program.threads[thread].daemon or self.stepper.finished(self.states[state], thread):
            return False
        later = self.reachable({state})
        if any(self.fails[s] for s in later):
            return False
        moves = [e for e in self.edges if e.source in later and e.thread == thread]
        if not moves:
            return True
        return self.in_spin_loop(state, thread) and all(edge.spins for edge in moves)

    # Fair runs.

    def fair_runs(
        self,
        fairness: str,
        where: Callable[[int], bool] = lambda state: True,
        only: Callable[[Edge], bool] = lambda edge: True,
    ) -> Iterator[tuple[set[int], set[int]]]:
        """Yield the ends of all fair runs that go on in certain states by certain steps.

        Each is a strongly connected set of states, and the threads that move in it.
        """
        for size in range(1, len(self.threads) + 1):
            for movers in map(set, itertools.combinations(self.threads, size)):
                rest = [thread for thread in self.threads if thread not in movers]
                region = {
                    s
                    for s in range(len(self.states))
                    if where(s)
                    and not (fairness == "strong" and any(self.can_take_queued(s, t) for t in rest))
                }
                edges = [
                    e
                    for e in self.edges
                    if e.thread in movers and only(e) and e.source in region and e.target in region
                ]
                for component in components(region, edges):
                    inside = [e for e in edges if e.source in component and e.target in component]
                    if {e.thread for e in inside} != movers:
                        continue
                    if fairness == "none" or all(
                        any(t not in self.can_move[s] for s in component) for t in rest
                    ):
                        yield component, movers

    def starves(self, fairness: str) -> bool:
        """Decide ``no_starvation``: some thread waits or spins forever, and is not stuck."""
        return any(
            not self.is_stuck(min(states), thread)
            for thread in self.threads
            if not self.program.threads[thread].daemon
            for states in itertools.chain(
                self._runs_past(thread, fairness), self._runs_that_spin(thread, fairness)
            )
        )

    def _runs_past(self, thread: int, fairness: str) -> Iterator[set[int]]:
        """Yield the ends of fair runs in which *thread* waits and takes no steps."""

        def waits(state: int) -> bool:
            return self.waits(state, thread)

        for states, _ in self.fair_runs(fairness, waits, lambda edge: edge.thread != thread):
            yield states

    def _runs_that_spin(self, thread: int, fairness: str) -> Iterator[set[int]]:
        """Yield the ends of fair runs in which *thread* takes steps and stays where it is."""

        def stays(edge: Edge) -> bool:
            return edge.thread != thread or edge.spins

        for states, movers in self.fair_runs(fairness, only=stays):
            if thread in movers:
                yield states

    def livelocks(self, fairness: str) -> bool:
        """Decide ``no_livelock``: threads take steps forever, and none of them gets on."""
        return any(
            any(not self.program.threads[t].daemon for t in movers)
            for _, movers in self.fair_runs(fairness, only=lambda edge: edge.spins)
        )

    def lost(self, index: int, fairness: str) -> bool:
        """Decide an ``@eventually``: from some point on it is false for good."""
        reader = PropertyReader(self.program, index)

        def is_false(state: int) -> bool:
            try:
                return not reader.holds(self.states[state])
            except StepFailure:
                return True

        if any(not self.can_move[s] and is_false(s) for s in range(len(self.states))):
            return True
        return any(True for _ in self.fair_runs(fairness, is_false))


def components(states: set[int], edges: list[Edge]) -> list[set[int]]:
    """Return the sets of states that can all reach each other, by who reaches whom."""
    after: dict[int, set[int]] = {s: set() for s in states}
    before: dict[int, set[int]] = {s: set() for s in states}
    for edge in edges:
        after[edge.source].add(edge.target)
        before[edge.target].add(edge.source)

    def closure(start: int, more: dict[int, set[int]], left: set[int]) -> set[int]:
        seen, todo = {start}, [start]
        while todo:
            for state in more[todo.pop()] & left - seen:
                seen.add(state)
                todo.append(state)
        return seen

    found: list[set[int]] = []
    todo = [set(states)]
    while todo:
        left = todo.pop()
        if not left:
            continue
        start = next(iter(left))
        forwards, backwards = closure(start, after, left), closure(start, before, left)
        both = forwards & backwards
        found.append(both)
        todo += [forwards - both, backwards - both, left - forwards - backwards]
    return found
