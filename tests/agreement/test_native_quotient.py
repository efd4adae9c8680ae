# SPDX-License-Identifier: Apache-2.0
"""Stuck threads, livelock and starvation on representatives: the same as on the unreduced space.

The protocols in ``data/inputs/fairness`` each make one wrong shortcut fail; generated ones rarely do.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import DATA
from native_agreement import assert_same_findings, shape
from native_generator import build
from symmetric_generator import symmetric_source

from quiesce.commands.kvm_options import design_scenario
from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import Bounds
from quiesce.explorer.reference.checker import Options, check_reference
from quiesce.loading import load_scenario

pytest.importorskip("numba", reason="the native explorer needs numba")

from quiesce.explorer.native import check, lift_loop, quotient_edges
from quiesce.explorer.native.check import check_native
from quiesce.explorer.native.options import NativeOptions

FAIRNESS = sorted((DATA / "inputs" / "fairness").glob("*.py"))
REDUCED = NativeOptions("native", True, False, 1)
WHOLE = NativeOptions("native", False, False, 1)
SEEDS = [*range(12), 123, 210, 838, 1114]
"""Of generated protocols; the last ones once came out otherwise."""
MOST = 3000


def protocol(file: Path) -> Program:
    return compile_scenario(load_scenario(f"{file}:G", []))


def generated(seed: int, folder: Path) -> Program:
    return compile_scenario(build(symmetric_source(seed), folder))


def same(program: Program, fairness: str, reduced: NativeOptions = REDUCED) -> None:
    """The verdicts on *program* and the depths of its findings do not depend on the reduction."""
    options = Options(True, fairness, Bounds(MOST))
    whole = check_native(program, options, WHOLE)
    if whole.incomplete.startswith("the bound"):
        return
    found = check_native(program, options, reduced)
    assert any("followed" in note for note in found.notes), "it was not decided on representatives"
    assert shape(found) == shape(whole)
    assert found.never_executed == whole.never_executed


@pytest.mark.parametrize("fairness", ["strong", "weak", "none"])
@pytest.mark.parametrize("file", FAIRNESS, ids=lambda file: file.stem)
def test_where_shortcuts_err(file: Path, fairness: str) -> None:
    same(protocol(file), fairness)


@pytest.mark.parametrize("file", FAIRNESS, ids=lambda file: file.stem)
def test_both_explorers_agree(file: Path) -> None:
    found = assert_same_findings(protocol(file), REDUCED)
    assert any("followed" in note for note in found.notes)


@pytest.mark.parametrize("seed", SEEDS)
def test_generated_protocols(seed: int, tmp_path: Path) -> None:
    program = generated(seed, tmp_path)
    for fairness in ("strong", "weak"):
        same(program, fairness, NativeOptions("native", True, seed % 2 == 0, 1 + seed % 2))


@pytest.mark.parametrize("design", ["rwsem", "count", "phased", "elide_unguarded"])
def test_the_designs_of_kvm(design: str) -> None:
    program = compile_scenario(design_scenario(design, ()))
    options = Options(True)
    whole, found = (check_native(program, options, native) for native in (WHOLE, REDUCED))
    assert shape(found) == shape(whole)
    assert any("followed" in note for note in found.notes)


@pytest.mark.parametrize("fairness", ["strong", "weak", "none"])
@pytest.mark.parametrize("seed", [*SEEDS, None])
def test_loops_of_large_components(
    seed: int | None, fairness: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that is put together from representatives is a fair run: the finder checks each by itself."""
    monkeypatch.setattr(lift_loop, "_FEW", 0)
    found = 0
    files = FAIRNESS if seed is None else []
    for program in [generated(seed, tmp_path)] if seed is not None else map(protocol, files):
        options = Options(True, fairness, Bounds(MOST))
        result = check_native(program, options, REDUCED)
        if result.incomplete.startswith("the bound"):
            continue
        assert any("followed" in note for note in result.notes)
        verdicts = {p.name: p.verdict for p in check_reference(program, options).properties}
        assert {p.name: p.verdict for p in result.properties} == verdicts
        found += sum(p.finding is not None for p in result.properties)
    assert seed is not None or found


def test_what_cannot_be_lifted_is_decided_without_reductions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise quotient_edges.NotReducible("for the test")

    program = protocol(FAIRNESS[-1])
    expected = shape(check_native(program, Options(True), WHOLE))
    monkeypatch.setattr(lift_loop.LoopFinder, "find", refuse)
    found = check_native(program, Options(True), REDUCED)
    assert shape(found) == expected
    assert not any("followed" in note for note in found.notes)
    monkeypatch.setattr(check, "QuotientFindings", refuse)
    assert shape(check_native(program, Options(True), REDUCED)) == expected
