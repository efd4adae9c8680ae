# SPDX-License-Identifier: Apache-2.0
"""Explain a report about tasks that wait for each other."""

from __future__ import annotations

from quiesce.explain.judge.annotations import Nature
from quiesce.explain.judge.cycle import Blocking, Cycle, Party, Path, Task
from quiesce.explain.judge.explanation import Explanation, Interleaving, LockNote, PathNote, Reason
from quiesce.explain.judge.fixes import fixes
from quiesce.explain.judge.lock_notes import lock_note, mode_words
from quiesce.explain.judge.modes import Mode, plain_name
from quiesce.explain.judge.reasons import (
    assess,
    not_shown,
    reasons_against,
    reasons_for,
    two_addresses,
)
from quiesce.explain.judge.table import call, draw, draw_crossed, holding, letter
from quiesce.explain.read.model import Frame, Report

_GENERIC = (
    "entry_", "do_syscall", "ret_from", "kthread", "asm_", "exc_", "system_call", "el0", "syscall",
    "start_kernel_thread", "kernel_thread", "secondary_startup", "x64_sys_call", "do_fast_syscall",
    "invoke_syscall", "process_one_work", "process_scheduled_works", "worker_thread", "smpboot",
)  # fmt: skip


def explain_tasks(report: Report, cycle: Cycle | None) -> Explanation:
    """Return the explanation of *report*, whose *cycle* is None if the chain is cut."""
    if cycle is None:
        return _partial(report)
    assessment, because = assess(report, cycle)
    return Explanation(
        summary=_summary(report, cycle),
        locks=_locks(report, cycle),
        paths=tuple(_path_note(index, path) for index, path in enumerate(cycle.paths)),
        interleavings=_interleavings(report, cycle),
        assessment=assessment,
        because=because,
        real=tuple(reasons_for(report, cycle)),
        false=tuple(reasons_against(report, cycle)),
        not_shown=tuple(not_shown(report, cycle)),
        fixes=tuple(fixes(report, cycle)),
    )


def _partial(report: Report) -> Explanation:
    """What can be said when the chain is cut: the two locks, and that both orders occur."""
    wanted, holding = report.wanted, report.holding
    locks = []
    if wanted is not None:
        locks.append(lock_note(report, wanted, "wanted"))
    if holding is not None:
        locks.append(lock_note(report, holding, "held"))
    who = report.task or "A task"
    if wanted is not None and holding is not None:
        summary = (
            f"{who} wants {wanted.name} with {holding.name} held, and elsewhere the order is the "
            "other way round; by which steps, this text does not show."
        )
    elif wanted is not None:
        summary = f"{who} wants {wanted.name}; what it holds and the chain are not in this text."
    else:
        summary = "The locks of this report are not in this text."
    return Explanation(
        summary=summary,
        locks=tuple(locks),
        real=tuple(
            Reason(
                "b",
                f"No writer of {note.name} has been seen; readers alone do not hang on it. But if "
                "it is fair, a writer that waits makes later readers wait too.",
                True,
            )
            for note in locks
            if "no writer" in note.usage_text
        ),
        false=tuple(
            Reason("i", f"{note.name} is no lock. {note.blocks}", True)
            for note in locks
            if note.annotation
        ),
        not_shown=tuple(not_shown(report, None)),
        fixes=("Get the whole report: from dmesg, not from the mail.",),
    )


