# SPDX-License-Identifier: Apache-2.0
"""The reports about interrupts and wait contexts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quiesce.lockdep.kernel_text import (
    banner,
    held_lines,
    interrupt_scenario,
    irq_events,
    irq_state,
    lock_line,
    one_cpu,
    shortest_dependencies,
    trace_lines,
)
from quiesce.lockdep.reports import OTHER_INFO, Report
from quiesce.lockdep.snapshot import ClassInfo, Frames, HeldInfo, Link


@dataclass(frozen=True, kw_only=True)
class InconsistentReport(Report):
    """One class is used in an interrupt, and while that interrupt could come.

    :ivar lock: the lock whose use was the second of the two.
    :ivar old: the usage that was known, :ivar new: the one just seen.
    :ivar old_trace: where the old one was first seen.
    """

    kind: ClassVar[str] = "inconsistent"

    lock: HeldInfo
    old: str
    new: str
    old_trace: Frames

    @property
    def title(self) -> str:
        return "WARNING: inconsistent lock state"

    def lines(self) -> list[str]:
        name = self.lock.name
        return [
            *banner(32, self.title, self.ident),
            f"inconsistent {{{self.old}}} -> {{{self.new}}} usage.",
            f"{self.task.who} {irq_state(self.task)} takes:",
            lock_line(self.lock),
            f"{{{self.old}}} state was registered at:",
            *trace_lines(self.old_trace, 1),
            *irq_events(self.task),
            "",
            OTHER_INFO,
            *one_cpu(
                " Possible unsafe locking scenario:",
                [f"  lock({name});", "  <Interrupt>", f"    lock({name});"],
            ),
            *held_lines(self.task),
            "",
            "stack backtrace:",
            *self._dump_stack(),
        ]


@dataclass(frozen=True, kw_only=True)
class SafeUnsafeReport(Report):
    """A new dependency leads from an irq-safe class to an irq-unsafe one.

    :ivar next: the lock to be acquired, :ivar prev: the lock held.
    :ivar state: HARDIRQ, HARDIRQ-READ, SOFTIRQ or SOFTIRQ-READ.
    :ivar safe_path: from the safe class to that of *prev*.
    :ivar unsafe_path: from the unsafe class back to that of *next*.
    """

    kind: ClassVar[str] = "safe-unsafe"

    next: HeldInfo
    prev: HeldInfo
    state: str
    safe_path: tuple[Link, ...]
    safe_trace: Frames
    unsafe_path: tuple[Link, ...]
    unsafe_trace: Frames

    @property
    def title(self) -> str:
        return f"WARNING: {self.state}-safe -> {self.state}-unsafe lock order detected"

    def lines(self) -> list[str]:
        safe, unsafe = self.safe_path[0].cls, self.unsafe_path[0].cls
        middle = self.prev.cls if self.prev.cls != safe else self.next.cls
        prev_full = self.prev.cls.full(self.prev.instance)
        next_full = self.next.cls.full(self.next.instance)
        return [
            *banner(53, self.title, self.ident),
            f"{self.task.who} {irq_state(self.task)} is trying to acquire:",
            lock_line(self.next),
            "",
            "and this task is already holding:",
            lock_line(self.prev),
            "which would create a new lock dependency:",
            f"{prev_full} ->{next_full}",
            "",
            f"but this new dependency connects a {self.state}-irq-safe lock:",
            safe.full(),
            "",
            f"... which became {self.state}-irq-safe at:",
            *trace_lines(self.safe_trace, 1),
            "",
            f"to a {self.state}-irq-unsafe lock:",
            unsafe.full(),
            "",
            f"... which became {self.state}-irq-unsafe at:",
            "...",
            *trace_lines(self.unsafe_trace, 1),
            "",
            OTHER_INFO,
            "",
            *interrupt_scenario(safe.name, middle.name, unsafe.name),
            *held_lines(self.task),
            "",
            f"the dependencies between {self.state}-irq-safe lock and the holding lock:",
            *shortest_dependencies(self.safe_path, backwards=True),
            "",
            "the dependencies between the lock to be acquired",
            f" and {self.state}-irq-unsafe lock:",
            *shortest_dependencies(self.unsafe_path),
            "",
            "stack backtrace:",
            *self._dump_stack(),
        ]


@dataclass(frozen=True, kw_only=True)
class InversionReport(Report):
    """A class got a usage that contradicts that of another class it is connected to.

    :ivar lock: the lock whose use was new.
    :ivar forwards: it became safe, and the other class, taken under it, is unsafe; else it became
        unsafe, and the other class, held around it, is safe.
    :ivar path: from the other class to that of *lock*.
    :ivar state: of the other class: HARDIRQ, HARDIRQ-READ, SOFTIRQ or SOFTIRQ-READ.
    """

    kind: ClassVar[str] = "irq-inversion"

    lock: HeldInfo
    forwards: bool
    state: str
    path: tuple[Link, ...]

    @property
    def title(self) -> str:
        return "WARNING: possible irq lock inversion dependency detected"

    def lines(self) -> list[str]:
        other, this = self.path[0].cls, self.path[-1].cls
        middle = self._middle(other, this)
        if self.forwards:
            claim = f"but this lock took another, {self.state}-unsafe lock in the past:"
            scenario = interrupt_scenario(this.name, middle.name, other.name)
        else:
            claim = f"but this lock was taken by another, {self.state}-safe lock in the past:"
            scenario = interrupt_scenario(other.name, middle.name, this.name)
        return [
            *banner(56, self.title, self.ident),
            f"{self.task.who} just changed the state of lock:",
            lock_line(self.lock),
            claim,
            other.full(),
            "",
            "",
            "and interrupts could create inverse lock ordering between them.",
            "",
            "",
            OTHER_INFO,
            *scenario,
            *held_lines(self.task),
            "",
            "the shortest dependencies between 2nd lock and 1st lock:",
            *shortest_dependencies(self.path),
            "",
            "stack backtrace:",
            *self._dump_stack(),
        ]

    def _middle(self, other: ClassInfo, this: ClassInfo) -> ClassInfo:
        """Return the class between the safe one and the unsafe one, as print_irq_lock_scenario().

        The kernel takes the class next to *this* on the path; where that is the safe class itself,
        the step from it is the unsafe one.
        """
        neighbour = self.path[-2].cls if len(self.path) > 1 else other
        safe = this if self.forwards else other
        fallback = other if self.forwards else this
        return neighbour if neighbour != safe else fallback


@dataclass(frozen=True, kw_only=True)
class WaitContextReport(Report):
    """A lock that may wait longer than the context allows.

    :ivar lock: the lock to be taken.
    :ivar context: the wait type that the task allows before any lock is held.
    """

    kind: ClassVar[str] = "wait-context"

    lock: HeldInfo
    context: int

    @property
    def title(self) -> str:
        return "[ BUG: Invalid wait context ]"

    def lines(self) -> list[str]:
        return [
            *banner(29, self.title, self.ident),
            f"{self.task.who} is trying to lock:",
            lock_line(self.lock),
            OTHER_INFO,
            f"context-{{{self.context}:{self.context}}}",
            *held_lines(self.task),
            "stack backtrace:",
            *self._dump_stack(),
        ]
