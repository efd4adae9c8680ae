# SPDX-License-Identifier: Apache-2.0
"""Two judges for :mod:`lockdep_machine`: one searches as Linux 6.12 does, one applies the definition.

Both are written from the description of the algorithm and share nothing with ``src/``. A dependency
A -> B is made by waiting for B with A held. It is exclusive (E) or shared (S) by how A was held, and
recursive (R) or not (N) by how B was waited for. A recursive reader never waits for another reader, so
``-(*R)->`` followed by ``-(S*)->`` is no deadlock; every other pair of neighbours is a part of one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lockdep_machine import Class, Finding, Held, Task, Usage, may_nest, same_context

SR, ER, SN, EN = 1, 2, 4, 8


def state_name(usage: Usage) -> str:
    return ("HARDIRQ", "SOFTIRQ")[usage.state] + ("-READ" if usage.read else "")


# Linux.


@dataclass(eq=False)
class Link:
    """A dependency in the list of one of its two classes; *cls* is the other one."""

    cls: Class
    dep: int
    event: int


@dataclass(eq=False)
class Entry:
    """A class that the search has reached; every way to it ends in ``*R`` if *only_xr*."""

    cls: Class
    only_xr: bool
    parent: Entry | None = None
    event: int = 0

    def path(self) -> list[Entry]:
        return [self, *(self.parent.path() if self.parent is not None else [])]

    def usages(self) -> set[Usage]:
        """The usages that matter here: a reader's does not where only recursive readers arrive."""
        return {usage for usage in self.cls.usage if not (self.only_xr and usage.read)}


@dataclass
class LinuxJudge:
    """Linux's chain cache, its lists of dependencies and its breadth-first search."""

    after: dict[Class, list[Link]] = field(default_factory=dict)
    before: dict[Class, list[Link]] = field(default_factory=dict)
    cache: set[tuple[tuple[Class, int], ...]] = field(default_factory=set)
    event: int = 0

    def now(self, event: int) -> None:
        self.event = event

    def wait_for(self, task: Task, hlock: Held) -> None:
        below = list(same_context(task, hlock))
        chain = tuple((held.cls, held.read) for held in [*reversed(below), hlock])
        if chain in self.cache:
            return
        self.cache.add(chain)
        if self._recursion(task, hlock):
            return
        for prev in below:
            if not prev.check:
                continue
            self._add(prev, hlock)
            if not prev.trylock:
                return

    def _recursion(self, task: Task, hlock: Held) -> bool:
        """Check for a held lock of the same class; return True if the nest_lock excuses it."""
        nested = False
        for prev in task.held:
            nested = nested or (hlock.nest is not None and prev.lock is hlock.nest)
            if prev.cls is not hlock.cls or (hlock.read == 2 and prev.read):
                continue
            if may_nest(prev, hlock):
                continue
            if nested:
                return True
            raise Finding("recursive", {"prev": prev.lock.name, "next": hlock.lock.name})
        return False

    def _add(self, prev: Held, hlock: Held) -> None:
        if may_nest(prev, hlock):
            return
        self._check_circle(prev, hlock)
        self._check_interrupts(prev, hlock)
        first, second = int(prev.read == 0), int(hlock.read != 2)
        self._link(self.after, prev.cls, hlock.cls, 1 << first + 2 * second)
        self._link(self.before, hlock.cls, prev.cls, 1 << second + 2 * first)

    def _link(self, lists: dict[Class, list[Link]], near: Class, far: Class, dep: int) -> None:
        for link in lists.setdefault(near, []):
            if link.cls is far:
                link.dep |= dep
                return
        lists[near].append(Link(far, dep, self.event))

    def _search(
        self,
        lists: dict[Class, list[Link]],
        root: Entry,
        match: Callable[[Entry], bool],
        skip: Callable[[Class], bool] = lambda cls: False,
    ) -> Entry | None:
        visited: set[Class] = set()
        queue: deque[tuple[Entry, int | None]] = deque([(root, None)])
        while queue:
            entry, dep = queue.popleft()
            if entry.cls in visited:
                continue
            visited.add(entry.cls)
            if entry.parent is not None and dep is not None:
                if entry.parent.only_xr:
                    dep &= ~(SR | SN)
                if not dep:
                    continue
                entry.only_xr = not dep & (SN | EN)
            if skip(entry.cls):
                continue
            if match(entry):
                return entry
            for link in lists.get(entry.cls, ()):
                queue.append((Entry(link.cls, False, entry, link.event), link.dep))
        return None

    def _check_circle(self, prev: Held, hlock: Held) -> None:
        def conflict(entry: Entry) -> bool:
            return entry.cls is prev.cls and (prev.read == 0 or not entry.only_xr)

        target = self._search(self.after, Entry(hlock.cls, hlock.read == 2), conflict)
        if target is None:
            return
        says: dict[str, Any] = {"prev": prev.lock.name, "next": hlock.lock.name}
        if prev.cls is hlock.cls:
            raise Finding("recursive", says)
        raise Finding("circular", {**says, "chain": self._steps(target)})

    def _steps(self, entry: Entry) -> list[tuple[str, int]]:
        """Return the classes back to the root, each with the event that made the step to it."""
        return [
            (step.cls.name, self.event if step.parent is None else step.event)
            for step in entry.path()
        ]

    def _find_usage(
        self, lists: dict[Class, list[Link]], root: Entry, wanted: set[Usage]
    ) -> Entry | None:
        return self._search(
            lists, root, lambda entry: bool(entry.usages() & wanted), lambda cls: not cls.normal
        )

    def _check_interrupts(self, prev: Held, hlock: Held) -> None:
        gathered: set[Usage] = set()

        def gather(entry: Entry) -> bool:
            gathered.update(entry.usages())
            return False

        self._search(
            self.before, Entry(prev.cls, prev.read != 0), gather, lambda cls: not cls.normal
        )
        wanted = opposite({usage for usage in gathered if not usage.enabled})
        unsafe = self._find_usage(self.after, Entry(hlock.cls, hlock.read == 2), wanted)
        if unsafe is None:
            return
        wanted = opposite({usage for usage in unsafe.cls.usage if usage.enabled})
        safe = self._find_usage(self.before, Entry(prev.cls, prev.read != 0), wanted)
        assert safe is not None
        # The first usage of the safe class, in the kernel's order, that meets one of the unsafe one.
        used_in, enabled = next(
            (usage, other)
            for usage in sorted(safe.cls.usage)
            for other in sorted(opposite({usage}))
            if other in unsafe.cls.usage
        )
        raise Finding(
            "safe-unsafe",
            {
                "prev": prev.lock.name,
                "next": hlock.lock.name,
                "state": state_name(used_in),
                "safe": self._classes(safe),
                "safe_at": safe.cls.usage[used_in],
                "unsafe": self._classes(unsafe),
                "unsafe_at": unsafe.cls.usage[enabled],
            },
        )

    def _classes(self, entry: Entry) -> list[str]:
        return [step.cls.name for step in entry.path()]

    def new_waiting_reader(self, hlock: Held) -> None:
        """Linux keeps no more than that there was a reader."""

    def new_usage(self, hlock: Held, usage: Usage) -> None:
        wanted = opposite({usage})
        if usage.enabled:
            lists, root = self.before, Entry(hlock.cls, hlock.read != 0)
        else:
            lists, root = self.after, Entry(hlock.cls, hlock.read == 2)
        other = self._find_usage(lists, root, wanted)
        if other is None:
            return
        met = min(usage for usage in other.cls.usage if usage in wanted)
        raise Finding(
            "irq-inversion",
            {
                "lock": hlock.lock.name,
                "forwards": not usage.enabled,
                "state": state_name(met),
                "path": self._classes(other),
            },
        )


