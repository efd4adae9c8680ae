# SPDX-License-Identifier: Apache-2.0
"""``no_livelock`` against Spin's non-progress cycles under weak fairness, on models written in both."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from livelock_models import MODELS, Model

from quiesce.compiler.program import compile_scenario
from quiesce.explorer.reference.checker import Options, check_reference
from quiesce.verdict import Verdict


def ours(model: Model) -> bool:
    options = Options(keep_going=True, fairness="weak")
    result = check_reference(compile_scenario(model.scenario()), options)
    assert result.complete
    return result.property("no_livelock").verdict is Verdict.VIOLATION


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)
def test_ours(model: Model) -> None:
    assert ours(model) == model.livelock


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)
def test_spins(model: Model, tmp_path: Path) -> None:
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed on this machine")
    (tmp_path / "model.pml").write_text(model.promela, encoding="utf-8")

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("spin", "-a", "model.pml")
    run("gcc", "-O1", "-w", "-DNP", "-DNOREDUCE", "-o", "pan", "pan.c")
    report = run("./pan", "-l", "-f", "-m100000")
    assert "max search depth too small" not in report
    errors = re.search(r"errors: (\d+)", report)
    assert errors, report
    assert (errors[1] != "0") == model.livelock, report
