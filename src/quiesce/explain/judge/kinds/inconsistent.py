# SPDX-License-Identifier: Apache-2.0
"""Explain "inconsistent lock state": a lock is taken in an interrupt and where that interrupt can come.

The interrupt comes while its CPU holds the lock, and its handler wants it: the interrupted task cannot
go on before the handler ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from quiesce.explain.judge.annotations import Nature, look_up
from quiesce.explain.judge.answer import Answer, Chain, Judgement, LadderRow
from quiesce.explain.judge.call_path import chain
from quiesce.explain.judge.explanation import Explanation, Interleaving
from quiesce.explain.judge.irq_uses import Enabled, function_in, interrupted, seen_at, turned_on
from quiesce.explain.judge.irq_words import NMI, RECLAIM, IrqContext, context_of
from quiesce.explain.judge.kind import Judge, Shape, register
from quiesce.explain.judge.lock_notes import lock_note
from quiesce.explain.judge.missing import not_shown, partial
from quiesce.explain.judge.modes import of_trace
from quiesce.explain.judge.remedies import is_core
from quiesce.explain.judge.sleeping import allocation_in_interrupt
from quiesce.explain.judge.triggers import trigger_of
from quiesce.explain.judge.words import is_global, names_of, object_of
from quiesce.explain.read.model import PrintedFrame, PrintedLock, PrintedReport

_SEMAPHORE = re.compile(r"down_(?:trylock|interruptible|killable|timeout)|up|down")


@dataclass(frozen=True)
class _Uses:
    """The two usages of a report.

    :param now: True if the caught usage is the one in the interrupt.
    :param inside: the stack of the usage in the interrupt; *outside*: of the other one.
    """

    lock: PrintedLock
    name: str
    context: IrqContext
    now: bool
    inside: tuple[PrintedFrame, ...]
    outside: tuple[PrintedFrame, ...]
    enabled: Enabled | None

    @property
    def taken_in(self) -> str:
        return function_in(self.inside)

    @property
    def held_in(self) -> str:
        return self.enabled.caller if self.enabled is not None else function_in(self.outside)


def _uses(report: PrintedReport, lock: PrintedLock) -> _Uses:
    was, becomes = report.facts.get("was", ""), report.facts.get("becomes", "")
    context = context_of(was, becomes)
    now = becomes.upper().startswith("IN-")
    here, before = report.backtrace or lock.at, report.traces.get("registered", ())
    inside, outside = (here, before) if now else (before, here)
    name = names_of(report).of(lock)
    return _Uses(lock, name, context, now, inside, outside, turned_on(outside))


def _explain(report: PrintedReport) -> Explanation:
    lock = report.wanted
    if lock is None:
        return Explanation(partial(report, "the lock"), not_shown=tuple(not_shown(report)))
    uses = _uses(report, lock)
    note = lock_note(report, lock, "wanted", of_trace(report.backtrace))
    if look_up(lock).nature is Nature.CONTEXT:
        answer = allocation_in_interrupt(uses.context, uses.inside, report)
        return Explanation(answer, locks=(note,), not_shown=tuple(not_shown(report)))
    return Explanation(
        _answer(report, uses),
        locks=(note,),
        interleavings=(Interleaving("How it hangs", _table(uses), ()),),
        not_shown=tuple(not_shown(report)),
    )


def _answer(report: PrintedReport, uses: _Uses) -> Answer:
    if uses.context is RECLAIM:
        return _reclaim(report, uses)
    conditions = [_coincidence(uses)]
    if not is_global(uses.lock):
        conditions.append(f"both rows mean the same {_noun(uses)}")
    return Answer(
        Judgement.HANGS_IF,
        f"Hangs if {', and '.join(conditions)}.",
        _rows(report, uses),
        tuple(_notes(report, uses)),
        (_new_use(report, uses),),
        *_fixes(uses),
    )


def _noun(uses: _Uses) -> str:
    noun = object_of(uses.lock)
    return uses.name if noun.endswith(" object") else noun


def _coincidence(uses: _Uses) -> str:
    context, name = uses.context, uses.name
    handler = f"{context.article} that takes {name}"
    if uses.taken_in:
        handler += f" in {uses.taken_in}()"
    if uses.enabled is not None:
        turned = f"{uses.enabled.caller}() has turned {context.plural} on with {name} held"
        return f"{handler} comes after {turned}"
    place = f" in {uses.held_in}()" if uses.held_in else ""
    return f"{handler} comes on a CPU whose task holds it{place}"


def _rows(report: PrintedReport, uses: _Uses) -> tuple[LadderRow, ...]:
    context, name = uses.context, uses.name
    first, second = (1, 2) if uses.now else (2, 1)
    taken = f"{uses.taken_in}()" if uses.taken_in else "its handler"
    held = f"{uses.held_in}()" if uses.held_in else ""
    if uses.now:
        who = (
            f"{context.article} on top of {report.task}, in {taken}"
            if report.task
            else f"{context.article} in {taken}"
        )
        who_held = f"the interrupted task{', in ' + held if held else ''}{seen_at(uses.outside)}"
    else:
        who = f"{context.article}, in {taken}{_seen_interrupt(uses)}"
        who_held = f"{report.task or 'the caught task'}{', in ' + held if held else ''}"
    on = f", {context.plural} on" if context.off else ""
    if uses.enabled is not None:
        on = f", {context.plural} on since {uses.enabled.caller}()"
    rows = [
        LadderRow(first, who, (), f"waits for {name}", f"<- {second}"),
        LadderRow(
            second, who_held, (f"holds {name}{on}",), f"resumes after row {first}", f"<- {first}"
        ),
    ]
    return tuple(sorted(rows, key=lambda row: row.number))


def _seen_interrupt(uses: _Uses) -> str:
    seen = trigger_of(uses.inside).seen
    return f" (seen: {seen})" if seen and seen not in ("softirq", "interrupt", "NMI") else ""


def _notes(report: PrintedReport, uses: _Uses) -> list[str]:
    notes = []
    if uses.enabled is not None:
        taker = uses.lock.where.function if uses.lock.where else ""
        taken = f", which {taker}() took with them off" if taker else ""
        notes.append(
            f"{uses.context.plural.capitalize()} are turned on by {_unlock(uses.enabled)} in "
            f"{uses.enabled.caller}() with {uses.name} still held{taken}."
        )
    semaphore = next((f.function for f in uses.inside[:12] if _SEMAPHORE.fullmatch(f.function)), "")
    if semaphore:
        notes.append(f"{semaphore}() waits for no semaphore, but for the spinlock inside of it.")
    if is_global(uses.lock):
        notes.append("One global lock, so both rows mean the same object.")
    came_on = interrupted(uses.inside) if uses.now else ""
    held_now = any(held.same_class(uses.lock) for held in report.held[:-1])
    if came_on and not held_now and came_on != uses.held_in and report.task:
        notes.append(
            f"{report.task} did not hold it this time: the {uses.context.name} interrupted {came_on}()."
        )
    return notes


def _unlock(enabled: Enabled) -> str:
    name = enabled.by.lstrip("_").removeprefix("raw_")
    return f"the inner {name}()" if name else "a function"


def _new_use(report: PrintedReport, uses: _Uses) -> Chain:
    frames = report.backtrace
    when = trigger_of(frames).when
    if uses.now:
        what = f"{uses.name} in {uses.context.article.removeprefix('a ').removeprefix('an ')}"
        when = when.removeprefix("in ") if when.startswith(("in an RCU", "in a timer")) else ""
        return Chain("New use", f"{what}{', in ' + when if when else ''}", chain(frames))
    what = (
        f"{uses.name} held with {uses.context.plural} on"
        if uses.context.off
        else f"{uses.name} in a task"
    )
    return Chain(
        "New use", f"{what}{', ' + when if when else ''}", chain(_from_enabling(frames, uses))
    )


def _from_enabling(frames: tuple[PrintedFrame, ...], uses: _Uses) -> tuple[PrintedFrame, ...]:
    if uses.enabled is None:
        return frames
    start = next((i for i, f in enumerate(frames) if f.function.startswith(uses.enabled.caller)), 0)
    return frames[start:]


def _fixes(uses: _Uses) -> tuple[tuple[str, ...], str]:
    name, context = uses.name, uses.context
    inside = f", in {uses.taken_in}()" if uses.taken_in else ""
    outside = f" in {uses.held_in}()" if uses.held_in else ""
    if context is NMI:
        return (
            f"Take no lock in an NMI{inside}: defer the work to an irq_work.",
            "Or use a raw spinlock there that is only tried, also by the other users.",
        ), "Turning interrupts off does not help: an NMI comes anyway."
    if uses.enabled is not None:
        inner = (
            "spin_lock_irqsave() and spin_unlock_irqrestore()"
            if "irq" in uses.enabled.by
            else (f"the variant that leaves {context.plural} off")
        )
        return (
            f"Use {inner} for the inner lock in {uses.enabled.caller}(): {_unlock(uses.enabled)} turns "
            f"{context.plural} on although the caller had turned them off.",
        ), f"Taking {name} with {context.plural} off does not help: they are off until then."
    how = context.off
    mode = uses.lock.usage
    if mode and "read_lock" in of_trace(uses.outside).function:
        how = how.replace("spin_lock", "read_lock")
    elif "write_lock" in of_trace(uses.outside).function:
        how = how.replace("spin_lock", "write_lock")
    defer = f"ot take {name} in the {context.name}{inside}: defer that to a work item or a thread."
    if is_core(uses.lock.base):
        return (f"Do n{defer}",), (
            f"Turning {context.plural} off{outside} is not enough: other code takes this lock with "
            f"{context.plural} on (inferred: it is a core lock)."
        )
    return (
        f"Take {name} with {context.plural} off{outside} ({how}), and wherever else tasks take it.",
        f"Or do n{defer}",
    ), ""


def _reclaim(report: PrintedReport, uses: _Uses) -> Answer:
    """Before 4.14: the lock is taken in reclaim, and held around an allocation that may reclaim."""
    name, noun = uses.name, object_of(uses.lock) or "object"
    first, second = (1, 2) if uses.now else (2, 1)
    who_in = report.task if uses.now else "any task"
    who_on = "any task" if uses.now else report.task
    rows = [
        LadderRow(first, f"{who_in or 'a task'} in {uses.taken_in or 'reclaim'}()", ("in reclaim",),
            f"waits for {name}", f"<- {second}"),
        LadderRow(second, f"{who_on or 'a task'} in {uses.held_in or '?'}()", (f"holds {name}",),
            "reclaims memory", f"goes on in {first}"),
    ]  # fmt: skip
    return Answer(
        Judgement.UNDECIDED,
        f"Undecided: can the {noun} that reclaim works on in row {first} be the {noun} whose {name} is "
        f"held in row {second}?",
        tuple(sorted(rows, key=lambda row: row.number)),
        (
            f"Against it: reclaim gives up only objects without users, if {name} is that of such an object.",
        ),
        (_new_use(report, uses),),
        (
            f"Allocate with GFP_NOFS while {name} is held, in {uses.held_in or 'row 2'}(), or before.",
        ),
    )


def _table(uses: _Uses) -> str:
    return (
        f" CPU0\n ----\n lock({uses.lock.name})          in {uses.held_in or '?'}()\n"
        f" <{uses.context.name}>\n   lock({uses.lock.name})        in {uses.taken_in or '?'}(): waits "
        "forever"
    )


register(Judge("inconsistent", _explain, Shape.INTERRUPT))
