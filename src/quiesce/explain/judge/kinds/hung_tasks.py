# SPDX-License-Identifier: Apache-2.0
"""Explain dumps of tasks that are stuck: deadlocks that happened, and waits that do not end."""

from __future__ import annotations

from quiesce.explain.judge.explanation import Explanation, LockNote
from quiesce.explain.judge.kind import Judge, register
from quiesce.explain.judge.lock_notes import lock_note
from quiesce.explain.judge.missing import not_shown
from quiesce.explain.judge.stuck import answer_stuck, core_of
from quiesce.explain.judge.wait_graph import build_graph
from quiesce.explain.read.model import PrintedReport

_MOST_LOCKS = 12


def _explain(report: PrintedReport) -> Explanation:
    return Explanation(
        answer_stuck(report), locks=_locks(report), not_shown=tuple(not_shown(report))
    )


def _locks(report: PrintedReport) -> tuple[LockNote, ...]:
    """Return notes on the locks that stuck tasks have or want."""
    notes: dict[str, LockNote] = {}
    for task in report.tasks:
        if not task.frames:
            continue
        for lock in task.held:
            notes.setdefault(lock.name, lock_note(report, lock, f"listed for {task.name}"))
    return tuple(notes.values())[:_MOST_LOCKS]


def _identity(report: PrintedReport) -> tuple[str, ...]:
    """Where the tasks of the deadlock are stuck, else the one at the root, and what they wait for."""
    core = core_of(build_graph(report.tasks))
    if not any(
        node.wanted.function for node in core
    ):  # nothing says that two of these are the same
        return ("cut", *(task.name for task in report.tasks))
    return tuple(sorted({f"{n.wanted.function} {n.wanted.name or n.wanted.words}" for n in core}))


register(Judge("hung-task", _explain, identity=_identity))
register(Judge("blocked-tasks", _explain, identity=_identity))
