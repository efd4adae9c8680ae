# SPDX-License-Identifier: Apache-2.0
"""Threads that take steps without getting on: livelock, starvation by spinning, spins that are waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from protocols.spinning import Backoff, Flag, Leaves, Polite, TwoLocks, Unfair, Worker

from quiesce.compiler.program import compile_scenario
from quiesce.explorer.findings import CheckResult
from quiesce.explorer.native.check import check_native
from quiesce.explorer.reference.checker import Options, check_reference
from quiesce.protocol import Scenario
from quiesce.report.check_sections import render_finding

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


def found(result: CheckResult) -> dict[str, str]:
    assert result.complete
    return {p.name: p.finding.kind for p in result.properties if p.finding is not None}


DEADLOCK = {"no_deadlock": "deadlock"}
STUCK = {"no_stuck_thread": "stuck thread"}
LIVELOCK = {"no_livelock": "livelock"}
STARVATION = {"no_starvation": "starvation"}

EXPECTED: list[tuple[Scenario, dict[str, str]]] = [
    (TwoLocks(spins=True), DEADLOCK | LIVELOCK),
    (TwoLocks(spins=False), DEADLOCK),
    (TwoLocks(spins=True, crossed=False), {}),
    (TwoLocks(spins=False, crossed=False), {}),
    (TwoLocks(spins=True, third="ends"), DEADLOCK | LIVELOCK),
    (TwoLocks(spins=False, third="ends"), DEADLOCK),
    (TwoLocks(spins=True, third="lives"), DEADLOCK),
    (TwoLocks(spins=False, third="lives"), DEADLOCK),
    (Unfair(spins=True), STARVATION),
    (Unfair(spins=False), STARVATION),
    (Flag(spins=True), DEADLOCK | LIVELOCK),
    (Flag(spins=False), DEADLOCK),
    (Flag(spins=True, is_set=True), {}),
    (Flag(spins=False, is_set=True), {}),
    (Flag(spins=True, others="live"), STUCK),
    (Flag(spins=False, others="live"), STUCK),
    (Flag(spins=True, is_set=True, others="live"), {}),
    (Flag(spins=False, is_set=True, others="live"), {}),
    (Polite(both=True), LIVELOCK | STARVATION),
    (Polite(both=False), {}),
    (Leaves("break"), {}),
    (Leaves("condition"), {}),
    (Leaves("later"), {}),
    (Backoff(given_back=False), LIVELOCK | STARVATION),
    (Backoff(given_back=True), {}),
    (Worker(exits=True), LIVELOCK | STARVATION),
    (Worker(exits=False), {}),
    (Worker(nested=True), {}),
]


def identity(case: object) -> str:
    if not isinstance(case, Scenario):
        return ""
    values = [
        f"{name}={value}"
        for name, value in vars(case).items()
        if isinstance(value, bool | str) and not name.startswith("_")
    ]
    return " ".join([type(case).__name__, *values])


@pytest.mark.parametrize(("scenario", "expected"), EXPECTED, ids=identity)
def test_what_is_found(scenario: Scenario, expected: dict[str, str], check: Check) -> None:
    assert found(check(scenario)) == expected


@pytest.mark.parametrize(
    "build",
    [
        lambda spins: TwoLocks(spins=spins),
        lambda spins: TwoLocks(spins=spins, crossed=False),
        lambda spins: TwoLocks(spins=spins, third="lives"),
        lambda spins: Unfair(spins=spins),
        lambda spins: Flag(spins=spins, others="live"),
    ],
)
def test_a_loop_that_only_tests_is_a_wait(build: Callable[[bool], Scenario], check: Check) -> None:
    alike = ("no_deadlock", "no_stuck_thread", "no_starvation")
    by_loop, by_waiting = (found(check(build(spins))) for spins in (True, False))
    assert {n: by_loop.get(n) for n in alike} == {n: by_waiting.get(n) for n in alike}


def test_the_text_says_who_spins_where_on_what_and_who_set_it(check: Check) -> None:
    result = check(TwoLocks(spins=True))
    finding = result.property("no_deadlock").finding
    assert finding is not None
    assert finding.spinning == (0, 1)
    text = " ".join(render_finding(result.program, finding).split())
    assert "x/0 spins in the loop at spinning.py:" in text
    assert "x/0 spins at spinning.py:" in text
    assert "`while self.test_and_set()`" in text or "`while test_and_set()`" in text
    assert "b.held is True since step" in text and "y/0: test_and_set(" in text
    assert "a.held is True since step" in text and "x/0: test_and_set(" in text
