# SPDX-License-Identifier: Apache-2.0
"""A document as one HTML page that opens from disk: no script, no network, light and dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import assert_never

from quiesce.harmless import one_line
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
from quiesce.report.style import PLAIN, Style

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --good: #15803d; --bad: #b91c1c;
  --open: #b45309; }
@media (prefers-color-scheme: dark) { :root { --good: #4ade80; --bad: #f87171; --open: #fbbf24; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
pre { font: .9em/1.4 ui-monospace, monospace; background: var(--soft); padding: .8rem; overflow-x: auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
td, th { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
.right { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } .open { color: var(--open); }
section { border-top: 1px solid var(--line); margin-top: 1.2rem; }
"""


def write(document: Document, _style: Style = PLAIN) -> str:
    """Return *document* as a page."""
    title = escape(one_line(document.title))
    body = "".join(_section(section) for section in document.sections())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"{body}</body></html>\n"
    )


def _section(section: BlockGroup) -> str:
    return f"<section>{''.join(map(_block, section.blocks))}</section>"


def _block(block: Block) -> str:
    match block:
        case Headline():
            return f"<h2>{_word(block.verdict)} {escape(block.text)}</h2>"
        case Paragraph():
            bullet = block.first.strip()
            return f"<p>{escape(f'{bullet} {block.text}' if bullet else block.text)}</p>"
        case CodeBlock():
            return f"<pre>{escape(block.text)}</pre>" if block.text else ""
        case TableBlock():
            return _table(block)
        case InterleavingBlock():
            return f"<pre>{escape(draw(block))}</pre>" if block.heads else ""
        case LadderBlock():
            return f"<pre>{escape(chr(10).join(lines_of([BlockGroup((block,))])))}</pre>"
        case _:
            assert_never(block)


def _table(table: TableBlock) -> str:
    heads = "".join(f"<tr>{_cells(table, map(Word, h), 'th')}</tr>" for h in table.heads)
    rows = "".join(f"<tr>{_cells(table, row, 'td')}</tr>" for row in table.rows)
    return f'<div class="wide"><table>{heads}{rows}</table></div>'


def _cells(table: TableBlock, words: Iterable[Word], tag: str) -> str:
    return "".join(
        f"<{tag}{' class=right' if i in table.right else ''}>{_word(word)}</{tag}>"
        for i, word in enumerate(words)
    )


def _word(word: Word) -> str:
    text = escape(one_line(word.text))
    if word.tone is Tone.PLAIN:
        return text
    return f'<span class="{word.tone.value}">{text}</span>'
