# SPDX-License-Identifier: Apache-2.0
"""Programs of tests/data/watch, run in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "data" / "watch"


def run_python(*args: str, cwd: Path = PROGRAMS, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python with *args* on this source tree."""
    return subprocess.run(
        [sys.executable, *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def quiesce_watch(*args: str, cwd: Path = PROGRAMS) -> subprocess.CompletedProcess[str]:
    """Run ``quiesce watch`` with *args*."""
    return run_python("-m", "quiesce", "watch", *args, cwd=cwd)


def reports_of(program: str) -> dict[str, str]:
    """Run a program that uses ``h.py``; return what it prints of each schedule, by name."""
    done = run_python(program)
    lines = (line.strip().partition(": ") for line in done.stdout.splitlines() if ": " in line)
    found = {name: rest for name, _, rest in lines}
    assert found, done.stderr
    return found
