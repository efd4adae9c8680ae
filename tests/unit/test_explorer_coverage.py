# SPDX-License-Identifier: Apache-2.0
"""What never executed: it must be told, and nothing else must."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quiesce.compiler.program import compile_scenario
from quiesce.explorer.findings import CheckResult
from quiesce.explorer.native.check import check_native
from quiesce.explorer.reference.checker import Options, check_reference
from quiesce.primitives import SpinLock
from quiesce.protocol import Bool, Int, Scenario, always, atomic, choose, thread, wait_until

Check = Callable[[Scenario], CheckResult]


def by_reference(scenario: Scenario) -> CheckResult:
    return check_reference(compile_scenario(scenario), Options(keep_going=True))


def unfused(scenario: Scenario) -> CheckResult:
    return check_reference(compile_scenario(scenario, fuse=False), Options(keep_going=True))


def natively(scenario: Scenario) -> CheckResult:
    return check_native(compile_scenario(scenario), Options(keep_going=True))


@pytest.fixture(params=[by_reference, unfused, natively])
def check(request: pytest.FixtureRequest) -> Check:
    found: Check = request.param
    return found


class Readers(Scenario):
    """Readers get in only when the gate is open; if no thread opens it, nothing about them is proved."""

    gate = Bool()
    inside = Int(0, high=2)
    plain = Int(0, high=9)
    lock = SpinLock()

    def __init__(self, opens: bool, chooses: bool = True) -> None:
        self.opens = opens
        self.chooses = chooses

    @atomic
    def open_gate(self) -> None:
        self.gate = True

    @atomic
    def enter(self) -> None:
        wait_until(self.gate)
        self.inside += 1  # MISSING unless opened

    @thread()
    def opener(self) -> None:
        if self.opens:
            self.open_gate()

    @thread(count=2, daemon=True)
    def reader(self) -> None:
        with self.lock:
            self.plain = 1  # EXECUTED
            self.enter()  # MISSING unless opened
            self.plain = 2  # MISSING unless opened
        if self.chooses and choose(True, False):
            self.plain_work()

    def plain_work(self) -> None:
        with self.lock:
            if self.plain == 7:
                self.plain = 3  # MISSING always
            elif self.plain == 2:
                self.plain = 2

    @always
    def few(self) -> bool:
        return self.inside < 3


def lines_marked(*marks: str) -> set[int]:
    text = Path(__file__).read_text(encoding="utf-8").split("\n")
    return {i for i, line in enumerate(text, 1) if line.endswith(tuple(f"# {m}" for m in marks))}


def statements(result: CheckResult) -> set[int]:
    assert result.never_executed is not None
    return {one.loc.line for one in result.never_executed if one.kind == "statement"}


def texts(result: CheckResult, kind: str) -> list[str]:
    assert result.never_executed is not None
    return [one.text for one in result.never_executed if one.kind == kind]


def test_readers_that_never_get_in(check: Check) -> None:
    result = check(Readers(opens=False))
    assert lines_marked("MISSING unless opened") <= statements(result)
    # The plain statement before the wait is executed, also where it is one step with it.
    assert not lines_marked("EXECUTED") & statements(result)
    assert texts(result, "thread") == [
        "reader/0 never reaches its end",
        "reader/1 never reaches its end",
    ]


def test_readers_that_get_in(check: Check) -> None:
    result = check(Readers(opens=True))
    assert statements(result) == lines_marked("MISSING always")
    assert texts(result, "thread") == []
    assert "`if plain == 7` is never true" in texts(result, "branch")


def test_what_a_constant_excludes_is_not_listed(check: Check) -> None:
    result = check(Readers(opens=True, chooses=False))
    assert not statements(result)


class Forever(Scenario):
    """A thread without an end, and one that could end and does not."""

    flag = Bool(marked=True)

    def __init__(self, sets: bool) -> None:
        self.sets = sets

    @thread()
    def lives(self) -> None:
        while True:
            if self.sets:
                self.flag = True
            else:
                self.flag = False

    @thread()
    def waits(self) -> None:
        wait_until(lambda: self.flag)


def test_threads_that_never_end(check: Check) -> None:
    assert texts(check(Forever(sets=False)), "thread") == ["waits/0 never reaches its end"]
    assert texts(check(Forever(sets=True)), "thread") == []


class Fails(Scenario):
    n = Int(0, high=1)

    @thread()
    def adds(self) -> None:
        for _ in range(3):
            self.up()

    @atomic
    def up(self) -> None:
        self.n += 1


def test_nothing_is_said_of_a_space_that_was_cut(check: Check) -> None:
    result = check(Fails())
    assert not result.complete
    assert result.never_executed is None


class Outer(Scenario):
    """Statements that begin with the first statement in them, and some that only lead on."""

    gate = Bool()
    n = Int(0, high=1, marked=True)

    @atomic
    def enter(self) -> None:
        wait_until(self.gate)  # MISSING behind the gate
        self.n = 1  # MISSING behind the gate

    def first(self) -> int:
        self.enter()  # MISSING behind the gate
        while self.n == 1:  # MISSING behind the gate
            if self.n == 0:  # MISSING behind the gate
                break  # LEADS ON
            continue  # LEADS ON
        return self.n  # LEADS ON

    @thread()
    def user(self) -> None:
        while True:  # EXECUTED
            self.first()  # EXECUTED

    @thread()
    def never_calls(self) -> None:
        if self.n == 1:
            self.first()  # MISSING behind the gate


def test_a_statement_that_begins_with_another_is_executed_when_control_comes_to_it(
    check: Check,
) -> None:
    assert statements(check(Outer())) == lines_marked("MISSING behind the gate")
