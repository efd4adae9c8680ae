# SPDX-License-Identifier: Apache-2.0
"""A counterexample as kernel people draw it: one column a thread, time going down.

Meant to be pasted into a mail or a commit message, so two threads fit into 72 columns and more into
80. A row has one thread's text only, so a long text may run on to the right of its column; what still
does not fit is broken after a comma or a blank and continued below.
"""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.explorer.reference.spinning import find_spinning
from quiesce.explorer.reference.trace import Trace, Waiting
from quiesce.harmless import one_line
from quiesce.properties import About
from quiesce.report.columns import broken

_WIDEST_COLUMN = 32
_ROOM_FOR_LAST = 36
"""Columns that the last thread's texts should have, so that a lock's name fits."""


@dataclass(slots=True)
class _InterleavingRow:
    """A text in the column of *thread*; thread -1: a remark across the table."""

    thread: int
    text: str

    def __post_init__(self) -> None:
        self.text = one_line(self.text)


def render_interleaving(trace: Trace) -> str:
    """Return the run of *trace* as a table, one column for each thread that takes part in it."""
    rows = _rows(trace)
    taking_part = sorted({r.thread for r in rows if r.thread >= 0})
    if not taking_part:
        return ""
    width = 72 if len(taking_part) <= 2 else 80
    columns = _columns(rows, taking_part, width)
    names = [one_line(trace.program.threads[t].name) for t in taking_part]
    lines = [
        _line([(columns[t], n) for t, n in zip(taking_part, names, strict=True)]),
        _line([(columns[t], "-" * len(n)) for t, n in zip(taking_part, names, strict=True)]),
    ]
    for row in rows:
        if row.thread < 0:
            lines.append(f" {row.text}")
            continue
        start = columns[row.thread]
        for i, part in enumerate(broken(row.text, width - start)):
            lines.append(_line([(start + 2 * (i > 0), part)]))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _rows(trace: Trace) -> list[_InterleavingRow]:
    rows: list[_InterleavingRow] = []
    loop = trace.finding.loop_start
    starved = _never_moving(trace)
    for number, step in enumerate(trace.steps):
        if loop is not None and number == loop:
            for waiting in starved:
                _add_remark(rows, waiting, "never gets any further")
            rows.append(_InterleavingRow(-1, "... and from here on, over and over:"))
        texts = [a.shown for a in step.actions]
        if step.failure is not None:
            texts[-1] += f"   <- {step.failure.message}"
        rows += [_InterleavingRow(step.thread, text) for text in texts]
    if loop is not None and loop < len(trace.steps):
        rows.append(_InterleavingRow(-1, "... and so on forever."))
    elif trace.finding.kind.about is About.WAITING:
        for waiting in trace.waiting:
            if _is_bystander(trace, waiting):
                continue
            _add_remark(rows, waiting, waits_for(trace, waiting))
        rows += [_InterleavingRow(s.thread, f"{s.text}   <- spins") for s in find_spinning(trace)]
    return rows


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


def _add_remark(rows: list[_InterleavingRow], waiting: Waiting, text: str) -> None:
    """Show in a row of its own where a thread waits, and why."""
    rows.append(_InterleavingRow(waiting.thread, f"{waiting.shown}   <- {text}"))


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


def _columns(rows: list[_InterleavingRow], threads: list[int], width: int) -> dict[int, int]:
    """Return where each thread's column begins: evenly spaced, wider where the texts leave room."""
    count = len(threads)
    step = _WIDEST_COLUMN
    for place, thread in enumerate(threads):
        if place:
            longest = max(len(r.text) for r in rows if r.thread == thread)
            step = min(step, (width - longest) // place)
    # Texts that do not fit are broken; a column too narrow to tell is worse.
    step = max(step, min(_WIDEST_COLUMN, (width - _ROOM_FOR_LAST) // max(1, count - 1)))
    return {thread: 1 + place * step for place, thread in enumerate(threads)}


def _line(parts: list[tuple[int, str]]) -> str:
    line = ""
    for start, text in parts:
        line = line.ljust(start) if len(line) < start else line + " "
        line += text
    return line
