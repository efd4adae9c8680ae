# SPDX-License-Identifier: Apache-2.0
"""A counterexample as an interleaving: which threads take part, what each does, and why each waits.

The drawing is meant to be pasted into a mail or a commit message, so two threads fit into 72 columns and more
into 80.
"""

from __future__ import annotations

from quiesce.explorer.reference.spinning import find_spinning
from quiesce.explorer.reference.trace import Trace, Waiting
from quiesce.harmless import one_line
from quiesce.properties import About
from quiesce.report.document import InterleavingBlock, LaneText
from quiesce.report.draw import draw

_WIDEST_COLUMN = 32
_ROOM_FOR_LAST = 36
"""Columns that the last thread's texts should have, so that a lock's name fits."""


def render_interleaving(trace: Trace) -> str:
    """Return the run of *trace*, drawn."""
    drawing = draw(interleaving_of(trace))
    return f"{drawing}\n" if drawing else ""


def interleaving_of(trace: Trace) -> InterleavingBlock:
    """Return the run of *trace*, one column for each thread that takes part in it."""
    moves = _moves(trace)
    taking_part = sorted({m.lane for m in moves if m.lane >= 0})
    width = 72 if len(taking_part) <= 2 else 80
    lanes = {thread: lane for lane, thread in enumerate(taking_part)}
    return InterleavingBlock(
        tuple(one_line(trace.program.threads[thread].name) for thread in taking_part),
        tuple(LaneText(lanes.get(move.lane, -1), move.text) for move in moves),
        _starts(moves, taking_part, width),
        width,
    )


def _moves(trace: Trace) -> list[LaneText]:
    """Return what the threads do; the lane of a move is the number of the thread."""
    rows: list[LaneText] = []
    loop = trace.finding.loop_start
    starved = _never_moving(trace)
    for number, step in enumerate(trace.steps):
        if loop is not None and number == loop:
            for waiting in starved:
                _add_remark(rows, waiting, "never gets any further")
            rows.append(_move(-1, "... and from here on, over and over:"))
        texts = [a.shown for a in step.actions]
        if step.failure is not None:
            texts[-1] += f"   <- {step.failure.message}"
        rows += [_move(step.thread, text) for text in texts]
    if loop is not None and loop < len(trace.steps):
        rows.append(_move(-1, "... and so on forever."))
    elif trace.finding.kind.about is About.WAITING:
        for waiting in trace.waiting:
            if _is_bystander(trace, waiting):
                continue
            _add_remark(rows, waiting, waits_for(trace, waiting))
        rows += [_move(s.thread, f"{s.text}   <- spins") for s in find_spinning(trace)]
    return rows


def _move(thread: int, text: str) -> LaneText:
    return LaneText(thread, one_line(text))


def _is_bystander(trace: Trace, waiting: Waiting) -> bool:
    """Whether a thread merely stands there: it took no step, and it may wait forever."""
    moved = any(s.thread == waiting.thread for s in trace.steps)
    return not moved and trace.program.threads[waiting.thread].daemon


def _never_moving(trace: Trace) -> list[Waiting]:
    """Return the threads that wait all through the loop of a lasso."""
    loop = trace.finding.loop_start
    if loop is None or loop >= len(trace.steps):
        return []
    moving = {s.thread for s in trace.steps[loop:]}
    return [w for w in trace.waiting if w.thread not in moving]


def _add_remark(rows: list[LaneText], waiting: Waiting, text: str) -> None:
    """Show in a row of its own where a thread waits, and why."""
    rows.append(_move(waiting.thread, f"{waiting.shown}   <- {text}"))


def waits_for(trace: Trace, waiting: Waiting) -> str:
    """Say whom a thread waits for."""
    names = " and ".join(trace.program.threads[t].name for t in waiting.holders)
    queued = " and ".join(waits_behind(trace, waiting))
    if waiting.own is not None:
        itself = f"for a lock that it holds itself since :{waiting.own.line}"
        if names:
            return f"waits {itself}, and for {names}"
        return f"waits behind {queued}, {itself}" if queued else f"waits {itself}"
    if names:
        return f"waits for {names}"
    if not waiting.lock:
        return "sleeps" if waiting.label.startswith("schedule") else "waits"
    return f"waits behind {queued}" if queued else "waits"


def waits_behind(trace: Trace, waiting: Waiting) -> list[str]:
    """Return the names of the threads that wait for the same lock, if no other thread holds it."""
    if waiting.holders or not waiting.lock:
        return []
    return [
        trace.program.threads[w.thread].name
        for w in trace.waiting
        if w.component == waiting.component and w.thread != waiting.thread
    ]


def _starts(moves: list[LaneText], threads: list[int], width: int) -> tuple[int, ...]:
    """Return where each thread's column begins: evenly spaced, wider where the texts leave room."""
    count = len(threads)
    step = _WIDEST_COLUMN
    for place, thread in enumerate(threads):
        if place:
            longest = max(len(m.text) for m in moves if m.lane == thread)
            step = min(step, (width - longest) // place)
    # Texts that do not fit are broken; a column too narrow to tell is worse.
    step = max(step, min(_WIDEST_COLUMN, (width - _ROOM_FOR_LAST) // max(1, count - 1)))
    return tuple(1 + place * step for place in range(count))
