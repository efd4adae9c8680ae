# SPDX-License-Identifier: Apache-2.0
"""What lockdep does with an event, written from the description of Linux 6.12 and from nothing else.

It knows held locks, contexts, and the order of the checks (``__lock_acquire()``, ``lock_release()``,
``mark_usage()``). What a new usage or a new dependency means is the business of a judge: there is one
that searches as Linux does and one that applies the definition. Nothing here is shared with the
validator that it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

HARD, SOFT = 0, 1
"""The two interrupt states."""

WAIT_ORDER = ("INV", "FREE", "SPIN", "CONFIG", "SLEEP", "MAX")


@dataclass(eq=False)
class Class:
    """A lock class. *usage* maps a usage to the number of the event that first showed it."""

    name: str
    wait_inner: str
    wait_outer: str
    lock_type: str
    usage: dict[Usage, int] = field(default_factory=dict)
    waiting_readers: set[int] = field(default_factory=set)
    """The states in whose interrupts a reader waits for a waiting writer; Linux does not keep it."""

    @property
    def normal(self) -> bool:
        return self.lock_type == "NORMAL"


@dataclass(eq=False)
class Lock:
    """A lock: an instance of a class."""

    name: str
    key: str
    wait_inner: str = "INV"
    wait_outer: str = "INV"
    lock_type: str = "NORMAL"
    number: int = 0
    ordered: bool = False
    """Locks of this class may nest by increasing *number* (a comparison function)."""


@dataclass(frozen=True, order=True)
class Usage:
    """In which interrupt state a class was used, or could have been interrupted; by readers or not.

    The order is that of the kernel's usage bits.
    """

    state: int
    enabled: bool
    read: bool

    @property
    def name(self) -> str:
        word = ("HARDIRQ", "SOFTIRQ")[self.state]
        return (f"{word}-ON" if self.enabled else f"IN-{word}") + ("-R" if self.read else "-W")


@dataclass(eq=False)
class Held:
    """An entry of the stack of held locks."""

    cls: Class
    lock: Lock
    read: int
    trylock: bool
    check: bool
    nest: Lock | None
    sync: bool
    context: tuple[bool, bool]
    hardirqs_off: bool
    subclass: int
    references: int = 0


@dataclass
class Task:
    """A task: what it holds, what runs on it, and what may interrupt it."""

    held: list[Held] = field(default_factory=list)
    hardirq: int = 0
    threaded: bool = False
    softirq: int = 0
    hardirqs_on: bool = True
    softirqs_on: bool = True

    @property
    def context(self) -> tuple[bool, bool]:
        return self.hardirq > 0, self.softirq > 0


@dataclass(eq=False)
class Finding(Exception):
    """What must be reported: the kind, and what the report must say about it."""

    kind: str
    says: dict[str, Any]


class Judge(Protocol):
    """Decide what a new usage or a new dependency means. Each method raises a Finding, or returns."""

    def now(self, event: int) -> None:
        """Take note of the number of the event that starts."""

    def new_usage(self, hlock: Held, usage: Usage) -> None:
        """Check *usage*, which the class of *hlock* has just got."""

    def new_waiting_reader(self, hlock: Held) -> None:
        """Check an interrupt's reader that waits for a waiting writer."""

    def wait_for(self, task: Task, hlock: Held) -> None:
        """Check that *hlock* is waited for with all that *task* holds; not called for trylocks."""


def may_nest(held: Held, wanted: Held) -> bool:
    """Tell whether the comparison function of a class allows *wanted* with *held* held.

    It belongs to the class without a subclass.
    """
    if held.cls is not wanted.cls or wanted.subclass:
        return False
    return wanted.lock.ordered and held.lock.number < wanted.lock.number


def same_context(task: Task, hlock: Held) -> Iterator[Held]:
    """Yield what *task* holds in the context of *hlock*, innermost first."""
    for held in reversed(task.held):
        if held.context != hlock.context:
            return
        yield held


