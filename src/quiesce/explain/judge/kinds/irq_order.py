# SPDX-License-Identifier: Apache-2.0
"""Explain "X-safe -> X-unsafe lock order" and "irq lock inversion".

A lock taken in interrupts leads to one that is taken with them on. One task holds the first and waits
for the second; the task that holds the second is interrupted; the handler waits for the first.
"""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.explain.judge.annotations import Nature, look_up
from quiesce.explain.judge.answer import Answer, Chain, Judgement, LadderRow
from quiesce.explain.judge.call_path import chain, waiter
from quiesce.explain.judge.explanation import Explanation, Interleaving, LockNote
from quiesce.explain.judge.irq_ends import Ends, inversion_ends, order_ends
from quiesce.explain.judge.irq_uses import Enabled, acquired_in, seen_at, turned_on, usage_frames
from quiesce.explain.judge.irq_words import SOFTIRQ, IrqContext, context_of
from quiesce.explain.judge.kind import Judge, Shape, register
from quiesce.explain.judge.lock_notes import lock_note
from quiesce.explain.judge.missing import not_shown, partial
from quiesce.explain.judge.remedies import is_core
from quiesce.explain.judge.sleeping import allocation_under_lock
from quiesce.explain.judge.triggers import trigger_of
from quiesce.explain.judge.words import LockNames, is_global, names_of, object_of
from quiesce.explain.read.model import PrintedFrame, PrintedLock, PrintedReport

_Part = tuple[str, tuple[str, ...], str]
"""A row before it has a number: who, what it holds, what it waits for."""


@dataclass(frozen=True)
class _Order:
    """What a report about an order says, with both ends known.

    :param caught_row: what the caught task does: it takes ``wanted`` with ``holding`` held
        (``edge``), it is in the interrupt (``inside``), or it holds the unsafe lock (``outside``).
    """

    report: PrintedReport
    names: LockNames
    context: IrqContext
    safe: PrintedLock
    unsafe: PrintedLock
    caught_row: str
    inside: tuple[PrintedFrame, ...]
    outside: tuple[PrintedFrame, ...]

    def name(self, lock: PrintedLock) -> str:
        return self.names.of(lock)


def _safe_unsafe(report: PrintedReport) -> Explanation:
    return _explain(report, order_ends(report))


def _inversion(report: PrintedReport) -> Explanation:
    return _explain(report, inversion_ends(report))


def _explain(report: PrintedReport, ends: Ends) -> Explanation:
    context = context_of(report.facts.get("context", "") or report.title)
    locks = _locks(report, ends, context)
    missing = tuple(not_shown(report))
    if ends.safe is None or ends.unsafe is None:
        return Explanation(partial(report, "one of the two locks"), locks=locks, not_shown=missing)
    names = names_of(report)
    if look_up(ends.unsafe).nature is Nature.CONTEXT:
        held = report.holding or ends.safe
        answer = allocation_under_lock(report, names.of(held), context)
        return Explanation(answer, locks=locks, not_shown=missing)
    order = _order(report, ends.safe, ends.unsafe, names, context)
    table = Interleaving("How it hangs", _table(order), ())
    return Explanation(_answer(order), locks=locks, interleavings=(table,), not_shown=missing)


def _order(
    report: PrintedReport,
    safe: PrintedLock,
    unsafe: PrintedLock,
    names: LockNames,
    context: IrqContext,
) -> _Order:
    inside = report.traces.get("became safe", ()) or usage_frames(report, safe, "IN-")
    outside = report.traces.get("became unsafe", ()) or usage_frames(report, unsafe, "-ON-")
    caught = "edge"
    if report.holding is None:
        backwards = report.facts.get("direction") == "backwards"
        caught = "outside" if backwards else "inside"
        if backwards:
            outside = report.backtrace or outside
        else:
            inside = report.backtrace or inside
    return _Order(report, names, context, safe, unsafe, caught, inside, outside)


