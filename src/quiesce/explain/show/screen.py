# SPDX-License-Identifier: Apache-2.0
"""The answer to one report on one screen: at most 24 lines of 78 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace

from quiesce.explain.judge.answer import Answer, Chain, LadderRow
from quiesce.report.document import Block, BlockGroup, CodeBlock, LadderBlock, Paragraph, Rung
from quiesce.report.formats.text import lines_of

WIDTH = 78
MOST_LINES = 24
_INDENT = " " * 5


def screen_sections(answer: Answer) -> list[BlockGroup]:
    """Return *answer* for one screen; what does not fit is left out, the least important first."""
    sections: list[BlockGroup] = []
    for shorter in _shortened(answer):
        sections = answer_sections(shorter)
        if len(lines_of(sections)) <= MOST_LINES:
            break
    return sections


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


def answer_sections(answer: Answer) -> list[BlockGroup]:
    """Return *answer* with nothing left out."""
    sections: list[list[Block]] = [[paragraph(answer.text)]]
    if answer.rows:
        sections.append([ladder(answer.rows)])
    if answer.notes:
        sections.append([paragraph(note, "  ") for note in answer.notes])
    if answer.chains:
        sections.append([block for chain in answer.chains for block in _chain(chain)])
    sections.append(list(_fixes(answer)))
    return [BlockGroup(tuple(blocks)) for blocks in sections]


def ladder(rows: Sequence[LadderRow]) -> LadderBlock:
    """Return *rows* as a ladder: who, what it holds and waits for, and the arrow at the right."""
    return LadderBlock(tuple(rung for row in rows for rung in _rungs(row)), WIDTH)


def _rungs(row: LadderRow) -> Iterator[Rung]:
    number = f"{row.number}-{row.last}" if row.last else f"{row.number}"
    yield from map(Rung, lines_of([BlockGroup((paragraph(row.who, f"{number:>3}  "),))]))
    text = "; ".join([*row.holds, row.waits]) if row.waits else "; ".join(row.holds)
    if not text and not row.arrow:
        return
    room = WIDTH - len(_INDENT) - len(row.arrow) - 1
    if len(text) <= room:
        yield Rung(f"{_INDENT}{text}", row.arrow)
        return
    parts = [*(f"{held};" for held in row.holds), row.waits]
    wrapped = [
        line
        for part in parts
        if part
        for line in textwrap.wrap(part, room, break_long_words=False, break_on_hyphens=False)
    ]
    yield from (Rung(f"{_INDENT}{part}") for part in wrapped[:-1])
    yield Rung(f"{_INDENT}{wrapped[-1]}", row.arrow)


def _chain(chain: Chain) -> Iterator[Block]:
    """Yield what was new, and the functions that lead to it."""
    yield paragraph(f"{chain.label}: {chain.what}")
    line = " "
    for number, name in enumerate(chain.functions):
        piece = f" -> {name}" if number else f" {name}"
        if len(line) + len(piece) > WIDTH and line.strip():
            yield CodeBlock(line)
            line, piece = "   ", f" -> {name}"
        line += piece
    if line.strip():
        yield CodeBlock(line)


def _fixes(answer: Answer) -> Iterator[Block]:
    """Yield the fixes, numbered, and the one that is refused."""
    if not answer.fixes:
        yield paragraph("Fix: not from this report")
        return
    yield paragraph("Fix")
    for number, text in enumerate(answer.fixes, 1):
        yield paragraph(text, f"  {number}. ")
        if number == 1 and answer.refused:
            yield paragraph(answer.refused, "     ")


def paragraph(text: str, indent: str = "") -> Paragraph:
    """Return *text* as a paragraph; *indent* begins the first line, the others align with its end."""
    return Paragraph(text, indent, " " * len(indent), WIDTH, cut_words=False)


def wrap(text: str, indent: str = "") -> list[str]:
    """Return the lines of :func:`paragraph`."""
    return lines_of([BlockGroup((paragraph(text, indent),))])
