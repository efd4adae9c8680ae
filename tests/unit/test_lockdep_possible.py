# SPDX-License-Identifier: Apache-2.0
"""What a thread may hold when it acquires a lock, by its code alone: never less than what happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fuzz.compare import load
from fuzz.draw import protocol

from quiesce.cli import main
from quiesce.commands import lockdep as command
from quiesce.commands.kvm import DesignResult
from quiesce.commands.lockdep import LockdepResult, lockdep_of
from quiesce.commands.story import told_undecided
from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import Bounds, check
from quiesce.kvm.planted import PLANTED, planted
from quiesce.lockdep import Validator
from quiesce.lockdep.explored import ExploredLockdep
from quiesce.lockdep.possible import possible_contexts
from quiesce.verdict import Verdict

HEAD = """
from quiesce.primitives import *
from quiesce.protocol import *


class Generated(Scenario):
    a = SpinLock()
    b = SpinLock()
    many = Array(Mutex(), 3)
    n = Int(0, high=9, marked=True)
    flag = Bool(marked=True)
"""


def program(body: str, folder: Path, fuse: bool = True) -> Program:
    return compile_scenario(load(HEAD + body, folder), fuse=fuse)


def orders(program: Program) -> set[tuple[str, ...]]:
    """Return what is held, by name, followed by the lock that is acquired."""
    names = [getattr(c, "path", "") for c in program.layout.components]
    found = possible_contexts(program)
    assert found is not None
    return {tuple(names[e.component] for e in (*one.held, one.entry)) for one in found}


def test_a_trylock_that_failed_is_not_held(tmp_path: Path) -> None:
    found = orders(
        program(
            """
    @thread()
    def u(self) -> None:
        if self.a.trylock():
            self.a.unlock()
        else:
            with self.b:
                pass
""",
            tmp_path,
        )
    )
    assert found == {("a",), ("b",)}


def test_branches_on_one_local_go_together(tmp_path: Path) -> None:
    """And on shared memory they need not: it may have changed."""
    body = """
    @thread()
    def u(self) -> None:
        inside = {inside}
        if inside:
            self.a.lock()
        with self.b:
            pass
        if inside:
            self.a.unlock()
        else:
            with self.b:
                self.a.lock()
                self.a.unlock()
"""
    local = orders(program(body.format(inside="choose(True, False)"), tmp_path))
    assert local == {("a",), ("b",), ("a", "b"), ("b", "a")}
    shared = body.format(inside="self.flag").replace("if inside:", "if self.flag:", 1)
    assert ("a", "b", "a") in orders(program(shared, tmp_path))


def test_a_lock_whose_number_is_not_known_may_be_each(tmp_path: Path) -> None:
    body = """
    @thread()
    def u(self) -> None:
        i = self.n % 3
        with self.many[i]:
            with self.many[(i + 1) % 3]:
                pass
"""
    found = orders(program(body, tmp_path))
    assert {held for held in found if len(held) == 1} == {(f"many[{i}]",) for i in range(3)}
    assert ("many[0]", "many[1]") in found
    known = orders(program(body.replace("self.n % 3", "choose(0, 1)"), tmp_path))
    assert {x for x in known if len(x) == 2} == {("many[0]", "many[1]"), ("many[1]", "many[2]")}


def test_what_is_too_much_is_not_listed(tmp_path: Path) -> None:
    body = """
    @thread()
    def u(self) -> None:
        while self.flag:
            self.a.lock()
"""
    assert possible_contexts(program(body, tmp_path)) is None


# --- Never less than what happens ---------------------------------------------------------------------


def assert_all_that_happens_is_possible(program: Program, states: int) -> int:
    """Return how many different contexts happened."""
    possible = possible_contexts(program)
    explored = ExploredLockdep(program, Validator(), whole=True)
    explored.run(Bounds(max_states=states))
    if possible is None:
        return 0
    kinds = [id(thread.kind) for thread in program.threads]
    assert explored._seen <= {(kinds[x.thread], x.held, x.entry) for x in possible}
    return len(explored._seen)


def test_of_generated_protocols(tmp_path: Path) -> None:
    seen = 0
    for seed in range(200, 260):
        for fuse in (True, False):
            one = compile_scenario(load(protocol(seed), tmp_path), fuse=fuse)
            seen += assert_all_that_happens_is_possible(one, 300)
    assert seen > 80


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_of_planted_bugs(name: str) -> None:
    assert assert_all_that_happens_is_possible(compile_scenario(planted(name)), 300) > 2


# --- Silence is proved, or is not silence -------------------------------------------------------------

NEVER_TOGETHER = """
    def __init__(self, wrong: bool = False) -> None:
        self.wrong = wrong

    @thread(count=2)
    def counts(self) -> None:
        for _ in range(2):
            self.n = (self.n + 1) % 9

    @thread()
    def one(self) -> None:
        with self.a:
            with self.b:
                pass
        self.flag = self.wrong

    @thread()
    def other(self) -> None:
        if self.flag:
            with self.b:
                with self.a:
                    pass
