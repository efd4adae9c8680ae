# SPDX-License-Identifier: Apache-2.0
"""An explained log as one HTML page that opens from disk: no script, no network, light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from quiesce.explain.judge.answer import Answer, LadderRow
from quiesce.explain.judge.excuses import Excuse
from quiesce.explain.judge.explanation import LockNote
from quiesce.explain.judge.lock_notes import mode_words, what_it_is
from quiesce.explain.judge.modes import AcquireMode
from quiesce.explain.log import Explained, ExplainedLog, drawn_cycle, other_readings
from quiesce.explain.read.model import PrintedFrame
from quiesce.explain.show.as_text import excuse_text

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --mark: #b45309; }
@media (prefers-color-scheme: dark) { :root { --mark: #fbbf24; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
code { white-space: nowrap; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; }
article { border-top: 2px solid var(--line); margin-top: 2rem; }
.facts { color: #777; } .verdict { font-size: 1.15em; font-weight: 600; }
.no-lock { color: var(--mark); font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
td, th { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
.ladder > li { border-left: 4px solid; padding: .1rem .6rem; margin: .4rem 0; list-style-position: inside; }
.ladder > li:target { background: var(--soft); } .arrow { float: right; }
.c1 { border-color: #2563eb; } .c2 { border-color: #dc2626; } .c3 { border-color: #16a34a; }
.c4 { border-color: #9333ea; } .c5 { border-color: #d97706; } .c0 { border-color: #0891b2; }
summary { cursor: pointer; } nav li { margin: .2rem 0; }
"""
_VERSION = re.compile(r"\d{1,2}\.\d{1,2}(?:\.\d{1,3})?(?:-rc\d{1,2})?")
_SOURCE = re.compile(r"(?:\./)?(?P<path>[\w+-][\w./+-]{0,200}):(?P<line>\d{1,7})")
_TREE = "https://elixir.bootlin.com/linux"


def render(log: ExplainedLog) -> str:
    """Return the page for *log*."""
    problems = log.problems
    count = f"{len(problems)} report{'' if len(problems) == 1 else 's'} explained"
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{count}</title><style>{_STYLE}</style></head><body><h1>{count}</h1>"
    )
    items = "".join(
        f'<li><a href="#r{i}">{escape(one.report.kind)}</a>: {escape(one.explanation.answer.text)}</li>'
        for i, one in enumerate(problems)
    )
    nav = f"<nav><ol>{items}</ol></nav>" if len(problems) > 1 else ""
    body = "".join("".join(_report(i, one)) for i, one in enumerate(problems))
    return f"{head}{nav}{body}</body></html>\n"


def _report(index: int, one: Explained) -> Iterator[str]:
    report, answer = one.report, one.explanation.answer
    yield f'<article id="r{index}"><p class="verdict">{escape(answer.text)}</p>'
    yield from _ladder(index, one)
    yield "".join(f"<p>{escape(note)}</p>" for note in answer.notes)
    yield from _chains(answer)
    yield from _fixes(answer)
    facts = [report.kind, report.kernel and f"kernel {report.kernel}", report.task]
    facts += [f"lines {report.line}-{report.end_line}", f"fingerprint {one.fingerprint}"]
    if one.count > 1:
        facts.append(f"seen {one.count} times")
    yield f'<p class="facts">{escape(", ".join(fact for fact in facts if fact))}</p>'
    yield from _details(index, one)
    yield "</article>"


def _ladder(index: int, one: Explained) -> Iterator[str]:
    if not one.explanation.answer.rows:
        return
    yield '<ol class="ladder">'
    stacks = {link.number + 1: link.frames for link in one.report.links}
    for row in one.explanation.answer.rows:
        frames = stacks.get(row.number, ())
        if row.number == 1 and not frames:
            frames = one.report.backtrace
        yield _row(index, row, one, frames if row.in_report else ())
    yield "</ol>"


def _row(index: int, row: LadderRow, one: Explained, frames: tuple[PrintedFrame, ...]) -> str:
    arrow = re.sub(r"(\d+)", rf'<a href="#r{index}w\1">\1</a>', escape(row.arrow))
    text = "; ".join((*row.holds, row.waits)) if row.waits else "; ".join(row.holds)
    place = f'<li id="r{index}w{row.number}" value="{row.number}" class="c{row.number % 6}">'
    line = (
        f'{_code_functions(row.who)}<br><span class="arrow">{arrow}</span>'
        f"{_linked_locks(index, one, text)}"
    )
    if not frames:
        return f"{place}{line}</li>"
    stack = "\n".join(_frame(frame, one.report.kernel) for frame in frames)
    return f"{place}{line}<details><summary>stack</summary><pre>{stack}</pre></details></li>"


