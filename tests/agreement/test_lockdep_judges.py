# SPDX-License-Identifier: Apache-2.0
"""The validator against two oracles that know interrupts, readers, trylocks and wait contexts.

``like_linux`` must say what Linux's own algorithm says, at the same event and about the same classes.
The exact mode must report exactly where the definition of a deadlock is met first.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from conftest import DATA
from lockdep_generator import TASKS, Event, Sequence, chain, lifelike, wild
from lockdep_judges import ExactJudge, LinuxJudge
from lockdep_machine import Finding, Judge, Lock, Machine

from quiesce.lockdep import Frame, LockdepMap, LockType, Report, Validator, WaitType
from quiesce.lockdep.reports import CircularReport, RecursiveReport
from quiesce.lockdep.reports_irq import (
    InconsistentReport,
    InversionReport,
    SafeUnsafeReport,
    WaitContextReport,
)
from quiesce.lockdep.reports_misuse import NestedNotTakenReport, UnlockBalanceReport
from quiesce.lockdep.snapshot import HeldInfo, Link


class Subject:
    """The validator, fed with the oracle's events."""

    def __init__(self, sequence: Sequence, like_linux: bool) -> None:
        self.validator = Validator(raw_nesting=sequence.raw_nesting, like_linux=like_linux)
        self.tasks = [self.validator.task(f"task{i}", i) for i in range(TASKS)]
        self.locks = {lock.name: self._make(lock) for lock in sequence.locks}
        self.names = {made.address: name for name, made in self.locks.items()}
        numbers = {self.locks[lock.name]: lock.number for lock in sequence.locks}
        for lock in sequence.locks:
            if lock.ordered:
                self.validator.set_lock_cmp_fn(
                    self.locks[lock.name],
                    lambda held, wanted: numbers[held] - numbers[wanted],
                )
        self.event = 0

    def _make(self, lock: Lock) -> LockdepMap:
        return self.validator.lock(
            lock.key,
            wait_inner=WaitType[lock.wait_inner],
            wait_outer=WaitType[lock.wait_outer],
            lock_type=LockType[lock.lock_type],
        )

    def step(self, event: Event) -> Report | None:
        self.event += 1
        details = dict(event.details)
        arguments: list[Any] = [self.tasks[event.task]]
        if "lock" in details:
            arguments.append(self.locks[details.pop("lock").name])
        if "nest" in details:
            details["nest_lock"] = self.locks[details.pop("nest").name]
        if "irq_e" not in event.op:
            details["stack"] = (Frame(str(self.event)),)
        getattr(self.validator, OPERATIONS.get(event.op, event.op))(*arguments, **details)
        return self.validator.report

    def says(self, report: Report) -> dict[str, Any]:
        """Return what a report says, in the oracle's words."""
        match report:
            case InconsistentReport():
                return {"old": report.old, "new": report.new, "old_at": number(report.old_trace)}
            case InversionReport():
                return {
                    "lock": self.names[report.lock.address],
                    "forwards": report.forwards,
                    "state": report.state,
                    "path": classes(report.path),
                }
            case SafeUnsafeReport():
                return {
                    "prev": self.names[report.prev.address],
                    "next": self.names[report.next.address],
                    "state": report.state,
                    "safe": classes(report.safe_path),
                    "safe_at": number(report.safe_trace),
                    "unsafe": classes(report.unsafe_path),
                    "unsafe_at": number(report.unsafe_trace),
                }
            case CircularReport() | RecursiveReport():
                says: dict[str, Any] = {
                    "prev": self.names[report.prev.address],
                    "next": self.names[report.next.address],
                }
                if isinstance(report, CircularReport):
                    steps = zip(classes(report.chain), report.chain, strict=True)
                    says["chain"] = [(name, number(link.trace)) for name, link in steps]
                return says
            case WaitContextReport():
                return {"lock": classes([report.lock])[0]}
            case NestedNotTakenReport():
                return {"nest_lock": report.nest_lock}
            case UnlockBalanceReport():
                return {"lock": report.lock}
        return {}


OPERATIONS = {
    "irq_off": "hardirqs_off",
    "irq_on": "hardirqs_on",
    "bh_off": "softirqs_off",
    "bh_on": "softirqs_on",
}


def number(trace: tuple[Frame, ...]) -> int:
    """Return the number of the event that a trace was taken at."""
    return int(trace[0].function)


def classes(links: Iterable[Link | HeldInfo]) -> list[str]:
    """Return the names of classes, without the version that tells equal names apart."""
    return [link.cls.name.replace("#2", "") for link in links]


def oracle(sequence: Sequence, judge: Judge) -> tuple[int, Finding] | None:
    """Return the first event that *judge* objects to, and why."""
    machine = Machine(judge, TASKS, sequence.raw_nesting)
    for index, event in enumerate(sequence.events):
        finding = machine.step(event.op, event.task, **event.details)
        if finding is not None:
            return index, finding
    return None


def validate(sequence: Sequence, like_linux: bool) -> tuple[int, Report, Subject] | None:
    """Return the first event that the validator reports."""
    subject = Subject(sequence, like_linux)
    for index, event in enumerate(sequence.events):
        report = subject.step(event)
        if report is not None:
            return index, report, subject
    return None


