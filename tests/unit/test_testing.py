# SPDX-License-Identifier: Apache-2.0
"""Checks from Python: assertions, kept counterexamples, pytest, notebooks, --watch."""

from __future__ import annotations

import linecache
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiesce import check, replay
from quiesce.errors import SourceErrors, UsageError
from quiesce.primitives import SpinLock
from quiesce.protocol import Bool, Int, Scenario, always, thread
from quiesce.verdict import Verdict

USERS = Path(__file__).parents[1] / "support" / "scenario_tests" / "scenarios_of_a_user.py"


class Freed(Scenario):
    lock = SpinLock()
    freed = Bool(marked=True)
    count = Int(0, high=9, marked=True)

    def __init__(self, users: int = 2, fixed: bool = False) -> None:
        self.users, self.fixed = users, fixed

    @thread("users")
    def user(self) -> None:
        if self.fixed:
            with self.lock:
                if not self.freed:
                    self.count += 1
                    assert not self.freed, "use after free"
        elif not self.freed:
            self.count += 1
            assert not self.freed, "use after free"

    @thread()
    def owner(self) -> None:
        with self.lock:
            self.freed = True

    @always
    def few(self) -> bool:
        return self.count < 9


# --- Assertions ---------------------------------------------------------------------------------------


def test_what_holds_holds_and_violates_nothing() -> None:
    checked = check(Freed(3, fixed=True))
    checked.assert_holds()
    checked.assert_as_expected()
    assert checked.verdict is Verdict.HOLDS
    assert repr(checked) == f"<HOLDS Freed(3, fixed=True): {checked.states:,} states>"
    with pytest.raises(AssertionError, match="a violation with `use after free` was expected"):
        checked.assert_violates("use after free")
    with pytest.raises(AssertionError, match="a violation was expected"):
        checked.assert_violates()


def test_a_violation_is_found_by_its_words_and_shown() -> None:
    checked = check(Freed(users=2))
    finding = checked.assert_violates("use after free")
    assert checked.assert_violates("failed assert") is finding
    assert checked.assert_violates("assertions") is finding
    with pytest.raises(AssertionError) as failed:
        checked.assert_holds()
    text = str(failed.value)
    assert text.startswith("VIOLATION  Freed(users=2)")
    assert "<- use after free" in text
    with pytest.raises(AssertionError, match="a violation with `double free` was expected"):
        checked.assert_violates("double free")


def test_a_bound_is_no_proof() -> None:
    checked = check(Freed(3, fixed=True), max_states=5)
    with pytest.raises(AssertionError, match="not a proof: the bound of 5 states"):
        checked.assert_holds()


def test_what_is_ignored_does_not_decide() -> None:
    check(Freed(), only="few", keep_going=False)
    assert check(Freed(), ignore=["assertions"]).verdict is Verdict.INCOMPLETE
    with pytest.raises(UsageError, match="Freed has no property `fwe`"):
        check(Freed(), only=["fwe"])


@pytest.mark.parametrize("wrong", [Freed, 3, None])
def test_what_is_not_a_scenario_object_is_refused(wrong: Scenario) -> None:
    with pytest.raises(UsageError, match="is not a scenario object"):
        check(wrong)


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="fairness='fair' does not exist"):
        check(Freed(), fairness="fair")
    with pytest.raises(UsageError, match="explorer='fast' does not exist"):
        check(Freed(), explorer="fast")


def test_an_object_can_be_checked_twice() -> None:
    scenario = Freed(2, fixed=True)
    assert check(scenario).states == check(scenario).states


# --- A counterexample that is kept --------------------------------------------------------------------


def test_a_kept_counterexample_fails_until_it_is_fixed() -> None:
    checked = check(Freed())
    token = checked.token(checked.assert_violates("use after free"))
    assert token is not None
    assert f'replay("{token}", Freed()).assert_fixed()' in str(checked)
    kept = replay(token, Freed())
    assert "use after free" in kept.assert_violates().message
    with pytest.raises(AssertionError, match="assertions fails again"):
        kept.assert_fixed()
    fixed = replay(token, Freed(fixed=True))
    fixed.assert_fixed()
    with pytest.raises(AssertionError, match="assertions no longer fails on this run"):
        fixed.assert_violates()


def test_a_token_of_what_cannot_be_built_again_does_not_exist() -> None:
    class Local(Freed):
        pass

    checked = check(Local())
    assert checked.token(checked.findings[0]) is None
    assert "again:" not in str(checked)


# --- pytest -------------------------------------------------------------------------------------------


