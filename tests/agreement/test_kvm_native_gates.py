# SPDX-License-Identifier: Apache-2.0
"""The native gates are the gates of the model: their traces are its runs, and their faults are its faults."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytest.importorskip("numba", reason="the native gates need numba")

from quiesce.kvm.real.native_gates import (
    DESIGNS,
    NativeResult,
    Threads,
    compile_kernels,
    run_native,
)
from quiesce.kvm.real.trace_check import check_trace
from quiesce.kvm.real.trace_events import events_text
from quiesce.kvm.real.trace_read import read_trace

SAFE = ("always_lock", "count", "phased")


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    compile_kernels()


def run(design: str, seconds: float = 0.7, **how: Any) -> NativeResult:
    return run_native(Threads(design, **how), time.monotonic() + seconds)


@pytest.mark.parametrize("design", DESIGNS)
def test_what_a_gate_does_is_a_run_of_its_model(design: str) -> None:
    how: dict[str, Any] = {"notifiers": 2, "related": 0.5, "work": "dontneed", "pause_us": 20}
    if design != "rwsem":
        how["nested"] = 0.1  # rwsem deadlocks with it: see below
    updates = 0
    for _ in range(6):
        result = run(design, log_events=60_000, **how)
        assert result.trace is not None
        trace = read_trace(events_text(result.trace.events), "native")
        checked = check_trace(trace)
        assert checked.allowed(design), checked.refused[design]
        assert checked.invalidations > 200
        updates += checked.updates
        if updates > 3:
            break
    assert updates > 0  # count starves: that there are few is its fault, not the test's


@pytest.mark.parametrize("design", SAFE)
@pytest.mark.parametrize("notifiers", [2, 8])
def test_no_invariant_fails_on_a_safe_design(design: str, notifiers: int) -> None:
    result = run(design, notifiers=notifiers, vcpus=2, related=0.5, nested=0.1, hold_us=5)
    assert result.broken == []
    assert result.deadlock == []
    assert result.invalidations > 1_000
    assert result.updates > 0


def test_eliding_without_a_gate_is_caught() -> None:
    # Which of its faults comes first is up to the scheduler; that one comes is not, for long.
    for _ in range(20):
        result = run("elide_unguarded", notifiers=3, related=0.5, work="dontneed", pause_us=5)
        if result.broken:
            break
    assert any("mmu_lock" in text or "in_progress" in text for text, _times in result.broken)


def test_a_nested_invalidation_under_the_semaphore_is_a_deadlock() -> None:
    for _ in range(20):
        result = run("rwsem", notifiers=3, nested=0.3, work="dontneed", pause_us=5)
        if result.deadlock:
            break
    assert "updater/0" in result.deadlock
    assert any(name.startswith("notifier") for name in result.deadlock)
    assert result.broken == []


def test_without_nesting_the_semaphore_holds() -> None:
    result = run("rwsem", notifiers=3, related=0.5, vcpus=1, pause_us=20)
    assert (result.deadlock, result.broken) == ([], [])
    assert result.updates > 0


def test_threads_stop_at_their_deadline() -> None:
    began = time.monotonic()
    run("phased", seconds=0.3, notifiers=8, work="mremap")
    assert time.monotonic() - began < 2
