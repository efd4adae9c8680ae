# SPDX-License-Identifier: Apache-2.0
"""Fair cycles on random small graphs, against a search that tries every set of states.

Here fairness is written down once more, from its definition: going round a cycle for ever, a thread
that moves in none of its steps must be unable to move somewhere on it (weak), and, if it stands at a
queued step, be unable to take it everywhere on it (strong).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from test_explorer_findings import Idle, Invalidations, Turns

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import Options, check_reference
from quiesce.explorer.reference.fairness import FairCycles, LeftOut
from quiesce.explorer.reference.graph import Graph
from quiesce.explorer.reference.stepper import State, Stepper
from quiesce.protocol import Scenario

Edge = tuple[int, int, int]
"""From, thread, to."""

THREADS = 2


class Small:
    """A graph of a few states: who can move where, and who stands at a queued step where.

    :param queued: for each state, the set of threads at a queued step, as a mask.
    """

    def __init__(self, states: int, edges: list[Edge], queued: list[int]) -> None:
        self.states = states
        self.edges = edges
        self.queued = queued

    def __repr__(self) -> str:
        return f"Small({self.states}, {self.edges}, {self.queued})"

    def enabled(self, state: int) -> set[int]:
        return {thread for source, thread, _ in self.edges if source == state}

    def explored(self) -> tuple[Program, Graph]:
        """Return it in the form that the explorer has: a thread's location is 1 at a queued step."""
        graph = Graph()
        for state in range(self.states):
            places = tuple(self.queued[state] >> t & 1 for t in range(THREADS))
            graph.add((state, *places), -1, 0, state)
        graph.first.append(0)
        for state in range(self.states):
            for source, thread, target in self.edges:
                if source == state:
                    graph.targets.append(target)
                    graph.threads.append(thread)
                    graph.actions.append(0)
            graph.first.append(len(graph.targets))
        kind = SimpleNamespace(
            locations=[SimpleNamespace(queued=False), SimpleNamespace(queued=True)]
        )
        threads = [SimpleNamespace(kind=kind, base=1 + t) for t in range(THREADS)]
        program: Any = SimpleNamespace(threads=threads)
        return program, graph


@st.composite
def graphs(draw: st.DrawFn) -> Small:
    count = draw(st.integers(1, 5))
    state = st.integers(0, count - 1)
    edges = draw(
        st.lists(st.tuples(state, st.integers(0, THREADS - 1), state), max_size=9, unique=True)
    )
    queued = draw(st.lists(st.integers(0, (1 << THREADS) - 1), min_size=count, max_size=count))
    return Small(count, edges, queued)


def is_fair(
    states: list[int],
    moved: set[int],
    enabled: dict[int, set[int]],
    queued: dict[int, set[int]],
    how: str,
) -> bool:
    """Whether going round *states* for ever, the threads in *moved* moving, is fair."""
    if how == "none":
        return True
    for thread in range(THREADS):
        if thread in moved:
            continue
        if all(thread in enabled[s] for s in states):
            return False
        if how == "strong" and any(thread in enabled[s] & queued[s] for s in states):
            return False
    return True


def exists_by_trying(graph: Small, avoids: list[bool], without: int, how: str) -> bool:
    """Try every set of states and every set of edges inside it that is strongly connected."""
    enabled = {s: graph.enabled(s) for s in range(graph.states)}
    queued = {
        s: {t for t in range(THREADS) if graph.queued[s] >> t & 1} for s in range(graph.states)
    }
    usable = [e for e in graph.edges if e[1] != without]
    for states in subsets([s for s in range(graph.states) if avoids[s]]):
        inside = [e for e in usable if e[0] in states and e[2] in states]
        if not inside or not strongly_connected(states, inside):
            continue
        # A run may use all edges of the component: more moves are never less fair.
        if is_fair(list(states), {e[1] for e in inside}, enabled, queued, how):
            return True
    return False


