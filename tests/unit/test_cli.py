# SPDX-License-Identifier: Apache-2.0
"""The command line: exit codes, output for people and for programs, and no traceback whatever is asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quiesce.cli import main

PROTOCOLS = Path(__file__).parents[1] / "support" / "protocols"

Ran = tuple[int, str, str]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Return a function that runs a command line in a folder with ``two_users.py`` in it."""
    monkeypatch.chdir(tmp_path)
    text = (PROTOCOLS / "two_users.py").read_text(encoding="utf-8")
    (tmp_path / "two_users.py").write_text(text, encoding="utf-8")

    def command(*argv: str) -> Ran:
        capsys.readouterr()
        try:
            code = main(argv)
        except SystemExit as leaving:  # argparse's way
            code = int(leaving.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err + out
        return code, out, err

    return command


TARGET = "two_users.py:TwoUsers"


def without_times(text: str) -> str:
    """Take away what differs from run to run: times, and the token, which is a digest of the source."""
    text = re.sub(r"\d+\.\d\d s", "0.00 s", text)
    return re.sub(r"q1-[\w-]+", "q1-TOKEN", text)


# --- Exit codes and output ----------------------------------------------------------------------------


def test_holds(run: Callable[..., Ran], golden: Callable[[str, str], None]) -> None:
    code, out, err = run("check", TARGET)
    assert (code, err) == (0, "")
    golden("explorer/holds.txt", without_times(out))


def test_violation(run: Callable[..., Ran], golden: Callable[[str, str], None]) -> None:
    code, out, err = run("check", TARGET, "--set", "order=crossed")
    assert (code, err) == (1, "")
    golden("explorer/violation.txt", without_times(out))


def test_every_property_with_all(
    run: Callable[..., Ran], golden: Callable[[str, str], None]
) -> None:
    code, out, _ = run("check", TARGET, "--set", "order=crossed", "--set", "limit=1", "--all")
    assert code == 1
    golden("explorer/all.txt", without_times(out))


@pytest.mark.parametrize("explorer", ["auto", "reference"])
def test_incomplete(explorer: str, run: Callable[..., Ran]) -> None:
    code, out, _ = run("check", TARGET, "--max-states", "5", "--explorer", explorer)
    assert code == 3
    assert out.startswith("INCOMPLETE")
    assert "the bound of 5 states was hit" in out


def test_show_steps(run: Callable[..., Ran], golden: Callable[[str, str], None]) -> None:
    code, out, _ = run("check", TARGET, "--show-steps")
    assert code == 0
    own = out[out.index("two_users.py") :]
    golden("explorer/show-steps.txt", own)
    code, unfused, _ = run("check", TARGET, "--show-steps", "--no-fusion")
    assert code == 0
    assert "ride along" in out
    assert "ride along" not in unfused


def test_replay(run: Callable[..., Ran], golden: Callable[[str, str], None]) -> None:
    _, out, _ = run("check", TARGET, "--set", "order=crossed", "--json")
    token = json.loads(out)["replay"]
    code, out, _ = run("replay", token)
    assert code == 1
    golden("explorer/replay.txt", out)
    code, out, _ = run("replay", token, "--json")
    assert code == 1
    assert json.loads(out)["counterexample"]["kind"] == "deadlock"
    Path("two_users.py").write_text(Path("two_users.py").read_text() + "# changed\n")
    code, out, _ = run("replay", token)
    assert code == 1
    assert "has changed since" in out and "the same finding" in out


# --- JSON -----------------------------------------------------------------------------------------------

KEYS = {
    "schema", "scenario", "design", "verdict", "properties", "states", "transitions", "depth", "seconds",
    "complete", "counterexample", "replay",
}  # fmt: skip


def data_of(run: Callable[..., Ran], *argv: str) -> tuple[int, dict[str, Any]]:
    code, out, err = run("check", TARGET, "--json", *argv)
    assert err == ""
    assert out.count("\n") == 1
    return code, json.loads(out)


def test_json_of_what_holds(run: Callable[..., Ran]) -> None:
    code, data = data_of(run)
    assert code == 0
    assert data.keys() >= KEYS
    assert (data["schema"], data["verdict"], data["complete"]) == (1, "holds", True)
    assert (data["scenario"], data["design"]) == ("TwoUsers", None)
    assert data["counterexample"] is None and data["replay"] is None
    names = {p["name"]: p for p in data["properties"]}
    assert {"no_deadlock", "no_data_race", "no_starvation", "below_limit"} <= names.keys()
    for prop in data["properties"]:
        assert prop.keys() >= {"name", "kind", "verdict", "informational"}
    assert data["states"] > 0 < data["transitions"]


def test_json_of_a_violation(run: Callable[..., Ran]) -> None:
    code, data = data_of(run, "--set", "order=crossed")
    assert (code, data["verdict"]) == (1, "violation")
    example = data["counterexample"]
    assert example["kind"] == "deadlock" and example["loop_start"] is None
    for step in example["steps"]:
        assert step.keys() >= {"thread", "action", "file", "line", "state"}
        assert step["file"] == "two_users.py"
    assert {w["lock"] for w in example["waiting"]} == {"&counter->lock", "&counter->other"}


def test_json_of_what_is_incomplete(run: Callable[..., Ran]) -> None:
    code, data = data_of(run, "--max-states", "4")
    assert (code, data["verdict"], data["complete"]) == (3, "incomplete", False)
    assert {p["verdict"] for p in data["properties"]} == {"incomplete"}


def test_json_is_the_same_every_time(run: Callable[..., Ran]) -> None:
    def once() -> dict[str, Any]:
        _, data = data_of(run, "--set", "order=crossed", "--all")
        del data["seconds"]
        return data

    assert once() == once()


# --- What is wrong with a request -------------------------------------------------------------------------

WRONG: list[tuple[list[str], str]] = [
    (["check", "nowhere.py"], "there is no file nowhere.py"),
    (["check", "."], "there is no file ."),
    (["check", ""], "there is no file"),
    (["check", "two_users.py:Nobody"], "has no scenario Nobody"),
    (["check", "two_users.py:Counter"], "has no scenario Counter"),
    (["check", "two_users.py"], "two_users.py:TwoUsers or two_users.py:Quiet"),
    (["check", "two_users.py:"], "there is no file two_users.py:"),
    (["check", TARGET, "--set", "rounds"], "there is no `=`"),
    (["check", TARGET, "--set", "turns=1"], "its parameters: rounds, order, limit, label, note"),
    (["check", TARGET, "--set", "rounds=many"], "this needs a whole number"),
    (["check", TARGET, "--set", "rounds=²"], "this needs a whole number"),
    (["check", TARGET, "--set", "rounds="], "this needs a whole number"),
    (
        ["check", TARGET, "--set", "rounds=-1"],
        "rounds is negative",
    ),
    (["check", TARGET, "--set", "order=other"], "there is no such Order"),
    (["check", TARGET, "--max-states", "0"], "0 is not a whole number from 1 to"),
    (["check", TARGET, "--max-states", "-3"], "-3 is not a whole number from 1 to"),
    (["check", TARGET, "--max-states", "²"], "² is not a whole number from 1 to"),
    (["check", TARGET, "--max-memory", "lots"], "is not an amount of memory"),
    (["check", TARGET, "--max-memory", ""], "is not an amount of memory"),
    (["check", TARGET, "--fairness", "none at all"], "invalid choice"),
    (["check", TARGET, "--html", "no/such/folder.html"], "cannot be written"),
    (["check"], "FILE is missing"),
    (["chekc", TARGET], "invalid choice"),
    (["replay", "q1-nonsense"], "not a complete replay token"),
    (["replay", ""], "not a complete replay token"),
    (["run", "nowhere.py"], "there is no file"),
    (["explain", "nowhere.log"], "nowhere.log"),
    (["lockdep", "replay", "nowhere.json"], "nowhere.json"),
    (["kvm", "check", "--design", "none"], "none"),
    (["kvm"], "required"),
    (["--no-such-option"], "unrecognized"),
]


@pytest.mark.parametrize(
    ("argv", "expected"), WRONG, ids=[" ".join(a) or "nothing" for a, _ in WRONG]
)
def test_a_wrong_request_is_exit_2(argv: list[str], expected: str, run: Callable[..., Ran]) -> None:
    code, out, err = run(*argv)
    assert code == 2, err
    assert out == ""
    assert expected in err


FILES: list[tuple[str, bytes, str]] = [
    ("syntax", b"class Example(:\n", "idea.py:1:15: error[python]: not valid Python: invalid syntax"),
    ("indent", b"if 1:\nx = 1\n", "error[python]"),
    ("not closed", b"x = (1,\n", "error[python]"),
    ("letters", b"x = '\xff\xfe'\n", "error[python]"),
    ("null", b"x = 1\x00\n", "idea.py"),
    ("import", b"\nimport no_such_module\n", "idea.py:2: ModuleNotFoundError"),
    ("wrong import", b"from quiesce.protocol import Nothing\n", "idea.py:1: ImportError"),
    ("raises", b"\n\n1 // 0\n", "idea.py:3: ZeroDivisionError"),
    ("leaves", b"import sys\nsys.exit(0)\n", "idea.py:2: SystemExit"),
    ("empty", b"", "idea.py defines no scenario"),
    ("no scenario", b"x = 1\n", "idea.py defines no scenario"),
    ("recursion", b"def f(): f()\nf()\n", "idea.py:1: RecursionError"),
    (
        "bad source",
        b"from quiesce.protocol import *\nclass E(Scenario):\n n = Int(0)\n"
        b" @thread()\n def t(self):\n  self.n /= 2\n",
        "idea.py:6:3: error[division]",
    ),
    (
        "no threads",
        b"from quiesce.protocol import *\nclass E(Scenario):\n n = Int(0)\n",
        "E has no threads",
    ),
    (
        "self is missing",
        b"from quiesce.protocol import *\nclass E(Scenario):\n @thread()\n def t(): pass\n",
        "has no parameter `self`",
    ),
    (
        "parameters of a thread",
        b"from quiesce.protocol import *\nclass E(Scenario):\n @thread()\n def t(self, n, m): pass\n",
        "the thread `t` takes `n`, `m`",
    ),
    (
        "needs a value",
        b"from quiesce.protocol import *\nclass E(Scenario):\n def __init__(self, n): pass\n",
        "E needs a value for n",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "expected"), FILES, ids=[f[0] for f in FILES])
def test_a_wrong_file_is_exit_2(
    name: str, text: bytes, expected: str, run: Callable[..., Ran]
) -> None:
    Path("idea.py").write_bytes(text)
    code, out, err = run("check", "idea.py")
    assert code == 2, err
    assert out == ""
    assert expected in err


def test_files_that_are_no_python(run: Callable[..., Ran]) -> None:
    Path("idea.txt").write_text("x = 1\n")
    code, _, err = run("check", "idea.txt")
    assert code == 2
    assert "name it with the ending .py" in err


def test_nothing_is_left_beside_the_file(run: Callable[..., Ran]) -> None:
    run("check", TARGET)
    assert sorted(p.name for p in Path().iterdir()) == ["two_users.py"]


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ("order=CROSSED", 1), ("order=same", 0), ("label=anything", 0), ("note=3", 0), ("limit=1", 1),
        ("rounds=2", 0), ("rounds=0", 1),
    ],
)  # fmt: skip
def test_settings(setting: str, code: int, run: Callable[..., Ran]) -> None:
    """``rounds=0`` makes ``somebody_entered`` vacuous, which is a violation."""
    assert run("check", TARGET, "--set", setting)[0] == code


