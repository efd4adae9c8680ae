# SPDX-License-Identifier: Apache-2.0
"""Explain the notices by which lockdep turns itself off."""

from __future__ import annotations

from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.kind import Judge, register
from quiesce.explain.judge.places import all_notes, first_outside, in_function
from quiesce.explain.judge.reasons import not_shown
from quiesce.explain.read.model import Report


def _notice(report: Report, summary: str, *fixes: str) -> Explanation:
    return Explanation(
        summary=summary,
        locks=all_notes(report),
        because="Nothing after this is checked until the next boot.",
        not_shown=tuple(not_shown(report, None)),
        fixes=fixes,
    )


def _no_key(report: Report) -> Explanation:
    where = first_outside(report.backtrace)
    return _notice(
        report,
        f"{report.task or 'A task'} uses a lock that was never initialised{in_function(where)}: its "
        "class key is neither static nor registered.",
        f"Initialise the lock (spin_lock_init(), mutex_init(), ...) before {where or 'its'}() use: "
        "most often an error or remove path runs although the probe did not.",
        "A key in allocated memory needs lockdep_register_key().",
    )


def _limits(report: Report) -> Explanation:
    return _notice(
        report,
        f"A table of lockdep is full ({report.title}): the validator has turned itself off.",
        "Raise the limit (CONFIG_LOCKDEP_BITS, _CHAINS_BITS, _STACK_TRACE_BITS), or look for a "
        "leak of lock classes: keys made per object, modules loaded again and again.",
    )


def _warning(report: Report) -> Explanation:
    where = first_outside(report.backtrace)
    return _notice(
        report,
        f"lockdep warns about itself ({report.title}){in_function(where)}.",
        "Its data does not fit what it expects: memory corruption, a lock used after it was "
        "freed, a key reused, or a defect of lockdep.",
    )


register(Judge("limits", _limits))
register(Judge("lockdep-warn", _warning))
register(Judge("non-static-key", _no_key))
