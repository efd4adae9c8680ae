# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm run``: what it measures, and that what the threads did is checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quiesce.cli import main
from quiesce.kvm.real.trace_read import read_trace


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["kvm", "run", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_source_on_threads_is_measured_and_its_trace_checked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "trace"
    words = [
        "--design",
        "phased",
        "--set",
        "unrelated=zap",
        "--seconds",
        "1.5",
        "--trace",
        str(file),
    ]
    code, data = run(capsys, *words)
    assert code in (0, 3)
    assert data["invalidations"] > 0
    assert data["updates"] == sum(data["update_ms"]["histogram"]) > 0
    assert data["related_per_second"] > 0
    assert data["unrelated_per_second"] > 0
    assert data["trace"]["allowed"]
    assert len(read_trace(file.read_text("utf-8"), "t").events) == data["trace"]["events"] > 0
    assert main(["kvm", "trace", "check", "--design", "phased", str(file)]) == 0


@pytest.mark.parametrize("design", ["always_lock", "count", "phased"])
def test_the_native_twin_of_a_safe_design_holds(
    design: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("numba", reason="the native gates need numba")
    code, data = run(capsys, "--design", design, "--native", "--seconds", "1.5", "--hold", "20")
    assert (code, data["verdict"], data["broken"], data["deadlock"]) == (0, "holds", [], [])
    assert data["invalidations_per_second"] > 0
    assert data["trace"]["allowed"]
    assert 0 < data["vcpus"]["held"] < 1
    assert data["related_per_second"] > 0
    assert data["unrelated_per_second"] > 0


def test_the_native_twin_of_the_semaphore_deadlocks_and_says_who(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("numba", reason="the native gates need numba")
    for _ in range(10):
        code, data = run(capsys, "--design", "rwsem", "--native", "--seconds", "1")
        if data["deadlock"]:
            break
    assert (code, data["verdict"]) == (1, "violation")
    assert "updater/0" in data["deadlock"]


@pytest.mark.parametrize(
    "words",
    [
        ["--design", "none"],
        ["--design", "none", "--native"],
        ["--design", "count", "--native", "--set", "notifiers=3"],
        ["--design", "count", "--native", "--notifiers", "0"],
        ["--design", "count", "--native", "--notifiers", "9999"],
        ["--design", "count", "--native", "--vcpus", "-1"],
        ["--design", "count", "--native", "--hold", "0"],
        ["--design", "count", "--native", "--related", "1.5"],
        ["--design", "count", "--native", "--nested", "nan"],
        ["--design", "count", "--set", "notifiers=none"],
        ["--design", "count", "--trace", "/no/such/directory/file"],
    ],
)
def test_a_wrong_request_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kvm", "run", *words]) == 2
    assert "quiesce: " in capsys.readouterr().err
