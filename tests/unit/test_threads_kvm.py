# SPDX-License-Identifier: Apache-2.0
"""Real threads: the five designs of the memslot gate, the very classes that are checked."""

from __future__ import annotations

import pytest

from quiesce.kvm.scenarios import OPERATIONS, MemslotUpdates
from quiesce.threads import run

SAFE = ("always_lock", "count", "phased")


@pytest.mark.parametrize("design", SAFE)
def test_a_safe_design_runs_without_a_finding(design: str) -> None:
    result = run(MemslotUpdates(design=design), 0.4)
    assert result.findings == ()
    assert all(role.steps > 10 for role in result.roles)


@pytest.mark.parametrize("operations", ["zap", ",".join(OPERATIONS)])
@pytest.mark.parametrize("notifiers", [8, 40])
@pytest.mark.parametrize("design", SAFE)
def test_a_safe_design_raises_no_alarm_in_a_crowd(
    design: str, notifiers: int, operations: str
) -> None:
    scenario = MemslotUpdates(
        design, notifiers=notifiers, operations=operations, unrelated=operations,
        changes="delete,move,flags", updaters=2, pages=2, spaces=2, other_may_fail=True,
    )  # fmt: skip
    assert run(scenario, 0.4).findings == ()


def test_the_fair_rwsem_hangs() -> None:
    (finding,) = run(MemslotUpdates(design="rwsem"), 20.0, patience=0.3).findings
    # The vCPU goes on, or wants mmap_lock and hangs as well.
    assert finding.kind in ("stuck thread", "deadlock")
    waiting = [report for report in finding.threads if report.doing == "waits"]
    assert "updater/0" in [report.name for report in waiting]
    assert {report.lock for report in waiting} >= {"kvm.gate.mmu_notifier_slots_lock"}


def test_the_fair_rwsem_without_a_vcpu_is_a_deadlock() -> None:
    (finding,) = run(MemslotUpdates(design="rwsem", vcpus=0), 20.0).findings
    assert finding.kind == "deadlock"


def test_eliding_unguarded_is_caught() -> None:
    (finding,) = run(MemslotUpdates(design="elide_unguarded"), 20.0).findings
    assert finding.kind in ("broken invariant", "out of range", "failed assert")
