# SPDX-License-Identifier: Apache-2.0
"""``quiesce doctor`` says what is there, ``quiesce examples`` hands out what comes with the package."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

from quiesce.cli import main
from quiesce.commands import doctor
from quiesce.commands.examples import example_files, examples_folder, subject


def test_doctor_names_each_part_with_its_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    parts = {part["name"]: part for part in data["parts"]}
    assert {"numba", "numpy", "spin", "/dev/kvm", "kprobes"} <= parts.keys()
    assert parts["pytest"]["there"] and parts["pytest"]["found"] == pytest.__version__
    for part in parts.values():
        assert part["purpose"] and part["found"]
        assert bool(part["cure"]) == (not part["there"]), (
            "a cure where it is missing, and only there"
        )


def test_doctor_says_how_to_get_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(doctor, "TRACEFS", ())
    monkeypatch.setattr(doctor, "PACKAGES", (("no-such-package", "nothing", "no-such-package"),))

    def refused(device: str) -> int:
        raise PermissionError(device)

    monkeypatch.setattr(doctor, "_api_version", refused)
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "help: pip install 'no-such-package'" in text
    assert "spin             no   not in PATH" in text
    assert "may not be opened by this user" in text


def test_each_example_says_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    folder = examples_folder()
    files = list(example_files(folder))
    assert {path.name for path in files} >= {"rwsem_gate.py", "count_gate.py", "circular.json"}
    assert all(subject(path) for path in files)
    assert main(["examples"]) == 0
    text = capsys.readouterr().out
    assert all(str(path.relative_to(folder)) in text for path in files)


def test_examples_are_copied_and_can_be_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "folder"
    assert main(["examples", str(target)]) == 0
    for path in example_files(examples_folder()):
        copy = target / path.relative_to(examples_folder())
        assert copy.read_bytes() == path.read_bytes()
    assert main(["check", str(target / "rwsem_gate.py"), "--quiet"]) == 1
    capsys.readouterr()


def test_no_file_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "rwsem_gate.py"
    mine.write_text("mine", encoding="utf-8")
    assert main(["examples", str(tmp_path)]) == 2
    assert "exists already; no file was copied" in capsys.readouterr().err
    assert mine.read_text(encoding="utf-8") == "mine"
    assert list(tmp_path.iterdir()) == [mine]


def test_a_directory_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["examples", str(tmp_path / "file" / "below")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_wheel_has_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hatchling.build import build_wheel

    monkeypatch.chdir(ROOT)
    wheel = build_wheel(str(tmp_path))
    names = set(zipfile.ZipFile(tmp_path / wheel).namelist())
    for path in example_files(ROOT / "examples"):
        assert f"quiesce/_examples/{path.relative_to(ROOT / 'examples')}" in names
    assert "quiesce/py.typed" in names
    assert not [name for name in names if "tests/" in name or "__pycache__" in name]
