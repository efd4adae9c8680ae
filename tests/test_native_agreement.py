# SPDX-License-Identifier: Apache-2.0
"""The native explorer against the reference, on protocols that use all of the language."""

from __future__ import annotations

from collections.abc import Callable

import native_protocols as protocols
import pytest
from native_agreement import assert_same_findings, assert_same_space

from quiesce.compiler.program import compile_scenario
from quiesce.protocol import Scenario

pytest.importorskip("numba", reason="the native explorer needs numba")

from quiesce.explorer.native.options import NativeOptions

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


def test_two_cores_visit_the_same(scenario: Scenario) -> None:
    assert_same_space(compile_scenario(scenario), cores=2)


@pytest.mark.parametrize("symmetry", [False, True])
def test_same_findings(scenario: Scenario, symmetry: bool) -> None:
    assert_same_findings(compile_scenario(scenario), NativeOptions(symmetry=symmetry))
