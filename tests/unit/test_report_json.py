# SPDX-License-Identifier: Apache-2.0
"""What every command prints with ``--json`` is what docs/json.md describes: no key more, none less."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from report_schema import (
    CHECK,
    CHECK_ALL,
    COMPARE,
    EXPLAINED,
    KVM_CHECK,
    LOCKDEP,
    LOCKDEP_BY_KIND,
    OUTCOME,
    REPLAY,
    RUN,
    LockdepReport,
    keys_of,
    problems,
)

from quiesce.cli import main
from quiesce.lockdep import Report
from quiesce.lockdep.cases import parse_cases
from quiesce.lockdep.replay import replay_case

DOCUMENTED = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")

COUNT_GATE = str(ROOT / "examples" / "count_gate.py")
RWSEM_GATE = str(ROOT / "examples" / "rwsem_gate.py")

VACUOUS = """
from quiesce.protocol import Bool, Protocol, Scenario, sometimes, thread

class Door(Protocol):
    open = Bool()

class Never(Scenario):
    door = Door()

    @thread()
    def visitor(self) -> None:
        self.door.open = False

    @sometimes
    def door_is_open(self) -> bool:
        return self.door.open
"""

FAILED_ASSERT = """
from quiesce.protocol import Int, Protocol, Scenario, thread

class Box(Protocol):
    count = Int(0)

class Wrong(Scenario):
    box = Box()

    @thread()
    def user(self) -> None:
        self.box.count = 1
        assert self.box.count == 0, "the box is not empty"
"""

Printed = Callable[..., str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Return a function that runs a command and returns what it printed."""

    def run(*argv: str) -> str:
        main(argv)
        return capsys.readouterr().out

    return run


def fits(text: str, type_: Any) -> Any:
    """Return the JSON value of *text*, which must be of *type_*."""
    value = json.loads(text)
    assert list(problems(value, type_)) == []
    assert value["schema"] == 1
    return value


def test_check_that_holds(printed: Printed) -> None:
    data = fits(printed("check", COUNT_GATE, "--set", "rounds=1", "--json"), CHECK)
    assert data["verdict"] == "holds"
    assert data["complete"]
    assert data["counterexample"] is None
    assert data["replay"] is None


def test_check_that_deadlocks(printed: Printed) -> None:
    data = fits(printed("check", RWSEM_GATE, "--json"), CHECK)
    found = data["counterexample"]
    assert found["kind"] == "deadlock"
    blocked = {one["thread"]: one["held_by"] for one in found["waiting"]}
    assert blocked == {"notifier/0": [], "updater/0": ["notifier/0"]}
    assert found["steps"][-1]["waiting"] == found["waiting"]
    (held,) = found["steps"][-1]["held"]["notifier/0"]
    assert (held["lock"], held["mode"]) == ("&kvm->mmu_notifier_slots_lock", "shared")
    assert [s["waiting"] for s in found["steps"][:1]] == [[]]


def test_check_that_starves(printed: Printed) -> None:
    data = fits(printed("check", COUNT_GATE, "--all", "--json"), CHECK_ALL)
    found = data["counterexample"]
    assert found["kind"] == "starvation"
    start = found["loop_start"]
    before = found["steps"][start - 1]["state"] if start else found["initial"]
    assert found["steps"][-1]["state"] == before, "the loop does not lead back to where it began"


@pytest.mark.parametrize(
    ("source", "kind"), [(VACUOUS, "vacuous"), (FAILED_ASSERT, "failed assert")]
)
def test_other_findings(printed: Printed, tmp_path: Path, source: str, kind: str) -> None:
    file = tmp_path / "scenario.py"
    file.write_text(source, encoding="utf-8")
    found = fits(printed("check", str(file), "--json"), CHECK)["counterexample"]
    assert found["kind"] == kind
    assert (found["initial"] is None) == (found["steps"] == []) == (kind == "vacuous")
    assert [s["failure"] for s in found["steps"][-1:]] == (
        ["the box is not empty"] if kind == "failed assert" else []
    )


def test_kvm_check_of_all_designs(printed: Printed) -> None:
    text = printed("kvm", "check", "--design", "all", "--max-states", "1500", "--json")
    designs = fits(text, KVM_CHECK)["designs"]
    assert len(designs) == 5
    assert {d["verdict"] for d in designs} >= {"incomplete"}
    assert all(d["incomplete_because"] for d in designs if not d["complete"])


def test_kvm_check_with_a_lockdep_report(printed: Printed) -> None:
    data = fits(printed("kvm", "check", "--design", "rwsem", "--first", "--json"), CHECK)
    assert data["lockdep"]["kind"] == "circular"
    assert data["lockdep"]["title"] in data["lockdep"]["text"]


