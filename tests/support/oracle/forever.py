# SPDX-License-Identifier: Apache-2.0
"""Fair runs that go on forever: livelock, starvation, ``@eventually``.

Strong fairness is guessed away: for each queued step, either it is taken again and again, or from some point
on it cannot be taken. What is left is decided by the fixpoints of ``fixpoints``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from oracle.fixpoints import Demand, Options, again_and_again, cyclic
from oracle.space import Edge, Space
from oracle.stuck import Stuck, weakly


@dataclass(frozen=True)
class Mode:
    """How a thread behaves from some point on.

    :param name: ``still`` (it takes no step), or ``spins`` in *loop*, which has an exit.
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
        self.edges = cyclic(space.edges)

    def run_exists(
        self,
        modes: list[Mode],
        state: Callable[[int], bool] = lambda s: True,
    ) -> bool:
        """Return whether a fair run stays in *state* forever from some point on, with these modes."""
        allowed = [self._allows(mode) for mode in modes]
        edges = cyclic(
            [
                e
                for e in self.edges
                if state(e.source) and state(e.target) and all(allows(e) for allows in allowed)
            ]
        )
        demands = [d for mode in modes for d in self._demands(mode)]
        if self.fairness != "none":
            demands += [weakly(self.space, t) for t in range(len(self.space.codes))]
        return self._guess(edges, demands, self._options(modes), set())

    def _guess(
        self,
        edges: list[Edge],
        demands: list[Demand],
        options: Options,
        decided: set[tuple[int, int]],
    ) -> bool:
        """Return whether a run meets all *demands*, and takes the queued steps that it can take."""
        edges = again_and_again(edges, demands, options)
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
        if self._guess(edges, [*demands, taken], options, decided | {step}):
            return True
        avoided = [
            e
            for e in edges
            if step not in self._queued(e.source) and step not in self._queued(e.target)
        ]
        return self._guess(avoided, demands, options, decided)

    def _queued(self, state: int) -> Iterator[tuple[int, int]]:
        """Yield the queued steps (thread, place) that can be taken in a state."""
        for thread in self.space.enabled[state]:
            at = self.space.at(state, thread)
            if self.space.codes[thread].operations[at].queued:
                yield thread, at

    # --- Modes -------------------------------------------------------------------------------------------

    def _allows(self, mode: Mode) -> Demand:
        if mode.name == "still":
            return lambda e: e.thread != mode.thread
        return lambda e: e.thread != mode.thread or mode.loop in e.loops

    def _options(self, modes: list[Mode]) -> Options:
        """Return the choices that are fair: those of the threads that spin."""
        spinning = {m.thread for m in modes if m.name == "spins"}
        return {
            key: None if key in self.space.failing else steps
            for key, steps in self.out.items()
            if key[1] in spinning and (len(steps) > 1 or key in self.space.failing)
        }

    def _demands(self, mode: Mode) -> list[Demand]:
        """Return what makes *loop* the smallest loop that contains all that the thread executes."""
        if mode.name != "spins":
            return []
        nests = enumerate(self.space.codes[mode.thread].inside)
        inner = [n for n, nest in nests if nest[-2:-1] == (mode.loop,)]
        moves: list[Demand] = [lambda e: e.thread == mode.thread]
        return moves + [_outside(mode.thread, n) for n in inner]

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


def _outside(thread: int, loop: int) -> Demand:
    """Return the demand for steps of *thread* that are not all in *loop*."""
    return lambda e: e.thread == thread and loop not in e.loops
