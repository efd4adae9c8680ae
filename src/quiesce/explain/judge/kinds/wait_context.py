# SPDX-License-Identifier: Apache-2.0
"""Explain "Invalid wait context": a lock that may sleep where nothing may."""

from __future__ import annotations

from quiesce.explain.judge.explanation import Explanation, Reason
from quiesce.explain.judge.kind import Judge, register
from quiesce.explain.judge.lock_notes import lock_note, raw_nesting
from quiesce.explain.judge.modes import of_trace
from quiesce.explain.judge.places import held_notes
from quiesce.explain.judge.reasons import not_shown
from quiesce.explain.read.model import Lock, Report


def _wait_context(report: Report) -> Explanation:
    lock = report.wanted
    if lock is None:
        return Explanation(
            "A lock that may sleep is taken where sleeping is not allowed.",
            not_shown=tuple(not_shown(report, None)),
            fixes=("Get the whole report: from dmesg, not from the mail.",),
        )
    wanted = lock_note(report, lock, "wanted", of_trace(report.backtrace))
    blocker = _narrowest(report)
    raw = raw_nesting(report)
    if blocker is not None:
        why = f"while {blocker.name} is held, which allows less waiting"
    else:
        why = f"in a context that allows less waiting ({_task_context(report, raw)})"
    both_spin = lock.inner == 3 and raw
    because = (
        "On PREEMPT_RT a spinlock_t sleeps, and must not be taken under a raw_spinlock_t or with "
        "interrupts off; elsewhere it only spins, and nothing hangs."
        if both_spin
        else "A task that sleeps there sleeps with preemption or interrupts off, and its CPU stops."
    )
    if blocker is not None and blocker.base.startswith("rcu_read_lock"):
        because = (
            "A task must not sleep inside an RCU read-side section: the grace period ends then."
        )
    fixes = [
        f"Make {lock.name} a raw_spinlock_t, if what it protects is short and bounded."
        if both_spin
        else f"Take {lock.name} before, or leave that section first.",
        "Move the work to a thread or a work item, where sleeping is allowed.",
    ]
    if blocker is not None and blocker.base.startswith("rcu_read_lock"):
        fixes.insert(0, "Leave the RCU read-side section before, or use SRCU, which may sleep.")
    elif blocker is not None and both_spin:
        fixes.insert(1, f"Make {blocker.name} a spinlock_t, if nothing needs it to be raw.")
    elif blocker is not None and blocker.inner in (2, 3):
        fixes.insert(1, f"Make {blocker.name} a lock that may be held while sleeping (a mutex).")
    return Explanation(
        summary=f"{report.task or 'A task'} takes {lock.name} ({wanted.wait_type or 'a lock'}) {why}.",
        locks=(wanted, *held_notes(report)),
        assessment="only-if" if both_spin else "real",
        because=because,
        false=(
            Reason("g", "Without PREEMPT_RT a spinlock_t does not sleep.", True),
        ) if both_spin else (),
        not_shown=tuple(not_shown(report, None)),
        fixes=tuple(fixes),
    )  # fmt: skip


def _narrowest(report: Report) -> Lock | None:
    """The held lock that allows the least waiting; it is why the wanted one does not fit."""
    wanted = report.wanted
    held = [h for h in report.held if h.inner]
    if wanted is None or not held:
        return None
    lowest = min(held, key=lambda h: h.inner or 9)
    outer = wanted.outer or wanted.inner or 0
    return lowest if (lowest.inner or 9) < outer else None


def _task_context(report: Report, raw: bool) -> str:
    level = report.facts.get("context", "")
    names = {
        "2": "hard interrupt",
        "3": "soft interrupt" if raw else "task",
        "4": "task",
        "5": "task",
    }
    return names.get(level, "interrupt or atomic section")


register(Judge("wait-context", _wait_context))
