# SPDX-License-Identifier: Apache-2.0
"""Explain "Invalid wait context": a lock that may sleep where nothing may."""

from __future__ import annotations

from quiesce.explain.judge.answer import Answer, Judgement
from quiesce.explain.judge.call_path import waiter
from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.kind import Judge, register
from quiesce.explain.judge.lock_notes import lock_note, raw_nesting
from quiesce.explain.judge.missing import not_shown, partial
from quiesce.explain.judge.modes import of_trace
from quiesce.explain.judge.places import held_notes
from quiesce.explain.judge.sleeping import where_chain
from quiesce.explain.judge.words import names_of
from quiesce.explain.read.model import PrintedLock, PrintedReport

_CONTEXTS = {"2": "a hard interrupt", "3": "a softirq", "4": "a task", "5": "a task"}


def _explain(report: PrintedReport) -> Explanation:
    lock = report.wanted
    if lock is None:
        return Explanation(partial(report, "the lock"), not_shown=tuple(not_shown(report)))
    note = lock_note(report, lock, "wanted", of_trace(report.backtrace))
    return Explanation(
        _answer(report, lock),
        locks=(note, *held_notes(report)),
        not_shown=tuple(not_shown(report)),
    )


def _answer(report: PrintedReport, lock: PrintedLock) -> Answer:
    names, raw = names_of(report), raw_nesting(report)
    name, blocker = names.of(lock), _narrowest(report)
    only_rt = lock.inner == 3 and raw
    function = waiter(report.backtrace) or (waiter(lock.at) if lock.at else "")
    where = f" in {function}()" if function else ""
    if blocker is not None:
        why = f"with {names.of(blocker)} held"
    else:
        why = f"in {_context(report, raw)}"
    what = "may sleep on PREEMPT_RT (it is a spinlock_t)" if only_rt else "may sleep"
    allowed = _allowed(blocker, names.of(blocker) if blocker is not None else "")
    return Answer(
        Judgement.MISUSE,
        f"Misuse: {report.task or 'a task'} takes {name}{where} {why}. {name} {what}{allowed}.",
        notes=("Without PREEMPT_RT a spinlock_t only spins there, and nothing hangs.",)
        if only_rt
        else (),
        chains=(where_chain(report, report.backtrace),),
        fixes=_fixes(name, only_rt, blocker, names.of(blocker) if blocker is not None else ""),
    )


def _allowed(blocker: PrintedLock | None, name: str) -> str:
    if blocker is None:
        return ", which is not allowed there"
    if blocker.base.startswith("rcu_read_lock"):
        return ", which is not allowed in an RCU read-side section"
    kind = "raw spinlock" if blocker.inner == 2 else "spinlock"
    return f", which is not allowed under {name}: that is a {kind}"


def _fixes(name: str, only_rt: bool, blocker: PrintedLock | None, held: str) -> tuple[str, ...]:
    if blocker is None:
        first = (
            f"Make {name} a raw_spinlock_t, if what it protects is short and bounded."
            if only_rt
            else (f"Do not take {name} there: move the work to a thread or a work item.")
        )
        return (first, "Or move the work to a thread or a work item.") if only_rt else (first,)
    if blocker.base.startswith("rcu_read_lock"):
        return (
            f"Take {name} before the RCU read-side section, or leave that section first.",
            "Or use SRCU, whose readers may sleep.",
        )
    if only_rt:
        return (
            f"Make {name} a raw_spinlock_t, if what it protects is short and bounded.",
            f"Or make {held} a spinlock_t, if nothing needs it to be raw.",
        )
    return (
        f"Take {name} before {held}, or drop {held} first.",
        f"Or make {held} a lock that may be held while sleeping (a mutex).",
    )


def _narrowest(report: PrintedReport) -> PrintedLock | None:
    """The held lock that allows the least waiting; it is why the wanted one does not fit."""
    wanted = report.wanted
    held = [h for h in report.held if h.inner]
    if wanted is None or not held:
        return None
    lowest = min(held, key=lambda h: h.inner or 9)
    outer = wanted.outer or wanted.inner or 0
    return lowest if (lowest.inner or 9) < outer else None


def _context(report: PrintedReport, raw: bool) -> str:
    level = report.facts.get("context", "")
    if level == "3" and not raw:
        return "a task with interrupts or preemption off"
    return _CONTEXTS.get(level, "an interrupt or atomic section")


register(Judge("wait-context", _explain))