def _answer(order: _Order) -> Answer:
    context, safe, unsafe = order.context, order.name(order.safe), order.name(order.unsafe)
    conditions = [
        f"{context.article} that takes {safe} comes on a CPU whose task holds {unsafe}{_at(order.outside)}"
    ]
    things = dict.fromkeys(
        order.name(lock) if object_of(lock).endswith(" object") else object_of(lock)
        for lock in (order.safe, order.unsafe)
        if not is_global(lock)
    )
    if things:
        conditions.append(f"all rows mean the same {' and '.join(things)}")
    return Answer(
        Judgement.HANGS_IF,
        f"Hangs if {', and '.join(conditions)}.",
        _rows(order),
        tuple(_notes(order)),
        (_new(order),),
        _fixes(order),
    )


def _at(frames: tuple[PrintedFrame, ...]) -> str:
    function = waiter(frames)
    return f" in {function}()" if function else ""


# --- Rows ---------------------------------------------------------------------------------------------


def _rows(order: _Order) -> tuple[LadderRow, ...]:
    """Return the rows, the caught task first; each waits for the next, the last one for row 1."""
    makers = [_edge_rows, _held_row, _interrupt_row]
    first = {"edge": 0, "outside": 1, "inside": 2}[order.caught_row]
    parts: list[_Part] = []
    for make in (*makers[first:], *makers[:first]):
        parts += make(order)
    if order.caught_row == "edge":
        parts = _caught_first(order, parts)
    count = len(parts)
    rows = []
    for index, (who, holds, waits) in enumerate(parts):
        after = (index + 1) % count + 1
        rows.append(
            LadderRow(index + 1, who, holds, waits.replace("{after}", str(after)), f"<- {after}")
        )
    return tuple(rows)


def _caught_first(order: _Order, parts: list[_Part]) -> list[_Part]:
    task = order.report.task or "the caught task"
    start = next((i for i, part in enumerate(parts) if part[0].startswith(task)), 0)
    return parts[start:] + parts[:start]


def _edge_rows(order: _Order) -> list[_Part]:
    """The tasks between the two ends: each holds a lock and waits for the next one."""
    report, name = order.report, order.name
    wanted, holding = report.wanted, report.holding
    if wanted is None or holding is None:
        what = f"waits for {name(order.unsafe)}"
        who = f"any task on another CPU{_comma(_at(acquired_in(report, order.unsafe)))}"
        return [(who, (f"holds {name(order.safe)}",), what)]
    rows: list[_Part] = []
    if not holding.same_class(order.safe):
        rows.append(
            (
                "any task on another CPU",
                (f"holds {name(order.safe)}",),
                f"waits for {name(holding)}",
            )
        )
    frames = report.backtrace or wanted.at
    caught = f"{report.task or 'the caught task'}{_at(frames)}"
    rows.append((caught, (f"holds {name(holding)}",), f"waits for {name(wanted)}"))
    if not wanted.same_class(order.unsafe):
        rows.append(
            (
                "any task on another CPU",
                (f"holds {name(wanted)}",),
                f"waits for {name(order.unsafe)}",
            )
        )
    return rows


def _held_row(order: _Order) -> list[_Part]:
    caught = order.caught_row == "outside"
    task = (order.report.task or "the caught task") if caught else "any task"
    who = f"{task}{_at(order.outside)}{'' if caught else seen_at(order.outside)}"
    on = f"holds {order.name(order.unsafe)}, {order.context.plural} on"
    return [(who, (on,), "resumes after row {after}")]


def _interrupt_row(order: _Order) -> list[_Part]:
    article = order.context.article
    if order.caught_row == "inside":
        who = f"{article} on top of {order.report.task or 'a task'}{_comma(_at(order.inside))}"
    else:
        who = f"{article} on its CPU{_comma(_at(order.inside))}{_seen(order.inside)}"
    return [(who, (), f"waits for {order.name(order.safe)}")]


def _comma(place: str) -> str:
    return f",{place}" if place else ""


