# SPDX-License-Identifier: Apache-2.0
"""``quiesce check`` without FILE checks what pyproject.toml lists."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT

from quiesce.cli import main

LISTED = """
[[tool.quiesce.scenarios]]
target = "locks/rwsem_gate.py"
expect = { no_deadlock = "violated" }

[[tool.quiesce.scenarios]]
target = "locks/count_gate.py:Updates"
set = { notifiers = 2 }
expect = { no_starvation = "violated", update_finishes = "violated" }
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return ``write(text)``, which makes a project with that pyproject.toml, the current directory."""
    folder = tmp_path / "locks"
    folder.mkdir()
    for name in ("rwsem_gate.py", "count_gate.py"):
        shutil.copy(ROOT / "examples" / name, folder)
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_every_scenario_as_expected(
    project: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    project(LISTED)
    assert main(["check", "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "2 of 2 as they should be" in text
    assert "locks/count_gate.py:Updates notifiers=2" in text
    assert main(["check", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)["scenarios"]
    assert [one["target"] for one in found] == [
        "locks/rwsem_gate.py",
        "locks/count_gate.py:Updates",
    ]
    assert [one["as_expected"] for one in found] == [True, True]
    assert [one["unexpected"] for one in found] == [[], []]


def test_found_from_a_folder_below(
    project: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project(LISTED) / "locks")
    assert main(["check", "--quiet"]) == 0
    assert "  rwsem_gate.py " in capsys.readouterr().out


def test_what_is_not_expected_is_told_with_the_command_that_shows_it(
    project: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    project(LISTED.replace('"violated" }\n\n', '"holds" }\n\n'))
    assert main(["check", "--quiet"]) == 1
    text = capsys.readouterr().out
    assert "1 of 2 as they should be" in text
    assert "no_deadlock: deadlock: no thread can run" in text
    (command,) = [line[7:] for line in text.splitlines() if line.startswith("  see: ")]
    assert main([*command.split()[1:], "--quiet"]) == 1


def test_a_violation_that_is_missing(
    project: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    project(LISTED.replace('no_starvation = "violated"', 'no_livelock = "violated"'))
    assert main(["check", "--quiet"]) == 1
    assert "no_livelock: expected to be violated, and holds" in capsys.readouterr().out


def test_without_expectations_everything_must_hold(
    project: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    project('[[tool.quiesce.scenarios]]\ntarget = "locks/rwsem_gate.py"\n')
    assert main(["check", "--quiet"]) == 1
    assert "0 of 1 as it should be" in capsys.readouterr().out


def test_a_bound_is_not_decided(
    project: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    project(LISTED)
    assert main(["check", "--quiet", "--max-states", "3"]) == 3
    assert "not the whole space" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lists no scenarios"),
        ("[tool.quiesce]\nscenarios = []\n", "lists no scenarios"),
        ("[tool]\nquiesce = 3\n", "lists no scenarios"),
        ("[tool.quiesce]\nscenarios = [3]\n", "scenario 1 is not a table"),
        ("[[tool.quiesce.scenarios]]\nfile = 'x'\n", "there is no key `file`"),
        ("[[tool.quiesce.scenarios]]\ntarget = 5\n", "`target` must be a string"),
        ("[[tool.quiesce.scenarios]]\ntarget = 'x'\nset = 5\n", "`set` must be a table"),
        ("[[tool.quiesce.scenarios]]\ntarget = 'x'\nset = {a = []}\n", "`set.a` must be"),
        ("[[tool.quiesce.scenarios]]\ntarget = 'x'\nonly = 'a'\n", "`only` must be a list"),
        ("[[tool.quiesce.scenarios]]\ntarget = 'nowhere.py'\n", "nowhere.py"),
        ("[[tool.quiesce", "cannot be read"),
    ],
)
def test_a_wrong_list_is_refused(
    project: Callable[[str], Path], capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    project(text)
    assert main(["check"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and said in shown.err and "Traceback" not in shown.err


def test_no_project_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 2
    assert "FILE is missing" in capsys.readouterr().err


def test_options_about_one_scenario_need_its_name(
    project: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    project(LISTED)
    assert main(["check", "--set", "notifiers=3"]) == 2
    assert "--set is about one scenario" in capsys.readouterr().err
