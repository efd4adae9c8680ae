# SPDX-License-Identifier: Apache-2.0
"""Real threads: each kind of finding is made, and its correct twin stays silent."""

from __future__ import annotations

import pytest

from quiesce.explorer import check
from quiesce.primitives import RwSem, SpinLock
from quiesce.protocol import (
    WRITE_ONCE,
    Array,
    Bool,
    Int,
    Protocol,
    Ref,
    Scenario,
    always,
    atomic,
    choose,
    thread,
)
from quiesce.report.run_sections import render_run
from quiesce.threads import run
from quiesce.verdict import Verdict

LONG = 20.0
"""Seconds that no test takes, since the finding ends the run."""

SHORT = 0.2
"""Seconds for which a correct scenario has to stay silent."""


def repr_of_arguments(scenario: Scenario) -> str:
    args, kwargs = scenario._arguments
    shown = [str(a) for a in args] + [f"{name}={value}" for name, value in kwargs.items()]
    return f"{type(scenario).__name__}({','.join(shown)})"


class TwoLocks(Scenario):
    a = SpinLock()
    b = SpinLock()
    tick = Bool()

    def __init__(self, crossed: bool = True, bystanders: int = 0) -> None:
        self.crossed = crossed
        self.bystanders = bystanders
        self.turns = 1000000 if bystanders else 1

    @thread()
    def forth(self) -> None:
        for _ in range(self.turns):
            with self.a:
                with self.b:
                    pass

    @thread()
    def back(self) -> None:
        for _ in range(self.turns):
            if self.crossed:
                with self.b:
                    with self.a:
                        pass
            else:
                with self.a:
                    with self.b:
                        pass

    @thread(count="bystanders")
    def bystander(self) -> None:
        while True:
            self.go_on()

    @atomic
    def go_on(self) -> None:
        self.tick = not self.tick


def test_a_deadlock_is_recognised_at_once_with_its_holders() -> None:
    result = run(TwoLocks(), LONG)
    assert result.verdict is Verdict.VIOLATION
    (finding,) = result.findings
    assert finding.kind == "deadlock"
    assert finding.message == "no thread can run: forth/0 and back/0 wait forever"
    forth, back = finding.threads
    assert (forth.lock, forth.step, forth.held_by[0].thread) == ("b", "spin_lock", "back/0")
    assert (back.lock, back.held_by[0].thread) == ("a", "forth/0")
    assert forth.site is not None
    assert forth.site.text == "with self.b:"
    assert back.held_by[0].site.text == "with self.a:"
    assert forth.holds[0][0] == "a"
    assert forth.seconds < 1.0
    assert result.seconds < LONG / 2


def test_a_fixed_order_does_not_deadlock() -> None:
    result = run(TwoLocks(crossed=False), SHORT)
    assert result.verdict is Verdict.HOLDS
    assert result.findings == ()
    assert result.rounds > 1
    assert all(role.finished >= result.rounds - 1 for role in result.roles)


def test_threads_that_wait_for_each_other_are_found_while_others_run_on() -> None:
    result = run(TwoLocks(bystanders=1), LONG, patience=0.2)
    (finding,) = result.findings
    assert finding.kind == "deadlock"
    assert finding.message.startswith("forth/0 and back/0 wait for each other")
    assert [report.name for report in finding.threads] == ["forth/0", "back/0", "bystander/0"]


def test_a_bystander_alone_is_no_reason_to_suspect_anything() -> None:
    assert run(TwoLocks(crossed=False, bystanders=1), SHORT, patience=0.1).findings == ()


class NestedReaders(Scenario):
    """A reader that reads again behind a writer that waits for it."""

    rw = RwSem()
    tick = Bool()

    def __init__(self, nested: bool = True) -> None:
        self.nested = nested

    @thread()
    def reader(self) -> None:
        while True:
            self.rw.down_read()
            if self.nested:
                self.rw.down_read()
                self.rw.up_read()
            self.rw.up_read()

    @thread()
    def writer(self) -> None:
        while True:
            self.rw.down_write()
            self.rw.up_write()

    @thread()
    def bystander(self) -> None:
        while True:
            self.go_on()

    @atomic
    def go_on(self) -> None:
        self.tick = not self.tick


