# SPDX-License-Identifier: Apache-2.0
"""RCU, SRCU and sequence counts: what readers read stays what it was."""

from __future__ import annotations

from quiesce.explorer import CheckResult, check
from quiesce.primitives import Mutex, Rcu, SeqCount, SpinLock, Srcu
from quiesce.protocol import READ_ONCE, WRITE_ONCE, Array, Bool, Int, Scenario, eventually, thread
from quiesce.verdict import Verdict


def kinds(result: CheckResult) -> set[str]:
    return {p.finding.kind for p in result.properties if p.finding and not p.informational}


class Published(Scenario):
    """Readers follow an index to one of two elements; updaters switch and retire the old one.

    :param wait: the updater waits for a grace period before it retires.
    :param updaters: with two, they are serialised for the switch only.
    """

    rcu = Rcu()
    srcu = Srcu()
    lock = Mutex()
    current_element = Int(0, high=1, marked=True)
    retired = Array[bool](Bool(marked=True), 2)
    finished = Bool(marked=True)

    def __init__(self, sleepable: bool = True, wait: bool = True, updaters: int = 1) -> None:
        self.sleepable = sleepable
        self.wait = wait
        self.updaters = updaters

    @thread(2)
    def reader(self) -> None:
        while True:
            if self.sleepable:
                index = self.srcu.srcu_read_lock()
                self.use()
                self.srcu.srcu_read_unlock(index)
            else:
                with self.rcu:
                    self.use()

    def use(self) -> None:
        element = self.current_element
        assert not self.retired[element], "a retired element is read"

    @thread("updaters")
    def updater(self) -> None:
        while True:
            self.lock.lock()
            old = self.current_element
            self.retired[1 - old] = False
            self.current_element = 1 - old
            if self.wait and self.sleepable:
                self.srcu.synchronize_srcu()
            elif self.wait:
                self.rcu.synchronize_rcu()
            self.retired[old] = True
            self.finished = True
            self.finished = False
            self.lock.unlock()

    @eventually()
    def updates_finish(self) -> bool:
        return self.finished


def test_srcu_waits_for_old_readers_and_new_ones_do_not_delay_it() -> None:
    assert check(Published(sleepable=True)).verdict is Verdict.HOLDS


def test_rcu_does_so_too() -> None:
    assert check(Published(sleepable=False)).verdict is Verdict.HOLDS


def test_without_the_grace_period_readers_are_caught_out() -> None:
    assert kinds(check(Published(sleepable=True, wait=False))) == {"failed assert"}
    assert kinds(check(Published(sleepable=False, wait=False))) == {"failed assert"}


class ManyUpdaters(Scenario):
    """Several grace periods at once: each waits for the reader that was there before it."""

    srcu = Srcu()
    rcu = Rcu()
    began = Array[bool](Bool(marked=True), 2)
    inside = Bool(marked=True)

    def __init__(self, sleepable: bool = True) -> None:
        self.sleepable = sleepable

    @thread()
    def reader(self) -> None:
        if self.sleepable:
            index = self.srcu.srcu_read_lock()
            self.inside = True
            self.inside = False
            self.srcu.srcu_read_unlock(index)
        else:
            self.rcu.rcu_read_lock()
            self.inside = True
            self.inside = False
            self.rcu.rcu_read_unlock()

    @thread(2)
    def updater(self) -> None:
        was_inside = self.inside
        if self.sleepable:
            self.srcu.synchronize_srcu()
        else:
            self.rcu.synchronize_rcu()
        assert not (was_inside and self.inside), "a reader from before is still there"


def test_concurrent_grace_periods_are_each_right() -> None:
    assert check(ManyUpdaters(True)).verdict is Verdict.HOLDS
    assert check(ManyUpdaters(False)).verdict is Verdict.HOLDS


class SelfSynchronize(Scenario):
    srcu = Srcu()

    @thread()
    def confused(self) -> None:
        index = self.srcu.srcu_read_lock()
        self.srcu.synchronize_srcu()
        self.srcu.srcu_read_unlock(index)


def test_synchronizing_inside_a_read_section_deadlocks() -> None:
    assert kinds(check(SelfSynchronize())) == {"deadlock"}


class NestedRcu(Scenario):
    """An inner section that ends does not end the outer one."""

    rcu = Rcu()
    gone = Bool(marked=True)
    taken = Bool(marked=True)

    @thread()
    def reader(self) -> None:
        with self.rcu:
            seen = not self.taken
            with self.rcu:
                pass
            assert not (seen and self.gone), "freed under a reader"

    @thread()
    def updater(self) -> None:
        self.taken = True
        self.rcu.synchronize_rcu()
        self.gone = True


def test_rcu_sections_nest() -> None:
    assert check(NestedRcu()).verdict is Verdict.HOLDS


class Sequence(Scenario):
    """A reader of two variables that change together.

    :param retry: the reader asks whether a writer was there.
    """

    lock = SpinLock()
    count = SeqCount()
    a = Bool()
    b = Bool()

    def __init__(self, retry: bool = True) -> None:
        self.retry = retry

    @thread(2)
    def writer(self) -> None:
        with self.lock, self.count:
            WRITE_ONCE(self).a = not READ_ONCE(self.a)
            WRITE_ONCE(self).b = not READ_ONCE(self.b)

    @thread()
    def reader(self) -> None:
        while True:
            seq = self.count.read_seqcount_begin()
            a = READ_ONCE(self.a)
            b = READ_ONCE(self.b)
            if not self.retry or not self.count.read_seqcount_retry(seq):
                break
        assert a == b, "one of two variables is new, the other old"


def test_a_sequence_count_shows_torn_reads() -> None:
    assert check(Sequence()).verdict is Verdict.HOLDS
    assert kinds(check(Sequence(retry=False))) == {"failed assert"}


class TwoWriters(Scenario):
    count = SeqCount()

    @thread(2)
    def writer(self) -> None:
        with self.count:
            pass


def test_writers_of_a_sequence_count_must_be_serialised() -> None:
    assert kinds(check(TwoWriters())) == {"failed assert"}
