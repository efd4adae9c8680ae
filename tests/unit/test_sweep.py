# SPDX-License-Identifier: Apache-2.0
"""``--set n=1..3``: several runs, one table, through whichever executor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quiesce.cli import main

SOURCE = '''
from quiesce.protocol import *


class Turns(Scenario):
    """Threads that count up to a limit; too many of them exceed it."""

    count = Int(0, high=9)

    def __init__(self, n: int = 1, limit: int = 2, names: str = "a,b") -> None:
        if n < 1:
            raise ValueError("n must be at least 1")
        self.n, self.limit, self.names = n, limit, names

    @atomic
    def step(self) -> None:
        self.count += 1

    @thread(count="n")
    def worker(self) -> None:
        self.step()

    @always
    def few(self) -> bool:
        return self.count <= self.limit
'''


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "turns.py"
    path.write_text(SOURCE, encoding="utf-8")
    return str(path)


def table(text: str) -> list[list[str]]:
    """Return the words of the table's rows."""
    lines = text.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("-"))
    return [line.split() for line in lines[start + 1 :] if line]


def test_a_range_is_one_table(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", file, "--set", "n=1..4", "--quiet"]) == 1
    rows = table(capsys.readouterr().out)
    assert [row[:2] for row in rows] == [
        ["1", "holds"], ["2", "holds"], ["3", "violation"], ["4", "violation"],
    ]  # fmt: skip
    assert [row[-1] == "few" for row in rows] == [False, False, True, True]


def test_all_hold(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", file, "--set", "n=1,2", "--quiet"]) == 0
    assert len(table(capsys.readouterr().out)) == 2


def test_each_with_each(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", file, "--set", "n=2..3", "--set", "limit=1,3", "--quiet"]) == 1
    rows = table(capsys.readouterr().out)
    assert [row[:3] for row in rows] == [
        ["2", "1", "violation"], ["2", "3", "holds"], ["3", "1", "violation"], ["3", "3", "holds"],
    ]  # fmt: skip


def test_a_bound_makes_a_run_undecided(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", file, "--set", "n=1..2", "--max-states", "2", "--quiet"]) == 3
    out = capsys.readouterr().out
    assert "2: the bound of 2 states was hit" in out


@pytest.mark.parametrize("executor", ["ThreadPoolExecutor", "ProcessPoolExecutor"])
def test_executors(file: str, executor: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["check", file, "--set", "n=1..3", "--json", "--executor"]
    assert main([*args, f"concurrent.futures:{executor}"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["over"]) == (1, ["n"])
    assert [run["settings"] for run in found["runs"]] == [{"n": "1"}, {"n": "2"}, {"n": "3"}]
    assert [run["verdict"] for run in found["runs"]] == ["holds", "holds", "violation"]
    assert main(["replay", found["runs"][2]["replay"]]) == 1


def test_a_token_repeats_one_run(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", file, "--set", "n=3..4", "--json"]) == 1
    tokens = [run["replay"] for run in json.loads(capsys.readouterr().out)["runs"]]
    assert len(set(tokens)) == 2


def test_texts_keep_their_commas(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", file, "--set", "names=x,y", "--quiet"]) == 0
    assert "names" not in capsys.readouterr().out


def test_the_designs_of_kvm(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["kvm", "check", "--design", "always_lock", "--set", "vcpus=0,1", "--notifiers", "1"]
    assert main([*args, "--quiet"]) == 0
    rows = table(capsys.readouterr().out)
    assert [row[:3] for row in rows] == [
        ["always_lock", "0", "holds"], ["always_lock", "1", "holds"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--set", "n=0..2"], "n must be at least 1"),
        (["--set", "n=1..99"], "more than 50 runs"),
        (["--set", "n=3..1"], "no value"),
        (["--set", "n=1..2", "--lockdep"], "--lockdep is about one run"),
        (["--set", "n=1..2", "--executor", "nonsense"], "not MODULE:CALLABLE"),
        (["--set", "n=1..2", "--executor", "no_such_module:x"], "No module named"),
        (["--set", "n=1..2", "--executor", "builtins:dict"], "no `submit`"),
        (["--set", "n=2", "--executor", "concurrent.futures:ThreadPoolExecutor"], "one run"),
    ],
)
def test_what_is_refused(
    file: str, args: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", file, *args, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