def _seen(frames: tuple[PrintedFrame, ...]) -> str:
    seen = trigger_of(frames).seen
    return f" (seen: {seen})" if seen not in ("", "softirq", "interrupt", "NMI") else ""


# --- The rest -----------------------------------------------------------------------------------------


def _notes(order: _Order) -> list[str]:
    notes = []
    enabled = turned_on(order.outside)
    if enabled is not None:
        notes.append(
            f"{order.context.plural.capitalize()} were turned on by {_by(enabled)}() in "
            f"{enabled.caller}(), with {order.name(order.unsafe)} held."
        )
    if is_global(order.safe) and is_global(order.unsafe):
        notes.append("Both locks are global, so all rows mean the same objects.")
    return notes


def _by(enabled: Enabled) -> str:
    return enabled.by.lstrip("_") or "local_irq_enable"


def _new(order: _Order) -> Chain:
    report, name = order.report, order.name
    frames = report.backtrace
    when = trigger_of(frames).when
    tail = f", {when}" if when else ""
    if order.caught_row == "edge" and report.wanted is not None and report.holding is not None:
        frames = frames or report.wanted.at
        return Chain(
            "New edge", f"{name(report.holding)} -> {name(report.wanted)}{tail}", chain(frames)
        )
    if order.caught_row == "inside":
        what = f"{name(order.safe)} in {order.context.name}"
        when = when.removeprefix("in ") if when.startswith(("in an RCU", "in a timer")) else ""
        return Chain("New use", f"{what}{', in ' + when if when else ''}", chain(frames))
    what = f"{name(order.unsafe)} with {order.context.plural} on{tail}"
    return Chain("New use", what, chain(frames))


def _fixes(order: _Order) -> tuple[str, ...]:
    report, name, context = order.report, order.name, order.context
    safe, unsafe = name(order.safe), name(order.unsafe)
    outside, inside = waiter(order.outside), waiter(order.inside)
    off = (
        f"Take {unsafe} with {context.plural} off{_place(outside)} ({context.off}), and wherever else "
        "tasks take it."
    )
    defer = (
        f"Do not take {safe} in the {context.name}{_place(inside)}: defer that to a work item or a "
        "thread."
    )
    if report.holding is None or report.wanted is None:
        # The order is old, the use is new: change the use first.
        return (off, defer) if order.caught_row == "outside" else (defer, off)
    holding, wanted = name(report.holding), name(report.wanted)
    where = _place(waiter(report.backtrace or report.wanted.at))
    edge = f"Do not take {wanted} inside {holding}{where}: drop {holding} first."
    if is_core(order.unsafe.base):
        return edge, defer
    return edge, off


def _place(function: str) -> str:
    return f", in {function}()" if function else ""


def _locks(report: PrintedReport, ends: Ends, context: IrqContext) -> tuple[LockNote, ...]:
    state = "SOFTIRQ" if context is SOFTIRQ else "HARDIRQ"
    notes: list[LockNote] = []
    names: set[str] = set()
    for lock, role in (
        (ends.safe, f"{state}-safe"),
        (ends.unsafe, f"{state}-unsafe"),
        (report.holding, "held"),
        (report.wanted, "wanted"),
    ):
        if lock is not None and lock.name not in names:
            names.add(lock.name)
            notes.append(lock_note(report, lock, role))
    return tuple(notes)


def _table(order: _Order) -> str:
    rows = [
        " CPU0                              CPU1",
        " ----                              ----",
        f" lock({order.unsafe.name})",
        f"{'':35}lock({order.safe.name})",
        f"{'':35}... lock({order.unsafe.name})",
        f"{'':35}  waits for CPU0",
        f" <{order.context.name}>",
        f"   lock({order.safe.name})",
        "     waits for CPU1",
    ]
    return "\n".join(rows)


register(Judge("irq-inversion", _inversion, Shape.INTERRUPT, ends=inversion_ends))
register(Judge("safe-unsafe", _safe_unsafe, Shape.INTERRUPT, ends=order_ends))
