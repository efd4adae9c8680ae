# SPDX-License-Identifier: Apache-2.0
"""Explain "suspicious RCU usage"."""

from __future__ import annotations

from quiesce.explain.judge.answer import Answer, Judgement
from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.fingerprint import source_place
from quiesce.explain.judge.kind import Judge, register
from quiesce.explain.judge.missing import not_shown
from quiesce.explain.judge.places import all_notes, first_outside, in_function
from quiesce.explain.judge.sleeping import where_chain
from quiesce.explain.judge.words import names_of
from quiesce.explain.read.model import PrintedReport


def _explain(report: PrintedReport) -> Explanation:
    place, what = report.facts.get("place", ""), report.facts.get("what", "")
    where = first_outside(report.backtrace)
    why, fix = _why(report, what)
    held = [names_of(report).of(lock) for lock in report.held]
    reading = any(lock.base.startswith("rcu_read_lock") for lock in report.held)
    notes = []
    if held and not reading:
        notes.append(
            f"Held: {', '.join(held)}. If one of them protects the pointer, the check does not name it."
        )
    usage = what.removeprefix("suspicious ").removesuffix(" usage").strip("!. ")
    did = f"{usage} at {place}" if usage and place else (place or usage or "RCU is used")
    return Explanation(
        Answer(
            Judgement.MISUSE,
            f"Misuse: {did}{in_function(where)}: {why}",
            notes=tuple(notes),
            chains=(where_chain(report, report.backtrace),) if report.backtrace else (),
            fixes=fix,
        ),
        locks=all_notes(report),
        not_shown=tuple(not_shown(report)),
    )


def _why(report: PrintedReport, what: str) -> tuple[str, tuple[str, ...]]:
    illegal = report.facts.get("illegal", "")
    if illegal:
        return (
            f"{illegal}. RCU does not watch this CPU then, so it does not see the reader.",
            ("Tell RCU first (ct_irq_enter(), ct_nmi_enter()), or do not use RCU here.",),
        )
    if "llegal context switch" in what:
        return "it may sleep inside a read-side section.", (
            "Leave the read-side section before, or use SRCU, whose readers may sleep.",
        )
    if "dereference_protected" in what:
        return "the lock that should protect this update is not held.", (
            "Take the update-side lock, or name the one that protects it: "
            "rcu_dereference_protected(p, lockdep_is_held(&lock)).",
        )
    if not report.facts.get("place") and not what:
        return "the line that says what was used, and where, is not in this text.", (
            "Get the complete report: from dmesg, not from the mail.",
        )
    return "an RCU-protected pointer or list is read without a read-side section.", (
        "Call rcu_read_lock() around the access, and do not use the pointer after rcu_read_unlock().",
        "If a lock protects the access, name it: rcu_dereference_protected(p, lockdep_is_held(&lock)).",
    )


register(Judge("rcu", _explain, identity=source_place))
