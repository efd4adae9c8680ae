# SPDX-License-Identifier: Apache-2.0
"""The answer to one report on one screen: at most 24 lines of 78 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import replace

from quiesce.explain.judge.answer import Answer, Chain, LadderRow

WIDTH = 78
MOST_LINES = 24
_INDENT = " " * 5


def render_answer(answer: Answer) -> list[str]:
    """Return the lines of *answer*; what does not fit is left out, the least important first."""
    lines: list[str] = []
    for shorter in _shortened(answer):
        lines = _lines(shorter)
        if len(lines) <= MOST_LINES:
            break
    return lines


def _shortened(answer: Answer) -> Iterator[Answer]:
    """Yield *answer* and then ever shorter ones: what is left out is in the verbose form."""
    yield answer
    if len(answer.notes) > 1:
        answer = replace(answer, notes=answer.notes[:1])
        yield answer
    if answer.refused and len(answer.fixes) > 1:
        answer = replace(answer, fixes=answer.fixes[:1])
        yield answer
    if answer.refused:
        answer = replace(answer, refused="")
        yield answer
    if len(answer.fixes) > 1:
        answer = replace(answer, fixes=answer.fixes[:1])
        yield answer
    while len(answer.rows) > 3:
        answer = replace(answer, rows=_merged(answer.rows))
        yield answer
    yield replace(answer, notes=(), refused="")


def _merged(rows: tuple[LadderRow, ...]) -> tuple[LadderRow, ...]:
    """Put two neighbors into one row: those of one task first, then two in the middle."""
    same = [
        i for i in range(1, len(rows) - 1) if rows[i].arrow == f"goes on in {rows[i + 1].number}"
    ]
    at = same[0] if same else max(1, len(rows) // 2 - 1)
    if not rows[at + 1].in_report:
        at -= 1
    one, other = rows[at], rows[at + 1]
    if same:
        who = one.who if "()" in one.who else other.who
        holds = (*one.holds, one.waits) if one.waits else one.holds
    else:
        who, holds = _several(one, other), one.holds
    merged = replace(
        one,
        who=who,
        holds=holds,
        waits=other.waits,
        arrow=other.arrow,
        last=other.last or other.number,
    )
    return (*rows[:at], merged, *rows[at + 2 :])


def _several(one: LadderRow, other: LadderRow) -> str:
    count = (other.last or other.number) - one.number + 1
    first, last = _function(one), _function(other)
    return f"{count} tasks, each waits for the next one: in {first} ... {last}"


def _function(row: LadderRow) -> str:
    if " ... " in row.who:
        return row.who.rpartition("in ")[2].partition(" ... ")[0]
    return next((word for word in row.who.split() if word.endswith("()")), "?")


def _lines(answer: Answer) -> list[str]:
    lines = list(wrap(answer.text))
    if answer.rows:
        lines += ["", *(line for row in answer.rows for line in row_lines(row))]
    if answer.notes:
        lines += ["", *(line for note in answer.notes for line in wrap(note, "  "))]
    if answer.chains:
        lines += ["", *(line for one in answer.chains for line in chain_lines(one))]
    lines += ["", *fix_lines(answer)]
    return lines


def row_lines(row: LadderRow, width: int = WIDTH) -> list[str]:
    """Return the lines of *row*: who, what it holds and waits for, and the arrow at the right."""
    number = f"{row.number}-{row.last}" if row.last else f"{row.number}"
    lines = list(wrap(row.who, f"{number:>3}  "))
    text = "; ".join([*row.holds, row.waits]) if row.waits else "; ".join(row.holds)
    if not text and not row.arrow:
        return lines
    room = width - len(_INDENT) - len(row.arrow) - 1
    if len(text) <= room:
        return [*lines, _arrow(f"{_INDENT}{text}", row.arrow, width)]
    parts = [*(f"{held};" for held in row.holds), row.waits]
    wrapped = [
        line
        for part in parts
        if part
        for line in textwrap.wrap(part, room, break_long_words=False, break_on_hyphens=False)
    ]
    return [
        *lines,
        *(f"{_INDENT}{part}" for part in wrapped[:-1]),
        _arrow(f"{_INDENT}{wrapped[-1]}", row.arrow, width),
    ]


def _arrow(text: str, arrow: str, width: int) -> str:
    if not arrow:
        return text
    return f"{text}{' ' * max(1, width - len(text) - len(arrow))}{arrow}"


def chain_lines(chain: Chain) -> Iterator[str]:
    """Yield what was new, and the functions that lead to it."""
    yield from wrap(f"{chain.label}: {chain.what}")
    line = " "
    for number, name in enumerate(chain.functions):
        piece = f" -> {name}" if number else f" {name}"
        if len(line) + len(piece) > WIDTH and line.strip():
            yield line
            line, piece = "   ", f" -> {name}"
        line += piece
    if line.strip():
        yield line


def fix_lines(answer: Answer) -> Iterator[str]:
    """Yield the fixes, numbered, and the one that is refused."""
    if not answer.fixes:
        yield "Fix: not from this report"
        return
    yield "Fix"
    for number, text in enumerate(answer.fixes, 1):
        more = f" {answer.refused}" if number == 1 and answer.refused else ""
        first, *rest = wrap(text, f"  {number}. ")
        yield first
        yield from rest
        yield from wrap(more.strip(), "     ") if more else ()


def all_lines(answer: Answer) -> list[str]:
    """Return the lines of *answer* with nothing left out."""
    return _lines(answer)


def wrap(text: str, indent: str = "") -> list[str]:
    """Wrap *text*; *indent* begins the first line, the others align with its end."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [indent.rstrip()]
