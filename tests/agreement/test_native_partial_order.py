# SPDX-License-Identifier: Apache-2.0
"""Partial order reduction: no verdict changes, and where something is private, states are saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from native_agreement import assert_same_findings
from native_generator import protocol_sources
from native_protocols import Everything, Handover, LockPair, Pointers, Racy, Sleeper
from test_native_generated import compiled, folder  # noqa: F401

from quiesce.compiler.program import compile_scenario
from quiesce.explorer import Options, check
from quiesce.explorer.analysis.partial_order import find_ample_steps
from quiesce.protocol import (
    Bool,
    Int,
    PerTask,
    Scenario,
    always,
    atomic,
    current,
    sometimes,
    thread,
    wait_until,
)
from quiesce.verdict import Verdict

pytest.importorskip("numba", reason="the native explorer needs numba")

from quiesce.explorer.native.options import NativeOptions

ON = NativeOptions(explorer="native", symmetry=False)
OFF = NativeOptions(explorer="native", symmetry=False, partial_order=False)


class Private(Scenario):
    """Each thread counts on its own before it meets the others."""

    own = PerTask(Int(0, high=3))
    met = Int(0, high=3)

    @atomic
    def count(self) -> None:
        self.own[current()] += 1

    @atomic
    def meet(self) -> None:
        self.met += 1

    @thread(count=3)
    def worker(self) -> None:
        self.count()
        self.count()
        self.count()
        self.meet()

    @sometimes
    def all_meet(self) -> bool:
        return self.met == 3


class Watched(Private):
    """The same, but a property looks at what each thread counts."""

    @always
    def small(self) -> bool:
        return self.own[self.tasks[0]] + self.own[self.tasks[1]] + self.own[self.tasks[2]] <= 9


class Spinning(Scenario):
    """A thread that goes round by itself for ever must not keep the other from its mistake."""

    round = Bool()
    wrong = Bool()

    @atomic
    def turn(self) -> None:
        self.round = not self.round

    @atomic
    def err(self) -> None:
        wait_until(not self.wrong)
        self.wrong = True

    @thread()
    def spinner(self) -> None:
        while True:
            self.turn()

    @thread()
    def culprit(self) -> None:
        self.err()

    @always
    def never_wrong(self) -> bool:
        return not self.wrong


def states(scenario: Scenario, options: NativeOptions) -> int:
    return check(scenario, Options(keep_going=True), options).states


def test_private_steps_go_first() -> None:
    assert states(Private(), OFF) == 125
    # One order of the private steps, then every order of the meetings.
    assert states(Private(), ON) == 9 + 2**3


def test_who_goes_first_moves_though_others_are_alike() -> None:
    """With symmetry one of several threads alike moves: that must not be another than who goes first."""
    both = NativeOptions(explorer="native")
    result = check(Private(), Options(keep_going=True), both)
    assert any("treated alike" in note for note in result.notes)
    assert any("go first" in note for note in result.notes)
    assert result.property("all_meet").verdict is Verdict.HOLDS
    # As above, and of the meetings only how many there were.
    assert result.states == 9 + 4


def test_what_a_property_looks_at_is_not_private() -> None:
    assert states(Watched(), OFF) == 125
    assert states(Watched(), ON) == 125


def test_nothing_is_postponed_for_ever() -> None:
    result = check(Spinning(), Options(keep_going=True), ON)
    assert result.property("never_wrong").finding is not None


def test_counterexamples_stay_shortest() -> None:
    class Early(Private):
        @always
        def nobody_meets(self) -> bool:
            return self.met == 0

    finding = check(Early(), Options(), ON).finding
    assert finding is not None
    assert len(finding.path) == 1 + 4


@pytest.mark.parametrize(
    "scenario",
    [Everything, Handover, LockPair, Pointers, Private, Racy, Sleeper, Spinning, Watched],
)
def test_no_finding_changes(scenario: type[Scenario]) -> None:
    assert_same_findings(compile_scenario(scenario()), ON)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(source=protocol_sources())
def test_no_finding_of_a_generated_protocol_changes(source: str, folder: Path) -> None:  # noqa: F811
    program = compiled(source, folder, True)
    assert_same_findings(program, ON)
    assert_same_findings(program, NativeOptions(explorer="native"))


def test_the_kvm_system_has_steps_that_go_first() -> None:
    from quiesce.kvm.scenarios import MemslotUpdates

    assert find_ample_steps(compile_scenario(MemslotUpdates(design="count"))).any
