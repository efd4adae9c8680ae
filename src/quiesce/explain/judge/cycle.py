# SPDX-License-Identifier: Apache-2.0
"""From the chain of a circular report to tasks that wait for each other.

Link #k was taken while lock #(k-1) was held, so it is one task's path: "holds #(k-1), wants #k";
link #0 is the task that lockdep caught, which holds the highest lock. That makes as many tasks as
links, where lockdep's own table has two.

Some of those tasks do not exist. Where the wanted "lock" is a context (memory reclaim) no task
waits: the same task continues and wants what the next path wants. The same holds where a worker
"takes" the work item that it runs. Such paths are joined into one task each; what is left are the tasks that
wait, and the question is then whether each of them really has to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from quiesce.explain.judge.annotations import Nature, Note, look_up
from quiesce.explain.judge.declared import declared_in, reacquired_in
from quiesce.explain.judge.modes import (
    UNKNOWN,
    AcquireMode,
    Acquisition,
    is_freeze,
    of_function,
    of_trace,
    plain_name,
    seen,
)
from quiesce.explain.read.model import PrintedFrame, PrintedLink, PrintedLock, PrintedReport

_ALWAYS_EXCLUSIVE = (
    "mutex",
    "spinlock",
    "rt_mutex",
    "ww_mutex",
    "socket lock",
    "console semaphore",
    "work item",
)
"""Primitives that know one mode only."""


class Blocking(Enum):
    """Whether the task that wants a lock has to wait for the one that holds it."""

    BLOCKS = "blocks"
    NEEDS_WRITER = "needs a waiting writer"
    MAYBE = "blocks if one of the two is a writer"
    NEVER = "never blocks"


@dataclass(frozen=True)
class Party:
    """A lock of the cycle as one side sees it: the lock, what it is, how it is taken."""

    lock: PrintedLock
    note: Note
    how: Acquisition
    reason: str = ""
    """Why we believe the mode, where it is not the function's own."""

    def with_mode(self, mode: AcquireMode) -> Party:
        """Return the same lock, taken in another *mode*."""
        return replace(self, how=replace(self.how, mode=mode))


@dataclass(frozen=True)
class HoldingPath:
    """What one link shows: *holds* is held while *wants* is taken.

    :param number: of the link whose stack it is.
    :param current: True for the task that lockdep caught.
    :param declared: the function that told lockdep of *wants* without waiting for it; empty if the
        stack is that of an acquisition.
    :param reacquired: the function that released another lock out of order, so that lockdep took
        *wants* out and put it back in; empty if the stack is that of an acquisition.
    """

    number: int
    holds: Party
    wants: Party
    frames: tuple[PrintedFrame, ...]
    current: bool
    declared: str = ""
    reacquired: str = ""

    @property
    def passes(self) -> bool:
        """True when no task waits to take *wants*, so that the task simply continues."""
        note = self.wants.note
        if note.nature is Nature.CONTEXT:
            return True
        if note.nature is Nature.RCU or (
            note.readers == "recursive" and self.wants.how.mode is AcquireMode.RECURSIVE_READ
        ):
            return note.nature is not Nature.HOME_MADE
        return any(function.startswith(note.insiders) for function in self._takers())

    def _takers(self) -> tuple[str, ...]:
        if not self.wants.note.insiders:
            return ()
        caller = self.wants.how.caller
        names = (self.wants.how.function, caller.function if caller else "")
        return tuple(plain_name(name) for name in names if name)


@dataclass(frozen=True)
class CycleTask:
    """One task of the hang: the paths it runs through, one after the other.

    :param paths: more than one where a context or a worker joins them.
    """

    paths: tuple[HoldingPath, ...]

    @property
    def holds(self) -> Party:
        return self.paths[0].holds

    @property
    def wants(self) -> Party:
        return self.paths[-1].wants

    @property
    def through(self) -> tuple[Party, ...]:
        """The contexts it enters between the two."""
        return tuple(path.wants for path in self.paths[:-1])


@dataclass(frozen=True)
class CycleWait:
    """*waiter* waits for *holder* because of *lock*."""

    waiter: int
    holder: int
    held: Party
    wanted: Party
    blocking: Blocking


@dataclass(frozen=True)
class Cycle:
    """The cycle of a report.

    :param paths: one per link, from the caught task on, each waiting for the next.
    :param tasks: the same with the paths joined where no task waits; empty when no task waits at all.
    :param waits: for each task the one that it waits for.
    """

    paths: tuple[HoldingPath, ...]
    tasks: tuple[CycleTask, ...]
    waits: tuple[CycleWait, ...]

    @property
    def on_itself(self) -> bool:
        """True when one task wants a lock of the class that it holds, and no other is involved."""
        return len(self.paths) == 1

    @property
    def as_drawn(self) -> tuple[CycleWait, ...]:
        """The waits that lockdep assumes: every path a task of its own."""
        return _waits(tuple(CycleTask((path,)) for path in self.paths))