def test_a_reader_behind_the_writer_that_waits_for_it_is_a_deadlock() -> None:
    result = run(NestedReaders(), LONG, patience=0.2)
    (finding,) = result.findings
    assert finding.kind == "deadlock"
    assert "reader/0 and writer/0 wait for each other" in finding.message
    reader, writer, _ = finding.threads
    assert (reader.mode, writer.mode) == ("shared", "exclusive")
    assert writer.held_by[0].thread == "reader/0"


def test_readers_that_do_not_nest_are_not() -> None:
    assert run(NestedReaders(nested=False), SHORT, patience=0.1).findings == ()


class Counter(Scenario):
    lock = SpinLock()
    count = Int(0)
    finished = Int(0)

    def __init__(self, locked: bool = False, turns: int = 10) -> None:
        self.locked = locked
        self.turns = turns

    @thread(count=3)
    def user(self) -> None:
        for _ in range(self.turns):
            if self.locked:
                with self.lock:
                    self.count += 1
            else:
                self.count += 1
        with self.lock:
            self.finished += 1

    @always
    def nothing_is_lost(self) -> bool:
        """When all are done, all is counted."""
        return self.finished < 3 or self.count == 3 * self.turns


def test_a_lost_update_breaks_the_invariant() -> None:
    (finding,) = run(Counter(), LONG).findings
    assert finding.kind == "broken invariant"
    assert finding.message == "nothing_is_lost is false"
    assert finding.site is not None
    assert finding.site.text == "return self.finished < 3 or self.count == 3 * self.turns"
    assert ("finished", "3") in finding.state


def test_under_a_lock_no_update_is_lost() -> None:
    result = run(Counter(locked=True), SHORT)
    assert result.findings == ()
    assert result.looks > result.rounds


class Section(Scenario):
    """A critical section without any protocol action inside, entered by plain statements."""

    lock = SpinLock()
    inside = Int(0, high=2)
    tick = Bool()

    def __init__(self, locked: bool = True, asserted: bool = False) -> None:
        self.locked = locked
        self.asserted = asserted

    @thread(count=2)
    def user(self) -> None:
        while True:
            if self.locked:
                self.lock.lock()
            else:
                self.go_on()
            self.inside += 1
            if self.asserted:
                assert self.inside == 1, "two inside"
            self.inside -= 1
            if self.locked:
                self.lock.unlock()

    @atomic
    def go_on(self) -> None:
        self.tick = not self.tick

    @always
    def one_inside(self) -> bool:
        return self.asserted or self.inside <= 1


def test_the_invariant_is_seen_between_two_plain_statements() -> None:
    (finding,) = run(Section(locked=False), LONG).findings
    assert finding.kind in ("broken invariant", "out of range")


def test_a_failed_assert_names_its_line() -> None:
    (finding,) = run(Section(locked=False, asserted=True), LONG).findings
    if finding.kind == "failed assert":
        assert finding.message.endswith(": two inside")
        assert finding.site is not None
        assert finding.site.text == 'assert self.inside == 1, "two inside"'
    else:
        assert finding.kind == "out of range"


@pytest.mark.parametrize("asserted", [False, True])
def test_a_locked_section_has_one_inside(asserted: bool) -> None:
    assert run(Section(asserted=asserted), SHORT).findings == ()


class TwoTogether(Scenario):
    """Two variables that are equal in every state, written where Python is in between."""

    lock = SpinLock()
    a = Int(0, high=9)
    b = Int(0, high=9)

    @thread(count=2)
    def writer(self) -> None:
        while True:
            self.both()

    @atomic
    def both(self) -> None:
        value = choose(1, 2, 3)
        self.a = value
        self.b = value

    @always
    def equal(self) -> bool:
        return self.a == self.b


