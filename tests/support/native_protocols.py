# SPDX-License-Identifier: Apache-2.0
"""Small protocols that together use all of the language, right and wrong ones, for the native explorer."""

from __future__ import annotations

import enum

from quiesce.protocol import (
    READ_ONCE,
    THREADS,
    WRITE_ONCE,
    Array,
    Bool,
    Enum,
    Int,
    PerTask,
    Protocol,
    Ref,
    Scenario,
    Set,
    Snapshot,
    TaskRef,
    TaskSet,
    Version,
    always,
    atomic,
    choose,
    current,
    eventually,
    sometimes,
    thread,
    wait_until,
)


class Lock(Protocol):
    owner = TaskRef()

    @atomic(label="lock", queued=True)
    def lock(self) -> None:
        wait_until(self.owner is None)
        self.owner = current()

    @atomic(label="unlock")
    def unlock(self) -> None:
        assert self.owner is current(), "unlocked by another"
        self.owner = None


class LockPair(Scenario):
    """Two locks, taken in one order or, wrongly, in both."""

    a = Lock()
    b = Lock()

    def __init__(self, crossed: bool = False, threads: int = 2) -> None:
        self.crossed = crossed
        self.threads = threads

    @thread(count="threads")
    def one(self) -> None:
        while True:
            self.a.lock()
            self.b.lock()
            self.b.unlock()
            self.a.unlock()

    @thread()
    def other(self) -> None:
        while True:
            if self.crossed:
                self.b.lock()
                self.a.lock()
            else:
                self.a.lock()
                self.b.lock()
            self.a.unlock()
            self.b.unlock()


class Phase(enum.Enum):
    IDLE = 0
    ASKING = 1
    INSIDE = 2


class Everything(Scenario):
    """Every kind of variable and statement in one protocol."""

    lock = Lock()
    phase = PerTask(Enum(Phase.IDLE))
    last = TaskRef()
    inside = TaskSet()
    total = Int(0, low=-3, high=6)
    cells = Array(Int(2, low=1, high=4), 3)
    flags = Set(3)
    seq = Version()
    look = Snapshot()
    changed = Bool(False)

    def __init__(self, bound: int = 6, loops: int = 1) -> None:
        self.bound = bound
        self.loops = loops

    @atomic
    def enter(self) -> int:
        wait_until(len(self.inside) < 2)
        self.phase[current()] = Phase.INSIDE
        self.inside.add(current())
        self.last = current()
        return self.total

    @atomic
    def leave(self, amount: int) -> None:
        self.phase[current()] = Phase.IDLE
        self.inside.discard(current())
        index = 0
        while index < 2 and self.cells[index] >= 4:
            index += 1
        if self.cells[index] < 4:
            self.cells[index] += 1
        self.total = (self.total + amount * 3 - 4 // 3) % 5 - 1
        if self.last is current():
            self.seq += 1
        self.flags.add(choose(0, 2))

    @thread(count=2)
    def worker(self) -> None:
        for _ in range(self.loops):
            self.phase[current()] = Phase.ASKING
            seen = self.enter()
            amount = choose(1, 2)
            self.leave(amount if seen >= 0 else -amount)

    @thread()
    def watcher(self) -> None:
        self.look = self.seq
        if READ_ONCE(self.total) > 1 or 2 in self.flags:
            WRITE_ONCE(self).changed = True
        self.changed = self.look != self.seq

    @always
    def bounded(self) -> bool:
        return self.total < self.bound

    @always
    def two_inside(self) -> bool:
        return len(self.inside) <= 2

    @sometimes
    def busy(self) -> bool:
        return len(self.inside) == 2

    @eventually()
    def quiet(self) -> bool:
        return len(self.inside) == 0


class Node(Protocol):
    value = Int(0, high=3)


class Pointers(Scenario):
    """References into an array, published and followed; None is followed if *careless*."""

    nodes = Array(Node(), 2)
    head = Ref(nodes, marked=True)

    def __init__(self, careless: bool = False) -> None:
        self.careless = careless

    @thread()
    def writer(self) -> None:
        for i in range(2):
            node = self.nodes[i]
            WRITE_ONCE(node).value = i + 1
            WRITE_ONCE(self).head = node
        self.head = None

    @thread(count=2)
    def reader(self) -> None:
        node = READ_ONCE(self.head)
        if self.careless or node is not None:
            value = READ_ONCE(node.value)
            assert value != 3


class Racy(Scenario):
    """A plain counter, with or without the lock."""

    lock = Lock()
    count = Int(0, high=THREADS)

    def __init__(self, locked: bool = True) -> None:
        self.locked = locked

    @thread(count=3)
    def user(self) -> None:
        if self.locked:
            self.lock.lock()
        self.count += 1
        if self.locked:
            self.lock.unlock()


class Overflow(Scenario):
    """A counter that leaves its range, an index that leaves its array, a division by zero."""

    count = Int(0, high=3)
    items = Array(Int(0, high=1), 2)

    def __init__(self, what: str = "range") -> None:
        self.what = what

    @thread(count=2)
    def user(self) -> None:
        for i in range(3):
            if self.what == "range":
                WRITE_ONCE(self).count = READ_ONCE(self.count) + 1
            elif self.what == "index":
                READ_ONCE(self.items[i])
            elif self.what == "division":
                left = READ_ONCE(self.count)
                WRITE_ONCE(self).count = 1 // (left - i)


class Endless(Scenario):
    """A step that never ends."""

    count = Int(0, high=3)

    @atomic
    def spin(self) -> None:
        while self.count == 0:
            pass

    @thread()
    def user(self) -> None:
        self.spin()


class Sleeper(Scenario):
    """A waiter that may miss its only wake-up, while a daemon runs on."""

    ready = Bool(False)
    awake = Bool(True)
    ticks = Bool(False)

    def __init__(self, careful: bool = False) -> None:
        self.careful = careful

    @atomic
    def go_to_sleep(self) -> None:
        if not self.careful or not self.ready:
            self.awake = False

    @atomic
    def sleep(self) -> None:
        wait_until(self.awake)

    @atomic
    def publish(self) -> None:
        self.ready = True

    @atomic
    def wake(self) -> None:
        self.awake = True

    @atomic
    def tick(self) -> None:
        self.ticks = not self.ticks

    @thread()
    def waiter(self) -> None:
        if not READ_ONCE(self.ready):
            self.go_to_sleep()
            self.sleep()

    @thread()
    def waker(self) -> None:
        self.publish()
        self.wake()

    @thread(daemon=True)
    def clock(self) -> None:
        while True:
            self.tick()


class Handover(Scenario):
    """Threads that name each other: who hands over to whom is kept in per-task variables."""

    next = PerTask(TaskRef())
    holder = TaskRef()
    tail = TaskRef()

    def __init__(self, threads: int = 3) -> None:
        self.threads = threads

    @atomic
    def join(self) -> bool:
        if self.tail is None:
            self.tail = current()
            self.holder = current()
            return True
        self.next[self.tail] = current()
        self.tail = current()
        return False

    @atomic(queued=True)
    def wait(self) -> None:
        wait_until(self.holder is current())

    @atomic
    def leave(self) -> None:
        assert self.holder is current()
        self.holder = self.next[current()]
        self.next[current()] = None
        if self.tail is current():
            self.tail = None

    @thread(count="threads")
    def user(self) -> None:
        while True:
            if not self.join():
                self.wait()
            self.leave()

    @always
    def somebody(self) -> bool:
        return (self.tail is None) == (self.holder is None)
