# SPDX-License-Identifier: Apache-2.0
"""``docs/walks.md`` tells how a command gets to its answer: each function is called, in that order."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import ROOT

CALLS = """
import pathlib, sys
import quiesce
from quiesce.cli import main
base = str(pathlib.Path(quiesce.__file__).parent) + "/"
seen = {}
def note(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(base):
        seen.setdefault((code.co_filename[len(base):], code.co_qualname))
sys.setprofile(note)
try:
    main(sys.argv[1:])
finally:
    sys.setprofile(None)
for file, name in seen:
    print(file, name, file=sys.stderr)
"""

WALKS = re.findall(
    r"^`quiesce (.+)`\n\n((?:\d+\. .*\n)+)",
    (ROOT / "docs" / "walks.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("command", "steps"), WALKS, ids=[c.split()[0] for c, _ in WALKS])
def test_each_function_is_called_in_this_order(command: str, steps: str) -> None:
    told = re.findall(r"^\d+\. `(\S+)` `(\S+)`: ", steps, re.MULTILINE)
    assert len(told) == len(steps.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", CALLS, *command.split(), "--quiet"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    called = [tuple(line.split(" ", 1)) for line in done.stderr.splitlines()]
    assert [step for step in told if step not in called] == []
    places = [called.index(step) for step in told]
    assert places == sorted(places), [
        f"{before} comes after {after}"
        for before, after, a, b in zip(told, told[1:], places, places[1:], strict=False)
        if a > b
    ]


def test_both_walks_are_there() -> None:
    assert [command.split()[0] for command, _ in WALKS] == ["check", "explain"]
