# SPDX-License-Identifier: Apache-2.0
"""The native explorer against the reference, on protocols that use all of the language."""

from __future__ import annotations

from collections.abc import Callable

import native_protocols as protocols
import pytest
from native_agreement import assert_same_findings, assert_same_space

from benchmarks.models.count import CountProtocol
from quiesce.compiler.program import compile_scenario
from quiesce.explorer.reference.checker import Options
from quiesce.protocol import Scenario

pytest.importorskip("numba", reason="the native explorer needs numba")

from quiesce.explorer.native.check import check_native
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.native.search import Search, SearchOptions

SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "locks in order": lambda: protocols.LockPair(),
    "locks crossed": lambda: protocols.LockPair(crossed=True),
    "three lockers": lambda: protocols.LockPair(threads=3),
    "everything": lambda: protocols.Everything(),
    "everything, broken": lambda: protocols.Everything(bound=3),
    "everything, twice": lambda: protocols.Everything(loops=2),
    "pointers": lambda: protocols.Pointers(),
    "pointers, careless": lambda: protocols.Pointers(careless=True),
    "counter, locked": lambda: protocols.Racy(),
    "counter, racy": lambda: protocols.Racy(locked=False),
    "range": lambda: protocols.Overflow("range"),
    "index": lambda: protocols.Overflow("index"),
    "division": lambda: protocols.Overflow("division"),
    "endless step": lambda: protocols.Endless(),
    "sleeper": lambda: protocols.Sleeper(),
    "sleeper, careful": lambda: protocols.Sleeper(careful=True),
    "handover": lambda: protocols.Handover(),
}


@pytest.fixture(params=list(SCENARIOS))
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return SCENARIOS[request.param]()


@pytest.mark.parametrize("fuse", [True, False])
def test_same_states_and_steps(scenario: Scenario, fuse: bool) -> None:
    assert_same_space(compile_scenario(scenario, fuse=fuse))


@pytest.mark.parametrize("cores", [2, 5])
def test_several_cores_visit_the_same(scenario: Scenario, cores: int, shared_levels: None) -> None:
    assert_same_space(compile_scenario(scenario), cores=cores)


@pytest.mark.parametrize("symmetry", [False, True])
def test_the_answer_does_not_depend_on_the_cores(
    scenario: Scenario, symmetry: bool, shared_levels: None
) -> None:
    program = compile_scenario(scenario)
    one, *others = [
        check_native(program, Options(keep_going=True), NativeOptions(cores=n, symmetry=symmetry))
        for n in (1, 2, 2, 3)
    ]
    for other in others:
        assert (other.states, other.transitions, other.depth) == (
            one.states, one.transitions, one.depth,
        )  # fmt: skip
        assert other.properties == one.properties


def test_many_threads_that_share_a_table_lose_nothing(shared_levels: None) -> None:
    """Eight on however many cores there are: the switches come anywhere."""
    program = compile_scenario(CountProtocol(4))
    expected = Search(program, SearchOptions(keep_going=True))
    expected.run()
    assert expected.states == 55_762
    for _ in range(3):
        found = Search(program, SearchOptions(cores=8, keep_going=True))
        found.run()
        assert (found.states, found.transitions, found.depth) == (
            expected.states, expected.transitions, expected.depth,
        )  # fmt: skip


@pytest.mark.parametrize("symmetry", [False, True])
def test_same_findings(scenario: Scenario, symmetry: bool) -> None:
    assert_same_findings(compile_scenario(scenario), NativeOptions(symmetry=symmetry))
