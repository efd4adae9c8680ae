# SPDX-License-Identifier: Apache-2.0
"""A document as Markdown, for a mail, an issue or the summary of a pipeline's job."""

from __future__ import annotations

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
from quiesce.report.formats.text import lines_of
from quiesce.report.markdown import Prose, block, code
from quiesce.report.style import PLAIN, Style


def write(document: Document, _style: Style = PLAIN) -> str:
    """Return *document* as Markdown; empty if it has no section."""
    prose = Prose(document.names)
    lines: list[str] = []
    for section in document.sections():
        for part in section.blocks:
            lines += _lines(part, prose)
    return "\n".join(lines).strip() + "\n" if lines else ""


def _lines(part: Block, prose: Prose) -> list[str]:
    match part:
        case Headline():
            return ["", f"**{part.verdict.text}** {code(part.text)}"]
        case Paragraph():
            bullet = part.first.strip()
            if bullet:
                return [f"{bullet} {prose(part.text)}"]
            return ["", prose(part.text)]
        case CodeBlock():
            return ["", *block(part.text)] if part.text else []
        case TableBlock():
            return ["", *_table(part, prose)]
        case InterleavingBlock():
            return ["", *block(draw(part))] if part.heads else []
        case LadderBlock():
            return ["", *block("\n".join(_rungs(part)))]
        case _:
            assert_never(part)


def _rungs(ladder: LadderBlock) -> list[str]:
    return lines_of([BlockGroup((ladder,))])


def _table(table: TableBlock, prose: Prose) -> list[str]:
    count = max((len(row) for row in (*table.heads, *table.rows)), default=0)
    heads = [" ".join(filter(None, (_at(h, i) for h in table.heads))) for i in range(count)]
    rules = ["---:" if i in table.right else "---" for i in range(count)]
    rows = [
        [_cell(row[i], prose) if i < len(row) else "" for i in range(count)] for row in table.rows
    ]
    return [_row(heads), _row(rules), *map(_row, rows)]


def _at(head: tuple[str, ...], place: int) -> str:
    return head[place] if place < len(head) else ""


def _cell(word: Word, prose: Prose) -> str:
    text = prose(word.text.strip()).replace("|", "\\|")
    return f"**{text}**" if word.tone is Tone.BAD else text


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