def _code_functions(text: str) -> str:
    return re.sub(r"([\w.$]+\(\))", r"<code>\1</code>", escape(text))


def _linked_locks(index: int, one: Explained, text: str) -> str:
    """Return *text* with the names of locks linked to their notes."""
    shown = escape(text)
    for number, note in enumerate(one.explanation.locks):
        name = escape(note.short_name)
        if name and name in shown:
            link = f'<a href="#r{index}l{number}"><code>{name}</code></a>'
            before, found, after = _whole_word(shown, name)
            shown = f"{before}{link}{after}" if found else shown
    return shown


def _whole_word(text: str, name: str) -> tuple[str, bool, str]:
    """Return what stands before and after *name* in *text*, where it is not a part of a longer name."""
    match = re.search(rf"(?<![\w>-]){re.escape(name)}(?![\w/-])", text)
    return (text[: match.start()], True, text[match.end() :]) if match else (text, False, "")


def _frame(frame: PrintedFrame, kernel: str) -> str:
    text = escape(f"{'' if frame.reliable else '? '}{frame.place or '?'}")
    if frame.module:
        text += f" [{escape(frame.module)}]"
    if not frame.source:
        return text
    source = _SOURCE.match(frame.source)
    version = _VERSION.match(kernel)
    if source is None or version is None:
        return f"{text} {escape(frame.source)}"
    tag = version[0].removesuffix(".0") if version[0].count(".") > 1 else version[0]
    url = f"{_TREE}/v{tag}/source/{source['path']}#L{source['line']}"
    return f'{text} <a href="{escape(url)}">{escape(frame.source)}</a>'


def _chains(answer: Answer) -> Iterator[str]:
    for chain in answer.chains:
        names = " &rarr; ".join(f"<code>{escape(name)}()</code>" for name in chain.functions)
        yield f"<p><b>{escape(chain.label)}:</b> {escape(chain.what)}<br>{names}</p>"


def _fixes(answer: Answer) -> Iterator[str]:
    if not answer.fixes:
        yield "<p><b>Fix:</b> not from this report</p>"
        return
    yield "<p><b>Fix</b></p><ol>"
    for number, fix in enumerate(answer.fixes):
        more = f" {answer.refused}" if number == 0 and answer.refused else ""
        yield f"<li>{_code_functions(fix + more)}</li>"
    yield "</ol>"


def _details(index: int, one: Explained) -> Iterator[str]:
    explanation = one.explanation
    if explanation.excuses:
        yield _folded("What speaks against it", _list([_excuse(e) for e in explanation.excuses]))
    for interleaving in explanation.interleavings:
        table = f"<pre>{escape(interleaving.text)}</pre>{_list(interleaving.waits)}"
        yield _folded(interleaving.title, table)
    if drawn_cycle(one):
        drawn = f"<p>{escape(drawn_cycle(one))}</p>"
        if one.proof.interleaving:
            drawn += f"<pre>{escape(one.proof.interleaving)}</pre>"
        yield _folded("The drawn cycle, checked as a model", drawn + _list(other_readings(one)))
    if explanation.not_shown:
        yield _folded("What the report does not show", _list(explanation.not_shown))
    if explanation.locks:
        rows = "".join(_lock(index, number, note) for number, note in enumerate(explanation.locks))
        table = f"<table><tr><th>lock<th>part<th>what it is<th>taken<th>at</tr>{rows}</table>"
        yield _folded("The locks", f'<div class="wide">{table}</div>')


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def _lock(index: int, number: int, note: LockNote) -> str:
    mode = mode_words(AcquireMode(note.mode)) if note.mode != AcquireMode.UNKNOWN.value else ""
    what = escape(what_it_is(note))
    if note.annotation:
        what = f'<span class="no-lock">{what}</span>'
    if note.usage_text:
        what += f"; {escape(note.usage_text)}"
    if note.stands_for:
        see = f" See {note.source}." if note.source else ""
        what += f"<br>It stands for {escape(f'{note.stands_for}. {note.blocks}{see}')}"
    cells = (f"<code>{escape(note.name)}</code>", escape(note.role), what, mode)
    where = f"<td><code>{escape(note.where)}</code>"
    return f'<tr id="r{index}l{number}">{"".join(f"<td>{c}" for c in cells)}{where}</tr>'


def _list(texts: list[str] | tuple[str, ...], tag: str = "ul") -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<{tag}>{items}</{tag}>" if items else ""


def _excuse(excuse: Excuse) -> str:
    return excuse_text(excuse)
