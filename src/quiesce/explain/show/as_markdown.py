# SPDX-License-Identifier: Apache-2.0
"""An explained log as Markdown, for a mail or an issue. Every name from the log is code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass

from quiesce.explain.judge.answer import Answer
from quiesce.explain.judge.explanation import LockNote
from quiesce.explain.judge.lock_notes import mode_words, what_it_is
from quiesce.explain.judge.modes import AcquireMode
from quiesce.explain.judge.words import short_name
from quiesce.explain.log import Explained, ExplainedLog, drawn_cycle, other_readings
from quiesce.explain.read.model import PrintedLock
from quiesce.explain.show.as_text import excuse_text
from quiesce.explain.show.screen import ladder
from quiesce.report.document import BlockGroup
from quiesce.report.formats.text import lines_of
from quiesce.report.markdown import Prose, block, code


def render(log: ExplainedLog, *, verbose: bool = False) -> str:
    """Return *log* as Markdown that ends with a newline; empty for a log without reports."""
    parts = ["\n".join(_report(one, verbose)) for one in log.problems]
    return "\n\n".join(parts) + "\n" if parts else ""


def _report(one: Explained, verbose: bool) -> Iterator[str]:
    report = one.report
    facts = [
        report.kind,
        f"kernel {code(report.kernel)}" if report.kernel else "",
        code(report.task or "?"),
    ]
    facts.append(f"lines {report.line}-{report.end_line}")
    if one.count > 1:
        facts.append(f"seen {one.count} times")
    prose = Prose(_names(report))
    yield from _answer(one.explanation.answer, prose)
    yield ""
    yield f"({', '.join(fact for fact in facts if fact)})"
    if verbose:
        yield from _details(one, prose)


def _answer(answer: Answer, prose: Prose) -> Iterator[str]:
    yield f"**{prose(answer.text)}**"
    if answer.rows:
        yield from ("", *block("\n".join(_ladder(answer))))
    for note in answer.notes:
        yield from ("", prose(note))
    for chain in answer.chains:
        yield from ("", f"{chain.label}: {prose(chain.what)}")
        if chain.functions:
            yield from ("", " -> ".join(code(f"{name}()") for name in chain.functions))
    yield ""
    if not answer.fixes:
        yield "Fix: not from this report"
        return
    yield from ("Fix", "")
    for number, fix in enumerate(answer.fixes, 1):
        more = f" {answer.refused}" if number == 1 and answer.refused else ""
        yield f"{number}. {prose(fix + more)}"


def _details(one: Explained, prose: Prose) -> Iterator[str]:
    explanation = one.explanation
    yield from _bullets(
        "What speaks against it", [excuse_text(e) for e in explanation.excuses], prose
    )
    for interleaving in explanation.interleavings:
        yield from ("", f"### {prose(interleaving.title)}", "", *block(interleaving.text))
    if drawn_cycle(one):
        yield from ("", "### The drawn cycle, checked as a model", "", prose(drawn_cycle(one)))
        if one.proof.interleaving:
            yield from ("", *block(one.proof.interleaving))
        if other_readings(one):
            yield from ("", *(f"- {prose(text)}" for text in other_readings(one)))
    yield from _bullets("What the report does not show", explanation.not_shown, prose)
    if explanation.locks:
        yield from ("", "### The locks", "")
        yield "| lock | part | what it is | taken | at |"
        yield "|---|---|---|---|---|"
        yield from (_lock_row(note, prose) for note in explanation.locks)
        yield from _stands_for(explanation.locks, prose)


def _ladder(answer: Answer) -> list[str]:
    return lines_of([BlockGroup((ladder(answer.rows),))])


_OURS = frozenset(["kind", "op", "title", "usage", "what"])
"""Fields of a report that are not names: they have our words in them, or are a headline."""


def _names(part: object) -> Iterator[str]:
    """Yield every name in *part*, a report or a part of one; of a lock also the short one."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        yield from (name for value in part.values() for name in _names(value))
    elif isinstance(part, tuple):
        yield from (name for value in part for name in _names(value))
    elif is_dataclass(part):
        if isinstance(part, PrintedLock):
            yield short_name(part.base)
        for one in fields(part):
            if one.name not in _OURS:
                yield from _names(getattr(part, one.name))


def _lock_row(note: LockNote, prose: Prose) -> str:
    mode = mode_words(AcquireMode(note.mode)) if note.mode != AcquireMode.UNKNOWN.value else ""
    what = what_it_is(note)
    if note.usage_text:
        what += f"; {note.usage_text}"
    cells = (code(note.name), note.role, prose(what), prose(mode), code(note.where))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _stands_for(notes: tuple[LockNote, ...], prose: Prose) -> Iterator[str]:
    explained = [note for note in notes if note.stands_for]
    if explained:
        yield ""
    for note in explained:
        see = f" See {note.source}." if note.source else ""
        text = f"{note.stands_for}. {note.blocks}{see}"
        yield f"- {code(note.name)} stands for {prose(text)}"


def _bullets(title: str, texts: Iterable[str], prose: Prose) -> Iterator[str]:
    bullets = [f"- {prose(text)}" for text in texts]
    if bullets:
        yield from ("", f"### {title}", "", *bullets)
