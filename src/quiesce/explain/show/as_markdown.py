# SPDX-License-Identifier: Apache-2.0
"""An explained log as Markdown, for a mail or an issue. Every name from the log is code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass

from quiesce.explain.judge.explanation import LockNote, PathNote, Reason
from quiesce.explain.judge.lock_notes import mode_words, what_it_is
from quiesce.explain.judge.modes import Mode
from quiesce.explain.log import Explained, ExplainedLog, other_readings, proof_line, question
from quiesce.report.markdown import Prose, block, code


def render(log: ExplainedLog) -> str:
    """Return *log* as Markdown that ends with a newline; empty for a log without reports."""
    parts = ["\n".join(_report(one)) for one in log.problems]
    return "\n\n".join(parts) + "\n" if parts else ""


def _report(one: Explained) -> Iterator[str]:
    report, explanation = one.report, one.explanation
    prose = Prose(_names(report))
    yield f"## {report.kind}: {prose(report.title)}"
    yield ""
    facts = [f"kernel {code(report.kernel)}" if report.kernel else "", code(report.task or "?")]
    facts.append(f"lines {report.line}-{report.end_line}")
    if one.count > 1:
        facts.append(f"seen {one.count} times")
    yield ", ".join(fact for fact in facts if fact)
    yield ""
    yield f"**{prose(explanation.summary)}**"
    if explanation.locks:
        yield from ("", "### The locks", "")
        yield "| lock | part | what it is | taken | at |"
        yield "|---|---|---|---|---|"
        yield from (_lock_row(note, prose) for note in explanation.locks)
        yield from _stands_for(explanation.locks, prose)
    if explanation.paths:
        yield from ("", "### The paths", "")
        yield from (_path(note) for note in explanation.paths)
    for interleaving in explanation.interleavings:
        yield from ("", f"### {prose(interleaving.title)}", "", *block(interleaving.text))
        if interleaving.waits:
            yield from ("", *(f"- {prose(sentence)}" for sentence in interleaving.waits))
    if explanation.because or explanation.assessment:
        yield from ("", f"### {question(one)}", "", prose(explanation.because))
        if proof_line(one):
            yield from ("", prose(proof_line(one)))
            if one.proof.interleaving:
                yield from ("", *block(one.proof.interleaving))
            if other_readings(one):
                yield from ("", *(f"- {prose(text)}" for text in other_readings(one)))
    yield from _bullets("For it", map(_reason, explanation.real), prose)
    yield from _bullets("Against it", map(_reason, explanation.false), prose)
    yield from _bullets("What the report does not show", explanation.not_shown, prose)
    if explanation.fixes:
        yield from ("", "### What would break it", "")
        yield from (f"{n}. {prose(text)}" for n, text in enumerate(explanation.fixes, 1))


_OURS = frozenset(["kind", "op", "title", "usage", "what"])
"""Fields of a report that are not names: they have our words in them, or are a headline."""


def _names(part: object) -> Iterator[str]:
    """Yield every name in *part*, a report or a part of one."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        yield from (name for value in part.values() for name in _names(value))
    elif isinstance(part, tuple):
        yield from (name for value in part for name in _names(value))
    elif is_dataclass(part):
        for one in fields(part):
            if one.name not in _OURS:
                yield from _names(getattr(part, one.name))


def _lock_row(note: LockNote, prose: Prose) -> str:
    mode = mode_words(Mode(note.mode)) if note.mode != Mode.UNKNOWN.value else ""
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


def _path(note: PathNote) -> str:
    place = f", in {code(note.function + '()')}" if note.function else ""
    how = f" {note.held_mode}" if note.held_mode else ""
    return (
        f"- **{note.task}** (link #{note.number}): first {code(note.holds)}{how}, "
        f"then {code(note.call)}{place}"
    )


def _bullets(title: str, texts: Iterable[str], prose: Prose) -> Iterator[str]:
    bullets = [f"- {prose(text)}" for text in texts]
    if bullets:
        yield from ("", f"### {title}", "", *bullets)


def _reason(reason: Reason) -> str:
    letter = f"({reason.code}) " if reason.code else ""
    return f"{letter}{'' if reason.certain else 'To check: '}{reason.text}"
