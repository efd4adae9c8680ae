# SPDX-License-Identifier: Apache-2.0
"""What every command prints with ``--json`` is what docs/json.md describes: no key more, none less."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import ROOT
from report_schema import COMMANDS, DEFINITIONS, LOCKDEP_KINDS, SCHEMA, keys_of, problems

from quiesce.cli import main
from quiesce.lockdep import Report
from quiesce.lockdep.cases import parse_cases
from quiesce.lockdep.replay import replay_case
from quiesce.properties import ALWAYS, BUILT_IN, FindingKind

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


def fits(text: str, name: str) -> Any:
    """Return the JSON value of *text*, which must be as the definition *name* says."""
    value = json.loads(text)
    assert problems(value, name) == []
    assert value["schema"] == 1
    return value


def test_check_that_holds(printed: Printed) -> None:
    data = fits(printed("check", COUNT_GATE, "--set", "rounds=1", "--json"), "check")
    assert data["verdict"] == "holds"
    assert data["complete"]
    assert data["counterexample"] is None
    assert data["replay"] is None


def test_check_that_deadlocks(printed: Printed) -> None:
    data = fits(printed("check", RWSEM_GATE, "--json"), "check")
    found = data["counterexample"]
    assert found["kind"] == "deadlock"
    blocked = {one["thread"]: one["held_by"] for one in found["waiting"]}
    assert blocked == {"notifier/0": [], "updater/0": ["notifier/0"]}
    assert found["steps"][-1]["waiting"] == found["waiting"]
    (held,) = found["steps"][-1]["held"]["notifier/0"]
    assert (held["lock"], held["mode"]) == ("&kvm->mmu_notifier_slots_lock", "shared")
    assert [s["waiting"] for s in found["steps"][:1]] == [[]]


def test_check_that_starves(printed: Printed) -> None:
    data = fits(printed("check", COUNT_GATE, "--all", "--json"), "check")
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
    found = fits(printed("check", str(file), "--json"), "check")["counterexample"]
    assert found["kind"] == kind
    assert (found["initial"] is None) == (found["steps"] == []) == (kind == "vacuous")
    assert [s["failure"] for s in found["steps"][-1:]] == (
        ["the box is not empty"] if kind == "failed assert" else []
    )


def test_kvm_check_of_all_designs(printed: Printed) -> None:
    text = printed("kvm", "check", "--design", "all", "--max-states", "1500", "--json")
    designs = fits(text, "designs")["designs"]
    assert len(designs) == 5
    assert {d["verdict"] for d in designs} >= {"incomplete"}
    assert all(d["incomplete_because"] for d in designs if not d["complete"])


def test_kvm_check_with_a_lockdep_report(printed: Printed) -> None:
    data = fits(printed("kvm", "check", "--design", "rwsem", "--first", "--json"), "check")
    assert data["lockdep"]["kind"] == "circular"
    assert data["lockdep"]["title"] in data["lockdep"]["text"]


def test_replay_shows_the_same_counterexample(printed: Printed) -> None:
    found = json.loads(printed("check", RWSEM_GATE, "--json"))
    again = fits(printed("replay", found["replay"], "--json"), "replay")
    assert again["counterexample"] == found["counterexample"]


def test_run(printed: Printed) -> None:
    fits(printed("run", COUNT_GATE, "--seconds", "0.2", "--json"), "run")


def test_run_that_finds_something(printed: Printed, tmp_path: Path) -> None:
    file = tmp_path / "scenario.py"
    file.write_text(FAILED_ASSERT, encoding="utf-8")
    data = fits(printed("run", str(file), "--seconds", "1", "--json"), "run")
    assert data["verdict"] == "violation"
    assert [f["kind"] for f in data["findings"]] == ["failed assert"]


def test_run_that_hangs(printed: Printed) -> None:
    data = fits(printed("run", RWSEM_GATE, "--seconds", "20", "--json"), "run")
    assert [f["kind"] for f in data["findings"]] == ["deadlock"]


@pytest.mark.parametrize(
    "log", sorted((ROOT / "tests" / "data" / "splats").glob("*.txt")), ids=lambda path: path.stem
)
def test_explain(printed: Printed, log: Path) -> None:
    assert fits(printed("explain", str(log), "--json"), "explain")["reports"]


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
    assert [problems(outcome, "outcome") for outcome in outcomes] == [[], []]
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
    assert data["kind"] in LOCKDEP_KINDS
    assert problems(data, "lockdep") == []


def test_the_examples_are_of_every_kind() -> None:
    assert {param.values[0].kind for param in lockdep_examples()} == set(LOCKDEP_KINDS)


def documented_keys() -> set[str]:
    return set(re.findall(r"`([a-z_0-9]+)`", DOCUMENTED))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_document_names_every_key(name: str) -> None:
    assert keys_of(name) - documented_keys() - {"designs"} == set()
    assert '"designs"' in DOCUMENTED


def test_the_document_names_no_key_that_is_gone() -> None:
    # What comes after this headline is not in the schema.
    described = DOCUMENTED.partition("\n## The data of an HTML page")[0]
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", described, re.MULTILINE)
    named = {key for row in rows for key in re.findall(r"`([a-z_]+)`", row)}
    kinds = set(LOCKDEP_KINDS)
    known = set().union(*map(keys_of, COMMANDS))
    assert named - kinds - known == set()


def test_check_of_a_project(
    printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scenario.py").write_text(FAILED_ASSERT, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.quiesce.scenarios]]\ntarget = "scenario.py"\n', encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    assert len(fits(printed("check", "--json"), "project")["scenarios"]) == 1


def test_kvm_run(printed: Printed) -> None:
    fits(printed("kvm", "run", "--design", "count", "--seconds", "0.2", "--json"), "kvm_run")


def test_the_schema_knows_every_finding() -> None:
    only_of_runs = {FindingKind.EXCEPTION, FindingKind.LONG_WAIT, FindingKind.NOTHING}
    assert set(DEFINITIONS["finding"]["enum"]) == set(FindingKind) - only_of_runs
    assert {definition for kind in (*BUILT_IN, ALWAYS) for definition in kind.finds} <= set(
        DEFINITIONS["finding"]["enum"]
    )


def changed(value: Any, *path: Any, to: Any) -> Any:
    """Return a copy of *value* in which the part at *path* is another; ``...`` takes it away."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    if to is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return copy


def test_the_schema_can_fail(printed: Printed) -> None:
    good = json.loads(printed("check", RWSEM_GATE, "--json"))
    assert problems(good, "check") == []
    for bad in (
        changed(good, "verdict", to=...),
        changed(good, "verdict", to="fine"),
        changed(good, "extra", to=1),
        changed(good, "states", to="12"),
        changed(good, "states", to=True),
        changed(good, "schema", to=2),
        changed(good, "properties", 0, "name", to=None),
        changed(good, "properties", 0, "extra", to=1),
        changed(good, "counterexample", "steps", 0, "held", to=[]),
        changed(good, "counterexample", "extra", to=1),
        changed(good, "lockdep", "earlier", to=...),
        changed(good, "lockdep", "kind", to="circular"),
    ):
        assert problems(bad, "check")


def test_one_of_the_commands_prints_it(printed: Printed) -> None:
    whole = jsonschema.Draft202012Validator(SCHEMA)
    assert whole.is_valid(json.loads(printed("check", RWSEM_GATE, "--json")))
    assert not whole.is_valid({"schema": 1})
