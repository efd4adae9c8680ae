# SPDX-License-Identifier: Apache-2.0
"""The README's commands print what it shows: `...` stands for lines left out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from conftest import ROOT

from quiesce.cli import main


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each `$ quiesce ...` of a console block that shows output, with that output."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        command, output = "", list[str]()
        for line in [*block.splitlines(), "$ "]:
            if line.startswith("$ "):
                if command.startswith("quiesce ") and output:
                    yield command, output
                command, output = line[2:], []
            else:
                output.append(line)


COMMANDS = list(shown_commands())


@pytest.mark.parametrize(("command", "expected"), COMMANDS, ids=[c for c, _ in COMMANDS])
def test_command_prints_what_the_readme_shows(
    command: str,
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    main(shlex.split(command)[1:])
    printed = capsys.readouterr().out
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in expected
    )
    assert re.fullmatch(pattern, printed), f"{command} printed:\n{printed}"


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) >= 3
