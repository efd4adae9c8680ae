# SPDX-License-Identifier: Apache-2.0
"""Explain "sleeping function called from invalid context" and "scheduling while atomic".

What matters is which lock keeps the task from sleeping, and where that was taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from quiesce.explain.judge.answer import Answer, Judgement
from quiesce.explain.judge.call_path import above_the_lock, is_allocator, is_wrapper, useful
from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.kind import Judge, register
from quiesce.explain.judge.lock_notes import raw_nesting
from quiesce.explain.judge.missing import not_shown
from quiesce.explain.judge.modes import is_internal, plain_name
from quiesce.explain.judge.places import held_notes
from quiesce.explain.judge.sleeping import where_chain
from quiesce.explain.judge.words import names_of
from quiesce.explain.read.model import PrintedFrame, PrintedLock, PrintedReport

_SPINNING = (
    "spin",
    "raw",
    "slock",
    "rq->",
    "pi_lock",
    "wait",
    "tasklist",
    "ptl",
    "xa_lock",
    "d_lock",
)


def _explain(report: PrintedReport) -> Explanation:
    frames = _outside(report.backtrace)
    sleeper = _sleeper(frames)
    names = names_of(report)
    lock = _preventing(report)
    text, fixes = _verdict(
        report, names.of(lock) if lock is not None else "", lock, sleeper, frames
    )
    return Explanation(
        Answer(Judgement.MISUSE, text, chains=(where_chain(report, frames),), fixes=fixes),
        locks=held_notes(report),
        not_shown=tuple(not_shown(report)),
    )


def _verdict(
    report: PrintedReport,
    name: str,
    lock: PrintedLock | None,
    sleeper: str,
    frames: Sequence[PrintedFrame],
) -> tuple[str, tuple[str, ...]]:
    task = report.task or "a task"
    function = _caller(frames, sleeper)
    where = f" in {function}()" if function else ""
    may = (
        f"{task} calls {sleeper}(){where}, which may sleep"
        if sleeper
        else f"{task} may sleep{where}"
    )
    if lock is not None and lock.base.startswith("rcu_read_lock"):
        return f"Misuse: {may}, in an RCU read-side section{_taken(lock)}.", (
            f"Leave the RCU read-side section before {function or 'that call'}(), or use SRCU.",
        )
    if lock is not None:
        return f"Misuse: {may}, with {name} held{_taken(lock)}.", _lock_fixes(
            name, function, sleeper
        )
    disabled = report.traces.get("preemption disabled", ())
    by = next((plain_name(f.function) for f in disabled if not is_wrapper(f.function)), "")
    if report.facts.get("irqs_disabled") not in (None, "0"):
        why, what = "with interrupts off", "interrupts are turned off"
    elif report.facts.get("rcu depth") not in (None, "0"):
        why, what = "in an RCU read-side section", "the section begins"
    elif report.facts.get("non_block") not in (None, "0"):
        why, what = "where blocking is forbidden (non_block_start())", "that section begins"
    else:
        why, what = "with preemption off", "preemption is turned off"
    since = f" (turned off in {by}())" if by and "off" in why else ""
    return f"Misuse: {may}, {why}{since}.", (
        f"Call {sleeper or function or 'it'}() before {what}{f' in {by}()' if by else ''}, or after.",
        *(("Or use GFP_ATOMIC or GFP_NOWAIT there.",) if is_allocator(sleeper) else ()),
    )


def _taken(lock: PrintedLock) -> str:
    place = next(
        (plain_name(f.function) for f in reversed(lock.at) if not is_wrapper(f.function)), ""
    )
    return f" (taken in {place}())" if place else ""


def _lock_fixes(name: str, function: str, sleeper: str) -> tuple[str, ...]:
    if is_allocator(sleeper):
        return (
            f"Use GFP_ATOMIC or GFP_NOWAIT in {function}(), and expect that it fails.",
            f"Or allocate before {name} is taken.",
        )
    return (
        f"Drop {name} before {function or sleeper}(), or call it before {name} is taken.",
        f"Or make {name} a lock that may be held while sleeping (a mutex).",
    )


def _outside(frames: Sequence[PrintedFrame]) -> tuple[PrintedFrame, ...]:
    """Return *frames* from the function that may sleep on."""
    rest = useful(frames)
    start = 0
    while start < len(rest) and (
        is_internal(rest[start].function)
        or plain_name(rest[start].function)
        .strip("_")
        .startswith(("might_", "schedule", "cond_resched"))
    ):
        start += 1
    return tuple(rest[start:])


def _sleeper(frames: Sequence[PrintedFrame]) -> str:
    """Return the outermost function of those that only take a lock or allocate."""
    found = ""
    for frame in frames:
        name = plain_name(frame.function)
        if not (is_wrapper(name) or is_allocator(name)):
            break
        found = name
    return found or (plain_name(frames[0].function) if frames else "")


def _caller(frames: Sequence[PrintedFrame], sleeper: str) -> str:
    names = [plain_name(frame.function) for frame in above_the_lock(frames, allocating=True)]
    return next((name for name in names if name != sleeper), "")


def _preventing(report: PrintedReport) -> PrintedLock | None:
    """Return the held lock that forbids sleeping: the innermost that spins, else an RCU section."""
    raw = raw_nesting(report)
    spins = (2, 3) if raw else (2,)
    for lock in reversed(report.held):
        if lock.base.startswith("rcu_read_lock"):
            continue
        if lock.inner in spins or (lock.inner is None and any(s in lock.base for s in _SPINNING)):
            return lock
    return next((lock for lock in report.held if lock.base.startswith("rcu_read_lock")), None)


register(Judge("sleeping-while-atomic", _explain))