def opposite(usages: set[Usage]) -> set[Usage]:
    """Return the usages of the other direction, writers' and readers' both."""
    return {
        Usage(usage.state, not usage.enabled, read) for usage in usages for read in (False, True)
    }


# The definition.


@dataclass(frozen=True)
class Dependency:
    """*far* was waited for with *near* held; or *near* may be interrupted by one that uses *far*."""

    near: Class
    far: Class
    exclusive: bool
    recursive: bool


def follows(first: Dependency, second: Dependency) -> bool:
    """Tell whether a deadlock can have *second* right after *first*."""
    return first.far is second.near and (second.exclusive or not first.recursive)


@dataclass
class ExactJudge:
    """Every dependency that there ever was; a finding is a strong circle of them.

    A circle may have one dependency that an interrupt makes: a class that the interrupt can find held
    leads to each class that the interrupt uses. Such a circle does not pass through a local_lock, which
    is of one CPU only.
    """

    dependencies: set[Dependency] = field(default_factory=set)
    classes: set[Class] = field(default_factory=set)

    def now(self, event: int) -> None:
        """The definition does not know time."""

    def wait_for(self, task: Task, hlock: Held) -> None:
        nested = False
        for held in task.held:
            nested = nested or (hlock.nest is not None and held.lock is hlock.nest)
            if held.cls is not hlock.cls or may_nest(held, hlock):
                continue
            if hlock.read == 2 and held.read:
                continue
            if nested:
                return
            raise Finding("recursive", {})
        for prev in same_context(task, hlock):
            if may_nest(prev, hlock):
                continue
            if prev.check:
                self._add(Dependency(prev.cls, hlock.cls, prev.read == 0, hlock.read == 2))

    def _add(self, new: Dependency) -> None:
        if new in self.dependencies:
            return
        self.dependencies.add(new)
        self.classes |= {new.near, new.far}
        if comes_back(new, self.dependencies):
            raise Finding("recursive" if new.near is new.far else "circular", {})
        if self._interrupt_circle():
            raise Finding("safe-unsafe", {})

    def new_usage(self, hlock: Held, usage: Usage | None = None) -> None:
        self.classes.add(hlock.cls)
        if self._interrupt_circle():
            raise Finding("irq-inversion", {})

    def new_waiting_reader(self, hlock: Held) -> None:
        self.new_usage(hlock)

    def _interrupt_circle(self) -> bool:
        normal = {cls for cls in self.classes if cls.normal}
        through = {dep for dep in self.dependencies if dep.near in normal and dep.far in normal}
        return any(
            comes_back(interrupt(held, enabled, used, used_in), through)
            for held in normal
            for enabled in held.usage
            if enabled.enabled
            for used in normal
            for used_in in used.usage
            if not used_in.enabled and used_in.state == enabled.state
        )


def interrupt(held: Class, enabled: Usage, used: Class, used_in: Usage) -> Dependency:
    """Return the dependency that an interrupt makes: it finds *held* held and waits for *used*."""
    recursive = used_in.read and used_in.state not in used.waiting_readers
    return Dependency(held, used, not enabled.read, recursive)


def comes_back(start: Dependency, dependencies: set[Dependency]) -> bool:
    """Tell whether a strong walk leads from *start* to *start* again."""
    seen: set[Dependency] = set()
    todo = [start]
    while todo:
        last = todo.pop()
        if follows(last, start):
            return True
        more = {dep for dep in dependencies if dep not in seen and follows(last, dep)}
        seen |= more
        todo.extend(more)
    return False
