# SPDX-License-Identifier: Apache-2.0
"""Small scenarios about threads that take steps without getting on, and their twins that get on."""

from __future__ import annotations

from quiesce.primitives import SpinLock
from quiesce.protocol import (
    Array,
    Bool,
    Protocol,
    Scenario,
    atomic,
    choose,
    sometimes,
    thread,
    wait_until,
)


class TasLock(Protocol):
    """A test-and-set lock, taken by a loop or by waiting."""

    held = Bool()

    def __init__(self, *, spins: bool) -> None:
        self.spins = spins

    @atomic
    def test_and_set(self) -> bool:
        was = self.held
        self.held = True
        return was

    @atomic
    def wait_and_set(self) -> None:
        wait_until(not self.held)
        self.held = True

    def lock(self) -> None:
        if self.spins:
            while self.test_and_set():
                pass
        else:
            self.wait_and_set()

    @atomic
    def unlock(self) -> None:
        self.held = False


class TwoLocks(Scenario):
    """AB-BA, or AB-AB; each lock taken by a loop or by waiting; a third thread may run on."""

    def __init__(self, spins: bool = True, crossed: bool = True, third: str = "none") -> None:
        self.a = TasLock(spins=spins)
        self.b = TasLock(spins=spins)
        self.flag = TasLock(spins=spins)
        self.first = (self.a, self.b)
        self.second = (self.b, self.a) if crossed else (self.a, self.b)
        self.third_lives = third == "lives"
        self.third_ends = third == "ends"

    @thread()
    def x(self) -> None:
        self.first[0].lock()
        self.first[1].lock()
        self.first[1].unlock()
        self.first[0].unlock()

    @thread()
    def y(self) -> None:
        self.second[0].lock()
        self.second[1].lock()
        self.second[1].unlock()
        self.second[0].unlock()

    @thread()
    def z(self) -> None:
        if self.third_ends:
            self.flag.lock()
            self.flag.unlock()
        elif self.third_lives:
            while True:
                self.flag.lock()
                self.flag.unlock()


class Unfair(Scenario):
    """Two threads live by a lock that is not queued; a third one wants it once."""

    def __init__(self, spins: bool = True) -> None:
        self.lock = TasLock(spins=spins)

    @thread(count=2)
    def hog(self) -> None:
        while True:
            self.lock.lock()
            self.lock.unlock()

    @thread()
    def once(self) -> None:
        self.lock.lock()
        self.lock.unlock()


class Flag(Scenario):
    """A thread spins on, or waits for, a flag that another one sets, or no thread does."""

    flag = Bool(marked=True)
    busy = Bool(marked=True)

    def __init__(self, spins: bool = True, is_set: bool = False, others: str = "none") -> None:
        self.spins = spins
        self.is_set = is_set
        self.others_live = others == "live"

    @thread()
    def waiter(self) -> None:
        if self.spins:
            while not self.flag:
                pass
        else:
            wait_until(lambda: self.flag)

    @thread()
    def setter(self) -> None:
        if self.is_set:
            self.flag = True
        if self.others_live:
            while True:
                self.busy = not self.busy


class Polite(Scenario):
    """Each of two threads steps back as long as the other one wants to go: H. Hyman's after-you, in a way.

    :param yields: the second one does not step back, so that the first one gets its turn after it.
    """

    wants = Array(Bool(), 2)

    def __init__(self, both: bool = True) -> None:
        self.both = both

    @atomic
    def want(self, me: int) -> None:
        self.wants[me] = True

    @atomic
    def step_back(self, me: int) -> None:
        self.wants[me] = False

    @atomic
    def other_wants(self, me: int) -> bool:
        return self.wants[1 - me]

    def pass_through(self, me: int, steps_back: bool) -> None:
        self.want(me)
        if steps_back:
            while self.other_wants(me):
                self.step_back(me)
                self.want(me)
        self.step_back(me)

    @thread()
    def a(self) -> None:
        self.pass_through(0, True)

    @thread()
    def b(self) -> None:
        self.pass_through(1, self.both)


class Leaves(Scenario):
    """A loop that the thread's own choice leaves, directly or some steps later."""

    lock = SpinLock()

    def __init__(self, how: str = "break") -> None:
        self.by_break = how == "break"
        self.by_condition = how == "condition"
        self.later = how == "later"

    @thread(count=2)
    def user(self) -> None:
        if self.by_break:
            while True:
                with self.lock:
                    if choose(True, False):
                        break
        elif self.by_condition:
            while choose(True, False):
                with self.lock:
                    pass
        elif self.later:
            goes_on = True
            while goes_on:
                goes_on = choose(True, False)
                with self.lock:
                    pass


class Backoff(Scenario):
    """A spin that is no better for a random pause in it; the lock is given back, or never is."""

    act = Bool()

    def __init__(self, given_back: bool = False) -> None:
        self.given_back = given_back
        self.lock = TasLock(spins=True)

    @atomic
    def pause(self) -> None:
        self.act = not self.act

    @sometimes
    def paused(self) -> bool:
        return self.act

    @thread()
    def owner(self) -> None:
        self.lock.lock()
        if self.given_back:
            self.lock.unlock()

    @thread()
    def user(self) -> None:
        while self.lock.test_and_set():
            if choose(True, False):
                self.pause()
        self.lock.unlock()


class Worker(Scenario):
    """A thread works in a loop whose exit no thread opens; or in one without an exit.

    :param nested: the loop without an exit stands inside one that has one.
    """

    work = Bool()
    stop = Bool(marked=True)

    def __init__(self, exits: bool = True, nested: bool = False) -> None:
        self.exits = exits
        self.nested = nested

    @atomic
    def step(self) -> None:
        self.work = not self.work

    @sometimes
    def worked(self) -> bool:
        return self.work

    @thread()
    def worker(self) -> None:
        if self.nested:
            for _ in range(2):
                while True:
                    self.step()
        elif self.exits:
            while not self.stop:
                self.step()
        else:
            while True:
                self.step()
