# SPDX-License-Identifier: Apache-2.0
"""Interrupts: single verdicts that neither the kernel's self-test nor its recorded reports hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations

import pytest

from quiesce.lockdep import LockdepMap, LockdepTask, LockType, Report, Validator

WRITER, READER, RECURSIVE = 0, 1, 2


@contextmanager
def irqs_off(validator: Validator, task: LockdepTask) -> Iterator[None]:
    validator.hardirqs_off(task)
    yield
    validator.hardirqs_on(task)


@contextmanager
def hardirq(validator: Validator, task: LockdepTask) -> Iterator[None]:
    with irqs_off(validator, task):
        validator.hardirq_enter(task)
        yield
        validator.hardirq_exit(task)


class Bench:
    """A validator with one task, and locks by the letters of their names."""

    def __init__(self, *, like_linux: bool = False, local: str = "") -> None:
        self.validator = Validator(like_linux=like_linux)
        self.task = self.validator.task("task")
        self.locks: dict[str, LockdepMap] = {}
        self.local = local

    def nest(self, *taken: tuple[str, int]) -> Report | None:
        """Take locks, each by its name and as what, and release them again; return the report."""
        for name, read in taken:
            lock_type = LockType.PERCPU if name == self.local else LockType.NORMAL
            lock = self.locks.setdefault(name, self.validator.lock(name, lock_type=lock_type))
            self.validator.acquire(self.task, lock, read=read)
        for name, _ in reversed(taken):
            self.validator.release(self.task, self.locks[name])
        return self.validator.report

    def off(self, *taken: tuple[str, int]) -> Report | None:
        with irqs_off(self.validator, self.task):
            return self.nest(*taken)

    def irq(self, *taken: tuple[str, int]) -> Report | None:
        with hardirq(self.validator, self.task):
            return self.nest(*taken)


def kind(report: Report | None) -> str | None:
    return report.kind if report is not None else None


@pytest.mark.parametrize("like_linux", [False, True])
@pytest.mark.parametrize("trylock", [False, True])
def test_an_interrupt_that_only_tries_does_not_wait(trylock: bool, like_linux: bool) -> None:
    bench = Bench(like_linux=like_linux)
    lock = bench.validator.lock("timer")
    with hardirq(bench.validator, bench.task):
        bench.validator.acquire(bench.task, lock, trylock=trylock)
        bench.validator.release(bench.task, lock)
    bench.validator.acquire(bench.task, lock)
    assert kind(bench.validator.report) == (None if trylock else "inconsistent")


@pytest.mark.parametrize("like_linux", [False, True])
@pytest.mark.parametrize(
    ("inner", "held", "expected"),
    [
        (RECURSIVE, READER, None),
        (RECURSIVE, RECURSIVE, None),
        (RECURSIVE, WRITER, "irq-inversion"),
        (WRITER, RECURSIVE, "irq-inversion"),
    ],
)
def test_a_recursive_reader_waits_for_writers_only(
    inner: int, held: int, expected: str | None, like_linux: bool
) -> None:
    """An interrupt waits for "irq", whose holder waits for "data" as *inner*; it interrupts *held*."""
    bench = Bench(like_linux=like_linux)
    bench.irq(("irq", WRITER))
    bench.off(("irq", WRITER), ("data", inner))
    assert kind(bench.nest(("data", held))) == expected


@pytest.mark.parametrize("like_linux", [False, True])
@pytest.mark.parametrize("order", [*permutations(range(3))])
@pytest.mark.parametrize("read", [WRITER, READER, RECURSIVE])
def test_a_held_reader_does_not_stop_an_interrupt_that_reads(
    read: int, order: tuple[int, ...], like_linux: bool
) -> None:
    """The interrupt only reads "stats"; "stats" is held as *read* when "log" is waited for."""
    bench = Bench(like_linux=like_linux)
    steps = (
        lambda: bench.irq(("stats", RECURSIVE)),
        lambda: bench.off(("stats", read), ("log", WRITER)),
        lambda: bench.nest(("log", WRITER)),
    )
    for step in order:
        steps[step]()
    expected = "safe-unsafe" if order[-1] == 1 else "irq-inversion"
    assert kind(bench.validator.report) == (None if read else expected)


@pytest.mark.parametrize("like_linux", [False, True])
@pytest.mark.parametrize("links", [2, 3, 5])
def test_what_leads_to_a_class_is_known_far_away(links: int, like_linux: bool) -> None:
    """A chain grows at its front; then its far end leads to a lock that may be interrupted."""
    bench = Bench(like_linux=like_linux)
    bench.irq(("0", WRITER))
    bench.nest(("unsafe", WRITER))
    for link in reversed(range(links)):
        assert bench.off((str(link), WRITER), (str(link + 1), WRITER)) is None
    last = bench.off((str(links), WRITER), ("unsafe", WRITER))
    assert kind(last) == "safe-unsafe"


@pytest.mark.parametrize("interrupt_first", [False, True])
def test_an_interrupts_reader_that_a_waiting_writer_blocks(interrupt_first: bool) -> None:
    """A task reads, a writer waits, the task is interrupted and the interrupt reads: that hangs."""

    def run(*, read: int, like_linux: bool) -> Report | None:
        bench = Bench(like_linux=like_linux)
        for step in (bench.irq, bench.nest) if interrupt_first else (bench.nest, bench.irq):
            step(("sem", read))
        return bench.validator.report

    report = run(read=READER, like_linux=False)
    assert kind(report) == "irq-inversion" and report is not None
    # Linux remembers only that an interrupt reads, so that for it the order matters.
    assert report.linux_would_miss == interrupt_first
    linux = run(read=READER, like_linux=True)
    assert kind(linux) == (None if interrupt_first else "irq-inversion")
    for like_linux in (False, True):
        assert run(read=RECURSIVE, like_linux=like_linux) is None


@pytest.mark.parametrize("is_local", [False, True])
def test_a_local_lock_between_two_others(is_local: bool) -> None:
    """With "irq" held, then a local_lock, "data" is waited for: "irq" -> "data" all the same."""

    def run(*, like_linux: bool) -> Report | None:
        bench = Bench(like_linux=like_linux, local="percpu" if is_local else "")
        bench.irq(("irq", WRITER))
        bench.nest(("data", WRITER))
        return bench.off(("irq", WRITER), ("percpu", WRITER), ("data", WRITER))

    report = run(like_linux=False)
    assert kind(report) == "safe-unsafe" and report is not None
    # Linux records only the two links, and stops at a local_lock when it looks for interrupts.
    assert report.linux_would_miss == is_local
    assert kind(run(like_linux=True)) == (None if is_local else "safe-unsafe")
    # The two links by themselves are no such order: each CPU has a local_lock of its own.
    bench = Bench(local="percpu")
    bench.irq(("irq", WRITER))
    bench.nest(("data", WRITER))
    bench.off(("irq", WRITER), ("percpu", WRITER))
    assert bench.off(("percpu", WRITER), ("data", WRITER)) is None