def chain_cycle(report: PrintedReport) -> Cycle | None:
    """Return the cycle that the chain of *report* shows, None if the chain is not complete.

    A chain that lacks only link #0 is complete: the header names its lock and where it is taken.
    """
    links = {link.number: link for link in report.links}
    size = report.chain_length
    if (
        links
        and 0 not in links
        and len(links) == size - 1
        and _top_is_held(report, links[size - 1])
    ):
        first = _link_of_header(report)
        if first is not None:
            links[0] = first
    if size < 2 or len(links) != size:
        return None
    paths = [_path(report, links, number, size) for number in range(size)]
    return _cycle(_with_sides(paths))


def _top_is_held(report: PrintedReport, top: PrintedLink) -> bool:
    return report.holding is not None and report.holding.same_class(top.lock)


def _link_of_header(report: PrintedReport) -> PrintedLink | None:
    """Return link #0 as "is trying to acquire lock" and the backtrace have it."""
    wanted = report.wanted
    if wanted is None:
        return None
    return PrintedLink(0, wanted, report.backtrace or wanted.at, wanted.line)


def _with_sides(paths: list[HoldingPath]) -> tuple[HoldingPath, ...]:
    """Give each holder of something that is entered or closed the side that the next task waits for.

    A task that enters waits only for one that has closed it; one that closes only for those inside.
    """
    size = len(paths)
    for index, path in enumerate(paths):
        wanted = path.wants
        if not wanted.note.two_sides or wanted.how.mode is AcquireMode.UNKNOWN:
            continue
        holder = paths[(index + 1) % size]
        mode = AcquireMode.EXCLUSIVE if wanted.how.mode.reads else AcquireMode.READ
        if holder.holds.how.mode is not mode:
            how = Acquisition(mode, holder.holds.how.primitive)
            reason = "the other side is waited for"
            paths[(index + 1) % size] = replace(
                holder, holds=replace(holder.holds, how=how, reason=reason)
            )
    return tuple(paths)


def self_cycle(report: PrintedReport) -> Cycle | None:
    """Return the cycle of a task that wants a lock of the class that it holds, None if cut."""
    if report.wanted is None or report.holding is None:
        return None
    wanted = _of_held(report.wanted, report.backtrace)
    holding = _of_held(report.holding, ())
    if holding.mode is AcquireMode.UNKNOWN and (
        wanted.primitive in _ALWAYS_EXCLUSIVE or _same_call(report.wanted, report.holding)
    ):
        holding = replace(wanted, caller=report.holding.where)
    path = HoldingPath(
        0,
        _party(report.holding, holding),
        _party(report.wanted, wanted),
        report.backtrace,
        True,
    )
    return _cycle((path,))


def _same_call(one: PrintedLock, other: PrintedLock) -> bool:
    """True when both were taken by the same call, and so in the same way."""
    first, second = one.where, other.where
    if first is None or second is None or not first.offset:
        return False
    return first.place == second.place


def _cycle(paths: tuple[HoldingPath, ...]) -> Cycle:
    tasks = _join(paths)
    return Cycle(paths, tasks, _waits(tasks))


def _path(
    report: PrintedReport, links: dict[int, PrintedLink], number: int, size: int
) -> HoldingPath:
    inner = links[number]
    outer = links[(number - 1) % size]
    want = _want(report, inner)
    hold, reason = _hold(report, links, outer, current=number == 0)
    return HoldingPath(
        number,
        _party(outer.lock, hold, reason),
        _party(inner.lock, want),
        inner.frames,
        number == 0,
        declared_in(inner.lock, inner.frames),
        reacquired_in(inner.frames),
    )


def _party(lock: PrintedLock, how: Acquisition, reason: str = "") -> Party:
    takers = (how.function, how.caller.function) if how.caller else (how.function,)
    note = look_up(lock, tuple(name for name in takers if name))
    if how.mode is AcquireMode.UNKNOWN and note.usual is not AcquireMode.UNKNOWN:
        how, reason = replace(how, mode=note.usual), "it is usually taken so"
    return Party(lock, note, how, reason)


def _want(report: PrintedReport, link: PrintedLink) -> Acquisition:
    how = of_trace(link.frames)
    if how.mode is AcquireMode.UNKNOWN and look_up(link.lock).two_sides:
        closes = any(is_freeze(frame.function) for frame in link.frames[:8])
        how = replace(how, mode=AcquireMode.EXCLUSIVE if closes else AcquireMode.READ)
    last = report.scenario[-1] if report.scenario else None
    if link.number == 0 and last is not None:
        if last.op == "sync":
            return replace(how, mode=AcquireMode.SYNC)
        if last.op == "rlock" and not how.mode.reads:
            return replace(how, mode=AcquireMode.READ)
    return how


