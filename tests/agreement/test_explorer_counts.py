# SPDX-License-Identifier: Apache-2.0
"""State counts that others have found, to the last state: published ones, and Spin's of today.

The protocols and their Promela twins (in ``benchmarks/models`` and beside this file) were written
independently of each other, one step for one step. Spin counts the initial state as a transition.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.models.count import CountProtocol
from quiesce.compiler.program import compile_scenario
from quiesce.explorer import Options, check_reference
from quiesce.protocol import Scenario

HERE = Path(__file__).parents[1]
MODELS = HERE.parent / "benchmarks" / "models"


def rwsem(notifiers: int) -> Scenario:
    name = "fair_rwsem"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, HERE / "support" / "protocols" / f"{name}.py"
        )
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    scenario: Scenario = sys.modules[name].Rwsem(notifiers)
    return scenario


def size(scenario: Scenario, fuse: bool = True) -> tuple[int, int]:
    result = check_reference(compile_scenario(scenario, fuse=fuse), Options(keep_going=True))
    assert result.complete
    return result.states, result.transitions


PUBLISHED = [
    (2, True, 326, 599),
    (4, True, 2_164, 4_045),
    (6, True, 12_246, 23_091),
    (3, False, 6_714, 21_840),
]
"""Notifiers, with the pseudo lock, states, transitions; the transitions as rumur and LTSmin count them."""


@pytest.mark.parametrize(("notifiers", "pseudo", "states", "transitions"), PUBLISHED)
def test_published_counts(notifiers: int, pseudo: bool, states: int, transitions: int) -> None:
    assert size(CountProtocol(notifiers, pseudo)) == (states, transitions)


def test_the_published_count_of_millions() -> None:
    """Six notifiers without the pseudo lock: too many for plain Python."""
    pytest.importorskip("numba", reason="the native explorer needs numba")
    from quiesce.explorer.native.search import Search, SearchOptions

    search = Search(compile_scenario(CountProtocol(6)), SearchOptions(keep_going=True))
    search.run()
    assert (search.states, search.transitions) == (3_568_650, 19_439_115)


def test_every_step_is_atomic_so_fusion_does_nothing() -> None:
    assert size(CountProtocol(2, True), fuse=False) == (326, 599)


@pytest.mark.parametrize("notifiers", [2, 3, 4])
def test_shortest_deadlock_of_the_fair_rwsem(notifiers: int) -> None:
    result = check_reference(compile_scenario(rwsem(notifiers)), Options())
    (finding,) = result.of_kind("deadlock")
    assert len(finding.path) - 1 == 6
    assert not check_reference(compile_scenario(rwsem(1)), Options()).of_kind("deadlock")


# --- Spin -------------------------------------------------------------------------------------------------


def spin(model: str, folder: Path, *defines: str) -> tuple[int, int]:
    """Return the states and transitions that Spin finds in a model, everything explored."""
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed on this machine")
    source = (MODELS if model == "count.pml" else HERE / "promela") / model

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("spin", "-o1", "-o2", "-o3", *defines, "-a", str(source))
    run("gcc", "-O1", "-w", "-DSAFETY", "-DNOREDUCE", "-o", "pan", "pan.c")
    report = run("./pan", "-E", "-m100000")
    stored = re.search(r"(\d+) states, stored", report)
    transitions = re.search(r"(\d+) transitions", report)
    assert stored and transitions and "errors: 0" in report, report
    return int(stored[1]), int(transitions[1])


@pytest.mark.parametrize(("notifiers", "pseudo"), [(2, True), (4, True), (3, False)])
def test_spin_counts_the_same_for_the_count(notifiers: int, pseudo: bool, tmp_path: Path) -> None:
    found = spin("count.pml", tmp_path, f"-DN={notifiers}", *(["-DPSEUDO"] if pseudo else []))
    states, transitions = size(CountProtocol(notifiers, pseudo))
    assert found == (states, transitions + 1)


@pytest.mark.parametrize("notifiers", [1, 2, 3])
def test_spin_counts_the_same_for_the_rwsem(notifiers: int, tmp_path: Path) -> None:
    states, transitions = size(rwsem(notifiers))
    assert spin("rwsem.pml", tmp_path, f"-DN={notifiers}") == (states, transitions + 1)
