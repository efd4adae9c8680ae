# SPDX-License-Identifier: Apache-2.0
"""Locks: they exclude, they are fair as they say, and each broken twin is caught."""

from __future__ import annotations

import pytest

from quiesce.explorer import CheckResult, Options, check
from quiesce.primitives import (
    Atomic,
    Lock,
    LockdepMap,
    Mutex,
    RawSpinLock,
    RwLock,
    RwSem,
    RwSemUnfair,
    SpinLock,
    configure_preempt_rt,
    non_block_end,
    non_block_start,
)
from quiesce.protocol import (
    Bool,
    Int,
    Scenario,
    TaskRef,
    acquires,
    always,
    atomic,
    current,
    eventually,
    releases,
    thread,
    wait_until,
)
from quiesce.verdict import Verdict

EXCLUSIVE_LOCKS = [SpinLock, RawSpinLock, Mutex, RwSem, RwSemUnfair, RwLock]


def kinds(result: CheckResult) -> set[str]:
    return {p.finding.kind for p in result.properties if p.finding and not p.informational}


class NoLock(Lock):
    def lock(self) -> None:
        pass

    def unlock(self) -> None:
        pass


class Exclusion(Scenario):
    """Two threads for ever in and out of a critical section."""

    inside = Int(0, high=2, marked=True)
    visits = Int(0, high=1)

    def __init__(self, lock: type[Lock] = SpinLock) -> None:
        self.lock = lock()

    @thread(2)
    def user(self) -> None:
        while True:
            with self.lock:
                self.inside += 1
                self.visits = 1 - self.visits
                self.inside -= 1

    @always
    def exclusive(self) -> bool:
        return self.inside <= 1


@pytest.mark.parametrize("lock", EXCLUSIVE_LOCKS)
def test_a_lock_excludes_and_lets_everybody_in(lock: type[Lock]) -> None:
    result = check(Exclusion(lock))
    assert result.complete
    assert result.verdict is Verdict.HOLDS


def test_without_a_lock_there_is_a_race() -> None:
    assert "data race" in kinds(check(Exclusion(NoLock)))


class UnqueuedLock(Lock):
    """A test-and-set lock: nobody queues, so a waiter can be passed over for ever."""

    owner = TaskRef()

    @atomic
    def lock(self) -> None:
        acquires(self)
        wait_until(self.owner is None)
        self.owner = current()

    @atomic
    def unlock(self) -> None:
        releases(self)
        self.owner = None


def test_a_lock_without_a_queue_starves() -> None:
    assert kinds(check(Exclusion(UnqueuedLock))) == {"starvation"}


class ForeignUnlock(Scenario):
    def __init__(self, lock: type[Lock] = SpinLock, own: bool = False) -> None:
        self.lock = lock()
        self.own = own

    @thread()
    def holder(self) -> None:
        self.lock.lock()
        if self.own:
            self.lock.unlock()

    @thread()
    def other(self) -> None:
        if not self.own:
            self.lock.unlock()


@pytest.mark.parametrize("lock", EXCLUSIVE_LOCKS)
def test_unlocking_what_another_holds_is_reported(lock: type[Lock]) -> None:
    result = check(ForeignUnlock(lock))
    assert result.finding is not None
    assert result.finding.kind == "failed assert"
    assert "bad unlock" in result.finding.message
    assert check(ForeignUnlock(lock, own=True)).verdict is Verdict.HOLDS


class SelfDeadlock(Scenario):
    def __init__(self, lock: type[Lock] = SpinLock) -> None:
        self.lock = lock()

    @thread()
    def user(self) -> None:
        self.lock.lock()
        self.lock.lock()


@pytest.mark.parametrize("lock", EXCLUSIVE_LOCKS)
def test_no_lock_is_recursive(lock: type[Lock]) -> None:
    assert kinds(check(SelfDeadlock(lock))) == {"deadlock"}


class TryLocks(Scenario):
    """A trylock takes the lock only where it is free; whoever got it is alone."""

    inside = Int(0, high=2, marked=True)
    failed = Bool(marked=True)

    def __init__(self, lock: type[SpinLock | RawSpinLock | Mutex] = SpinLock) -> None:
        self.lock = lock()

    @thread(2)
    def user(self) -> None:
        if self.lock.trylock():
            self.inside += 1
            self.inside -= 1
            self.lock.unlock()
        else:
            self.failed = True

    @always
    def exclusive(self) -> bool:
        return self.inside <= 1

    @always
    def never_fails(self) -> bool:
        return not self.failed


@pytest.mark.parametrize("lock", [SpinLock, RawSpinLock, Mutex])
def test_trylock(lock: type[SpinLock | RawSpinLock | Mutex]) -> None:
    result = check(TryLocks(lock), Options(keep_going=True))
    assert result.property("never_fails").verdict is Verdict.VIOLATION
    assert result.property("exclusive").verdict is Verdict.HOLDS


# --- Readers ------------------------------------------------------------------------------------------


class Readers(Scenario):
    """Readers for ever, and one writer for ever."""

    lock = RwSem()
    reading = Atomic(high=2)
    writing = Bool(marked=True)

    @thread(2)
    def reader(self) -> None:
        while True:
            self.lock.down_read()
            self.reading.inc()
            self.reading.dec()
            self.lock.up_read()

    @thread()
    def writer(self) -> None:
        while True:
            self.lock.down_write()
            self.writing = True
            self.writing = False
            self.lock.up_write()

    @always
    def readers_or_writer(self) -> bool:
        return not (self.reading.counter > 0 and self.writing)

    @always
    def one_reader(self) -> bool:
        return self.reading.counter <= 1


