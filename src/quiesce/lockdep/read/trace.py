# SPDX-License-Identifier: Apache-2.0
"""Lock events as ``perf script`` and ``trace-cmd report`` print them (include/trace/events/lock.h).

``lock_acquire`` and ``lock_release`` go through the validator. A name is a class, an address a lock, a pid
a task. What a trace does not say is not made up: readers count as recursive ones, which make fewer
deadlocks; without the flags of trace-cmd, interrupts are unknown, and only orders are checked. Kernels
without lockdep have ``contention_begin`` and ``contention_end`` only; those say who waits, and no order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from quiesce.lockdep.classes import LockdepMap, WaitType
from quiesce.lockdep.closure import record
from quiesce.lockdep.frames import Frame, Stack, frames_of
from quiesce.lockdep.graph_text import as_text
from quiesce.lockdep.held import HeldLock, LockdepTask
from quiesce.lockdep.read.export import Export
from quiesce.lockdep.reports import Report
from quiesce.lockdep.search import dependency_kind
from quiesce.lockdep.validator import Validator

_PERF = re.compile(
    r"\s*(?P<comm>\S.*?)\s+(?P<pid>\d+)(/\d+)?\s+(\[(?P<cpu>\d+)\]\s+)?(?P<time>\d+\.\d+):\s+"
    r"(lock:)?(?P<event>lock_acquire|lock_release|lock_acquired|lock_contended|contention_begin|"
    r"contention_end):\s+(?P<rest>.*)"
)
_FTRACE = re.compile(
    r"\s*(?P<comm>\S.*)-(?P<pid>\d+)\s+(\(.{1,7}\)\s+)?\[(?P<cpu>\d+)\]\s+((?P<flags>[.\w+]{4,6})\s+)?"
    r"(?P<time>\d+\.\d+):\s+(?P<event>lock_acquire|lock_release|lock_acquired|lock_contended|"
    r"contention_begin|contention_end):\s+(?P<rest>.*)"
)
_LOCK = re.compile(r"(0x)?(?P<address>[0-9a-fA-F]+) (?P<how>(try )?(read )?)(?P<name>\S.*)")
_CONTENTION = re.compile(
    r"(0x)?(?P<address>[0-9a-fA-F]+) \((flags=(?P<flags>.*)|ret=(?P<ret>-?\d+))\)"
)
_LOST = re.compile(r"LOST (\d+ )?EVENTS|lost \d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a trace.

    :ivar seconds: its time stamp.
    :ivar flags: trace-cmd's four or five characters; None if there are none.
    """

    comm: str
    pid: int
    seconds: float
    event: str
    rest: str
    flags: str | None


def events_of(text: str) -> Iterator[Event]:
    """Yield the lock events of *text* in its order."""
    for line in text.splitlines():
        match = _FTRACE.fullmatch(line) or _PERF.fullmatch(line)
        if match is not None:
            flags = match.groupdict().get("flags")
            yield Event(match["comm"].strip(), int(match["pid"]), float(match["time"]),
                        match["event"], match["rest"].strip(), flags)  # fmt: skip


def is_trace(text: str) -> bool:
    """True if *text* has lock events."""
    return next(events_of(text), None) is not None


