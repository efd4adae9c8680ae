# SPDX-License-Identifier: Apache-2.0
"""Threads that can never move again: deadlocks, stuck threads, lost wakeups."""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.compiler.ir import Await, End
from quiesce.compiler.program import Program, Thread
from quiesce.explorer.evaluate import Evaluator, StepFailure, kind_evaluator
from quiesce.explorer.graph import Graph
from quiesce.explorer.reference import State


@dataclass(frozen=True, slots=True)
class Stuck:
    """In *state*, *thread* can never move again, though it has not finished."""

    state: int
    thread: int


def unfinished(program: Program, state: State) -> list[int]:
    """Return the threads that have not run to their end, daemons left out."""
    return [
        i
        for i, t in enumerate(program.threads)
        if not t.daemon and not t.kind.locations[state[t.base]].final
    ]


def find_deadlock(program: Program, graph: Graph) -> int | None:
    """Return the first state in which no thread can move and not all have finished."""
    for number in range(graph.expanded):
        if (
            graph.first[number] == graph.first[number + 1]
            and unfinished(program, graph.states[number])
            and not any(f.source == number for f in graph.failures)
        ):
            return number
    return None


def find_stuck(program: Program, graph: Graph) -> list[Stuck]:
    """Return, for each thread that can get stuck while others run on, the first such state.

    A thread is not stuck in a state from which some run leads to a step of it: the states from which
    none does are found backwards from all of its steps. Deadlocks are left out.
    """
    before = _predecessors(graph)
    found = []
    for thread, declared in enumerate(program.threads):
        if declared.daemon:
            continue
        can_move = bytearray(graph.expanded)
        todo = []
        for state in range(graph.expanded):
            if any(graph.threads[e] == thread for e in graph.edges(state)):
                can_move[state] = 1
                todo.append(state)
        for failure in graph.failures:
            if not can_move[failure.source]:
                can_move[failure.source] = 1
                todo.append(failure.source)
        while todo:
            for source in before[todo.pop()]:
                if not can_move[source]:
                    can_move[source] = 1
                    todo.append(source)
        for state in range(graph.expanded):
            values = graph.states[state]
            if can_move[state] or declared.kind.locations[values[declared.base]].final:
                continue
            if graph.first[state] != graph.first[state + 1]:
                found.append(Stuck(state, thread))
                break
    return found


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


def waits_here(thread: Thread, state: State) -> bool:
    """Whether *thread* stands at a step that can be held up."""
    return thread.kind.locations[state[thread.base]].waits
