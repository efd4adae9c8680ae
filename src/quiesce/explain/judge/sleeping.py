# SPDX-License-Identifier: Apache-2.0
"""Allocations that may sleep, made where nothing may: the "lock" of such a report is an annotation."""

from __future__ import annotations

from collections.abc import Sequence

from quiesce.explain.judge.answer import Answer, Chain, Judgement
from quiesce.explain.judge.call_path import above_the_lock, chain, is_allocator, useful, waiter
from quiesce.explain.judge.irq_words import IrqContext
from quiesce.explain.judge.modes import plain_name
from quiesce.explain.judge.triggers import trigger_of
from quiesce.explain.read.model import PrintedFrame, PrintedReport


def allocation_in_interrupt(
    context: IrqContext, frames: Sequence[PrintedFrame], report: PrintedReport
) -> Answer:
    """Return the answer for an interrupt that allocates in a way that may sleep."""
    function = waiter(frames, allocating=True)
    where = f" in {function}()" if function else ""
    return Answer(
        Judgement.MISUSE,
        f"Misuse: {context.article} allocates memory{where} in a way that may sleep (GFP_KERNEL or like "
        "it). Only a task may do that.",
        chains=(where_chain(report, frames),),
        fixes=(
            f"Use GFP_ATOMIC or GFP_NOWAIT{where}, and expect that it fails.",
            "Or allocate before, in a task, or move the work to a thread or a work item.",
        ),
    )


def allocation_under_lock(report: PrintedReport, held: str, context: IrqContext) -> Answer:
    """Return the answer for an allocation that may sleep while a spinlock is held."""
    frames = report.backtrace
    function = waiter(frames, allocating=True)
    where = f" in {function}()" if function else ""
    debug = _debug_allocation(frames)
    notes = []
    if debug:
        notes.append(
            f"The allocation is made by a debugging aid ({debug}()), which passes on flags that are not "
            "those of its caller: it may be the one to fix."
        )
    return Answer(
        Judgement.MISUSE,
        f"Misuse: {report.task or 'a task'} allocates memory with {held} held{where}, in a way that may "
        f"sleep (GFP_KERNEL or like it). {held} is taken in {context.name}s, so it spins.",
        notes=tuple(notes),
        chains=(where_chain(report, frames),),
        fixes=(
            f"Use GFP_ATOMIC or GFP_NOWAIT{where}, and expect that it fails.",
            f"Or allocate before {held} is taken, and only use the memory under it.",
        ),
    )


def _debug_allocation(frames: Sequence[PrintedFrame]) -> str:
    """Return the outermost function of KASAN, kmemleak and such that allocates; empty if none does."""
    found = ""
    for frame in useful(frames):
        name = plain_name(frame.function)
        if name.startswith(
            ("kasan_save", "stack_depot", "kmemleak", "__create_object", "__kasan", "set_track")
        ):
            found = name
        elif found and not is_allocator(name):
            break
    return found


def where_chain(report: PrintedReport, frames: Sequence[PrintedFrame]) -> Chain:
    """Return where it happened."""
    when = trigger_of(frames).when
    task = report.task or "a task"
    if len(useful(above_the_lock(frames))) == 0:
        return Chain("Where", task)
    return Chain("Where", f"{task}{', ' + when if when else ''}", chain(frames, allocating=True))