def _summary(report: Report, cycle: Cycle) -> str:
    if len(cycle.paths) == 1:
        path = cycle.paths[0]
        if path.wants.note.nature is Nature.WAIT:
            return (
                f"{report.task or 'A task'} waits for {path.wants.lock.name} from inside it: it "
                "waits for itself, if it is the same one."
            )
        if two_addresses(report, cycle):
            return (
                f"{report.task or 'A task'} takes two locks of the class {path.wants.lock.name}: "
                "another task that takes the same two in the other order hangs with it."
            )
        return (
            f"{report.task or 'A task'} wants {path.wants.lock.name} while it holds a lock of the "
            f"same class: if it is the same one, it waits for itself."
        )
    names = [path.wants.lock.name for path in cycle.paths]
    fakes = [p.wants.lock.name for p in cycle.paths if p.wants.note.nature.is_annotation]
    aside = ""
    if fakes:
        verb = "is an annotation, not a lock" if len(fakes) == 1 else "are annotations, not locks"
        aside = f" ({', '.join(fakes)} {verb})"
    count = len(cycle.tasks)
    if count == 0:
        return f"Nobody waits in this circle of {len(names)} lock classes{aside}."
    if count == 1:
        task = cycle.tasks[0]
        through = ", ".join(party.lock.name for party in task.through)
        writer = cycle.waits[0].blocking is Blocking.NEEDS_WRITER
        return (
            f"A task that holds {task.holds.lock.name} and, by way of {through}, comes to take "
            f"{task.wants.lock.name} can wait for ever"
            f"{', once a writer waits in between' if writer else ''}{aside}."
        )
    if count == 2:
        one, other = cycle.tasks
        return (
            f"Two tasks can wait for each other for ever: one holds {one.holds.lock.name} and "
            f"{_wants(one.wants)}, the other holds {other.holds.lock.name} and "
            f"{_wants(other.wants)}{aside}."
        )
    circle = " -> ".join([*names, names[0]])
    return f"{count} tasks can wait for each other for ever in the circle {circle}{aside}."


def _wants(party: Party) -> str:
    if party.note.nature is Nature.WAIT:
        return f"waits for {party.lock.name}"
    return f"wants {party.lock.name}"


def _locks(report: Report, cycle: Cycle) -> tuple[LockNote, ...]:
    notes = []
    count = len(cycle.paths)
    for index, path in enumerate(cycle.paths):
        after = cycle.paths[(index + 1) % count]
        role = f"link #{path.number}" if count > 1 else "wanted"
        held = after.holds.how.mode if count > 1 else path.holds.how.mode
        party = path.wants
        notes.append(lock_note(report, party.lock, role, party.how, held, party.note))
    return tuple(notes)


def _path_note(index: int, path: Path) -> PathNote:
    caller = path.wants.how.caller
    return PathNote(
        task=letter(index),
        number=path.number,
        holds=path.holds.lock.name,
        held_mode=mode_words(path.holds.how.mode),
        held_how="" if path.holds.how.mode is Mode.UNKNOWN else path.holds.reason,
        wants=path.wants.lock.name,
        wanted_mode=mode_words(path.wants.how.mode)
        if path.wants.how.mode is not Mode.UNKNOWN
        else "",
        call=holding(path.wants) if _only_enters(path) else call(path.wants),
        function=caller.function if caller else "",
        entry=_entry(path.frames),
        line=path.wants.lock.line,
    )


def _only_enters(path: Path) -> bool:
    """A worker that runs its item, a reader that comes in: it is inside, and waited for nobody."""
    return path.passes and path.wants.note.nature is not Nature.CONTEXT


def _entry(frames: tuple[Frame, ...]) -> str:
    """The outermost function that says what the task was doing: the system call, the work."""
    for frame in reversed(frames):
        name = plain_name(frame.function)
        if frame.reliable and name and not name.startswith(_GENERIC):
            return name
    return ""


def _interleavings(report: Report, cycle: Cycle) -> tuple[Interleaving, ...]:
    if two_addresses(report, cycle):
        return (_crossed(report, cycle.paths[0]),)
    drawn = tuple(Task((path,)) for path in cycle.paths)
    same = len(cycle.tasks) == len(drawn)
    title = "How it hangs" if same else "As lockdep draws it, annotations taken for locks"
    first = draw(drawn, cycle.as_drawn, report.task, as_drawn=not same)
    tables = [Interleaving(title, first.text, first.waits)]
    if not same and cycle.tasks:
        real = draw(cycle.tasks, cycle.waits, _caught(cycle, report), as_drawn=False)
        tables.append(Interleaving("What it stands for", real.text, real.waits))
    return tuple(tables)


def _crossed(report: Report, path: Path) -> Interleaving:
    """Two objects of one class: the hang needs a second task with the other order."""
    assert report.wanted is not None and report.holding is not None
    first, second = report.holding.address, report.wanted.address
    verb = call(path.wants, as_lock=True)
    table = draw_crossed(report.task, verb, first, second)
    return Interleaving("How it would hang", table, ())


def _caught(cycle: Cycle, report: Report) -> str:
    """The caught task keeps its name only where its own path is not joined with another's."""
    alone = any(task.paths[0].current and len(task.paths) == 1 for task in cycle.tasks)
    return report.task if alone else ""
