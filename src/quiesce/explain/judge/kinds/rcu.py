# SPDX-License-Identifier: Apache-2.0
"""Explain "suspicious RCU usage"."""

from __future__ import annotations

from quiesce.explain.judge.explanation import Explanation, Reason
from quiesce.explain.judge.fingerprint import source_place
from quiesce.explain.judge.kind import Judge, register
from quiesce.explain.judge.places import all_notes, first_outside
from quiesce.explain.judge.reasons import not_shown
from quiesce.explain.read.model import Report


def _rcu(report: Report) -> Explanation:
    place, what = report.facts.get("place", ""), report.facts.get("what", "")
    where = first_outside(report.backtrace)
    illegal = report.facts.get("illegal", "")
    held = ", ".join(h.name for h in report.held) or "none"
    reading = any(h.base.startswith("rcu_read_lock") for h in report.held)
    if illegal:
        why = f"{illegal}: RCU is not watching this CPU then, so its readers are not seen."
        cure = "Tell RCU first (ct_irq_enter(), RCU_NONIDLE, _rcuidle tracepoints), or do not use RCU here."
    elif "llegal context switch" in what:
        why = "It may sleep inside a read-side section, which must not."
        cure = "Leave the read-side section before, or use SRCU."
    elif "dereference_protected" in what:
        why = "The updater's pointer access does not show the lock that should protect it."
        cure = "Take the update-side lock, or name it: rcu_dereference_protected(p, lockdep_is_held(&lock))."
    else:
        why = "An RCU-protected pointer or list is read, and no read-side section is open."
        cure = "Open one (rcu_read_lock()), or name the lock that protects it (rcu_dereference_protected())."
    return Explanation(
        summary=f"{place or 'A line'}{f', in {where}()' if where else ''}: {what}. {why}",
        locks=all_notes(report),
        because=f"Locks held: {held}." if report.declared_held is not None else "",
        false=(
            Reason(
                "",
                "A lock that protects the pointer is held, but the check does not name it?",
                False,
            ),
        )
        if report.held and not reading
        else (),
        not_shown=tuple(not_shown(report, None)),
        fixes=(cure,),
    )


register(Judge("rcu", _rcu, identity=source_place))
