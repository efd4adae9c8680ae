# SPDX-License-Identifier: Apache-2.0
"""lockdep over the runs of a protocol: explored ones, and those of real threads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quiesce.compiler.program import compile_scenario
from quiesce.lockdep import Report, Validator
from quiesce.lockdep.explored import ExploredLockdep
from quiesce.lockdep.graph_text import as_text
from quiesce.lockdep.threads import ThreadLockdep
from quiesce.primitives import Lock, Mutex, RwSem, RwSemUnfair, SpinLock
from quiesce.protocol import (
    Array,
    Bool,
    Int,
    Scenario,
    TaskRef,
    acquires,
    atomic,
    choose,
    current,
    releases,
    thread,
    wait_until,
)
from quiesce.threads import run

Says = Callable[[Scenario], Report | None]


def explored(scenario: Scenario) -> Report | None:
    return ExploredLockdep(compile_scenario(scenario), Validator()).run()


def on_threads(scenario: Scenario) -> Report | None:
    """Run on real threads; a busy machine gets more time before silence is believed."""
    for seconds in (0.2, 0.5, 1.0):
        # A run that the end of its time cuts leaves locks held.
        lockdep = ThreadLockdep()
        run(scenario, seconds, seed=1, listener=lockdep)
        if lockdep.report is not None:
            break
    return lockdep.report


@pytest.fixture(params=[explored, on_threads])
def lockdep(request: pytest.FixtureRequest) -> Says:
    says: Says = request.param
    return says


def kind(report: Report | None) -> str | None:
    return report.kind if report is not None else None


class Turns(Scenario):
    """One thread after the other takes two locks, so that no deadlock can happen.

    :param crossed: the second takes them in the other order.
    :param how: it waits for the second lock, or only tries to get it.
    """

    done = Bool(marked=True)

    def __init__(
        self, lock: type[SpinLock | Mutex] = SpinLock, crossed: bool = True, how: str = "waits"
    ) -> None:
        self.a, self.b = lock(), lock()
        self.crossed = crossed
        self.how = how

    @thread()
    def first(self) -> None:
        self.a.lock()
        self.b.lock()
        self.b.unlock()
        self.a.unlock()
        self.done = True

    @thread()
    def second(self) -> None:
        wait_until(lambda: self.done)
        if self.crossed:
            self.b.lock()
            if self.how == "waits":
                self.a.lock()
                self.a.unlock()
            elif self.a.trylock():
                self.a.unlock()
            self.b.unlock()
        else:
            self.a.lock()
            self.b.lock()
            self.b.unlock()
            self.a.unlock()


@pytest.mark.parametrize("lock", [SpinLock, Mutex])
def test_an_order_needs_no_deadlock_to_be_wrong(
    lock: type[SpinLock | Mutex], lockdep: Says
) -> None:
    report = lockdep(Turns(lock))
    assert kind(report) == "circular" and report is not None
    text = report.text()
    assert "second/" in text and "(&turns->a)" in text and "(&turns->b)" in text
    assert lockdep(Turns(lock, crossed=False)) is None


def test_a_trylock_makes_no_order(lockdep: Says) -> None:
    assert lockdep(Turns(how="tries")) is None


class Tried(Scenario):
    """A thread tries a lock and takes two others; whether it got the first is known to a local only.

    :param orderly: if it did not get the first, it takes it after the second; else also if it did.
    """

    a = SpinLock()
    b = SpinLock()
    seen = Bool(marked=True)

    def __init__(self, orderly: bool = True) -> None:
        self.orderly = orderly

    @thread(2)
    def trier(self) -> None:
        got = self.a.trylock()
        self.seen = True
        if got and not self.orderly:
            with self.b:
                self.seen = False
        if got:
            self.a.unlock()
        else:
            with self.b:
                with self.a:
                    self.seen = False


def test_what_is_held_depends_on_whether_the_trylock_succeeded() -> None:
    assert explored(Tried()) is None
    assert kind(explored(Tried(orderly=False))) == "circular"


class OwnLock(Lock):
    """A lock whose trylock returns nothing: whether it was got is seen in the owner."""

    owner = TaskRef(marked=True)

    @atomic
    def try_to_get(self) -> None:
        if self.owner is None:
            acquires(self, trylock=True)
            self.owner = current()

    @atomic
    def lock(self) -> None:
        acquires(self)
        wait_until(self.owner is None)
        self.owner = current()

    @atomic
    def unlock(self) -> None:
        releases(self)
        self.owner = None


class Owned(Scenario):
    """As :class:`Tried`, but the outcome is in no local at all."""

    a = OwnLock()
    b = SpinLock()

    @thread(2)
    def trier(self) -> None:
        self.a.try_to_get()
        if self.a.owner is current():
            self.a.unlock()
        else:
            with self.b:
                with self.a:
                    pass


def test_what_is_held_may_be_known_from_shared_variables_only() -> None:
    assert explored(Owned()) is None


class Indexed(Scenario):
    """Locks of one class in an array; a thread takes one of them by its number, and maybe another."""

    locks = Array(SpinLock(), 3)
    last = SpinLock()
    number = Int(0, high=2, marked=True)

    def __init__(self, at_once: int = 1) -> None:
        self.at_once = at_once

    @thread()
    def chooser(self) -> None:
        self.number = choose(0, 1, 2)

    @thread()
    def taker(self) -> None:
        first = self.number
        second = self.number
        self.locks[first].lock()
        if self.at_once == 2 and first < second:
            self.locks[second].lock()
            self.locks[second].unlock()
        self.locks[first].unlock()
        with self.last:
            with self.locks[second]:
                pass


def test_locks_of_an_array_are_one_class() -> None:
    validator = Validator()
    assert ExploredLockdep(compile_scenario(Indexed()), validator).run() is None
    assert as_text(validator).splitlines() == [
        "(&indexed->locks){+.+.}-{2:2}",
        "(&indexed->last){+.+.}-{2:2}",
        "  -> &indexed->locks EN",
    ]
    assert kind(explored(Indexed(at_once=2))) == "recursive"


class OnlyTogether(Scenario):
    """The wrong order is taken only after another thread has set a flag, which it may never do."""

    a = SpinLock()
    b = SpinLock()
    flag = Bool(marked=True)

    def __init__(self, sets: bool = True) -> None:
        self.sets = sets

    @thread()
    def setter(self) -> None:
        with self.a:
            with self.b:
                if self.sets:
                    self.flag = True

    @thread()
    def taker(self) -> None:
        if self.flag:
            with self.b:
                with self.a:
                    pass


def test_what_a_thread_does_only_after_another() -> None:
    assert kind(explored(OnlyTogether())) == "circular"
    assert explored(OnlyTogether(sets=False)) is None


class Readers(Scenario):
    """A thread reads twice, one inside the other; no writer exists."""

    def __init__(self, lock: type[RwSem | RwSemUnfair]) -> None:
        self.sem = lock()

    @thread()
    def reader(self) -> None:
        self.sem.down_read()
        self.sem.down_read()
        self.sem.up_read()
        self.sem.up_read()


def test_readers_that_a_waiting_writer_blocks(lockdep: Says) -> None:
    assert kind(lockdep(Readers(RwSem))) == "recursive"
    assert lockdep(Readers(RwSemUnfair)) is None


class Sleeps(Scenario):
    """A mutex is taken inside a spinlock, or the other way round."""

    spin = SpinLock()
    mutex = Mutex()

    def __init__(self, wrong: bool) -> None:
        self.wrong = wrong

    @thread()
    def sleeper(self) -> None:
        if self.wrong:
            self.spin.lock()
            self.mutex.lock()
            self.mutex.unlock()
            self.spin.unlock()
        else:
            self.mutex.lock()
            self.spin.lock()
            self.spin.unlock()
            self.mutex.unlock()


def test_a_mutex_inside_a_spinlock(lockdep: Says) -> None:
    assert kind(lockdep(Sleeps(wrong=True))) == "wait-context"
    assert lockdep(Sleeps(wrong=False)) is None


class OutOfOrder(Scenario):
    """Of two locks, which a trylock keeps without an order, the first is released first."""

    a = SpinLock()
    b = SpinLock()
    c = SpinLock()

    @thread()
    def user(self) -> None:
        self.a.lock()
        got = self.b.trylock()
        self.a.unlock()
        self.c.lock()
        self.c.unlock()
        if got:
            self.b.unlock()
        with self.c:
            with self.a:
                pass


def test_a_lock_that_is_released_first_is_not_held_any_more(lockdep: Says) -> None:
    assert lockdep(OutOfOrder()) is None
