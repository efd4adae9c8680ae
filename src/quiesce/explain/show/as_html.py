# SPDX-License-Identifier: Apache-2.0
"""An explained log as one HTML page that opens from disk: no script, no network, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from quiesce.explain.judge.explanation import LockNote, PathNote, Reason
from quiesce.explain.judge.lock_notes import mode_words, what_it_is
from quiesce.explain.judge.modes import Mode
from quiesce.explain.log import Explained, ExplainedLog, other_readings, proof_line, question

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --mark: #b45309; }
@media (prefers-color-scheme: dark) { :root { --mark: #fbbf24; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; }
article { border-top: 2px solid var(--line); margin-top: 2rem; }
h2 { margin-bottom: 0; } .facts { color: #777; margin-top: 0; }
.summary { font-size: 1.15em; } .no-lock { color: var(--mark); font-weight: 600; }
table { border-collapse: collapse; } td, th { border: 1px solid var(--line); padding: .3rem .6rem;
text-align: left; vertical-align: top; } nav li { margin: .2rem 0; }
"""


def render(log: ExplainedLog) -> str:
    """Return the page for *log*."""
    problems = log.problems
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>lockdep reports explained</title><style>{_STYLE}</style></head><body>"
        f"<h1>{len(problems)} lockdep report{'' if len(problems) == 1 else 's'} explained</h1>"
    )
    items = "".join(
        f'<li><a href="#r{i}">{escape(one.report.kind)}</a>: {escape(one.explanation.summary)}</li>'
        for i, one in enumerate(problems)
    )
    body = "".join("".join(_report(i, one)) for i, one in enumerate(problems))
    return f"{head}<nav><ol>{items}</ol></nav>{body}</body></html>\n"


def _report(index: int, one: Explained) -> Iterator[str]:
    report, explanation = one.report, one.explanation
    yield f'<article id="r{index}"><h2>{escape(report.kind)}: {escape(report.title)}</h2>'
    facts = [report.kernel and f"kernel {report.kernel}", report.task]
    facts += [f"lines {report.line}-{report.end_line}", f"fingerprint {one.fingerprint}"]
    if one.count > 1:
        facts.append(f"seen {one.count} times")
    yield f'<p class="facts">{escape(", ".join(f for f in facts if f))}</p>'
    yield f'<p class="summary">{escape(explanation.summary)}</p>'
    if explanation.locks:
        yield "<h3>The locks</h3><table><tr><th>lock<th>part<th>what it is<th>taken<th>at</tr>"
        yield from (_lock(note) for note in explanation.locks)
        yield "</table>"
    if explanation.paths:
        yield f"<h3>The paths</h3><ul>{''.join(_path(n) for n in explanation.paths)}</ul>"
    for interleaving in explanation.interleavings:
        yield f"<h3>{escape(interleaving.title)}</h3><pre>{escape(interleaving.text)}</pre>"
        yield _list(interleaving.waits)
    if explanation.because or explanation.assessment:
        yield f"<h3>{question(one)}</h3><p>{escape(explanation.because)}</p>"
        yield from _proof(one)
    yield _section("For it", [_reason(r) for r in explanation.real])
    yield _section("Against it", [_reason(r) for r in explanation.false])
    yield _section("What the report does not show", explanation.not_shown)
    if explanation.fixes:
        yield "<h3>What would break it</h3>" + _list(explanation.fixes, "ol")
    yield "</article>"


def _proof(one: Explained) -> Iterator[str]:
    if not proof_line(one):
        return
    yield f"<p>{escape(proof_line(one))}</p>"
    if one.proof.interleaving:
        yield f"<pre>{escape(one.proof.interleaving)}</pre>"
    if other_readings(one):
        yield _list(other_readings(one))


def _lock(note: LockNote) -> str:
    mode = mode_words(Mode(note.mode)) if note.mode != Mode.UNKNOWN.value else ""
    what = escape(what_it_is(note))
    if note.annotation:
        what = f'<span class="no-lock">{what}</span>'
    if note.usage_text:
        what += f"; {escape(note.usage_text)}"
    if note.stands_for:
        see = f" See {note.source}." if note.source else ""
        what += f"<br>It stands for {escape(f'{note.stands_for}. {note.blocks}{see}')}"
    cells = (f"<code>{escape(note.name)}</code>", escape(note.role), what, mode)
    return f"<tr>{''.join(f'<td>{c}' for c in cells)}<td><code>{escape(note.where)}</code></tr>"


def _path(note: PathNote) -> str:
    place = f", in <code>{escape(note.function)}()</code>" if note.function else ""
    return (
        f"<li><b>{escape(note.task)}</b> (link #{note.number}): first <code>{escape(note.holds)}</code> "
        f"{escape(note.held_mode)}, then <code>{escape(note.call)}</code>{place}</li>"
    )


def _section(title: str, texts: list[str] | tuple[str, ...]) -> str:
    return f"<h3>{title}</h3>{_list(texts)}" if texts else ""


def _list(texts: list[str] | tuple[str, ...], tag: str = "ul") -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<{tag}>{items}</{tag}>" if items else ""


def _reason(reason: Reason) -> str:
    letter = f"({reason.code}) " if reason.code else ""
    return f"{letter}{'' if reason.certain else 'To check: '}{reason.text}"
