# SPDX-License-Identifier: Apache-2.0
"""How tests hold the native explorer to the reference: same states, same steps, same findings."""

from __future__ import annotations

from quiesce.compiler.program import Program
from quiesce.explorer.findings import CheckResult
from quiesce.explorer.native.check import check_native
from quiesce.explorer.native.kernels.stored import words_at
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.native.search import Search, SearchOptions
from quiesce.explorer.reference.checker import Options, check_reference
from quiesce.explorer.reference.stepper import State, Stepper


def reference_space(program: Program) -> tuple[set[State], int]:
    """Return all reachable states and the number of steps, by the reference stepper."""
    stepper = Stepper(program)
    seen = set(stepper.initial_states())
    todo = list(seen)
    steps = 0
    while todo:
        state = todo.pop()
        for step in stepper.successors(state):
            steps += 1
            if step.failure is None and step.target not in seen:
                seen.add(step.target)
                todo.append(step.target)
    return seen, steps


def native_space(program: Program, cores: int = 1) -> tuple[set[State], int]:
    """Return the same by the native search, without reductions."""
    search = Search(program, SearchOptions(cores=cores, keep_going=True))
    search.run()
    assert not search.incomplete
    states = {
        search.compiled.unpack(tuple(words_at(w.states.array, i, w.shape).tolist()))
        for w in search.workers
        for i in range(w.count)
    }
    assert len(states) == search.states
    return states, search.transitions


def assert_same_space(program: Program, cores: int = 1) -> None:
    """The native search without reductions visits the states and takes the steps of the reference."""
    expected, steps = reference_space(program)
    found, transitions = native_space(program, cores)
    assert found == expected
    assert transitions == steps


def shape(result: CheckResult) -> dict[str, tuple[str, str, int]]:
    """Return for each property its verdict, and the kind and depth of its finding."""
    shapes = {}
    for prop in result.properties:
        finding = prop.finding
        # The depth of a lasso is that of its entry: which loop is taken is not prescribed.
        depth = -1
        if finding is not None:
            depth = len(finding.path) if finding.loop_start is None else finding.loop_start
        shapes[prop.name] = (prop.verdict.name, finding.kind if finding else "", depth)
    return shapes


def assert_same_findings(program: Program, native: NativeOptions) -> CheckResult:
    """Both explorers come to the same verdicts, with counterexamples of the same depth."""
    options = Options(keep_going=True)
    expected = check_reference(program, options)
    found = check_native(program, options, native)
    assert shape(found) == shape(expected)
    for prop in found.properties:
        if prop.finding is not None and prop.finding.kind != "vacuous":
            assert_replays(program, prop.finding.path, prop.finding.loop_start)
    return found


def assert_replays(program: Program, path: tuple[int, ...], loop_start: int | None) -> None:
    """The reference stepper can follow *path*, and a loop leads back to where it begins."""
    stepper = Stepper(program)
    state = stepper.initial_states()[path[0]]
    visited = [state]
    for action in path[1:]:
        step = stepper.successors(state)[action]
        state = step.target
        visited.append(state)
    if loop_start is not None:
        assert visited[-1] == visited[loop_start]
