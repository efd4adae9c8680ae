# SPDX-License-Identifier: Apache-2.0
"""The verdict about a cycle, and the rest of its answer.

The cycle that lockdep drew always hangs when it is drawn as a model, so that says nothing about the
report. What decides is what must come together: an excuse that excludes the hang, the one question that
is open, the conditions, or nothing but that the tasks run at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from quiesce.explain.judge.annotations import look_up
from quiesce.explain.judge.answer import Answer, Chain, Judgement, LadderRow
from quiesce.explain.judge.call_path import chain, waiter
from quiesce.explain.judge.cycle import Blocking, Cycle, CycleTask
from quiesce.explain.judge.declared import declares_what
from quiesce.explain.judge.excuse_rules import RULES
from quiesce.explain.judge.excuses import Excuse, ExcuseCase, Weight, weigh
from quiesce.explain.judge.ladder import (
    Ladder,
    addresses,
    allocates,
    build_ladder,
    function_of,
    goes_on,
    one_task,
    reenters_notifier,
    rows_of,
    writer_words,
)
from quiesce.explain.judge.missing import partial
from quiesce.explain.judge.modes import AcquireMode, plain_name, seen
from quiesce.explain.judge.remedies import remedies
from quiesce.explain.judge.roles import wants
from quiesce.explain.judge.triggers import trigger_of
from quiesce.explain.judge.words import LockNames, names_of, object_of
from quiesce.explain.read.model import PrintedReport

_NOTES = 3


def answer_cycle(report: PrintedReport, cycle: Cycle) -> tuple[Answer, tuple[Excuse, ...]]:
    """Return the answer to *report* with its *cycle*, and every excuse that was found."""
    names = names_of(report)
    case = ExcuseCase(report, cycle, names)
    excuses = weigh(case, RULES)
    ladder = build_ladder(report, cycle, names)
    verdict, text = _verdict(case, ladder, excuses)
    fixes, refused = _fixes(case, ladder, excuses, verdict)
    return Answer(
        verdict,
        text,
        ladder.rows,
        tuple(_notes(case, excuses, verdict))[:_NOTES],
        (new_edge(report, cycle, names),),
        fixes,
        refused,
    ), excuses


def _verdict(
    case: ExcuseCase, ladder: Ladder, excuses: tuple[Excuse, ...]
) -> tuple[Judgement, str]:
    for excuse in excuses:
        if excuse.weight is Weight.EXCLUDES:
            return Judgement.CANNOT_HANG, f"Cannot hang as reported: {excuse.text}"
        if excuse.weight is Weight.ASKS:
            return Judgement.UNDECIDED, f"Undecided: {excuse.text}"
    question = _one_or_two(case)
    if question:
        return Judgement.UNDECIDED, f"Undecided: {question}"
    conditions = list(dict.fromkeys(_conditions(case, ladder)))
    if conditions:
        return Judgement.HANGS_IF, f"Hangs if {_joined(conditions)}."
    if case.cycle.on_itself:
        return Judgement.HANGS, f"Hangs. {_on_itself(case)}"
    return Judgement.HANGS, (
        "Hangs. Each task holds what another one waits for; they only have to run at the same time."
    )


def _joined(conditions: list[str]) -> str:
    if len(conditions) == 1:
        return conditions[0]
    if len(conditions) == 2:
        return f"{conditions[0]}, and {conditions[1]}"
    return "; ".join(conditions[:-1]) + f"; and {conditions[-1]}"


def _on_itself(case: ExcuseCase) -> str:
    pair = addresses(case.report)
    name = case.names.of(case.cycle.paths[0].wants.lock)
    if pair is not None and pair[0] == pair[1]:
        return f"The task waits for {name}, which it holds itself (both times at {pair[0]})."
    return f"The task waits for {name}, which it holds itself."


def _conditions(case: ExcuseCase, ladder: Ladder) -> Iterator[str]:
    """Yield all that must come together, as clauses after "if"."""
    cycle, names = case.cycle, case.names
    for task in cycle.tasks:
        yield from _contexts(cycle, task, names)
    open_ = any(reenters_notifier(cycle, path) for path in cycle.paths)
    needed: list[str] = []
    locks: list[str] = []
    for wait in cycle.waits:
        _, condition = writer_words(wait.wanted.lock, names)
        if wait.blocking is Blocking.NEEDS_WRITER and not open_:
            needed.append(condition)
        elif wait.blocking is Blocking.MAYBE:
            row, name = _row_that_holds(cycle, wait.holder), names.of(wait.wanted.lock)
            needed.append(f"{name} is held for writing in row {row}, or {condition}")
        else:
            continue
        locks.append(names.of(wait.wanted.lock))
    if len(needed) > 1:
        listed = f"{', '.join(locks[:-1])} and {locks[-1]}"
        needed = [f"a writer comes in between for each of {listed}"]
    yield from needed
    yield from _same_objects(case)


def _row_that_holds(cycle: Cycle, task: int) -> int:
    return cycle.paths.index(cycle.tasks[task].paths[0]) + 1


def _contexts(cycle: Cycle, task: CycleTask, names: LockNames) -> Iterator[str]:
    """Yield what must happen for *task* to get from what it holds to what it waits for."""
    held, last = names.of(task.holds.lock), task.paths[-1]
    wanted = wants(last.wants, names)
    for path in task.paths[:-1]:
        if reenters_notifier(cycle, path):
            writer = f"a writer of {held} queues while " if path.holds.how.mode.reads else ""
            yield (
                f"{writer}an invalidation is open (started, not ended) and cannot end before another one "
                "has started"
            )
            return
        if path.wants.lock.base == "fs_reclaim" or allocates(path):
            function = function_of(path)
            place = f" in {function}()" if function else ""
            with_ = (
                " while the queue is frozen" if task.holds.note.two_sides else f" with {held} held"
            )
            if task.holds.note.nature.is_annotation and not task.holds.note.two_sides:
                with_ = ""
            yield f"the allocation{place}{with_} reclaims memory and {wanted}"
            return


def _one_or_two(case: ExcuseCase) -> str:
    """Return the question whether the lock that a task holds is the one it wants; empty if that is known."""
    report, lock = case.report, case.cycle.paths[0].wants.lock
    if not case.cycle.on_itself or addresses(report) is not None or not object_of(lock):
        return ""
    text = f"are both locks the same {case.names.of(lock)}? No address is printed."
    one, other = (
        party.where if party is not None else None for party in (report.holding, report.wanted)
    )
    if one is not None and other is not None and one.function == other.function:
        if one.offset != other.offset:
            text += (
                f" {plain_name(one.function)}() takes the one and then the other: if they were the same, it "
                "would hang each time."
            )
    return text


def _same_objects(case: ExcuseCase) -> Iterator[str]:
    """Yield that the rows must be about the same objects, where a class stands for many."""
    cycle = case.cycle
    if cycle.on_itself:
        return
    nouns: dict[str, list[str]] = {}
    for path in cycle.paths:
        noun = object_of(path.wants.lock)
        if noun and not goes_on(cycle, path):
            nouns.setdefault(noun, []).append(case.names.of(path.wants.lock))
    if not nouns:
        return
    count = len(cycle.paths)
    rows = "both rows" if count == 2 else "all rows"
    things = [_thing(noun, locks) for noun, locks in nouns.items()]
    if len(things) > 3:
        yield f"{rows} mean the same objects"
    elif len(things) > 1:
        yield f"{rows} mean the same {', '.join(things[:-1])} and {things[-1]}"
    else:
        yield f"{rows} mean the same {things[0]}"


def _thing(noun: str, locks: list[str]) -> str:
    unique = list(dict.fromkeys(locks))
    return unique[0] if len(unique) == 1 and noun.endswith(" object") else noun


# --- Notes, the new edge, fixes -----------------------------------------------------------------------


def _notes(case: ExcuseCase, excuses: tuple[Excuse, ...], verdict: Judgement) -> Iterator[str]:
    """Yield what makes a row weaker or stronger than it looks, the most important first."""
    cycle = case.cycle
    for excuse in excuses:
        if excuse.weight is Weight.NOTES:
            yield from excuse.notes
    if verdict in (Judgement.UNDECIDED, Judgement.CANNOT_HANG):
        yield from excuses[0].notes if excuses else ()
    for missing in case.report.missing:
        if "link #0" in missing.what and not missing.what.startswith("the stack"):
            yield "The stack of row 1 is not in this text: its lock and function are those of the header."
        elif "stack of link" in missing.what:
            yield f"Not in this text: {missing.what}."
    for index, path in enumerate(cycle.paths):
        if reenters_notifier(cycle, path):
            yield (
                f"The notifier is an annotation, not a lock. Row {index + 1} waits for row {index + 2} "
                "only if it needs something held there, or starts another invalidation itself."
            )
    same = one_task(cycle)
    if same is not None:
        row, function = same
        fewer = len(cycle.tasks) - 1
        enough = f" So {'two' if fewer == 2 else fewer} tasks are enough." if fewer > 1 else ""
        yield (
            f"One task can be {rows_of((row, row + 1))}: both stacks are in {function}(), and row "
            f"{row + 1} is further on (inferred).{enough}"
        )
    for index, path in enumerate(cycle.paths):
        meaning = declares_what(path.declared)
        if meaning:
            yield f"Row {index + 1} is an edge by declaration: {meaning}."


def new_edge(report: PrintedReport, cycle: Cycle, names: LockNames) -> Chain:
    """Return what lockdep had not seen before: the edge of the caught task."""
    path = cycle.paths[0]
    frames = path.frames or report.backtrace
    when = trigger_of(frames).when
    one, other = names.of(path.holds.lock), names.of(path.wants.lock)
    edge = f"{_end(path.holds.lock.base, one, path.holds.how.mode)} -> {_end(path.wants.lock.base, other)}"
    if not when and (report.task or "").startswith("kswapd"):
        when = "in kswapd"
    return Chain("New edge", f"{edge}, {when}" if when else edge, chain(frames, allocates(path)))


def _end(base: str, name: str, mode: AcquireMode = AcquireMode.UNKNOWN) -> str:
    if base == "fs_reclaim":
        return "reclaim"
    if "mmu_notifier_invalidate_range" in base:
        return "notifier"
    if base.startswith("&q->q_usage_counter"):
        return "frozen queue" if mode is AcquireMode.EXCLUSIVE else "queue"
    if base.startswith("(wq_completion)"):
        return f"workqueue {name}"
    if base.startswith("(work_completion)"):
        return f"work item {name}"
    if base in ("kn->active", "s_active"):
        return "sysfs file"
    return name


def _fixes(
    case: ExcuseCase, ladder: Ladder, excuses: tuple[Excuse, ...], verdict: Judgement
) -> tuple[tuple[str, ...], str]:
    special = [e for e in excuses if e.fixes]
    if verdict is Judgement.UNDECIDED or (special and special[0].weight is Weight.NOTES):
        first = next((e for e in excuses if e.fixes), None)
        if first is not None:
            return first.fixes[:2], first.refused
    if verdict is Judgement.CANNOT_HANG and case.cycle.on_itself:
        return _nesting(case), ""
    usual, refused = remedies(case.cycle, ladder, case.names)
    if verdict is Judgement.UNDECIDED and case.cycle.on_itself:
        return tuple(
            f"If they are {number}: {fix[:1].lower()}{fix[1:]}"
            for number, fix in (("two", _nesting(case)[0]), ("one", usual[0] if usual else ""))
            if fix
        ), ""
    return usual, refused


def _nesting(case: ExcuseCase) -> tuple[str, ...]:
    path = case.cycle.paths[0]
    function, name = function_of(path), case.names.of(path.wants.lock)
    place = f" in {function}()" if function else ""
    how = {
        "mutex": f"mutex_lock_nested({name}, SINGLE_DEPTH_NESTING)",
        "spinlock": f"spin_lock_nested({name}, SINGLE_DEPTH_NESTING)",
        "socket lock": "lock_sock_nested(sk, SINGLE_DEPTH_NESTING)",
        "rwsem": f"down_read_nested() or down_write_nested() of {name} with SINGLE_DEPTH_NESTING",
    }.get(path.wants.how.primitive, "a nesting level (*_nested())")
    return (
        f"Annotate, do not reorder: lock the inner one with {how}{place}, if the order of the two is "
        "fixed.",
        f"If it is not fixed: order them by address{place}, or take only one at a time.",
    )


# --- A chain that is cut ------------------------------------------------------------------------------


def answer_cut(report: PrintedReport) -> Answer:
    """Return the answer to a report whose chain is not complete: what is there of it."""
    names = names_of(report)
    links = {link.number: link for link in report.links}
    if report.wanted is None and not links:
        return partial(report, "the chain")
    lost = [
        missing.what
        for missing in report.missing
        if "link" in missing.what or "chain" in missing.what
    ]
    answer = partial(report, "the chain")
    rows = [replace(row, arrow="<- 2" if 1 in links else "<- ?") for row in answer.rows]
    top = max(links, default=0)
    for number in sorted(links):
        if number == 0 and rows:
            continue
        link, outer = links[number], links.get(number - 1)
        held = names.of(outer.lock) if outer is not None else ""
        if number == 1 and not held and report.wanted is not None:
            held = names.of(report.wanted)
        after = "<- 1" if number == top else f"<- {number + 2}" if number + 1 in links else "<- ?"
        function = waiter(link.frames, link.lock.base == "fs_reclaim")
        who = f"any task in {function}()" if function else "a task (its stack is not in this text)"
        wanted = (
            "reclaims memory"
            if link.lock.base == "fs_reclaim"
            else f"waits for {names.of(link.lock)}"
        )
        rows.append(LadderRow(number + 1, who, (f"holds {held}",) if held else (), wanted, after))
    what = "; ".join(lost) or "a part of the report"
    verb = "are" if what.startswith("links") or ";" in what else "is"
    return replace(
        answer,
        text=f"Undecided: {what} {verb} not in this text.",
        rows=tuple(rows),
        notes=tuple(_about_cut(report)),
    )


def _about_cut(report: PrintedReport) -> Iterator[str]:
    """Yield what the two locks of the header tell by themselves."""
    for lock in (report.wanted, report.holding):
        if lock is None:
            continue
        usage = seen(lock.usage)
        note = look_up(lock)
        if note.nature.is_annotation:
            yield f"{names_of(report).of(lock)} is an annotation, not a lock. {note.blocks}"
        elif usage.read and not usage.wrote:
            yield (
                f"lockdep had seen only readers of {names_of(report).of(lock)} ({{{lock.usage}}}). If it "
                "is fair, a writer that waits makes later readers wait too."
            )
