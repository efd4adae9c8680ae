# SPDX-License-Identifier: Apache-2.0
"""A document as text for a terminal or a mail: at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import assert_never

from quiesce.report.document import (
    Block,
    BlockGroup,
    CodeBlock,
    Document,
    Headline,
    InterleavingBlock,
    LadderBlock,
    Paragraph,
    TableBlock,
    Tone,
    Word,
)
from quiesce.report.draw import draw
from quiesce.report.style import PLAIN, Style

STARTS_LINES = True


def write(document: Document, style: Style = PLAIN) -> str:
    """Return *document* as text; empty if it has no section."""
    return text_of(document.sections(), style)


def text_of(sections: Iterable[BlockGroup], style: Style = PLAIN) -> str:
    """Return *sections* as text, with an empty line between any two."""
    lines = lines_of(sections, style)
    return "\n".join(lines).rstrip() + "\n" if lines else ""


def lines_of(sections: Iterable[BlockGroup], style: Style = PLAIN) -> list[str]:
    """Return *sections* as lines."""
    lines: list[str] = []
    for number, section in enumerate(sections):
        if number:
            lines.append("")
        for block in section.blocks:
            lines += (line.rstrip() for line in _lines(block, style))
    return lines


def _lines(block: Block, style: Style) -> list[str]:
    match block:
        case Headline():
            return [f"{style.paint(block.verdict)}  {block.text}"]
        case Paragraph():
            return _wrapped(block, style)
        case CodeBlock():
            return [f"{block.indent}{line}" for line in block.text.split("\n")]
        case TableBlock():
            return _table(block, style)
        case InterleavingBlock():
            return draw(block).split("\n")
        case LadderBlock():
            return [_rung(rung.text, rung.arrow, block.width, style) for rung in block.rungs]
        case _:
            assert_never(block)


def _wrapped(block: Paragraph, style: Style) -> list[str]:
    if not block.width:
        return [f"{block.first}{block.text}"]
    return textwrap.wrap(
        block.text,
        style.width(block.width),
        initial_indent=block.first,
        subsequent_indent=block.rest,
        break_long_words=block.cut_words,
        break_on_hyphens=False,
    ) or [block.first]


def _table(table: TableBlock, style: Style) -> list[str]:
    heads = [[Word(cell) for cell in head] for head in table.heads]
    rows: list[Sequence[Word]] = [*heads, *table.rows]
    count = max((len(row) for row in rows), default=0)
    least = (*table.widths, *[0] * (count - len(table.widths)))
    widths = [
        max(least[i], *(len(row[i].text) for row in rows if i < len(row))) for i in range(count)
    ]
    if table.ruled:
        rows = [*heads, [Word("-" * width) for width in widths], *table.rows]
    return [
        table.indent
        + table.gap.join(
            _padded(cell, width, i in table.right, style)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        )
        for row in rows
    ]


def _padded(cell: Word, width: int, right: bool, style: Style) -> str:
    room = " " * (width - len(cell.text))
    return f"{room}{style.paint(cell)}" if right else f"{style.paint(cell)}{room}"


def _rung(text: str, arrow: str, width: int, style: Style) -> str:
    if not arrow:
        return text
    room = " " * max(1, width - len(text) - len(arrow))
    return f"{text}{room}{style.paint(Word(arrow, Tone.LINK))}"