def test_a_step_is_never_seen_half_done() -> None:
    result = run(TwoTogether(), SHORT)
    assert result.findings == ()
    assert result.looks > 5


class Slot(Protocol):
    users = Int(0)


class Faulty(Scenario):
    small = Int(0, high=2)
    three: Array[int] = Array(Int(0), 3)
    slots: Array[Slot] = Array(Slot(), 2)
    active = Ref(slots)

    def __init__(self, fault: str = "range") -> None:
        self.fault = fault
        self.table: dict[int, int] = {}

    @thread()
    def worker(self) -> None:
        self.step()
        if self.fault == "range":
            self.small = 3
        elif self.fault == "index":
            self.three[3] = 1
        elif self.fault == "null":
            self.active.users = 1
        elif self.fault == "atomic":
            self.assert_in_step()
        elif self.fault == "division":
            self.small = 1 // self.small
        elif self.fault == "library":
            self.table[1]
        elif self.fault == "marked":
            WRITE_ONCE(self).small = 3

    @atomic
    def step(self) -> None:
        pass

    @atomic
    def assert_in_step(self) -> None:
        assert self.small > 0, "too small"


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("range", "out of range", "worker/0: small = 3: not an Int from 0 to 2"),
        ("index", "out of range", "worker/0: three[3]: the index is not in 0..2"),
        ("marked", "out of range", "worker/0: small = 3: not an Int from 0 to 2"),
        ("null", "out of range", "worker/0: None is used like a component"),
        ("division", "out of range", "worker/0: integer division or modulo by zero"),
        ("library", "exception", "worker/0: KeyError: 1"),
        ("atomic", "failed assert", "worker/0: too small"),
    ],
)
def test_what_a_thread_does_wrong_is_told_with_its_place(
    fault: str, kind: str, message: str
) -> None:
    (finding,) = run(Faulty(fault), LONG).findings
    assert finding.kind == kind
    assert finding.message.startswith(message)
    assert finding.site is not None
    assert finding.site.file.endswith("test_threads_findings.py")
    assert "Traceback" not in render_run(run(Faulty(fault), LONG))


def test_a_worker_that_does_nothing_wrong_is_not_accused() -> None:
    assert run(Faulty("none"), 0.05).findings == ()


class BrokenProperty(Scenario):
    slots: Array[Slot] = Array(Slot(), 2)
    active = Ref(slots)

    @thread()
    def worker(self) -> None:
        pass

    @always
    def evaluates(self) -> bool:
        return self.active.users == 0


def test_a_property_that_cannot_be_evaluated_is_a_finding() -> None:
    (finding,) = run(BrokenProperty(), LONG).findings
    assert finding.kind == "broken invariant"
    assert finding.message.startswith("evaluates cannot be evaluated: AttributeError")


LOOKED_FOR = ("deadlock", "stuck thread", "broken invariant", "failed assert", "out of range")


@pytest.mark.parametrize(
    "scenario",
    [
        TwoLocks(),
        NestedReaders(),
        Counter(turns=2),
        Section(locked=False),
        Section(locked=False, asserted=True),
        Faulty("range"),
        Faulty("null"),
        Faulty("atomic"),
    ],
    ids=repr_of_arguments,
)
def test_what_fails_on_threads_is_refuted_by_the_explorer(scenario: Scenario) -> None:
    (finding,) = run(scenario, LONG, patience=0.2).findings
    found = {f.kind for f in check(scenario).of_kind(*LOOKED_FOR, "data race")}
    # What follows from a data race is not explored: the race is the finding.
    assert finding.kind in found or "data race" in found


@pytest.mark.parametrize(
    "scenario",
    [
        TwoLocks(crossed=False),
        NestedReaders(nested=False),
        Counter(locked=True, turns=2),
        Section(),
        TwoTogether(),
        Faulty("none"),
    ],
    ids=repr_of_arguments,
)
def test_what_the_explorer_passes_is_silent_on_threads(scenario: Scenario) -> None:
    assert check(scenario).of_kind(*LOOKED_FOR, "data race") == []
    assert run(scenario, 0.1).findings == ()