def pytest_says(*arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-rA"]
    done = subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", str(USERS.parent), str(USERS), *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def outcome(said: str, word: str) -> set[str]:
    """Return the tests that ended so, by the summary."""
    return set(re.findall(rf"^{word} .*::(\w+)", said, re.MULTILINE))


def test_scenarios_are_collected_as_tests() -> None:
    said = pytest_says()
    assert outcome(said, "PASSED") == {
        "TestClassHolds",
        "test_function_holds",
        "test_object_deadlocks_as_expected",
        "test_object_holds",
    }
    assert outcome(said, "FAILED") == {
        "TestClassIsWrong",
        "test_function_fails",
        "test_object_deadlocks",
        "test_object_should_have_deadlocked",
    }
    assert "deadlock: no thread can run: left/0 and right/0 wait forever" in said
    assert "spin_lock(&forks->second)   <- waits for right/0" in said
    assert "not as expected: no_deadlock" in said
    assert "error[" in said  # the source that is outside the language, with its place
    assert "Traceback" not in said


def test_the_options_bound_the_checks() -> None:
    said = pytest_says("--quiesce-max-states", "3", "-k", "object_holds")
    assert outcome(said, "FAILED") == {"test_object_holds"}
    assert "the bound of 3 states" in said
    said = pytest_says(
        "--quiesce-max-states", "3", "--quiesce-skip-undecided", "-k", "object_holds"
    )
    assert "1 skipped" in said


# --- Notebooks ----------------------------------------------------------------------------------------

CELL = """
from quiesce.protocol import Int, Scenario, always, thread

class Cell(Scenario):
    x = Int(0, high=9, marked=True)

    @thread(2)
    def user(self) -> None:
        self.x += 1

    @always
    def small(self) -> bool:
        return self.x < 2
"""


def test_a_class_of_a_notebook_cell_can_be_checked() -> None:
    name = "<ipython-input-7-abc>"
    linecache.cache[name] = (len(CELL), None, CELL.splitlines(keepends=True), name)
    namespace: dict[str, type[Scenario]] = {}
    exec(compile(CELL, name, "exec"), namespace)
    checked = check(namespace["Cell"]())
    assert "x += 1" in str(checked)
    html = checked._repr_html_()
    assert "VIOLATION" in html and "<pre>" in html and "x += 1" in html
    assert "<script" not in html


def test_what_has_no_source_is_refused() -> None:
    namespace: dict[str, type[Scenario]] = {}
    exec(compile(CELL, "<nowhere>", "exec"), namespace)
    with pytest.raises(SourceErrors, match=r"the source of Cell.user cannot be read"):
        check(namespace["Cell"]())


def test_a_name_cannot_become_markup() -> None:
    class Marked(Scenario):
        x = Int(0, high=9)

        @thread()
        def user(self) -> None:
            assert self.x > 0, "<script>alert(1)</script>"

    html = check(Marked())._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


# --- --watch ------------------------------------------------------------------------------------------

PROTOCOL = """
from quiesce.protocol import Int, Scenario, thread
from helper import LIMIT

class Watched(Scenario):
    x = Int(0, high=9, marked=True)

    @thread({threads})
    def user(self) -> None:
        assert self.x < LIMIT, "limit"
        self.x += 1
"""


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    file = tmp_path / "watched.py"
    file.write_text(PROTOCOL.format(threads=1), encoding="utf-8")
    (tmp_path / "helper.py").write_text("LIMIT = 2\n", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "quiesce", "check", "--watch", "--quiet", str(file)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with process:
        yield file, process
        process.kill()


def answer(process: subprocess.Popen[str]) -> tuple[str, float]:
    """Return what is printed until the next wait, and how long it took."""
    assert process.stdout is not None
    started, lines = time.monotonic(), []
    for line in process.stdout:
        if "watching" in line:
            break
        lines.append(line)
    return "".join(lines), time.monotonic() - started


def test_the_answer_comes_again_at_every_save(
    watching: tuple[Path, subprocess.Popen[str]],
) -> None:
    file, process = watching
    assert answer(process)[0].startswith("HOLDS")
    file.write_text(PROTOCOL.format(threads=3), encoding="utf-8")
    text, seconds = answer(process)
    assert text.startswith("VIOLATION")
    assert seconds < 5
    # A helper module counts, too; and what is wrong with a file ends nothing.
    (file.parent / "helper.py").write_text("LIMIT = 3\n", encoding="utf-8")
    assert answer(process)[0].startswith("HOLDS")
    file.write_text("def (:\n", encoding="utf-8")
    assert "not valid Python" in answer(process)[0]
    file.write_text(PROTOCOL.format(threads=4), encoding="utf-8")
    assert answer(process)[0].startswith("VIOLATION")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 1