class Machine:
    """Lockdep with a given judge."""

    def __init__(self, judge: Judge, tasks: int, raw_nesting: bool) -> None:
        self.judge = judge
        self.tasks = [Task() for _ in range(tasks)]
        self.event = 0
        self.classes: dict[tuple[str, int], Class] = {}
        self.waits = {name: rank for rank, name in enumerate(WAIT_ORDER)}
        if not raw_nesting:
            self.waits["CONFIG"] = self.waits["SPIN"]

    def class_of(self, lock: Lock, subclass: int = 0) -> Class:
        made = Class(
            lock.key + (f"/{subclass}" if subclass else ""),
            lock.wait_inner,
            lock.wait_outer,
            lock.lock_type,
        )
        return self.classes.setdefault((lock.key, subclass), made)

    def step(self, op: str, task: int, **details: Any) -> Finding | None:
        """Do one event; return what it must be reported for, or None."""
        self.event += 1
        self.judge.now(self.event)
        try:
            getattr(self, op)(self.tasks[task], **details)
        except Finding as finding:
            return finding
        return None

    # Interrupts.

    def irq_off(self, task: Task) -> None:
        task.hardirqs_on = False

    def irq_on(self, task: Task) -> None:
        if task.hardirqs_on:
            return
        if task.hardirq:
            raise Finding("lockdep-warn", {})
        self._mark_held(task, HARD)
        if task.softirqs_on:
            self._mark_held(task, SOFT)
        task.hardirqs_on = True

    def bh_off(self, task: Task) -> None:
        task.softirqs_on = False

    def bh_on(self, task: Task) -> None:
        if task.softirqs_on:
            return
        task.softirqs_on = True
        if task.hardirqs_on:
            self._mark_held(task, SOFT)

    def _mark_held(self, task: Task, state: int) -> None:
        for hlock in task.held:
            if hlock.check:
                self._mark(hlock, Usage(state, True, hlock.read != 0))

    def hardirq_enter(self, task: Task, threaded: bool) -> None:
        if not task.hardirq:
            task.threaded = threaded
        task.hardirq += 1

    def hardirq_exit(self, task: Task) -> None:
        task.hardirq = max(0, task.hardirq - 1)

    def softirq_enter(self, task: Task) -> None:
        task.softirq += 1

    def softirq_exit(self, task: Task) -> None:
        task.softirq = max(0, task.softirq - 1)

    # Locks.

    def acquire(
        self,
        task: Task,
        lock: Lock,
        read: int = 0,
        trylock: bool = False,
        check: bool = True,
        nest: Lock | None = None,
        sync: bool = False,
        subclass: int = 0,
    ) -> None:
        self._acquire(
            task,
            Held(
                self.class_of(lock, subclass),
                lock,
                read,
                trylock,
                check,
                nest,
                sync,
                task.context,
                not task.hardirqs_on,
                subclass,
            ),
        )

    def _acquire(self, task: Task, hlock: Held) -> None:
        hlock.context = task.context
        held = task.held
        if held and not hlock.sync and hlock.nest is not None and held[-1].cls is hlock.cls:
            held[-1].references = max(held[-1].references, 1) + max(hlock.references, 1)
            return
        self._check_wait(task, hlock)
        self._mark_usage(task, hlock)
        if hlock.nest is not None and not self._holds(task, hlock.nest):
            raise Finding("nested-not-taken", {"nest_lock": hlock.nest.key})
        if not hlock.trylock and hlock.check:
            self.judge.wait_for(task, hlock)
        if not hlock.sync:
            held.append(hlock)

    def _check_wait(self, task: Task, hlock: Held) -> None:
        if hlock.cls.wait_inner == "INV" or hlock.trylock:
            return
        start = "MAX"
        if task.hardirq:
            start = "CONFIG" if task.threaded else "SPIN"
        elif task.softirq:
            start = "CONFIG"
        allowed = self.waits[start]
        for below in reversed(list(same_context(task, hlock))):
            if below.cls.wait_inner != "INV":
                inner = self.waits[below.cls.wait_inner]
                override = below.cls.lock_type == "WAIT_OVERRIDE"
                allowed = inner if override else min(allowed, inner)
        outer = hlock.cls.wait_outer
        if self.waits[outer if outer != "INV" else hlock.cls.wait_inner] > allowed:
            raise Finding("wait-context", {"lock": hlock.cls.name})

    def _mark_usage(self, task: Task, hlock: Held) -> None:
        if not hlock.check:
            return
        read = hlock.read != 0
        if not hlock.trylock:
            for state, inside in ((HARD, task.hardirq), (SOFT, task.softirq)):
                if inside:
                    self._mark(hlock, Usage(state, False, read))
                    if hlock.read == 1:
                        hlock.cls.waiting_readers.add(state)
                        self.judge.new_waiting_reader(hlock)
        if not hlock.hardirqs_off and not hlock.sync:
            self._mark(hlock, Usage(HARD, True, read))
            if task.softirqs_on:
                self._mark(hlock, Usage(SOFT, True, read))

    def _mark(self, hlock: Held, usage: Usage) -> None:
        known = hlock.cls.usage
        if usage in known:
            return
        known[usage] = self.event
        # Readers on both sides are no conflict: an interrupt that reads does not wait for readers.
        for read in (False, True):
            other = Usage(usage.state, not usage.enabled, read)
            if other in known and not (read and usage.read):
                says = {"old": other.name, "new": usage.name, "old_at": known[other]}
                raise Finding("inconsistent", says)
        self.judge.new_usage(hlock, usage)

    def release(self, task: Task, lock: Lock) -> None:
        index = self._find(task, lock)
        if task.held[index].references > 1:
            task.held[index].references -= 1
            return
        self._again(task, index, task.held[index + 1 :])

    def downgrade(self, task: Task, lock: Lock) -> None:
        if not task.held:
            raise Finding("lockdep-warn", {})
        index = self._find(task, lock)
        task.held[index].read = 1
        self._again(task, index, task.held[index:])

    def _again(self, task: Task, cut: int, above: Sequence[Held]) -> None:
        """Cut the stack, and take again what was above; all checks run again, in today's context."""
        del task.held[cut:]
        for hlock in above:
            self._acquire(task, hlock)

    def _find(self, task: Task, lock: Lock) -> int:
        for index in reversed(range(len(task.held))):
            if task.held[index].context != task.held[-1].context:
                break
            if self._is(task.held[index], lock):
                return index
        raise Finding("unlock-balance", {"lock": lock.key})

    def _is(self, hlock: Held, lock: Lock) -> bool:
        return hlock.lock is lock or (hlock.references > 0 and hlock.cls is self.class_of(lock))

    def _holds(self, task: Task, lock: Lock) -> bool:
        return any(self._is(hlock, lock) for hlock in task.held)
