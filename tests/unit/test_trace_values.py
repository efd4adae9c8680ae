# SPDX-License-Identifier: Apache-2.0
"""Lines of a trace: arguments, results, indices, what was read and written; and no comment as code."""

from __future__ import annotations

from quiesce import check
from quiesce.explorer.reference.trace import follow
from quiesce.primitives import Atomic, Mutex, RwSem
from quiesce.protocol import (
    Array,
    Int,
    Protocol,
    Scenario,
    TaskRef,
    always,
    atomic,
    current,
    thread,
    wait_until,
)
from quiesce.testing import Checked


def lines(checked: Checked) -> list[str]:
    """Return what each action of the first counterexample shows."""
    trace = follow(checked.result.program, checked.findings[0])
    return [action.shown for step in trace.steps for action in step.actions]


class Stack(Protocol):
    top = Int(2, high=3)

    @atomic
    def cas(self, old: int, new: int) -> bool:
        if self.top != old:
            return False
        self.top = new
        return True


class Told(Scenario):
    """One thread that does a little of everything, and fails."""

    forks = Array(Mutex(), 2)
    cells = Array(Int(0, high=9, marked=True), 3)
    stack = Stack()
    users = Atomic(0)
    x = Int(0, high=9, marked=True)
    y = Int(0, high=9, marked=True)
    owner = TaskRef(marked=True)

    @thread()
    def user(self) -> None:
        i = 1
        with self.forks[i]:
            pass
        self.stack.cas(2, 0)
        self.stack.cas(2, 1)
        self.users.fetch_add(3)
        self.x += 1
        self.y = 5  # a constant: the text says it already
        # This line is no part of what comes before it.
        self.cells[i + 1] = self.x + self.y
        self.owner = current()
        while (  # nor is this
            self.x == 2
            # or this
        ):
            pass
        wait_until(lambda: self.cells[2] > 0)
        assert self.x == 2, "the end"


def test_every_line_says_what_it_did() -> None:
    told = lines(check(Told()))
    assert told[0] == "mutex_lock(&forks[1])"
    assert "cas(&told->stack, 2, 0) = True   [top: 2 -> 0]" in told
    assert "cas(&told->stack, 2, 1) = False" in told
    assert "atomic_fetch_add(&told->users, 3) = 0   [counter: 0 -> 3]" in told
    assert "x += 1   [loads x = 0]" in told
    assert "x += 1   [stores x = 1]" in told
    assert "y = 5" in told
    assert "cells[i + 1] = x + y   [stores cells[2] = 6]" in told
    assert any(line.startswith("while (x == 2)") and line.endswith("[x = 1]") for line in told)
    assert not any("#" in line or "nor is this" in line for line in told)


class Twice(Scenario):
    lock = Mutex()

    @thread()
    def user(self) -> None:
        with self.lock:
            with self.lock:
                pass


def test_a_thread_that_waits_for_its_own_lock_is_told_so() -> None:
    text = str(check(Twice()))
    assert "waits for a lock that it holds itself since :" in text
    assert "held by user/0 itself since test_trace_values.py:" in text


class Nested(Scenario):
    sem = RwSem()

    def __init__(self, nested: bool = True) -> None:
        self.nested = nested

    @thread()
    def reader(self) -> None:
        self.sem.down_read()
        if self.nested:
            self.sem.down_read()
            self.sem.up_read()
        self.sem.up_read()

    @thread()
    def writer(self) -> None:
        with self.sem:
            pass


def test_a_reader_behind_a_writer_is_told_that_it_reads_already() -> None:
    text = " ".join(str(check(Nested())).split())
    assert "waits behind writer/0, for a lock that it holds itself since :" in text
    assert "itself" not in str(check(Nested(False)))


class Behind(Scenario):
    """A daemon holds a lock forever: who waits for it, and where it stands itself."""

    lock = Mutex()
    work = Int(0, high=3)

    @atomic
    def next_work(self) -> None:
        wait_until(self.work > 0)
        self.work -= 1

    @thread(daemon=True)
    def worker(self) -> None:
        while True:
            with self.lock:
                self.next_work()

    @thread()
    def user(self) -> None:
        with self.lock:
            pass


def test_the_daemon_that_a_thread_waits_for_is_in_the_summary() -> None:
    text = str(check(Behind()))
    assert "user/0 waits for &behind->lock" in text
    assert "held by worker/0 since" in text
    assert "worker/0 waits for next_work(behind)" in text


class Unused(Scenario):
    """An argument that the region does not read has no value when it begins."""

    x = Int(0, high=9)

    @atomic
    def store(self, value: int, unused: int) -> None:
        self.x = value

    @thread(2)
    def user(self, me: int) -> None:
        mine = self.x + me
        self.store(mine, mine + 1)

    @always
    def small(self) -> bool:
        return self.x == 0


def test_no_argument_is_shown_that_is_not_known() -> None:
    told = lines(check(Unused(), ignore="no_data_race"))
    calls = [line for line in told if line.startswith("store(")]
    assert calls
    assert calls[-1].startswith("store(unused, 1")
    assert "[x: 0 -> 1]" in calls[-1]
