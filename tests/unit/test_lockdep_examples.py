# SPDX-License-Identifier: Apache-2.0
"""One small example for each kind of report, its golden text, and the command that runs it."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from quiesce.errors import UsageError
from quiesce.lockdep.cases import load_cases
from quiesce.lockdep.replay import replay_case, replay_file

EXAMPLES = Path(__file__).parents[2] / "examples" / "lockdep"
KINDS = [
    "circular",
    "recursive",
    "inconsistent",
    "safe-unsafe",
    "irq-inversion",
    "wait-context",
    "unlock-balance",
    "nested-not-taken",
    "held-freed",
    "held-at-exit",
    "held-returning-user",
    "rcu",
    "non-static-key",
    "limits",
    "lockdep-warn",
]
OTHERS = ["linux-misses", "preempt-rt"]


def replay(
    path: Path, text: bool = False, like_linux: bool = False, raw_nesting: bool = False
) -> tuple[int, str]:
    """Run the command; return its exit code and what it wrote."""
    out = io.StringIO()
    code = replay_file(
        str(path), text=text, raw_nesting=raw_nesting, like_linux=like_linux, out=out
    )
    return code, out.getvalue()


@pytest.mark.parametrize("kind", [*KINDS, "linux-misses"])
def test_example(kind: str, golden: Callable[[str, str], None]) -> None:
    code, text = replay(EXAMPLES / f"{kind}.json", text=True)
    assert code == 1
    golden(f"lockdep/{kind}.txt", text)


@pytest.mark.parametrize("kind", KINDS)
def test_example_fires_its_kind_at_its_last_step(kind: str) -> None:
    case = load_cases(str(EXAMPLES / f"{kind}.json"))[0]
    outcome = replay_case(case)
    assert outcome.report is not None
    assert outcome.report.kind == kind
    assert outcome.step == len(case.steps) - 1
    # And it is the last step that does it.
    assert replay_case(dataclasses.replace(case, steps=case.steps[:-1])).report is None
    # As data, it goes through JSON and says the same as the text.
    data = json.loads(json.dumps(outcome.report.to_dict()))
    assert data["kind"] == kind
    assert data["title"] in outcome.report.text()
    assert data["task"]["comm"] == outcome.report.task.comm


def test_every_example_is_a_kind() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} == {*KINDS, *OTHERS}


def test_what_linux_misses() -> None:
    path = EXAMPLES / "linux-misses.json"
    code, line = replay(path)
    assert code == 1 and json.loads(line)["verdict"] == "fail"
    code, line = replay(path, like_linux=True)
    assert code == 0
    assert json.loads(line) == {
        "name": "bfs_marks_too_early",
        "verdict": "pass",
        "report": None,
        "step": None,
    }


def test_a_nonblockable_start_on_preempt_rt() -> None:
    """A spinlock_t there is reported where it sleeps, a raw_spinlock_t is not."""
    path = EXAMPLES / "preempt-rt.json"
    code, text = replay(path, raw_nesting=True)
    verdicts = {case["name"]: case["verdict"] for case in map(json.loads, text.splitlines())}
    assert code == 1 and verdicts == {
        "nonblock_start_takes_spinlock": "fail",
        "nonblock_start_takes_raw_spinlock": "pass",
        "raw_start_then_mmu_lock": "fail",
    }
    code, _ = replay(path)
    assert code == 0


def test_one_line_of_json_a_case(tmp_path: Path) -> None:
    both = [
        json.loads((EXAMPLES / f"{kind}.json").read_text(encoding="utf-8"))[0]
        for kind in ("circular", "recursive")
    ]
    path = tmp_path / "both.json"
    path.write_text(json.dumps(both), encoding="utf-8")
    code, text = replay(path)
    assert code == 1
    assert [json.loads(line) for line in text.splitlines()] == [
        {
            "name": "kvm_mmu_notifier_slots_lock",
            "verdict": "fail",
            "report": "WARNING: possible circular locking dependency detected",
            "step": 4,
        },
        {
            "name": "two_accounts",
            "verdict": "fail",
            "report": "WARNING: possible recursive locking detected",
            "step": 1,
        },
    ]
    code, text = replay(path, text=True)
    first, second = (
        replay(EXAMPLES / f"{k}.json", text=True)[1] for k in ("circular", "recursive")
    )
    assert text == f"{first}\n{second}"


LOCKS = '"locks": {"A": {"class_key": "A"}}'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("{}", "not a list of cases"),
        ("[1]", "case number 0"),
        ('[{"name": "x"}]', "case x: sequence"),
        ('[{"name": "x", "locks": [], "sequence": []}]', "case x: locks"),
        ('[{"name": "x", "locks": {"A": 1}, "sequence": []}]', "case x: lock A"),
        (
            '[{"name": "x", "locks": {"A": {"class_key": "A", "wait_inner": "NAP"}},'
            ' "sequence": []}]',
            "'NAP'",
        ),
        (f'[{{"name": "x", {LOCKS}, "sequence": [7]}}]', "case x: step 0"),
        (f'[{{"name": "x", {LOCKS}, "sequence": [["grab", "A"]]}}]', "unknown op 'grab'"),
        (
            f'[{{"name": "x", {LOCKS}, "sequence": [["acquire", "A"], ["acquire", "B"]]}}]',
            "case x: step 1: unknown lock 'B'",
        ),
        (f'[{{"name": "x", {LOCKS}, "sequence": [["acquire", "A", "Q"]]}}]', "unknown mode 'Q'"),
        (f'[{{"name": "x", {LOCKS}, "sequence": [["acquire", "A", "W:sub=9"]]}}]', "'sub=9'"),
        (f'[{{"name": "x", {LOCKS}, "sequence": [["irq_on", "", "", "hs"]]}}]', "context 'hs'"),
        (f'[{{"name": "x", {LOCKS}, "sequence": [["irq_on", "", "", "", 1]]}}]', "stack"),
    ],
)
def test_wrong_files(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        replay(path)
    assert words in str(error.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        replay(tmp_path / "nothing.json")
