# SPDX-License-Identifier: Apache-2.0
"""An explained log as Markdown, for a mail or an issue."""

from __future__ import annotations

from collections.abc import Iterator

from quiesce.explain.judge.explanation import LockNote, PathNote, Reason
from quiesce.explain.judge.lock_notes import mode_words, what_it_is
from quiesce.explain.judge.modes import Mode
from quiesce.explain.log import Explained, ExplainedLog, other_readings, proof_line, question


def render(log: ExplainedLog) -> str:
    """Return *log* as Markdown that ends with a newline; empty for a log without reports."""
    parts = ["\n".join(_report(one)) for one in log.problems]
    return "\n\n".join(parts) + "\n" if parts else ""


def code(text: str) -> str:
    """Return *text* as inline code, whatever backticks it contains."""
    fence = "`"
    while fence in text:
        fence += "`"
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _report(one: Explained) -> Iterator[str]:
    report, explanation = one.report, one.explanation
    yield f"## {report.kind}: {report.title}"
    yield ""
    facts = [f"kernel {code(report.kernel)}" if report.kernel else "", code(report.task or "?")]
    facts.append(f"lines {report.line}-{report.end_line}")
    if one.count > 1:
        facts.append(f"seen {one.count} times")
    yield ", ".join(fact for fact in facts if fact)
    yield ""
    yield f"**{_escape(explanation.summary)}**"
    if explanation.locks:
        yield from ("", "### The locks", "")
        yield "| lock | part | what it is | taken | at |"
        yield "|---|---|---|---|---|"
        yield from (_lock_row(note) for note in explanation.locks)
        yield from _stands_for(explanation.locks)
    if explanation.paths:
        yield from ("", "### The paths", "")
        yield from (_path(note) for note in explanation.paths)
    for interleaving in explanation.interleavings:
        yield from ("", f"### {interleaving.title}", "", "```", interleaving.text, "```")
        if interleaving.waits:
            yield from ("", *(f"- {_escape(sentence)}" for sentence in interleaving.waits))
    if explanation.because or explanation.assessment:
        yield from ("", f"### {question(one)}", "", _escape(explanation.because))
        if proof_line(one):
            yield from ("", _escape(proof_line(one)))
            if one.proof.interleaving:
                yield from ("", "```", one.proof.interleaving, "```")
            if other_readings(one):
                yield from ("", *(f"- {_escape(text)}" for text in other_readings(one)))
    yield from _bullets("For it", [_reason(r) for r in explanation.real])
    yield from _bullets("Against it", [_reason(r) for r in explanation.false])
    yield from _bullets("What the report does not show", list(explanation.not_shown))
    if explanation.fixes:
        yield from ("", "### What would break it", "")
        yield from (f"{n}. {_escape(text)}" for n, text in enumerate(explanation.fixes, 1))


def _lock_row(note: LockNote) -> str:
    mode = mode_words(Mode(note.mode)) if note.mode != Mode.UNKNOWN.value else ""
    name = code(note.name).replace("|", "\\|")
    where = code(note.where) if note.where else ""
    what = what_it_is(note)
    if note.usage_text:
        what += f"; {note.usage_text}"
    return f"| {name} | {note.role} | {what} | {mode} | {where} |"


def _stands_for(notes: tuple[LockNote, ...]) -> Iterator[str]:
    explained = [note for note in notes if note.stands_for]
    if explained:
        yield ""
    for note in explained:
        see = f" See {note.source}." if note.source else ""
        text = f"{note.stands_for}. {note.blocks}{see}"
        yield f"- {code(note.name)} stands for {_escape(text)}"


def _path(note: PathNote) -> str:
    place = f", in {code(note.function + '()')}" if note.function else ""
    how = f" {note.held_mode}" if note.held_mode else ""
    return (
        f"- **{note.task}** (link #{note.number}): first {code(note.holds)}{how}, "
        f"then {code(note.call)}{place}"
    )


def _bullets(title: str, texts: list[str]) -> Iterator[str]:
    if texts:
        yield from ("", f"### {title}", "", *(f"- {_escape(text)}" for text in texts))


def _reason(reason: Reason) -> str:
    letter = f"({reason.code}) " if reason.code else ""
    return f"{letter}{'' if reason.certain else 'To check: '}{reason.text}"


def _escape(text: str) -> str:
    """Keep Markdown from reading names, and keep the text fit for a mail: only what must be."""
    for char in "\\`*<|":
        text = text.replace(char, f"\\{char}")
    return text