def test_readers_share_and_a_fair_rwsem_starves_nobody() -> None:
    result = check(Readers(), Options(keep_going=True))
    by_name = {p.name: p.verdict for p in result.properties}
    assert by_name["one_reader"] is Verdict.VIOLATION
    assert by_name["readers_or_writer"] is Verdict.HOLDS
    assert kinds(check(ReadersAndWriters())) == set()


class ReadersAndWriters(Scenario):
    """Two readers and two writers of a fair rwsem."""

    lock = RwSem()

    @thread(2)
    def reader(self) -> None:
        while True:
            self.lock.down_read()
            self.lock.up_read()

    @thread(2)
    def writer(self) -> None:
        while True:
            self.lock.down_write()
            self.lock.up_write()

    @always
    def readers_or_writer(self) -> bool:
        return self.lock.readers == 0 or self.lock.owner is None


def test_readers_of_the_unfair_rwsem_starve_the_writer() -> None:
    class Unfair(ReadersAndWriters):
        lock = RwSemUnfair()  # type: ignore[assignment]

    result = check(Unfair())
    assert kinds(result) == {"starvation"}
    assert result.finding is not None
    assert "down_write" in result.finding.message


class NestedReaders(Scenario):
    """A reader nests while a writer may queue in between."""

    def __init__(self, lock: type[RwSem | RwSemUnfair] = RwSem) -> None:
        self.lock = lock()

    @thread()
    def reader(self) -> None:
        self.lock.down_read()
        self.lock.down_read()
        self.lock.up_read()
        self.lock.up_read()

    @thread()
    def writer(self) -> None:
        self.lock.down_write()
        self.lock.up_write()


def test_nested_readers_deadlock_on_the_fair_rwsem_only() -> None:
    assert kinds(check(NestedReaders(RwSem))) == {"deadlock"}
    assert check(NestedReaders(RwSemUnfair)).verdict is Verdict.HOLDS


class ReadLocks(Scenario):
    """The same for rwlock_t, two readers and one writer, for ever."""

    lock = RwLock()

    def __init__(self, nested: bool = False) -> None:
        self.nested = nested

    @thread(2)
    def reader(self) -> None:
        while True:
            self.lock.read_lock()
            if self.nested:
                self.lock.read_lock()
                self.lock.read_unlock()
            self.lock.read_unlock()

    @thread()
    def writer(self) -> None:
        while True:
            self.lock.write_lock()
            self.lock.write_unlock()

    @always
    def readers_or_writer(self) -> bool:
        return self.lock.readers == 0 or self.lock.owner is None


def test_the_queued_rwlock_is_fair_and_not_recursive() -> None:
    assert check(ReadLocks()).verdict is Verdict.HOLDS
    assert "deadlock" in kinds(check(ReadLocks(nested=True)))


class PhaseFair(Scenario):
    """A writer releases while readers wait: they all get in before the next writer."""

    lock = RwSem()
    read = Bool(marked=True)

    @thread()
    def writer(self) -> None:
        while True:
            self.lock.down_write()
            self.lock.up_write()

    @thread()
    def reader(self) -> None:
        while True:
            self.lock.down_read()
            self.read = True
            self.lock.up_read()
            self.read = False

    @eventually()
    def reader_reads(self) -> bool:
        return self.read


def test_writers_cannot_starve_readers() -> None:
    assert check(PhaseFair()).verdict is Verdict.HOLDS


# --- Maps and PREEMPT_RT ---------------------------------------------------------------------------------


class Mapped(Scenario):
    """Two threads inside one lockdep map at the same time: it keeps nobody out."""

    map = LockdepMap("a_map")
    inside = Int(0, high=2, marked=True)

    @thread(2)
    def user(self) -> None:
        with self.map:
            self.inside += 1
            self.inside -= 1

    @always
    def alone(self) -> bool:
        return self.inside <= 1


def test_a_lockdep_map_makes_nobody_wait() -> None:
    assert kinds(check(Mapped())) == {"broken invariant"}


class NonBlock(Scenario):
    """A lock taken where the thread has promised not to sleep."""

    def __init__(self, lock: type[Lock] = SpinLock, rt: bool = False) -> None:
        self.lock = lock()
        if rt:
            configure_preempt_rt(self)

    @thread()
    def reaper(self) -> None:
        non_block_start()
        with self.lock:
            pass
        non_block_end()


@pytest.mark.parametrize(
    ("lock", "rt", "sleeps"),
    [
        (SpinLock, False, False),
        (SpinLock, True, True),
        (RwLock, False, False),
        (RwLock, True, True),
        (RawSpinLock, True, False),
        (Mutex, False, True),
        (RwSem, False, True),
    ],
)
def test_what_sleeps_in_a_section_that_must_not(lock: type[Lock], rt: bool, sleeps: bool) -> None:
    result = check(NonBlock(lock, rt))
    if sleeps:
        assert result.finding is not None
        assert "invalid context" in result.finding.message
    else:
        assert result.verdict is Verdict.HOLDS
