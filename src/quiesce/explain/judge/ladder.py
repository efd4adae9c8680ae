# SPDX-License-Identifier: Apache-2.0
"""The ladder of a cycle: what each task holds, and for which row it waits.

Row 1 is the task that the kernel caught, row k+1 is link #k. A path that makes no task wait goes on
in the next row: the same task. Where both sides of a wait read a fair lock, the writer between them is
a row of its own, which the report does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quiesce.explain.judge.annotations import Nature, is_notifier, look_up
from quiesce.explain.judge.answer import LadderRow
from quiesce.explain.judge.call_path import above_the_lock, is_generic, useful, waiter
from quiesce.explain.judge.cycle import Blocking, Cycle, CycleWait, HoldingPath
from quiesce.explain.judge.modes import AcquireMode, plain_name, seen
from quiesce.explain.judge.roles import holds, wants
from quiesce.explain.judge.triggers import trigger_of
from quiesce.explain.judge.words import LockNames, object_of
from quiesce.explain.read.model import PrintedFrame, PrintedLock, PrintedReport


def addresses(report: PrintedReport) -> tuple[str, str] | None:
    """Return the addresses of the held and the wanted lock where they tell objects apart.

    Those of a work item or a timer do not: the kernel prints the address of a copy.
    """
    wanted, holding = report.wanted, report.holding
    if wanted is None or holding is None or look_up(wanted).nature.is_annotation:
        return None
    one, other = holding.address, wanted.address
    return None if not one or not other or "ptrval" in one + other else (one, other)


def two_addresses(report: PrintedReport, cycle: Cycle) -> bool:
    """True if a task wants another object of the class it holds, as far as addresses tell."""
    pair = addresses(report) if cycle.on_itself else None
    return pair is not None and pair[0] != pair[1]


@dataclass(frozen=True)
class Ladder:
    """The rows, and which row each path and each missing writer has."""

    rows: tuple[LadderRow, ...]
    writers: tuple[CycleWait, ...]


def allocates(path: HoldingPath) -> bool:
    """True if the path ends in the allocator, so that the function that allocates is meant."""
    return path.wants.lock.base == "fs_reclaim" or (
        is_notifier(path.wants.lock)
        and any(f.function.startswith("fs_reclaim_acquire") for f in path.frames[:6])
    )


def function_of(path: HoldingPath) -> str:
    """Return the function of *path* that wants the lock."""
    if path.declared:
        return path.declared
    if path.reacquired:
        return path.reacquired
    return waiter(path.frames, allocates(path))


def reenters_notifier(cycle: Cycle, path: HoldingPath) -> bool:
    """True if *path* enters the MMU notifier while it holds a lock that a notifier took."""
    if not is_notifier(path.wants.lock) or allocates(path):
        return False
    taker = next((p for p in cycle.paths if p.wants.lock.same_class(path.holds.lock)), None)
    return taker is not None and any("mmu_notifier" in f.function for f in taker.frames)


def build_ladder(report: PrintedReport, cycle: Cycle, names: LockNames) -> Ladder:
    """Return the rows of *cycle*."""
    paths = cycle.paths
    waits = {wait.waiter: wait for wait in cycle.as_drawn}
    rows: list[LadderRow] = []
    writers: list[CycleWait] = []
    count = len(paths)
    for index, path in enumerate(paths):
        after = (index + 1) % count + 1
        continued = index > 0 and goes_on(cycle, paths[index - 1])
        arrow = f"<- {after}"
        if goes_on(cycle, path):
            arrow = f"goes on in {after}"
        elif waits[index].blocking is Blocking.NEVER or two_addresses(report, cycle):
            arrow = "<- none"
        elif waits[index].blocking is Blocking.NEEDS_WRITER and not path.passes:
            writers.append(waits[index])
            arrow = f"<- {count + len(writers)}"
        rows.append(
            LadderRow(
                index + 1,
                _who(report, path, continued),
                _held(path, names, continued),
                _waits(report, cycle, path, names),
                arrow,
            )
        )
    for number, wait in enumerate(writers, count + 1):
        rows.append(_writer(number, wait, names))
    return Ladder(tuple(rows), tuple(writers))


def goes_on(cycle: Cycle, path: HoldingPath) -> bool:
    """True if the task does not wait at the end of *path* but goes on in the next one."""
    return path.passes and not reenters_notifier(cycle, path) and len(cycle.paths) > 1


def _who(report: PrintedReport, path: HoldingPath, continued: bool) -> str:
    function = function_of(path)
    place = f" in {function}()" if function else ""
    trigger = trigger_of(path.frames)
    if path.current:
        return f"{report.task or 'the caught task'}{place}"
    if path.declared:
        who = "the same task" if continued else trigger.who
        return f"{who} (declared{place}, no task waited there)"
    if continued:
        return f"the same task{place}"
    seen_at = trigger.seen
    if trigger.who == "a kworker":
        if is_generic(function) or not seen_at:
            return trigger.who
        runs = "work" if trigger.when.startswith("in work item") else "seen:"
        return f"a kworker{place} ({runs} {seen_at})"
    if not seen_at or seen_at == f"{function}()":
        return f"{trigger.who}{place}"
    if seen_at == "boot":
        return f"{trigger.who}{place} (seen at boot{_at_boot(path, function)})"
    return f"{trigger.who}{place} (seen: {seen_at})"


def _at_boot(path: HoldingPath, function: str) -> str:
    outer = [
        n for f in reversed(useful(path.frames)) if not is_generic(n := plain_name(f.function))
    ]
    outer = [name for name in outer if name not in (function, "do_one_initcall")]
    return f" in {outer[0]}()" if outer else ""


def _held(path: HoldingPath, names: LockNames, continued: bool) -> tuple[str, ...]:
    if continued:
        return ()  # the row above says how it got there
    return (holds(path.holds, names),)


def _waits(report: PrintedReport, cycle: Cycle, path: HoldingPath, names: LockNames) -> str:
    if two_addresses(report, cycle):
        return f"{wants(path.wants, names)} of another {object_of(path.wants.lock) or 'object'}"
    if reenters_notifier(cycle, path):
        return "enters the notifier again"
    return wants(path.wants, names, path.passes)


WRITERS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("sb_",), "a task that freezes the file system", "the file system is frozen in between"),
    (("cpu_hotplug",), "a CPU hotplug operation", "a CPU is brought up or taken down in between"),
    (("jbd2_handle",), "the jbd2 commit", "the journal commits in between"),
    (("btrfs_",), "a task that waits for the event", "a task waits for the event in between"),
)
"""Locks whose writers have a name: the row, and the condition."""


def writer_words(lock: PrintedLock, names: LockNames) -> tuple[str, str]:
    """Return words for the writer of *lock*, and the condition that there is one."""
    for prefixes, who, condition in WRITERS:
        if lock.base.startswith(prefixes):
            return who, condition
    return "a writer", f"a writer of {names.of(lock)} queues in between"


def _writer(number: int, wait: CycleWait, names: LockNames) -> LadderRow:
    lock = wait.wanted.lock
    who, _ = writer_words(lock, names)
    usage = seen(lock.usage)
    known = (
        f" ({{{lock.usage}}}: lockdep had seen readers only)"
        if usage.read and not usage.wrote and who == "a writer"
        else ""
    )
    writer = wait.wanted.with_mode(AcquireMode.EXCLUSIVE)
    if wait.wanted.note.nature is Nature.WAIT:
        waits = wants(writer, names)
    else:
        waits = f"waits for {names.of(lock)} (write)"
    return LadderRow(
        number, f"{who}, not in the report{known}", (), waits, f"<- {wait.holder + 1}", False
    )


def one_task(cycle: Cycle) -> tuple[int, str] | None:
    """Return (row, function) if that row and the next are two places of one function; else None.

    The task that waits in the row then also gets to the next one: one task can be both.
    """
    count = len(cycle.paths)
    for index in range(count - 1):
        path, after = cycle.paths[index], cycle.paths[index + 1]
        if path.passes or after.declared or after.current or path.declared:
            continue
        here = above_the_lock(path.frames, allocates(path))
        if not here or not here[0].offset:
            continue
        for frame in above_the_lock(after.frames, allocates(after))[1:]:
            if frame.function == here[0].function and _further_on(frame, here[0]):
                return index + 1, plain_name(frame.function)
    return None


def _further_on(one: PrintedFrame, other: PrintedFrame) -> bool:
    return _offset(one) > _offset(other) >= 0


def _offset(frame: PrintedFrame) -> int:
    text = frame.offset.removeprefix("+").partition("/")[0]
    try:
        return int(text, 16)
    except ValueError:
        return -1


def rows_of(numbers: Sequence[int]) -> str:
    """Return "row 2" or "rows 2 and 3"."""
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    return f"rows {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