def subsets(states: list[int]) -> Iterator[tuple[int, ...]]:
    for size in range(1, len(states) + 1):
        yield from itertools.combinations(states, size)


def strongly_connected(states: tuple[int, ...], edges: list[Edge]) -> bool:
    def reached(start: int, forwards: bool) -> set[int]:
        seen, todo = {start}, [start]
        while todo:
            here = todo.pop()
            for source, _, target in edges:
                if not forwards:
                    source, target = target, source
                if source == here and target not in seen:
                    seen.add(target)
                    todo.append(target)
        return seen

    return reached(states[0], True) == set(states) == reached(states[0], False)


@settings(max_examples=400, deadline=None)
@given(
    graph=graphs(),
    marks=st.lists(st.booleans(), min_size=5, max_size=5),
    without=st.integers(-1, THREADS - 1),
    how=st.sampled_from(["strong", "weak", "none"]),
)
def test_finds_a_fair_cycle_exactly_if_there_is_one(
    graph: Small, marks: list[bool], without: int, how: str
) -> None:
    note(repr(graph))
    avoids = marks[: graph.states]
    program, explored = graph.explored()
    lasso = FairCycles(program, explored, how).find(
        avoids, LeftOut(moves=1 << without if without >= 0 else 0)
    )
    assert (lasso is not None) == exists_by_trying(graph, avoids, without, how)
    if lasso is None:
        return
    # What is found is a closed walk from its entry, in the states asked for, without that thread; fair.
    here = lasso.entry
    states, moved = [], set()
    for edge in lasso.loop:
        assert edge in explored.edges(here)
        assert explored.threads[edge] != without
        moved.add(explored.threads[edge])
        here = explored.targets[edge]
        states.append(here)
        assert avoids[here]
    assert here == lasso.entry and lasso.loop
    enabled = {s: graph.enabled(s) for s in range(graph.states)}
    queued = {
        s: {t for t in range(THREADS) if graph.queued[s] >> t & 1} for s in range(graph.states)
    }
    assert is_fair(states, moved, enabled, queued, how)


# --- Lassos of real scenarios -----------------------------------------------------------------------------


def loop_of(program: Program, path: tuple[int, ...], start: int) -> list[tuple[State, int]]:
    """Walk *path*; return the states of the loop, each with the thread that moved into it."""
    stepper = Stepper(program)
    state = stepper.initial_states()[path[0]]
    visited: list[tuple[State, int]] = [(state, -1)]
    for action in path[1:]:
        step = stepper.successors(state)[action]
        assert step.failure is None
        state = step.target
        visited.append((state, step.thread))
    assert visited[start][0] == visited[-1][0], "the loop does not close"
    return visited[start + 1 :]


@pytest.mark.parametrize("fairness", ["strong", "weak", "none"])
@pytest.mark.parametrize(
    "scenario",
    [Invalidations(), Invalidations(readers=3), Turns(queued=False), Turns(queued=True), Idle()],
    ids=["readers", "three-readers", "unqueued", "queued", "idle"],
)
def test_what_is_printed_is_fair(scenario: Scenario, fairness: str) -> None:
    program = compile_scenario(scenario)
    stepper = Stepper(program)
    result = check_reference(program, Options(keep_going=True, fairness=fairness))
    for finding in result.of_kind("starvation"):
        assert finding.loop_start is not None
        loop = loop_of(program, finding.path, finding.loop_start)
        moved = {thread for _, thread in loop}
        for number, thread in enumerate(program.threads):
            if number in moved or fairness == "none":
                continue
            able = [bool(stepper.steps_of(state, number)) for state, _ in loop]
            assert not all(able), f"{thread.name} could move all the time"
            at_queued = [
                thread.kind.locations[state[thread.base]].queued and can
                for (state, _), can in zip(loop, able, strict=True)
            ]
            assert fairness == "weak" or not any(at_queued), f"{thread.name} is passed over"
        if finding.thread >= 0 and "spins" not in finding.message:
            assert finding.thread not in moved
