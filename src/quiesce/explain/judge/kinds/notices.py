# SPDX-License-Identifier: Apache-2.0
"""Explain the notices by which lockdep turns itself off."""

from __future__ import annotations

from quiesce.explain.judge.answer import Answer, Judgement
from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.kind import Judge, register
from quiesce.explain.judge.missing import not_shown
from quiesce.explain.judge.places import all_notes, first_outside, in_function
from quiesce.explain.judge.sleeping import where_chain
from quiesce.explain.read.model import PrintedReport

_OFF = "Nothing after this is checked until the next boot."


def _notice(report: PrintedReport, verdict: Judgement, text: str, *fixes: str) -> Explanation:
    chains = (where_chain(report, report.backtrace),) if report.backtrace else ()
    return Explanation(
        Answer(verdict, f"{text} {_OFF}", chains=chains, fixes=fixes),
        locks=all_notes(report),
        not_shown=tuple(not_shown(report)),
    )


def _no_key(report: PrintedReport) -> Explanation:
    where = first_outside(report.backtrace)
    return _notice(
        report,
        Judgement.MISUSE,
        f"Misuse: {report.task or 'a task'} uses a lock that was never initialized"
        f"{in_function(where)}: its class key is neither static nor registered.",
        f"Initialize the lock (spin_lock_init(), mutex_init(), ...) before {where or 'its first'}() use: "
        "most often an error or remove path runs although the probe did not.",
        "A key in allocated memory needs lockdep_register_key().",
    )


def _limits(report: PrintedReport) -> Explanation:
    return _notice(
        report,
        Judgement.OFF,
        f"Lockdep is off: one of its tables is full ({report.title}).",
        "Raise the limit (CONFIG_LOCKDEP_BITS, _CHAINS_BITS, _STACK_TRACE_BITS), or look for a leak of "
        "lock classes: keys made for each object, modules loaded again and again.",
    )


def _warning(report: PrintedReport) -> Explanation:
    where = first_outside(report.backtrace)
    return _notice(
        report,
        Judgement.OFF,
        f"Lockdep is off: it warns about its own data ({report.title}){in_function(where)}.",
        "Look for memory corruption, a lock used after it was freed, or a key reused. If there is none, "
        "it is a defect of lockdep.",
    )


register(Judge("limits", _limits))
register(Judge("lockdep-warn", _warning))
register(Judge("non-static-key", _no_key))
