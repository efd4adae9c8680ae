# SPDX-License-Identifier: Apache-2.0
"""The kernel's own lockdep self-test, as recorded from a running kernel: verdict, kind and step."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import DATA

from quiesce.lockdep.cases import parse_cases
from quiesce.lockdep.replay import replay_case
from quiesce.lockdep.reports_irq import InconsistentReport, InversionReport

# The self-test overwrites fields of the objects by hand here, which no event shows.
OUTSIDE = {
    "ww_test_diff_class",
    "ww_test_object_lock_unbalanced",
    "ww_test_object_lock_stale_context",
}
# What a function still does, and the recorder still sees, after lockdep has turned itself off.
TRAILING = {"hardirq_exit", "softirq_exit", "ww_ret", "ww_unlock", "ww_acquire_fini"}
# Without PROVE_RAW_LOCK_NESTING a spinlock_t is as good as a raw one.
ONLY_RAW_NESTING = {
    "spinlock_in_NOTTHREADED_HARDIRQ",
    "spinlock_in_RCU_SCHED",
    "spinlock_in_raw_spinlock",
}

Data = dict[str, Any]


def reporting_step(data: Data) -> int:
    """Return the step at which the kernel reported: the last that lockdep still checked."""
    steps = data["sequence"]
    return max(i for i, step in enumerate(steps) if step[0] not in TRAILING)


def differences(data: Data, raw_nesting: bool, like_linux: bool) -> list[str]:
    """Return in what the validator and the kernel disagree about a case."""
    outcome = replay_case(
        parse_cases([data], "table")[0], raw_nesting=raw_nesting, like_linux=like_linux
    )
    name, report = data["name"], outcome.report
    expected = data["report"]
    if name in OUTSIDE or (name in ONLY_RAW_NESTING and not raw_nesting):
        expected = None
    if (report.title if report is not None else None) != expected:
        return [f"{name}: expected {expected}, got {report.title if report else None}"]
    if report is None:
        return []
    wrong = []
    if outcome.step != reporting_step(data):
        wrong.append(f"{name}: expected step {reporting_step(data)}, got {outcome.step}")
    if report.linux_would_miss:
        wrong.append(f"{name}: said that Linux would miss it")
    # What the self-test table adds about usage and inversions; the demo cases do not.
    detail = data.get("report_detail", {})
    found: Data = {}
    if isinstance(report, InconsistentReport):
        found = {"usage": [report.old, report.new]}
    if isinstance(report, InversionReport):
        found = {"inversion": f"{'forwards' if report.forwards else 'backwards'}:{report.state}"}
    if detail and found != detail:
        wrong.append(f"{name}: expected {detail}, got {found}")
    return wrong


@pytest.mark.parametrize("like_linux", [False, True])
@pytest.mark.parametrize("raw_nesting", [False, True])
def test_self_test(raw_nesting: bool, like_linux: bool) -> None:
    table = json.loads((DATA / "lockdep" / "selftest.json").read_text(encoding="utf-8"))
    assert len(table) > 200
    wrong = [line for data in table for line in differences(data, raw_nesting, like_linux)]
    assert not wrong


@pytest.mark.parametrize("like_linux", [False, True])
def test_demo_cases(like_linux: bool) -> None:
    table = json.loads((DATA / "lockdep" / "demo_cases.json").read_text(encoding="utf-8"))
    wrong = []
    for data in table:
        if data["name"] == "bfs_mark_false_negative" and not like_linux:
            report = replay_case(parse_cases([data], "table")[0]).report
            assert report is not None and report.kind == "circular"
            assert report.linux_would_miss and "Linux" in report.note
        else:
            wrong += differences(data, False, like_linux)
    assert not wrong


# The kinds of rows that the table has for one lock type, for the others; what must come out is the
# rule of recursive reading in lib/locking-selftest.c: only recursive readers are excused.
ORDER_BODIES = {
    "AA": "X1 X2",
    "ABBA": "A B, B A",
    "ABBCCA": "A B, B C, C A",
    "ABCABC": "A B, C A, B C",
    "ABBCCDDA": "A B, B C, C D, D A",
    "ABCDBDDA": "A B, C D, B D, D A",
    "ABCDBCDA": "A B, C D, B C, D A",
}


@pytest.mark.parametrize("mode", ["W", "r", "R"])
@pytest.mark.parametrize("row", ORDER_BODIES)
def test_order_rows(row: str, mode: str) -> None:
    locks: dict[str, Data] = {}
    sequence = []
    for body in ORDER_BODIES[row].split(", "):
        names = body.split()
        for name in names:
            locks[name] = {"class_key": name.rstrip("12"), "wait_inner": "SLEEP"}
        sequence += [["acquire", name, mode] for name in names]
        sequence += [["release", name] for name in reversed(names)]
    case = parse_cases([{"name": row, "locks": locks, "sequence": sequence}], "rows")[0]
    outcome = replay_case(case)
    if mode == "R":
        assert outcome.report is None
        return
    assert outcome.report is not None
    assert outcome.report.kind == ("recursive" if row == "AA" else "circular")
    # The last acquire, and not one before.
    assert outcome.step == max(i for i, step in enumerate(sequence) if step[0] == "acquire")


WW_SETUP: list[list[str]] = [["ww_acquire_init", "t"], ["acquire", "t", "W"]]
WW_LOCK_O = [["ww_lock", "o", "ctx=t"], ["acquire", "o", "W:nest=t"], ["ww_ret", "o", "0"]]
CONTENDED_O2 = [["acquire", "o2", "W"], ["release", "o2"]]
KILLED_BY_O2 = [
    ["ww_lock", "o2", "ctx=t"],
    ["acquire", "o2", "W:nest=t"],
    ["release", "o2"],
    ["ww_ret", "o2", "-EDEADLK"],
]
FREE_O2 = [["acquire", "o2", "W:try"], ["release", "o2"]]
UNLOCK_O = [["ww_unlock", "o"], ["release", "o"]]
SLOW_O2 = [["ww_lock_slow", "o2", "ctx=t"], ["acquire", "o2", "W:nest=t"]]
SLOW_O3 = [["ww_lock_slow", "o3", "ctx=t"], ["acquire", "o3", "W:nest=t"]]


@pytest.mark.parametrize(
    ("sequence", "condition", "step"),
    [
        ([*WW_SETUP, ["ww_acquire_done", "t"], *WW_LOCK_O], "ww_ctx->done_acquire", 4),
        ([*CONTENDED_O2, *WW_SETUP, *WW_LOCK_O, *KILLED_BY_O2, *SLOW_O3],
         "ww_ctx->contending_lock != ww", 12),
        ([*CONTENDED_O2, *WW_SETUP, *WW_LOCK_O, *KILLED_BY_O2, *FREE_O2, *SLOW_O2],
         "ww_ctx->acquired > 0", 14),
        ([*CONTENDED_O2, *WW_SETUP, *WW_LOCK_O, *KILLED_BY_O2, *FREE_O2, *UNLOCK_O, *SLOW_O2],
         None, None),
        ([*WW_SETUP, ["ww_lock_slow", "o", "ctx=t"]], "!ctx->contending_lock", 2),
    ],
    ids=["lock_after_done", "acquire_wrong_slow", "no_unlock_slow", "normal_slow", "unneeded_slow"],
)  # fmt: skip
def test_ww_assertions(sequence: list[list[str]], condition: str | None, step: int | None) -> None:
    locks: dict[str, Data] = {"t": {"class_key": "ww.acquire_key"}}
    for name in ("o", "o2", "o3"):
        locks[name] = {"class_key": "ww.mutex_key", "wait_inner": "SLEEP"}
    case = parse_cases([{"name": "ww", "locks": locks, "sequence": sequence}], "ww")[0]
    outcome = replay_case(case)
    title = f"DEBUG_LOCKS_WARN_ON({condition})" if condition is not None else None
    assert (outcome.report.title if outcome.report else None, outcome.step) == (title, step)