def test_a_file_is_read_anew(run: Callable[..., Ran]) -> None:
    """Nothing of an earlier check in the same process is kept."""
    assert run("check", TARGET)[0] == 0
    text = Path("two_users.py").read_text()
    Path("two_users.py").write_text(
        text.replace("with self.lock, self.other", "if self.users >= 0")
    )
    code, out, _ = run("check", TARGET)
    assert code == 1
    assert "if self.users >= 0" in text.replace("with self.lock, self.other", "if self.users >= 0")
    assert "data race" in out


# --- Errors of ours ---------------------------------------------------------------------------------------


def test_an_error_of_ours_is_exit_4(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AssertionError("a defect")

    monkeypatch.setattr("quiesce.commands.check.compile_scenario", broken)
    code, out, err = run("check", TARGET)
    assert (code, out) == (4, "")
    assert "internal error: AssertionError: a defect" in err
    assert "QUIESCE_DEBUG=1" in err


def test_debug_shows_the_traceback(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AssertionError("a defect")

    run("--version")
    monkeypatch.setattr("quiesce.commands.check.compile_scenario", broken)
    monkeypatch.setenv("QUIESCE_DEBUG", "1")
    capsys.readouterr()
    assert main(["check", TARGET]) == 4
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_interrupted_is_incomplete(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("quiesce.commands.check.run_check", stopped)
    code, _, err = run("check", TARGET)
    assert code == 3
    assert "nothing is proved" in err


# --- As a process -----------------------------------------------------------------------------------------


def process(*argv: str, cwd: Path, **more: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **more.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "quiesce", *argv], cwd=cwd, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
    )  # fmt: skip


@pytest.mark.parametrize(("setting", "code"), [("order=same", 0), ("order=crossed", 1)])
def test_a_reader_that_goes_away_changes_nothing(setting: str, code: int) -> None:
    """``quiesce check ... | head -0``: the exit code is the verdict's, and nobody complains."""
    with process("check", TARGET, "--set", setting, cwd=PROTOCOLS) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        err = child.stderr.read()
    assert (child.returncode, err) == (code, b"")


def test_output_that_is_not_utf8(tmp_path: Path) -> None:
    text = (PROTOCOLS / "two_users.py").read_text(encoding="utf-8")
    (tmp_path / "two_users.py").write_text(
        text.replace("below_limit", "höchstens"), encoding="utf-8"
    )
    with process("check", TARGET, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"}) as child:
        out, err = child.communicate()
    assert (child.returncode, err) == (0, b"")
    assert b"h\\xf6chstens" in out


def test_as_a_process() -> None:
    with process("check", TARGET, "--json", cwd=PROTOCOLS) as child:
        out, err = child.communicate()
    assert (child.returncode, err) == (0, b"")
    assert json.loads(out)["verdict"] == "holds"