def _hold(
    report: PrintedReport, links: dict[int, PrintedLink], outer: PrintedLink, current: bool
) -> tuple[Acquisition, str]:
    """How the outer lock of a path is held, as far as the report tells: its stack is not in it."""
    inner = of_trace(outer.frames)
    if current:
        held = _held_lock(report, outer.lock)
        if held is not None and held.where is not None:
            place = held.where.place
            if held.where.offset and any(frame.place == place for frame in outer.frames):
                return inner, f"taken at {place}, the same call as in link #{outer.number}"
            known = _of_held(held, ())
            if known.mode is not AcquireMode.UNKNOWN:
                known = replace(known, primitive=known.primitive or inner.primitive)
                return known, f"taken in {held.where.function}()"
        if report.scenario and report.scenario[0].op == "rlock":
            mode = inner.mode if inner.mode.reads else AcquireMode.READ
            return replace(inner, mode=mode), "lockdep's table says rlock"
    if inner.mode is AcquireMode.EXCLUSIVE and inner.primitive in _ALWAYS_EXCLUSIVE:
        return inner, f"a {inner.primitive} is always exclusive"
    usage = seen(outer.lock.usage, report.facts.get("layout") == "early")
    if usage.wrote and not usage.read:
        return replace(inner, mode=AcquireMode.EXCLUSIVE), "never taken for read so far"
    if usage.read and not usage.wrote:
        mode = inner.mode if inner.mode.reads else AcquireMode.READ
        return replace(inner, mode=mode), "never taken for write so far"
    return Acquisition(AcquireMode.UNKNOWN, inner.primitive), "the report does not show how"


def _held_lock(report: PrintedReport, lock: PrintedLock) -> PrintedLock | None:
    for held in (*reversed(report.held), report.holding):
        if held is not None and held.same_class(lock):
            return held
    return None


def _of_held(lock: PrintedLock, frames: tuple[PrintedFrame, ...]) -> Acquisition:
    """How a lock was taken, by its ``at:`` frames or, for the caught task, by the backtrace."""
    if frames:
        how = of_trace(frames)
        if how.mode is not AcquireMode.UNKNOWN:
            return how
    for frame in lock.at:
        how = of_function(frame.function)
        if how.mode is not AcquireMode.UNKNOWN:
            return replace(how, caller=lock.where)
    usage = seen(lock.usage)
    if usage.wrote != usage.read:
        return Acquisition(
            AcquireMode.EXCLUSIVE if usage.wrote else AcquireMode.READ, "", "", lock.where
        )
    return replace(UNKNOWN, caller=lock.where)


def _join(paths: tuple[HoldingPath, ...]) -> tuple[CycleTask, ...]:
    """Join every path that passes with the one that goes on from there."""
    size = len(paths)
    stops = [index for index, path in enumerate(paths) if not path.passes]
    if not stops:
        return ()
    tasks: list[CycleTask] = []
    for index in stops:
        first = index
        while paths[(first - 1) % size].passes:
            first -= 1
        tasks.append(CycleTask(tuple(paths[i % size] for i in range(first, index + 1))))
    return tuple(tasks)


def taken_together(cycle: Cycle) -> Cycle:
    """Return a shorter cycle: neighbors of which one surely waits for the other become one task.

    All tasks of *cycle* wait for each other if and only if those of the result do: a task that holds
    A and waits for B, while the next holds B and waits for C, is like one that holds A and waits for
    C.
    """
    groups: list[list[CycleTask]] = []
    for index, task in enumerate(cycle.tasks):
        if index > 0 and cycle.waits[index - 1].blocking is Blocking.BLOCKS:
            groups[-1].append(task)
        else:
            groups.append([task])
    tasks = tuple(group[0] if len(group) == 1 else _one_task(group) for group in groups)
    return Cycle(tuple(path for task in tasks for path in task.paths), tasks, _waits(tasks))


def _one_task(group: list[CycleTask]) -> CycleTask:
    first, last = group[0].paths[0], group[-1].paths[-1]
    return CycleTask((HoldingPath(first.number, first.holds, last.wants, last.frames, False),))


def _waits(tasks: tuple[CycleTask, ...]) -> tuple[CycleWait, ...]:
    waits: list[CycleWait] = []
    for index, task in enumerate(tasks):
        other = (index + 1) % len(tasks)
        held, wanted = tasks[other].holds, task.wants
        waits.append(CycleWait(index, other, held, wanted, _blocking(held, wanted)))
    return tuple(waits)


def _blocking(held: Party, wanted: Party) -> Blocking:
    if wanted.how.trylock:
        return Blocking.NEVER
    hold, want = held.how.mode, wanted.how.mode
    if hold.reads and want.reads:
        return Blocking.NEVER if want is AcquireMode.RECURSIVE_READ else Blocking.NEEDS_WRITER
    if want.reads and hold is AcquireMode.UNKNOWN:
        return Blocking.MAYBE
    if hold.reads and want is AcquireMode.UNKNOWN:
        return Blocking.MAYBE
    if hold is want is AcquireMode.UNKNOWN and wanted.note.readers:
        return Blocking.MAYBE
    return Blocking.BLOCKS
