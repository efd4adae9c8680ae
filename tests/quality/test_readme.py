# SPDX-License-Identifier: Apache-2.0
"""The commands of the README and of the tutorial print what they show: `...` stands for what is left out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from conftest import ROOT

from quiesce.cli import main


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each `$ quiesce ...` of a console block that shows output, with that output."""
    texts = [
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/tutorial.md")
    ]
    for block in re.findall(r"```console\n(.*?)```", "\n".join(texts), re.DOTALL):
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
        r"(?:.*\n)*?"
        if line == "..."
        else re.escape(line).replace(re.escape(", ..."), ", .*") + r"\n"
        for line in expected
    )
    assert re.fullmatch(pattern, printed), f"{command} printed:\n{printed}"


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) >= 3


def test_the_code_of_the_tutorial_is_that_of_its_example() -> None:
    tutorial = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    example = (ROOT / "examples" / "transfer.py").read_text(encoding="utf-8").splitlines()
    blocks = re.findall(r"```python\n(.*?)```", tutorial, re.DOTALL)
    assert len(blocks) >= 4
    # The first form of `transfer()` is the one that the example repairs.
    first = ["with self.accounts[source].lock:", "with self.accounts[target].lock:",
             "self.accounts[source].balance -= 1", "self.accounts[target].balance += 1"]  # fmt: skip
    known = {line.strip() for line in example} | set(first)
    unknown = [line for block in blocks for line in block.splitlines() if line.strip() not in known]
    assert unknown == []
