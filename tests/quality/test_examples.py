# SPDX-License-Identifier: Apache-2.0
"""Every example runs by the command that is printed in it, through the command line, as expected."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMMANDS = [
    (path.relative_to(ROOT).as_posix(), command)
    for path in sorted((ROOT / "examples").rglob("*.py"))
    for command in re.findall(
        r"^ *quiesce (\w+ examples/.+)$", path.read_text(encoding="utf-8"), re.MULTILINE
    )
]


def test_every_textbook_example_prints_its_command() -> None:
    files = {path for path, _ in COMMANDS}
    scenarios = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "examples" / "textbook").glob("*.py"))
        if path.stem not in ("__init__", "numbered", "instances")
    ]
    assert len(scenarios) >= 11
    assert set(scenarios) <= files


@pytest.mark.parametrize(("file", "command"), COMMANDS)
def test_an_example_runs_by_the_command_that_is_printed_in_it(file: str, command: str) -> None:
    # -P: as with the installed command, the current directory is not where imports are looked for.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "quiesce", *shlex.split(command)],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    assert file in command
    assert done.returncode == 0, done.stdout + done.stderr
