# SPDX-License-Identifier: Apache-2.0
"""Fair runs that go on forever: livelock, starvation, ``@eventually``.

Whether there is such a run is decided by fixpoints over sets of states, as Emerson and Lei do ("Efficient
model checking in fragments of the propositional mu-calculus", LICS 1986). Strong fairness is guessed away:
for each queued step, either it is taken again and again, or from some point on it cannot be taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from oracle.space import Edge, Space
from oracle.stuck import Stuck

Demand = Callable[[Edge], bool]
"""Something that has to happen again and again."""


@dataclass(frozen=True)
class Mode:
    """How a thread behaves from some point on.

    :param name: ``any``; ``still`` (it takes no step); or ``spins`` in *loop*, which has an exit.
    """

    name: str
    thread: int
    loop: int = -1


class Forever:
    """Answers questions about the endless fair runs of a space."""

    def __init__(self, space: Space, fairness: str) -> None:
        self.space = space
        self.fairness = fairness
        self.out: dict[tuple[int, int], list[Edge]] = {}
        for edge in space.edges:
            self.out.setdefault((edge.source, edge.thread), []).append(edge)
        self.edges = _cyclic(space.edges)
        self.ways_out: dict[tuple[int, int], set[int]] = {}

    def run_exists(
        self,
        modes: list[Mode],
        state: Callable[[int], bool] = lambda s: True,
    ) -> bool:
        """Return whether a fair run stays in *state* forever from some point on, with these modes."""
        allowed = [self._allows(mode) for mode in modes]
        edges = _cyclic(
            [
                e
                for e in self.edges
                if state(e.source) and state(e.target) and all(allows(e) for allows in allowed)
            ]
        )
        demands = [d for mode in modes for d in self._demands(mode)]
        if self.fairness != "none":
            demands += [self._weakly(t) for t in range(len(self.space.codes))]
        return self._guess(edges, demands, set())

    def _guess(self, edges: list[Edge], demands: list[Demand], decided: set[tuple[int, int]]) -> bool:
        """Return whether a run meets all *demands*, and takes the queued steps that it can take."""
        edges = _again_and_again(edges, demands)
        if not edges:
            return False
        if self.fairness != "strong":
            return True
        states = {e.source for e in edges}
        open_steps = {q for s in states for q in self._queued(s)} - decided
        if not open_steps:
            return True
        thread, at = step = min(open_steps)
        taken: Demand = lambda e: e.thread == thread and self.space.at(e.source, thread) == at  # noqa: E731
        if self._guess(edges, [*demands, taken], decided | {step}):
            return True
        avoided = [
            e for e in edges if step not in self._queued(e.source) and step not in self._queued(e.target)
        ]
        return self._guess(avoided, demands, decided)

    def _queued(self, state: int) -> Iterator[tuple[int, int]]:
        """Yield the queued steps (thread, place) that can be taken in a state."""
        for thread in self.space.enabled[state]:
            at = self.space.at(state, thread)
            if self.space.codes[thread].operations[at].queued:
                yield thread, at

    def _weakly(self, thread: int) -> Demand:
        enabled = self.space.enabled
        return lambda e: e.thread == thread or thread not in enabled[e.source]

    # --- Modes -------------------------------------------------------------------------------------------

    def _allows(self, mode: Mode) -> Demand:
        if mode.name == "any":
            return lambda e: True
        if mode.name == "still":
            return lambda e: e.thread != mode.thread
        return lambda e: e.thread != mode.thread or (
            mode.loop in e.loops and not self._could_leave(e, mode.loop)
        )

    def _could_leave(self, edge: Edge, loop: int) -> bool:
        """Return whether an option of the step's ``choose`` takes the thread out of the loop.

        After it, some run leaves the loop, and no run stays in the loop forever.
        """
        options = self.out[edge.source, edge.thread]
        if len(options) == 1:
            return False
        key = edge.thread, loop
        if key not in self.ways_out:
            self.ways_out[key] = self._leaves(*key) - self._stays(*key)
        return any(o.target in self.ways_out[key] or loop not in o.loops for o in options)

    def _leaves(self, thread: int, loop: int) -> set[int]:
        """Return the states from which a run has *thread* leave *loop*."""
        edges = self.space.edges
        left = {e.source for e in edges if e.thread == thread and loop not in e.loops}
        return left | {e.source for e in _towards(edges, left)}

    def _stays(self, thread: int, loop: int) -> set[int]:
        """Return the states from which a run has *thread* take steps in *loop* forever."""
        inside = [e for e in self.space.edges if e.thread != thread or loop in e.loops]
        endless = _again_and_again(_cyclic(inside), [lambda e: e.thread == thread])
        goals = {e.source for e in endless}
        return goals | {e.source for e in _towards(inside, goals)}

    def _demands(self, mode: Mode) -> list[Demand]:
        """Return what makes *loop* the smallest loop that contains all that the thread executes."""
        if mode.name != "spins":
            return []
        nests = enumerate(self.space.codes[mode.thread].inside)
        inner = [n for n, nest in nests if nest[-2:-1] == (mode.loop,)]
        moves: list[Demand] = [lambda e: e.thread == mode.thread]
        return moves + [lambda e, n=n: e.thread == mode.thread and n not in e.loops for n in inner]  # type: ignore[misc]

    def ways_to_spin(self, thread: int) -> list[Mode]:
        """Return the loops with an exit that *thread* may stay in."""
        return [Mode("spins", thread, loop) for loop in sorted(self.space.codes[thread].exits)]

    # --- Findings ----------------------------------------------------------------------------------------

    def livelock(self) -> bool:
        """Return whether threads take steps forever, and all that do spin."""
        threads = range(len(self.space.codes))
        choices = [[Mode("still", t), *self.ways_to_spin(t)] for t in threads]
        for modes in itertools.product(*choices):
            spinning = [m for m in modes if m.name == "spins"]
            if any(not self.space.codes[m.thread].thread.daemon for m in spinning):
                if self.run_exists(list(modes)):
                    return True
        return False

    def starvation(self, stuck: Stuck) -> set[int]:
        """Return the threads that wait or spin forever in a fair run and are not stuck."""
        return {t for t in range(len(self.space.codes)) if self._starves(t, stuck)}

    def _starves(self, thread: int, stuck: Stuck) -> bool:
        code = self.space.codes[thread]
        if code.thread.daemon:
            return False

        def waits(s: int) -> bool:
            at = self.space.at(s, thread)
            if thread in stuck.threads[s] or at == len(code.operations):
                return False
            return code.operations[at].waits

        if self.run_exists([Mode("still", thread)], waits):
            return True
        return any(
            self.run_exists([mode], lambda s: thread not in stuck.threads[s])
            for mode in self.ways_to_spin(thread)
        )

    def never_again(self, holds: list[bool]) -> bool:
        """Return whether a fair run has a false property in every state from some point on."""
        ends = (s for s in range(len(holds)) if not self.space.enabled[s] and not holds[s])
        return any(True for _ in ends) or self.run_exists([], lambda s: not holds[s])


def _cyclic(edges: list[Edge]) -> list[Edge]:
    """Return *edges* without those that end, or begin, where the others do not go on."""
    while True:
        sources = {e.source for e in edges}
        targets = {e.target for e in edges}
        kept = [e for e in edges if e.target in sources and e.source in targets]
        if len(kept) == len(edges):
            return edges
        edges = kept


def _again_and_again(edges: list[Edge], demands: list[Demand]) -> list[Edge]:
    """Return the edges on runs that meet every demand endlessly often: a greatest fixpoint."""
    while True:
        before = len(edges)
        for demand in demands:
            edges = _towards(edges, {e.source for e in edges if demand(e)})
        edges = _cyclic(edges)
        if len(edges) == before:
            return edges


def _towards(edges: list[Edge], goals: set[int]) -> list[Edge]:
    """Return the edges between states from which *goals* can be reached."""
    before: dict[int, list[int]] = {}
    for edge in edges:
        before.setdefault(edge.target, []).append(edge.source)
    reached, todo = set(goals), list(goals)
    while todo:
        for source in before.get(todo.pop(), ()):
            if source not in reached:
                reached.add(source)
                todo.append(source)
    return [e for e in edges if e.source in reached and e.target in reached]
