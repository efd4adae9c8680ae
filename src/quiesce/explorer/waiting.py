# SPDX-License-Identifier: Apache-2.0
"""Threads that can never move again: deadlocks, stuck threads, lost wakeups."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from quiesce.compiler.ir import Await, End
from quiesce.compiler.program import Program
from quiesce.explorer.evaluate import Evaluator, StepFailure, kind_evaluator
from quiesce.explorer.graph import Bounds, Graph
from quiesce.explorer.reference import State, Stepper


@dataclass(frozen=True, slots=True)
class Stuck:
    """In *state*, *threads* can never move again though they have not finished; others run on."""

    state: int
    threads: tuple[int, ...]


def unfinished(program: Program, state: State) -> list[int]:
    """Return the threads that have not run to their end, daemons left out."""
    return [
        i
        for i, t in enumerate(program.threads)
        if not t.daemon and not t.kind.locations[state[t.base]].final
    ]


def find_deadlock(program: Program, graph: Graph) -> int | None:
    """Return the first state in which no thread can move and not all have finished."""
    unknown = set(graph.unknown_beyond())
    for number in range(graph.expanded):
        if (
            graph.first[number] == graph.first[number + 1]
            and unfinished(program, graph.states[number])
            and number not in unknown
        ):
            return number
    return None


class StuckThreads:
    """Which threads can never move again, in each state of an explored graph.

    A thread is not stuck in a state from which some run leads to a step of it: the states from which
    none does are found backwards from all of its steps. A run that ends in a failed step says nothing
    about what would have come after it. States in which nobody can move are left out: they are
    deadlocks or ends.
    """

    def __init__(self, program: Program, graph: Graph) -> None:
        self._graph = graph
        self.masks = [0] * graph.expanded
        """For each state, the threads that are stuck in it, as a mask."""
        before = _predecessors(graph)
        movers = _movers(graph)
        moving = [s for s in range(graph.expanded) if movers[s]]
        unknown = graph.unknown_beyond()
        for thread, declared in enumerate(program.threads):
            if declared.daemon:
                continue
            goals = [s for s in moving if movers[s] >> thread & 1]
            can_move = _backwards([*goals, *unknown], before)
            final = [at.final for at in declared.kind.locations]
            for state in moving:
                if state not in can_move and not final[graph.states[state][declared.base]]:
                    self.masks[state] |= 1 << thread

    def first(self, count: int) -> Stuck | None:
        """Return the first state in which exactly *count* threads are stuck; 2 stands for 2 or more."""
        for state, mask in enumerate(self.masks):
            if mask and (mask.bit_count() == count or (count == 2 and mask.bit_count() > 2)):
                threads = tuple(t for t in range(mask.bit_length()) if mask >> t & 1)
                return Stuck(state, threads)
        return None

    def ever(self, thread: int) -> bool:
        """Whether *thread* is stuck in some state."""
        return any(mask >> thread & 1 for mask in self.masks)


def can_get_on(program: Program, state: State, thread: int, bounds: Bounds) -> bool | None:
    """Whether *thread* is not stuck in *state*; None if that is not known within *bounds*.

    As in :class:`StuckThreads`, but only until a run is found.
    """
    stepper = Stepper(program)
    seen, todo = {state}, deque([state])
    while todo:
        if len(seen) > (bounds.max_states or len(seen)) or bounds.ends_now():
            return None
        for step in stepper.successors(todo.popleft()):
            if step.thread == thread or step.failure is not None:
                return True
            if step.target not in seen:
                seen.add(step.target)
                todo.append(step.target)
    return False


def _movers(graph: Graph) -> list[int]:
    """Return for each state the threads that can take a step, as a mask."""
    movers = [0] * graph.expanded
    for state in range(graph.expanded):
        for edge in graph.edges(state):
            movers[state] |= 1 << graph.threads[edge]
    return movers


def _backwards(goals: list[int], before: list[list[int]]) -> set[int]:
    """Return the states from which one of *goals* can be reached."""
    reached = set(goals)
    todo = list(goals)
    while todo:
        for source in before[todo.pop()]:
            if source not in reached:
                reached.add(source)
                todo.append(source)
    return reached


def _predecessors(graph: Graph) -> list[list[int]]:
    before: list[list[int]] = [[] for _ in range(len(graph.states))]
    for state in range(graph.expanded):
        for edge in graph.edges(state):
            before[graph.targets[edge]].append(state)
    return before


def lost_wakeup(program: Program, state: State, thread: int) -> bool:
    """Whether *thread* sleeps in ``schedule()`` though what it waits for is already so.

    What it waits for is the end of the ``while`` around its sleep: the loop's condition is looked at
    with the values of *state*.
    """
    sleeper = program.threads[thread]
    location = sleeper.kind.locations[state[sleeper.base]]
    if not location.label.startswith("schedule"):
        return False
    again = None
    for op in sleeper.kind.code.ops[location.event :]:
        if isinstance(op, Await):
            again = op
        if isinstance(op, End):
            break
    if again is None or again.again is None:
        return False
    evaluator: Evaluator = kind_evaluator(program, sleeper.kind)
    vector = [*state, thread + 1, *[0] * len(sleeper.kind.code.slots)]
    try:
        return not evaluator.expression(again.again, again)(vector, sleeper.base)
    except StepFailure:
        return False
