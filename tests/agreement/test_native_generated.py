# SPDX-License-Identifier: Apache-2.0
"""The native explorer against the reference on protocols that nobody wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from native_agreement import assert_same_findings, assert_same_space
from native_generator import build, protocol_sources

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer.reference.evaluate import StepFailure
from quiesce.explorer.reference.graph import Bounds, explore
from quiesce.explorer.reference.stepper import Stepper

pytest.importorskip("numba", reason="the native explorer needs numba")

from quiesce.explorer.native.options import NativeOptions

MOST = 1500
"""States of a generated protocol: larger ones only take longer."""

generated = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


def compiled(source: str, folder: Path, fuse: bool) -> Program:
    """Return the program of *source*; protocols that are too large are passed over."""
    note(source)
    program = compile_scenario(build(source, folder), fuse=fuse)
    try:
        graph = explore(Stepper(program), lambda *_: False, Bounds(MOST))
    except StepFailure:
        assume(False)
    assume(len(graph.states) <= MOST)
    return program


@generated
@given(source=protocol_sources())
def test_same_states_and_steps(source: str, folder: Path) -> None:
    for fuse in (True, False):
        assert_same_space(compiled(source, folder, fuse))


@generated
@given(source=protocol_sources())
def test_same_findings(source: str, folder: Path) -> None:
    assert_same_findings(
        compiled(source, folder, True), NativeOptions(symmetry=False, partial_order=False)
    )


@generated
@given(source=protocol_sources())
def test_symmetry_changes_no_finding(source: str, folder: Path) -> None:
    assert_same_findings(compiled(source, folder, True), NativeOptions(symmetry=True))
