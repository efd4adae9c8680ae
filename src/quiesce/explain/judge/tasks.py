# SPDX-License-Identifier: Apache-2.0
"""Explain a report about tasks that wait for each other."""

from __future__ import annotations

from quiesce.explain.judge.cycle import Cycle, CycleTask, HoldingPath
from quiesce.explain.judge.explanation import Explanation, Interleaving, LockNote
from quiesce.explain.judge.ladder import two_addresses
from quiesce.explain.judge.lock_notes import lock_note
from quiesce.explain.judge.missing import not_shown
from quiesce.explain.judge.table import call, draw, draw_crossed
from quiesce.explain.judge.verdicts import answer_cut, answer_cycle
from quiesce.explain.read.model import PrintedReport


def explain_tasks(report: PrintedReport, cycle: Cycle | None) -> Explanation:
    """Return the explanation of *report*, whose *cycle* is None if the chain is cut."""
    if cycle is None:
        locks = [(report.wanted, "wanted"), (report.holding, "held")]
        return Explanation(
            answer_cut(report),
            locks=tuple(lock_note(report, lock, role) for lock, role in locks if lock is not None),
            not_shown=tuple(not_shown(report)),
        )
    answer, excuses = answer_cycle(report, cycle)
    return Explanation(
        answer,
        excuses,
        _locks(report, cycle),
        _interleavings(report, cycle),
        tuple(not_shown(report, cycle)),
    )


def _locks(report: PrintedReport, cycle: Cycle) -> tuple[LockNote, ...]:
    notes = []
    count = len(cycle.paths)
    for index, path in enumerate(cycle.paths):
        after = cycle.paths[(index + 1) % count]
        role = f"link #{path.number}" if count > 1 else "wanted"
        held = after.holds.how.mode if count > 1 else path.holds.how.mode
        party = path.wants
        notes.append(lock_note(report, party.lock, role, party.how, held, party.note))
    return tuple(notes)


def _interleavings(report: PrintedReport, cycle: Cycle) -> tuple[Interleaving, ...]:
    if two_addresses(report, cycle):
        return (_crossed(report, cycle.paths[0]),)
    drawn = tuple(CycleTask((path,)) for path in cycle.paths)
    same = len(cycle.tasks) == len(drawn)
    title = "How it hangs" if same else "As lockdep draws it, annotations taken for locks"
    first = draw(drawn, cycle.as_drawn, report.task, as_drawn=not same)
    tables = [Interleaving(title, first.text, first.waits)]
    if not same and cycle.tasks:
        real = draw(cycle.tasks, cycle.waits, _caught(cycle, report), as_drawn=False)
        tables.append(Interleaving("What it stands for", real.text, real.waits))
    return tuple(tables)


def _crossed(report: PrintedReport, path: HoldingPath) -> Interleaving:
    """Two objects of one class: the hang needs a second task with the other order."""
    assert report.wanted is not None and report.holding is not None
    first, second = report.holding.address, report.wanted.address
    verb = call(path.wants, as_lock=True)
    table = draw_crossed(report.task, verb, first, second)
    return Interleaving("How it would hang", table, ())


def _caught(cycle: Cycle, report: PrintedReport) -> str:
    """The caught task keeps its name only where its own path is not joined with another's."""
    alone = any(task.paths[0].current and len(task.paths) == 1 for task in cycle.tasks)
    return report.task if alone else ""