def check(sequence: Sequence) -> str:
    """Compare both modes with both oracles; return what was found."""
    linux, by_linux = validate(sequence, True), oracle(sequence, LinuxJudge())
    assert (linux is None) == (by_linux is None), sequence
    if linux is not None and by_linux is not None:
        index, report, subject = linux
        assert (index, report.kind) == (by_linux[0], by_linux[1].kind), sequence
        assert subject.says(report) == by_linux[1].says, sequence
        assert not report.linux_would_miss

    exact = validate(sequence, False)
    if not sequence.lifelike:
        # Where an interrupt leaves locks held, there is no definition to compare with.
        assert linux is None or (exact is not None and exact[0] <= linux[0]), sequence
        return by_linux[1].kind if by_linux is not None else "nothing"
    by_definition = oracle(sequence, ExactJudge())
    assert (exact is None) == (by_definition is None), sequence
    if exact is None or by_definition is None:
        return "nothing"
    index, report, subject = exact
    assert index == by_definition[0], sequence
    if by_linux is not None and by_linux[0] == index:
        # Where Linux sees something in the same event, that is the report.
        assert report.kind == by_linux[1].kind and not report.linux_would_miss, sequence
        assert subject.says(report) == by_linux[1].says, sequence
        return report.kind
    assert report.kind == by_definition[1].kind and report.linux_would_miss, sequence
    return f"{report.kind}, missed by Linux"


# The kinds that a lifelike sequence can earn, and how many of 1,200 at least.
KINDS = {
    "circular": 10,
    "circular, missed by Linux": 0,
    "inconsistent": 100,
    "irq-inversion": 30,
    "irq-inversion, missed by Linux": 4,
    "nested-not-taken": 10,
    "nothing": 50,
    "recursive": 50,
    "safe-unsafe": 15,
    "safe-unsafe, missed by Linux": 1,
    "unlock-balance": 1,
    "wait-context": 40,
}


@pytest.mark.parametrize("seed", range(3))
def test_lifelike(seed: int) -> None:
    chooser = random.Random(seed)
    found = Counter(check(lifelike(chooser)) for _ in range(1200))
    # A generator that makes only one kind of sequence would prove nothing.
    assert not {kind: found[kind] for kind, least in KINDS.items() if found[kind] < least}


@pytest.mark.parametrize("seed", range(2))
def test_chain(seed: int) -> None:
    chooser = random.Random(seed)
    found = Counter(check(chain(chooser)) for _ in range(800))
    assert min(found[kind] for kind in ("nothing", "irq-inversion", "safe-unsafe")) > 50, found


@pytest.mark.parametrize("seed", range(2))
def test_wild(seed: int) -> None:
    chooser = random.Random(seed)
    found = Counter(check(wild(chooser)) for _ in range(1500))
    assert len(found) > 7, found


def to_event(step: list[str], locks: dict[str, Lock]) -> Event | None:
    """Return a step of the recorded self-test; None for what says nothing about locks."""
    op, *rest = step
    if op == "acquire":
        mode, *flags = rest[1].split(":")
        details: dict[str, Any] = {"lock": locks[rest[0]], "read": "WrR".index(mode)}
        for flag in flags:
            match flag.split("="):
                case ["try"]:
                    details["trylock"] = True
                case ["nocheck"]:
                    details["check"] = False
                case ["sub", number]:
                    details["subclass"] = int(number)
                case ["nest", name]:
                    details["nest"] = locks.get(name, Lock(name, name))
        return Event(op, 0, details)
    if op == "release":
        return Event(op, 0, {"lock": locks[rest[0]]})
    if op == "hardirq_enter":
        return Event(op, 0, {"threaded": rest[1] == "threaded"})
    known = "irq_off irq_on bh_off bh_on hardirq_exit softirq_enter softirq_exit".split()
    return Event(op, 0, {}) if op in known else None


TITLES = {
    "circular": "WARNING: possible circular locking dependency detected",
    "recursive": "WARNING: possible recursive locking detected",
    "inconsistent": "WARNING: inconsistent lock state",
    "irq-inversion": "WARNING: possible irq lock inversion dependency detected",
    "safe-unsafe": "WARNING: {state}-safe -> {state}-unsafe lock order detected",
    "wait-context": "[ BUG: Invalid wait context ]",
    "unlock-balance": "WARNING: bad unlock balance detected!",
    "nested-not-taken": "WARNING: Nested lock was not taken",
}


def test_the_oracle_itself_is_the_kernel() -> None:
    """The oracle against what a running kernel said in its own self-test."""
    table = json.loads((DATA / "lockdep" / "selftest.json").read_text(encoding="utf-8"))
    compared = 0
    for case in table:
        expected = case["report"]
        if expected is not None and ("DEBUG_LOCKS" in expected or "freed" in expected):
            continue
        locks = {
            name: Lock(
                name,
                lock["class_key"],
                lock.get("wait_inner", "INV"),
                lock.get("wait_outer", "INV"),
                lock.get("lock_type", "NORMAL"),
            )
            for name, lock in case["locks"].items()
        }
        events = [to_event(step, locks) for step in case["sequence"]]
        sequence = Sequence(list(locks.values()), [e for e in events if e is not None], True, True)
        finding = oracle(sequence, LinuxJudge())
        title = TITLES[finding[1].kind].format(**finding[1].says) if finding is not None else None
        assert title == expected, case["name"]
        compared += 1
    assert compared > 250
