# SPDX-License-Identifier: Apache-2.0
"""The main job: the five designs come out as the design document says, the same on every run."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from functools import cache

import pytest
from conftest import DATA

from quiesce.cli import main
from quiesce.commands.kvm import DesignResult, check_design
from quiesce.commands.kvm_options import DESIGNS
from quiesce.commands.story import EXPECTED, told_undecided, told_wrong
from quiesce.explorer import Bounds
from quiesce.kvm.gates import GATES, RwsemGate
from quiesce.lockdep.normalise import normalise
from quiesce.primitives import RwSemUnfair
from quiesce.report.table import COLUMNS, cell
from quiesce.verdict import Verdict

OPTIONS = argparse.Namespace(
    no_fusion=False, quiet=True, json=False, first=False, max_states=None, max_memory=None,
    fairness="strong", explorer="auto", no_symmetry=False, no_partial_order=False, cores=None, checkpoint="",
)  # fmt: skip


@cache
def checked(design: str) -> DesignResult:
    return check_design(design, (), OPTIONS, Bounds(), True)


@pytest.mark.parametrize("design", DESIGNS)
def test_design_comes_out_as_it_should(design: str) -> None:
    found = {head for head, names in COLUMNS if cell(checked(design).result, names) == "FOUND"}
    assert EXPECTED[design] <= found
    assert told_wrong(checked(design)) == ""
    assert told_undecided(checked(design)) == ""


@pytest.mark.parametrize("design", ["always_lock", "phased"])
def test_safe_designs_hold(design: str) -> None:
    assert checked(design).result.verdict is Verdict.HOLDS


def test_count_is_safe_but_starves() -> None:
    result = checked("count").result
    violated = {p.name for p in result.properties if p.finding and not p.informational}
    assert violated == {"updates_finish", "no_starvation"}


def test_faults_finish_is_information_in_every_design() -> None:
    for design in DESIGNS:
        assert checked(design).result.property("faults_finish").informational


def test_only_the_rwsem_earns_a_report() -> None:
    words = {d: checked(d).lockdep.word for d in DESIGNS}
    assert words == dict.fromkeys(DESIGNS, "silent") | {"rwsem": "circular"}


def test_a_design_that_comes_out_otherwise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPECTED, "phased", frozenset(["starvation"]))
    assert "starvation" in told_wrong(checked("phased"))
    monkeypatch.setitem(EXPECTED, "count", frozenset())
    assert "starvation" in told_wrong(checked("count"))


def test_story_text(golden: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quiet"]) == 0
    printed = capsys.readouterr().out
    masked = re.sub(r"\d+\.\d+( s\.?|$)", "T", printed, flags=re.MULTILINE)
    golden("story.txt", re.sub(r" +T", " T", masked))
    assert max(len(line) for line in printed.splitlines()) <= 80


def test_lockdep_report_equals_the_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    """What a real 6.12 kernel printed for this very sequence, line by line after normalisation."""
    assert main(["kvm", "check", "--design", "rwsem", "--lockdep"]) == 1
    ours = capsys.readouterr().out
    kernels = (DATA / "lockdep" / "reports" / "kvm_splat.txt").read_text(encoding="utf-8")
    assert normalise(ours) == normalise(kernels)


class UnfairGate(RwsemGate):
    """The rwsem of the patch with readers that may nest, as the commit message says."""

    mmu_notifier_slots_lock = RwSemUnfair("&kvm->mmu_notifier_slots_lock")  # type: ignore[assignment]


def test_recursive_readers_are_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the kernel (`kvm_splat_recursive_ok`): without the fairness there is no cycle."""
    monkeypatch.setitem(GATES, "unfair", UnfairGate)
    assert main(["kvm", "check", "--design", "unfair", "--lockdep"]) == 0
    assert capsys.readouterr().out == ""


def test_same_json_from_two_runs(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> str:
        main(["kvm", "check", "--design", "all", "--json", "--notifiers", "1"])
        printed = capsys.readouterr().out
        assert set(json.loads(printed)) == {"schema", "designs"}
        return re.sub(r'"seconds": [\d.]+', '"seconds": 0', printed)

    assert run() == run()


def test_replay_repeats_the_counterexample(capsys: pytest.CaptureFixture[str]) -> None:
    token = checked("rwsem").token
    assert token is not None
    assert main(["replay", token]) == 1
    assert "down_write" in capsys.readouterr().out


def test_larger_scenarios_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["kvm", "check", "--design", "rwsem", "--first", "--notifiers", "3", "--json"]
    assert main(args) == 1
    assert json.loads(capsys.readouterr().out)["counterexample"]["kind"] == "deadlock"


@pytest.mark.parametrize(
    "args",
    [["--design", "nosuch"], ["--notifiers", "-1"], ["--set", "nosuch=1"], ["--set", "vcpus"]],
)
def test_wrong_requests_are_told(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kvm", "check", *args]) == 2
    assert "help:" in capsys.readouterr().err
