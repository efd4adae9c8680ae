# SPDX-License-Identifier: Apache-2.0
"""Random event sequences for lockdep: tasks that take locks, are interrupted, and turn interrupts off.

Three kinds. A *lifelike* sequence is what a kernel could do: contexts nest, an interrupt leaves nothing
held, most locks keep to an order and to one discipline towards interrupts, so that a finding needs many
events. A *chain* is the same with long chains of dependencies. A *wild* one is any events in any order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from lockdep_machine import Lock

TASKS = 2
WAITS = ("FREE", "SPIN", "CONFIG", "SLEEP")
MAX_NESTING = 4


@dataclass(frozen=True)
class Event:
    """An operation of :class:`lockdep_machine.Machine` by a task; *lock* is its lock, if any."""

    op: str
    task: int
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shown = {
            key: value.name if isinstance(value, Lock) else value
            for key, value in self.details.items()
        }
        return f"{self.task} {self.op} {shown}"


@dataclass
class Sequence:
    """Locks and events."""

    locks: list[Lock]
    events: list[Event]
    lifelike: bool
    raw_nesting: bool

    def __str__(self) -> str:
        return "\n".join([*map(str, self.locks), *map(str, self.events)])


def make_locks(chooser: random.Random) -> list[Lock]:
    """Return one or two locks of each of some classes."""
    waits = chooser.random() < 0.25
    locks = []
    for key in "abcdef"[: chooser.choice((3, 4, 5, 6))]:
        inner = chooser.choice(WAITS) if waits and chooser.random() < 0.7 else "INV"
        outer = chooser.choice(WAITS) if inner != "INV" and chooser.random() < 0.2 else "INV"
        lock_type = chooser.choices(("NORMAL", "PERCPU", "WAIT_OVERRIDE"), (16, 2, 1))[0]
        ordered = chooser.random() < 0.1
        for number in range(chooser.choice((1, 1, 2))):
            locks.append(Lock(f"{key}{number}", key, inner, outer, lock_type, number, ordered))
    return locks


class Lifelike:
    """One task's part of a lifelike sequence."""

    def __init__(self, chooser: random.Random, task: int, locks: list[Lock], neat: float) -> None:
        self.chooser = chooser
        self.task = task
        self.locks = locks
        self.neat = neat
        self.events: list[Event] = []
        self.held: list[Lock] = []
        self.interrupted = 0
        self.irqs, self.bhs = True, True
        self.hard, self.soft = False, False

    def emit(self, op: str, **details: Any) -> None:
        self.events.append(Event(op, self.task, details))

    def block(self, depth: int) -> None:
        """Some activities, one after the other."""
        for _ in range(self.chooser.choice((1, 1, 2, 2, 3))):
            self.activity(depth)

    def activity(self, depth: int) -> None:
        what = self.chooser.random()
        if depth >= MAX_NESTING or what < 0.62:
            self.lock(depth)
        elif what < 0.76:
            self.irqs_off(depth)
        elif what < 0.82:
            self.bhs_off(depth)
        elif what < 0.92:
            if self.irqs and not self.hard:
                self.hardirq(depth)
        elif self.irqs and self.bhs and not self.hard and not self.soft:
            self.softirq(depth)

    def choose(self) -> Lock | None:
        """Choose a lock, mostly one that comes after those held and that is fit for the context."""
        fit = self.locks
        if self.chooser.random() < self.neat:
            # The first half of the keys is for interrupts, the other for where they may come.
            if self.hard or self.soft:
                fit = [lock for lock in fit if lock.key < "c"]
            elif self.irqs:
                fit = [lock for lock in fit if lock.key >= "c"]
        if self.held and self.chooser.random() < self.neat:
            last = max(lock.key for lock in self.held)
            fit = [lock for lock in fit if lock.key > last]
        return self.chooser.choice(fit) if fit else None

    def lock(self, depth: int) -> None:
        lock = self.choose()
        if lock is None:
            return
        details: dict[str, Any] = {"lock": lock, "read": self.chooser.choice((0, 0, 1, 2))}
        if self.chooser.random() < 0.15:
            details["trylock"] = True
        if self.chooser.random() < 0.05:
            details["check"] = False
        if self.chooser.random() < 0.05:
            details["subclass"] = 1
        if self.held and self.chooser.random() < 0.1:
            details["nest"] = self.chooser.choice(self.held)
        if self.chooser.random() < 0.04:
            self.emit("acquire", **details, sync=True)
            return
        self.emit("acquire", **details)
        self.held.append(lock)
        if depth < MAX_NESTING and self.chooser.random() < 0.75:
            self.block(depth + 1)
        if self.chooser.random() < 0.05 and not details["read"]:
            self.emit("downgrade", lock=lock)
        # Mostly the reverse order; a lock that is passed over is released by a later release.
        mine = self.held[self.interrupted :]
        release = mine[-1] if self.chooser.random() < 0.8 else self.chooser.choice(mine)
        self.emit("release", lock=release)
        del self.held[len(self.held) - 1 - self.held[::-1].index(release)]

    def irqs_off(self, depth: int) -> None:
        was, self.irqs = self.irqs, False
        self.emit("irq_off")
        self.block(depth + 1)
        if was:
            self.emit("irq_on")
        self.irqs = was

    def bhs_off(self, depth: int) -> None:
        was, self.bhs = self.bhs, False
        self.emit("bh_off")
        self.block(depth + 1)
        if was:
            self.emit("bh_on")
        self.bhs = was

    def inside(self, depth: int) -> None:
        """Run a block on top of what is interrupted, which it leaves alone."""
        was, self.interrupted = self.interrupted, len(self.held)
        self.block(depth + 1)
        self.interrupted = was

    def hardirq(self, depth: int) -> None:
        self.emit("irq_off")
        self.emit("hardirq_enter", threaded=self.chooser.random() < 0.5)
        self.irqs, self.hard = False, True
        self.inside(depth)
        self.irqs, self.hard = True, False
        self.emit("hardirq_exit")
        self.emit("irq_on")

    def softirq(self, depth: int) -> None:
        self.emit("bh_off")
        self.emit("softirq_enter")
        self.bhs, self.soft = False, True
        self.inside(depth)
        self.bhs, self.soft = True, False
        self.emit("softirq_exit")
        self.emit("bh_on")