class _TraceReplay:
    """The events of a trace, one by one, into a validator."""

    def __init__(self) -> None:
        self.validator = Validator()
        self.tasks: dict[int, LockdepTask] = {}
        self.locks: dict[tuple[str, str], LockdepMap] = {}
        self.reports: list[Report] = []
        self.not_held = 0
        self.not_read = 0

    def feed(self, event: Event) -> None:
        match = _LOCK.fullmatch(event.rest)
        if match is None:
            self.not_read += 1
            return
        task = self.tasks.get(event.pid)
        if task is None:
            task = self.tasks[event.pid] = self.validator.task(event.comm, event.pid)
        key = match["address"], match["name"]
        if key not in self.locks:
            self.locks[key] = self.validator.lock(key[1], wait_inner=WaitType.INV)
        lock = self.locks[key]
        if event.flags is not None:
            self._context(task, event.flags)
        stack = (Frame(f"{event.comm}-{event.pid} at {event.seconds:.6f}"),)
        if event.event == "lock_release":
            if not self.validator.is_held(task, lock):
                # It was acquired before the trace began, or the event is lost.
                self.not_held += 1
                return
            report = self.validator.release(task, lock, stack=stack)
        else:
            how = match["how"]
            read = 2 if "read" in how else 0
            below = list(task.held)
            report = self.validator.acquire(
                task, lock, read=read, trylock="try" in how, stack=stack
            )
            if report is not None:
                self._hold_all_the_same(task, lock, read, below, stack)
        if report is not None:
            self.reports.append(report)
            self.validator.resume()

    def _hold_all_the_same(
        self, task: LockdepTask, lock: LockdepMap, read: int, below: list[HeldLock], stack: Stack
    ) -> None:
        """The validator does not take in what it reports; the kernel that was traced went on."""
        self.validator.resume()
        cls = self.validator.class_of(lock)
        for held in reversed(below):
            if held.cls is not cls:
                record(
                    held.cls, cls, dependency_kind(held.read, read), frames_of(stack), linux=True
                )
            if not held.trylock:
                break
        self.validator.acquire(task, lock, read=read, check=False, stack=stack)

    def _context(self, task: LockdepTask, flags: str) -> None:
        """Follow the interrupt state as trace-cmd's flags tell it: irqs-off, resched, context, preempt."""
        off, context = flags[0] in "dD", flags[2]
        task.hardirqs_enabled = not off
        hard, soft = context in "hHzZ", context in "sH"
        if hard != bool(task.hardirq_context) or soft != bool(task.softirq_context):
            task.hardirq_context, task.softirq_context = int(hard), int(soft)
            task.update_irq_context()


def read_trace(text: str) -> Export:
    """Read a trace."""
    events = list(events_of(text))
    kinds = Counter(event.event for event in events)
    lines = [
        f"{len(events)} lock events: {', '.join(f'{n} {k}' for k, n in sorted(kinds.items()))}"
    ]
    if _LOST.search(text):
        lines.append("events were lost: orders that they would have shown are missing")
    data: dict[str, Any] = {"events": dict(kinds)}
    ordered = [event for event in events if event.event in ("lock_acquire", "lock_release")]
    edges: set[tuple[str, str]] = set()
    wrong = False
    if ordered:
        replay = _TraceReplay()
        for event in ordered:
            replay.feed(event)
        classes = replay.validator.classes
        edges = {(near.short_name, far.short_name) for near in classes for far in near.after}
        wrong = bool(replay.reports)
        lines += [f"{len(classes)} classes, {len(edges)} orders, {len(replay.tasks)} tasks"]
        if replay.not_held:
            lines.append(
                f"{replay.not_held} releases of locks that were acquired before the trace began"
            )
        lines += as_text(replay.validator).splitlines()
        for report in replay.reports:
            lines += ["", *report.text().splitlines()]
            lines += [report.note] if report.note else []
        if not wrong:
            lines.append("no order among them can deadlock")
        data["orders"] = sorted(edges)
        data["reports"] = [report.to_dict() for report in replay.reports]
    contended, waits = _contention(events)
    if waits:
        lines += ["waits, by lock:", *waits]
        data["contention"] = contended
    if not ordered:
        lines.append(
            "these events say who waits for which lock; the order of locks needs lock_acquire and"
        )
        lines.append("lock_release, of a kernel with CONFIG_LOCKDEP")
    return Export("trace", lines, data, edges, wrong)


def _contention(events: list[Event]) -> tuple[list[dict[str, Any]], list[str]]:
    begun: dict[tuple[int, str], float] = {}
    waits: dict[str, list[float]] = {}
    flags: dict[str, str] = {}
    for event in events:
        match = _CONTENTION.fullmatch(event.rest)
        if match is None:
            continue
        key = event.pid, match["address"]
        if event.event == "contention_begin":
            begun[key] = event.seconds
            flags.setdefault(match["address"], match["flags"] or "")
        elif key in begun:
            waits.setdefault(match["address"], []).append(event.seconds - begun.pop(key))
    rows = [
        {"lock": f"0x{address}", "flags": flags.get(address, ""), "waits": len(times),
         "total_us": round(sum(times) * 1e6, 1), "longest_us": round(max(times) * 1e6, 1)}
        for address, times in waits.items()
    ]  # fmt: skip
    rows.sort(key=lambda row: -float(str(row["total_us"])))
    texts = [
        f"  {row['lock']} ({row['flags']}): {row['waits']} waits, {row['total_us']} us in all, "
        f"{row['longest_us']} us at most"
        for row in rows[:15]
    ]
    return rows, texts