"""
"""By the code alone the orders conflict; the flag is set only if it is *wrong*."""


def judged(text: str, folder: Path) -> LockdepResult:
    return lockdep_of(program(text, folder), Bounds())


def test_silence_that_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(NEVER_TOGETHER, tmp_path).word == "silent"
    monkeypatch.setattr(command, "STATES", 50)
    result = judged(NEVER_TOGETHER, tmp_path)
    assert (result.word, result.verdict) == ("?", Verdict.INCOMPLETE)
    assert "the bound of 50 states was hit" in result.stopped
    wide = lockdep_of(program(NEVER_TOGETHER, tmp_path), Bounds(max_states=100_000))
    assert wide.word == "silent"


def test_silence_that_the_code_proves_needs_no_exploration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "STATES", 1)
    text = NEVER_TOGETHER.replace(
        "with self.b:\n                with self.a:", "with self.b:\n                if True:"
    )
    assert judged(text, tmp_path).word == "silent"


def test_a_failed_step_leaves_it_open(tmp_path: Path) -> None:
    text = NEVER_TOGETHER.replace(
        "self.flag = self.wrong", "assert self.n != 3\n        self.flag = False"
    )
    result = judged(text, tmp_path)
    assert result.word == "?" and "fail" in result.cut_short


RACY = (
    NEVER_TOGETHER.replace(
        "        if self.flag:",
        "        self.x = 1\n        y = self.x\n        self.n = 5\n        if y == 2:",
    )
    .replace("        self.flag = self.wrong", "        self.x = 2")
    .replace("    def __init__", "    x = Int(0)\n\n    def __init__")
)
"""The second order is there only where the other thread comes between two plain accesses."""


def test_with_a_race_it_looks_without_fusion(tmp_path: Path) -> None:
    fused = ExploredLockdep(program(RACY, tmp_path), Validator())
    assert fused.run() is None and fused.cut_short
    result = judged(RACY, tmp_path)
    assert result.report is not None and result.report.kind == "circular"


def test_what_commands_say_of_silence_that_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "never.py"
    path.write_text(HEAD + NEVER_TOGETHER, encoding="utf-8")
    assert main(["check", str(path), "--lockdep"]) == 0
    assert main(["check", str(path), "--lock-graph", "text"]) == 0
    assert main(["check", str(path), "--json"]) == 0
    assert (
        json.loads(capsys.readouterr().out.splitlines()[-1])["lockdep_incomplete_because"] is None
    )
    monkeypatch.setattr(command, "STATES", 50)
    assert main(["check", str(path), "--lockdep"]) == 3
    assert "lockdep has not seen everything" in capsys.readouterr().err
    assert main(["check", str(path), "--lock-graph", "text"]) == 3
    main(["check", str(path)])
    assert "lockdep has not seen everything" in capsys.readouterr().out.replace("\n", " ")
    main(["check", str(path), "--json"])
    data = json.loads(capsys.readouterr().out)
    assert data["lockdep"] is None and "50 states" in data["lockdep_incomplete_because"]


def test_the_story_says_that_it_is_not_known(tmp_path: Path) -> None:
    result = check(program(NEVER_TOGETHER, tmp_path))
    undecided = DesignResult("phased", (), result, LockdepResult(None, "the bound was hit"))
    assert "lockdep has not seen everything: the bound was hit" in told_undecided(undecided)
    silent = DesignResult("phased", (), result, LockdepResult(None))
    assert "lockdep" not in told_undecided(silent)
