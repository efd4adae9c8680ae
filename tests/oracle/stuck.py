# SPDX-License-Identifier: Apache-2.0
"""Deadlocks, stuck threads and lost wakeups: what can still happen from a state.

"Stuck": a thread that has not finished and, in no run from here, ever takes a step; or that is in a loop with
an exit and, in no run from here, ever leaves it or changes a shared variable. Unless a run from here ends in a
failed step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from oracle.declared import Task
from oracle.expressions import Moment
from oracle.space import Space


@dataclass
class Stuck:
    """For each state, the threads that are stuck in it, daemons listed apart."""

    threads: list[frozenset[int]]
    daemons: list[frozenset[int]]
    """Daemons of which the same is true: they take no step, or spin, and it will stay so."""


def backwards(
    space: Space, targets: Iterable[int], through: Callable[[int], bool] = lambda state: True
) -> set[int]:
    """Return the states from which a run reaches *targets* (they are among them)."""
    before: list[list[int]] = [[] for _ in space.states]
    for edge in space.edges:
        before[edge.target].append(edge.source)
    reached = set(targets)
    todo = list(reached)
    while todo:
        for source in before[todo.pop()]:
            if source not in reached and through(source):
                reached.add(source)
                todo.append(source)
    return reached


def find_stuck(space: Space) -> Stuck:
    """Return which threads are stuck in which states."""
    count = len(space.states)
    unknown = backwards(space, (s for s in range(count) if space.failures[s]))
    stuck: list[set[int]] = [set() for _ in range(count)]
    for thread, code in enumerate(space.codes):
        moves = backwards(space, (s for s in range(count) if thread in space.enabled[s]))
        steps = [e for e in space.edges if e.thread == thread]
        changes = {e.source for e in steps if e.changes}
        leaves = {}
        for loop in code.exits:
            left = {e.source for e in steps if loop not in e.loops}
            leaves[loop] = backwards(space, left | changes)
        for s in range(count):
            if s in unknown or space.finished(s, thread):
                continue
            nest = code.nest(space.at(s, thread))
            if s not in moves or any(s not in leaves[n] for n in nest if n in leaves):
                stuck[s].add(thread)
    daemons = frozenset(i for i, code in enumerate(space.codes) if code.thread.daemon)
    return Stuck([frozenset(t) - daemons for t in stuck], [frozenset(t) & daemons for t in stuck])


def deadlocks(space: Space, stuck: Stuck) -> set[int]:
    """Return the states that prove a deadlock, by either half of its definition."""
    count = len(space.states)
    others = [space.enabled[s] - stuck.threads[s] - stuck.daemons[s] for s in range(count)]
    can_move = backwards(space, (s for s in range(count) if others[s]))
    found = {s for s in range(count) if stuck.threads[s] and s not in can_move}
    several = [len(stuck.threads[s]) > 1 for s in range(count)]
    return found | _forever(space, stuck, lambda s: several[s])


def stuck_threads(space: Space, stuck: Stuck) -> set[int]:
    """Return the states from which a run goes on forever with exactly one stuck thread."""
    return _forever(space, stuck, lambda s: len(stuck.threads[s]) == 1)


def _forever(space: Space, stuck: Stuck, wanted: Callable[[int], bool]) -> set[int]:
    """Return states of *wanted*, from which a run in *wanted* has endlessly many steps of others.

    Every state in the result lies on a run to such a loop in which the same threads are stuck.
    """
    inside = {s for s in range(len(space.states)) if wanted(s)}
    while True:
        # Shrink to the states from which another step of another thread can be reached, inside.
        steps = {
            e.source
            for e in space.edges
            if e.source in inside
            and e.target in inside
            and e.thread not in stuck.threads[e.source] | stuck.daemons[e.source]
        }
        smaller = backwards(space, steps, inside.__contains__)
        if smaller == inside:
            return inside
        inside = smaller


def sleeps_in_vain(space: Space, stuck: Stuck, state: int) -> bool:
    """Return whether a stuck thread sleeps in ``schedule()`` though its condition is already false."""
    shared, places = space.states[state]
    for thread in stuck.threads[state]:
        code, (at, values) = space.codes[thread], places[thread]
        if at < len(code.operations) and code.operations[at].sleeps is not None:
            condition = code.operations[at].sleeps
            assert condition is not None
            local = dict(zip(code.live[at], values, strict=True))
            if not condition(Moment(list(shared), local, Task(thread))):
                return True
    return False