def lifelike(chooser: random.Random) -> Sequence:
    """Return what some tasks of a kernel could do."""
    locks = make_locks(chooser)
    neat = chooser.choice((0.8, 0.95, 0.98, 1.0))
    parts = []
    for task in range(TASKS):
        part = Lifelike(chooser, task, locks, neat)
        for _ in range(chooser.choice((2, 4, 8))):
            part.block(0)
        parts.append(part.events)
    events = []
    while any(parts):
        events.append(chooser.choice([part for part in parts if part]).pop(0))
    return Sequence(locks, events, True, chooser.random() < 0.5)


def chain(chooser: random.Random) -> Sequence:
    """Return many short nests in one order, so that what matters is far apart in a long chain."""
    locks = [Lock(key, key) for key in "abcdefgh"]
    part = Lifelike(chooser, 0, locks, 1.0)
    reads = chooser.choice(((0,), (0, 0, 0, 1, 2)))

    def nest(*taken: Lock) -> None:
        for lock in taken:
            part.emit("acquire", lock=lock, read=chooser.choice(reads))
        for lock in reversed(taken):
            part.emit("release", lock=lock)

    for _ in range(chooser.randint(5, 20)):
        what = chooser.random()
        if what < 0.8:
            first = chooser.randrange(len(locks) - 1)
            second = min(first + chooser.choice((1, 1, 2)), len(locks) - 1)
            part.emit("irq_off")
            nest(locks[first], locks[second])
            part.emit("irq_on")
        elif what < 0.9:
            part.emit("irq_off")
            part.emit("hardirq_enter", threaded=True)
            nest(chooser.choice(locks[:3]))
            part.emit("hardirq_exit")
            part.emit("irq_on")
        else:
            nest(chooser.choice(locks[-3:]))
    return Sequence(locks, part.events, True, False)


def wild(chooser: random.Random) -> Sequence:
    """Return any events in any order."""
    locks = make_locks(chooser)[: chooser.choice((2, 3, 4))]
    events = []
    held: list[list[Lock]] = [[] for _ in range(TASKS)]
    hard, soft = [0] * TASKS, [0] * TASKS
    for _ in range(chooser.randint(3, 40)):
        task = chooser.randrange(TASKS)
        op = chooser.choices(
            (
                "acquire",
                "release",
                "irq_off",
                "irq_on",
                "bh_off",
                "bh_on",
                "hard",
                "soft",
                "downgrade",
            ),
            (30, 18, 6, 6, 4, 4, 6, 6, 1),
        )[0]
        details: dict[str, Any] = {}
        if op == "acquire":
            details = {"lock": chooser.choice(locks), "read": chooser.choice((0, 0, 1, 2, 2))}
            details["trylock"] = chooser.random() < 0.2
            details["check"] = chooser.random() < 0.95
            if chooser.random() < 0.1:
                details["nest"] = chooser.choice(locks)
            details["sync"] = chooser.random() < 0.05
            if not details["sync"]:
                held[task].append(details["lock"])
        elif op in ("release", "downgrade"):
            mine = held[task] if chooser.random() < 0.98 else locks
            if not mine:
                continue
            details = {"lock": chooser.choice(mine)}
            if op == "release" and details["lock"] in held[task]:
                held[task].remove(details["lock"])
        elif op in ("hard", "soft"):
            depth = hard if op == "hard" else soft
            leave = depth[task] > 0 and chooser.random() < 0.7
            depth[task] += -1 if leave else 1
            if op == "hard" and not leave:
                details = {"threaded": chooser.random() < 0.5}
            op = f"{op}irq_" + ("exit" if leave else "enter")
        events.append(Event(op, task, details))
    return Sequence(locks, events, False, chooser.random() < 0.5)