def test_replay_shows_the_same_counterexample(printed: Printed) -> None:
    found = json.loads(printed("check", RWSEM_GATE, "--json"))
    again = fits(printed("replay", found["replay"], "--json"), REPLAY)
    assert again["counterexample"] == found["counterexample"]


def test_run(printed: Printed) -> None:
    fits(printed("run", COUNT_GATE, "--seconds", "0.2", "--json"), RUN)


def test_run_that_finds_something(printed: Printed, tmp_path: Path) -> None:
    file = tmp_path / "scenario.py"
    file.write_text(FAILED_ASSERT, encoding="utf-8")
    data = fits(printed("run", str(file), "--seconds", "1", "--json"), RUN)
    assert data["verdict"] == "violation"
    assert [f["kind"] for f in data["findings"]] == ["failed assert"]


def test_run_that_hangs(printed: Printed) -> None:
    data = fits(printed("run", RWSEM_GATE, "--seconds", "20", "--json"), RUN)
    assert [f["kind"] for f in data["findings"]] == ["deadlock"]


@pytest.mark.parametrize(
    "log", sorted((ROOT / "tests" / "data" / "splats").glob("*.txt")), ids=lambda path: path.stem
)
def test_explain(printed: Printed, log: Path) -> None:
    assert fits(printed("explain", str(log), "--json"), EXPLAINED)["reports"]


CASES = [
    {
        "name": "quiet",
        "locks": {"a": {"class_key": "a"}},
        "sequence": [["acquire", "a", "W", "--hs"], ["release", "a", "", "--hs"]],
    },
    {
        "name": "twice",
        "locks": {"a": {"class_key": "a"}},
        "sequence": [["acquire", "a", "W", "--hs"], ["acquire", "a", "W", "--hs"]],
    },
]


def test_lockdep_replay(printed: Printed, tmp_path: Path) -> None:
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(CASES), encoding="utf-8")
    outcomes = [json.loads(line) for line in printed("lockdep", "replay", str(file)).splitlines()]
    assert [list(problems(outcome, OUTCOME)) for outcome in outcomes] == [[], []]
    assert [(o["verdict"], o["step"]) for o in outcomes] == [("pass", None), ("fail", 1)]


def lockdep_examples() -> list[Any]:
    """Return the report of each example of docs/lockdep.md that has one."""
    reports = []
    for file in sorted((ROOT / "examples" / "lockdep").glob("*.json")):
        for case in parse_cases(json.loads(file.read_text(encoding="utf-8")), file.name):
            report = replay_case(case).report
            if report is not None:
                reports.append(pytest.param(report, id=f"{file.stem}-{case.name}"))
    return reports


@pytest.mark.parametrize("report", lockdep_examples())
def test_lockdep_report_of_each_kind(report: Report) -> None:
    data = json.loads(json.dumps(report.to_dict()))
    assert data["kind"] in LOCKDEP_BY_KIND
    assert list(problems(data, LockdepReport)) == []


def test_the_examples_are_of_every_kind() -> None:
    assert {param.values[0].kind for param in lockdep_examples()} == set(LOCKDEP_BY_KIND)


def documented_keys() -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", DOCUMENTED))


@pytest.mark.parametrize(
    "type_",
    [
        CHECK,
        KVM_CHECK,
        COMPARE,
        REPLAY,
        RUN,
        EXPLAINED,
        OUTCOME,
        LOCKDEP,
        *LOCKDEP_BY_KIND.values(),
    ],
)
def test_the_document_names_every_key(type_: Any) -> None:
    assert keys_of(type_) - documented_keys() - {"designs"} == set()
    assert '"designs"' in DOCUMENTED


def test_the_document_names_no_key_that_is_gone() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", DOCUMENTED, re.MULTILINE)
    named = {key for row in rows for key in re.findall(r"`([a-z_]+)`", row)}
    kinds = set(LOCKDEP_BY_KIND)
    known = set().union(
        *map(keys_of, (CHECK_ALL, COMPARE, REPLAY, RUN, EXPLAINED, OUTCOME, LOCKDEP))
    )
    assert named - kinds - known == set()


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ({}, {"a": int}),
        ({"a": 1, "b": 2}, {"a": int}),
        ({"a": True}, {"a": int}),
        ({"a": None}, {"a": str}),
        ([1, "2"], [int]),
        ({"x": {"y": 1}}, {str: {"y": str}}),
        ({"kind": "circular"}, LockdepReport),
    ],
)
def test_the_schema_can_fail(value: Any, type_: Any) -> None:
    assert list(problems(value, type_))
