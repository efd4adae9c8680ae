# SPDX-License-Identifier: Apache-2.0
"""Deadlocks, stuck threads and lost wakeups: what can still happen from a state.

"Stuck": a thread that has not finished and, in no run from here, ever takes a step; or that is in a loop with
an exit and, in no run from here, ever leaves it, comes to a loop without an exit inside it, or changes a
variable that another thread or a property uses. Unless a run from here ends in a failed step.
"""

from __future__ import annotations

from dataclasses import dataclass

from oracle.declared import Task
from oracle.expressions import Moment
from oracle.fixpoints import Demand, again_and_again, before, cyclic
from oracle.space import Edge, Space


@dataclass
class Stuck:
    """For each state, the threads that are stuck in it, daemons listed apart."""

    threads: list[frozenset[int]]
    daemons: list[frozenset[int]]
    """Daemons of which the same is true: they take no step, or spin, and it will stay so."""

    def by_others(self, edge: Edge) -> bool:
        """Return whether a step is of a thread that is not stuck, nor a daemon that spins."""
        return edge.thread not in self.threads[edge.source] | self.daemons[edge.source]


def find_stuck(space: Space) -> Stuck:
    """Return which threads are stuck in which states."""
    count = len(space.states)
    unknown = before(space.edges, (s for s in range(count) if space.failures[s]))
    stuck: list[set[int]] = [set() for _ in range(count)]
    for thread, code in enumerate(space.codes):
        moves = before(space.edges, (s for s in range(count) if thread in space.enabled[s]))
        gets_on = {loop: _gets_on(space, thread, loop) for loop in code.exits}
        for s in range(count):
            if s in unknown or space.finished(s, thread):
                continue
            nest = code.nest(space.at(s, thread))
            if s not in moves or any(n in gets_on and s not in gets_on[n] for n in nest):
                stuck[s].add(thread)
    daemons = frozenset(i for i, code in enumerate(space.codes) if code.thread.daemon)
    return Stuck([frozenset(t) - daemons for t in stuck], [frozenset(t) & daemons for t in stuck])


def _gets_on(space: Space, thread: int, loop: int) -> set[int]:
    """Return the states from which *thread*, which is in *loop*, does not just wait there."""
    code = space.codes[thread]
    steps = [e for e in space.edges if e.thread == thread]
    goals = {e.source for e in steps if loop not in e.loops or e.changes}
    for inner, nest in enumerate(code.inside):
        if loop in nest and inner not in code.exits:
            places = (s for s in range(len(space.states)))
            goals |= {s for s in places if inner in code.nest(space.at(s, thread))}
    return before(space.edges, goals)


def deadlocks(space: Space, stuck: Stuck) -> set[int]:
    """Return the states that prove a deadlock, by either half of its definition."""
    count = len(space.states)
    moving = {e.source for e in space.edges if stuck.by_others(e)}
    can_move = before(space.edges, moving)
    found = {s for s in range(count) if stuck.threads[s] and s not in can_move}
    return found | _others_run_on(
        space, stuck, {s for s in range(count) if len(stuck.threads[s]) > 1}
    )


def stuck_threads(space: Space, stuck: Stuck) -> set[int]:
    """Return the states from which a run goes on forever with exactly one stuck thread."""
    count = len(space.states)
    return _others_run_on(space, stuck, {s for s in range(count) if len(stuck.threads[s]) == 1})


def _others_run_on(space: Space, stuck: Stuck, inside: set[int]) -> set[int]:
    """Return states of *inside* from which a weakly fair run stays there, with endless steps of others."""
    edges = [e for e in space.edges if e.source in inside and e.target in inside]
    demands: list[Demand] = [stuck.by_others]
    demands += [weakly(space, thread) for thread in range(len(space.codes))]
    loops = again_and_again(cyclic(edges), demands)
    return before(edges, {e.source for e in loops})


def weakly(space: Space, thread: int) -> Demand:
    """Return what weak fairness demands for a thread: a step, or a state in which it can take none."""
    return lambda e: e.thread == thread or thread not in space.enabled[e.source]


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
