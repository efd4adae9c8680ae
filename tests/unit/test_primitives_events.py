# SPDX-License-Identifier: Apache-2.0
"""What each lock tells lockdep, where it may sleep, and who may release it."""

from __future__ import annotations

import pytest

from quiesce.compiler.program import compile_scenario
from quiesce.explorer import Options, check
from quiesce.lockdep import Validator
from quiesce.lockdep.explored import ExploredLockdep, declare_lock
from quiesce.lockdep.graph_text import as_text
from quiesce.primitives import (
    Lock,
    LockdepMap,
    Mutex,
    RawSpinLock,
    RwLock,
    RwSem,
    RwSemUnfair,
    SeqCount,
    SpinLock,
    Srcu,
    non_block_end,
    non_block_start,
)
from quiesce.protocol import Scenario, thread
from quiesce.verdict import Verdict


class Locks(Scenario):
    """One lock of each kind; *how* says which is taken, and as what."""

    def __init__(self, how: str, rt: bool = False) -> None:
        self.how = how
        self.spin = SpinLock(rt=rt)
        self.raw = RawSpinLock()
        self.mutex = Mutex()
        self.sem = RwSem()
        self.unfair = RwSemUnfair()
        self.rwlock = RwLock(rt=rt)
        self.count = SeqCount()
        self.srcu = Srcu()

    def enter(self) -> bool:
        if self.how == "spin":
            self.spin.lock()
        elif self.how == "spin, tried":
            return self.spin.trylock()
        elif self.how == "raw":
            self.raw.lock()
        elif self.how == "raw, tried":
            return self.raw.trylock()
        elif self.how == "mutex":
            self.mutex.lock()
        elif self.how == "mutex, tried":
            return self.mutex.trylock()
        elif self.how == "sem, read":
            self.sem.down_read()
        elif self.how == "sem, read, tried":
            return self.sem.down_read_trylock()
        elif self.how == "sem":
            self.sem.down_write()
        elif self.how == "unfair, read":
            self.unfair.down_read()
        elif self.how == "unfair":
            self.unfair.down_write()
        elif self.how == "rwlock, read":
            self.rwlock.read_lock()
        elif self.how == "rwlock":
            self.rwlock.write_lock()
        elif self.how == "count":
            self.count.write_seqcount_begin()
        elif self.how == "srcu":
            self.srcu.srcu_read_lock()
        return True

    def leave(self) -> None:
        if self.how == "spin" or self.how == "spin, tried":
            self.spin.unlock()
        elif self.how == "raw" or self.how == "raw, tried":
            self.raw.unlock()
        elif self.how == "mutex" or self.how == "mutex, tried":
            self.mutex.unlock()
        elif self.how == "sem, read" or self.how == "sem, read, tried":
            self.sem.up_read()
        elif self.how == "sem":
            self.sem.up_write()
        elif self.how == "unfair, read":
            self.unfair.up_read()
        elif self.how == "unfair":
            self.unfair.up_write()
        elif self.how == "rwlock, read":
            self.rwlock.read_unlock()
        elif self.how == "rwlock":
            self.rwlock.write_unlock()
        elif self.how == "count":
            self.count.write_seqcount_end()
        elif self.how == "srcu":
            self.srcu.srcu_read_unlock(0)


class Nested(Locks):
    """A lock is taken after one annotation, around a second, and is gone when the third comes."""

    before = LockdepMap("before")
    inside = LockdepMap("inside")
    after = LockdepMap("after")

    @thread()
    def user(self) -> None:
        with self.before:
            got = self.enter()
        if got:
            with self.inside:
                pass
            self.leave()
        with self.after:
            pass


# How it is waited for after an exclusive lock, and how it is held around one; None: it is not waited for.
TOLD: dict[str, tuple[str | None, str]] = {
    "spin": ("EN", "EN"),
    "spin, tried": (None, "EN"),
    "raw": ("EN", "EN"),
    "raw, tried": (None, "EN"),
    "mutex": ("EN", "EN"),
    "mutex, tried": (None, "EN"),
    "sem, read": ("EN", "SN"),
    "sem, read, tried": (None, "SN"),
    "sem": ("EN", "EN"),
    "unfair, read": ("ER", "SN"),
    "unfair": ("EN", "EN"),
    "rwlock, read": ("EN", "SN"),
    "rwlock": ("EN", "EN"),
    "count": ("EN", "EN"),
    "srcu": ("ER", "SN"),
}


@pytest.mark.parametrize("how", TOLD)
def test_what_lockdep_is_told(how: str) -> None:
    validator = Validator()
    assert ExploredLockdep(compile_scenario(Nested(how)), validator).run() is None
    waited, held = TOLD[how]
    name = how.partition(",")[0]
    edges, near = set(), ""
    for line in as_text(validator).splitlines():
        if line.startswith("("):
            near = line[1 : line.index(")")]
        else:
            _, far, kind = line.split()
            edges.add((near, far, kind))
    expected = {(f"&nested->{name}", "inside", held)}
    expected |= {("before", f"&nested->{name}", waited)} if waited is not None else set()
    assert edges == expected


@pytest.mark.parametrize("lock", [SpinLock, RwLock, Mutex, RawSpinLock, RwSem, LockdepMap])
def test_a_lock_is_called_by_its_name(lock: type[Lock]) -> None:
    class Owner(Scenario):
        lock_of_mine = lock("&other->lock")

    assert declare_lock(Validator(), Owner().lock_of_mine).name == "&other->lock"


class NotBlocking(Locks):
    """A lock is taken where the thread has promised not to sleep, and again where it may."""

    def __init__(self, how: str, rt: bool = False, promised: bool = True) -> None:
        super().__init__(how, rt)
        self.promised = promised

    @thread()
    def reaper(self) -> None:
        if self.promised:
            non_block_start()
        if self.enter():
            self.leave()
        if self.promised:
            non_block_end()
        if self.enter():
            self.leave()


SLEEPS = {"mutex", "sem, read", "sem", "unfair, read", "unfair"}
SLEEPS_WITH_RT = SLEEPS | {"spin", "rwlock, read", "rwlock"}


@pytest.mark.parametrize("rt", [False, True])
@pytest.mark.parametrize("how", TOLD)
def test_where_a_lock_may_sleep(how: str, rt: bool) -> None:
    result = check(NotBlocking(how, rt))
    if how in (SLEEPS_WITH_RT if rt else SLEEPS):
        assert result.finding is not None and result.finding.kind == "failed assert"
        assert "sleeping function called from invalid context" in result.finding.message
    else:
        assert result.verdict is Verdict.HOLDS
    assert check(NotBlocking(how, rt, promised=False)).verdict is Verdict.HOLDS


class Foreign(Locks):
    """One thread takes the lock; the other, which never does, releases it."""

    @thread()
    def owner(self) -> None:
        if self.enter():
            self.leave()

    @thread()
    def stranger(self) -> None:
        self.leave()


# A read section of SRCU, and a write section of a sequence count, belong to no thread.
OWNED = [how for how in TOLD if how not in ("srcu", "count")]


@pytest.mark.parametrize("how", OWNED)
def test_only_who_holds_a_lock_releases_it(how: str) -> None:
    findings = check(Foreign(how), Options(keep_going=True)).of_kind(
        "failed assert", "out of range"
    )
    assert findings
    for finding in findings:
        assert finding.kind == "failed assert" and "bad unlock" in finding.message
