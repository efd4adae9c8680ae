# SPDX-License-Identifier: Apache-2.0
"""Counterexamples of the explorer on real threads: what was found in the model happens there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quiesce.cli import main


def followed(
    design: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *settings: str
) -> tuple[int, dict[str, Any]]:
    """Check a design, and let threads follow its counterexample."""
    options = [word for setting in settings for word in ("--set", setting)]
    assert main(["kvm", "check", "--design", design, "--json", *options]) == 1
    file = tmp_path / "check.json"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    code = main(["kvm", "run", "--design", design, "--follow", str(file), "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def test_the_unbalanced_count_of_eliding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, data = followed("elide_unguarded", tmp_path, capsys)
    assert (code, data["follow"]["complete"]) == (1, True)
    # Which comes first is up to the threads: the count is looked at, or lowered below 0.
    assert data["findings"][0]["kind"] in ("broken invariant", "out of range")


def test_the_deadlock_of_the_semaphore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, data = followed("rwsem", tmp_path, capsys)
    assert (code, data["follow"]["complete"]) == (1, True)
    assert data["findings"][0]["kind"] == "deadlock"


def test_the_starvation_of_the_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, data = followed("count", tmp_path, capsys)
    assert (code, data["follow"]["complete"], data["follow"]["starved"]) == (1, True, True)
    assert data["follow"]["updates_published_in_loop"] == 0
    assert data["follow"]["events"] > 100


def test_a_safe_design_does_not_follow_the_path_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["kvm", "check", "--design", "elide_unguarded", "--json"])
    file = tmp_path / "check.json"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["kvm", "run", "--design", "count", "--follow", str(file), "--json"]) == 3
    data = json.loads(capsys.readouterr().out)
    assert not data["follow"]["complete"]
    assert data["follow"]["followed"] < data["follow"]["events"]


def test_what_cannot_be_followed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "events"
    file.write_text("# quiesce trace 1\n1 nobody/7 0 start\n", encoding="utf-8")
    assert main(["kvm", "run", "--design", "count", "--follow", str(file)]) == 2
    assert "has no thread nobody/7" in capsys.readouterr().err
    assert main(["kvm", "run", "--design", "count", "--follow", str(tmp_path / "none")]) == 2
    assert main(["kvm", "run", "--design", "count", "--native", "--follow", str(file)]) == 2
