# SPDX-License-Identifier: Apache-2.0
"""An explained log as text for a terminal, 78 columns, or to be pasted into a mail."""

from __future__ import annotations

from collections.abc import Iterator

from quiesce.explain.judge.excuses import Excuse
from quiesce.explain.judge.explanation import LockNote
from quiesce.explain.judge.lock_notes import mode_words, what_it_is
from quiesce.explain.judge.modes import AcquireMode
from quiesce.explain.log import Explained, ExplainedLog, drawn_cycle, other_readings
from quiesce.explain.show.screen import all_lines, render_answer, wrap


def render(log: ExplainedLog, *, quiet: bool = False, verbose: bool = False) -> str:
    """Return *log* as text that ends with a newline; empty for a log without reports.

    :param quiet: only the verdict of each report.
    :param verbose: after each answer, all that stands behind it.
    """
    parts = ["\n".join(_report(one, log, quiet, verbose)) for one in log.problems]
    if log.others:
        parts.append("\n".join(_others(log)))
    return "\n\n".join(parts) + "\n" if parts else ""


def _report(one: Explained, log: ExplainedLog, quiet: bool, verbose: bool) -> Iterator[str]:
    if len(log.problems) > 1 or one.count > 1 or verbose:
        yield from _headline(one, log)
    if quiet:
        yield from wrap(one.explanation.answer.text)
        return
    if not verbose:
        yield from render_answer(one.explanation.answer)
        return
    yield from all_lines(one.explanation.answer)
    for section in _sections(one):
        yield ""
        yield from (line.rstrip() for line in section)


_MOST_OTHERS = 6


def _others(log: ExplainedLog) -> list[str]:
    """Return one line for each thing that is known but not about waiting."""
    shown = [f"Not about waiting: {other}" for other in log.others[:_MOST_OTHERS]]
    rest = len(log.others) - len(shown)
    return [*shown, *([f"Not about waiting: {rest} more"] if rest else [])]


def _headline(one: Explained, log: ExplainedLog) -> Iterator[str]:
    report = one.report
    facts = [report.kind, report.kernel and f"kernel {report.kernel}", report.task]
    facts.append(f"lines {report.line}-{report.end_line}")
    if one.count > 1:
        first = log.reports.index(one)
        again = [r.report.line for r in log.reports if r.same_as == first]
        where = ", ".join(str(line) for line in again[:6]) + (" ..." if len(again) > 6 else "")
        facts.append(f"seen {one.count} times, again at line {where}")
    lines = wrap(", ".join(fact for fact in facts if fact))
    yield from lines
    yield "-" * max(len(line) for line in lines)


def _sections(one: Explained) -> Iterator[list[str]]:
    explanation = one.explanation
    if explanation.excuses:
        texts = [excuse_text(excuse) for excuse in explanation.excuses]
        yield ["What speaks against it", *(x for t in texts for x in wrap(t, "  - "))]
    for interleaving in explanation.interleavings:
        table = [f"  {line}" for line in interleaving.text.splitlines()]
        waits = [line for sentence in interleaving.waits for line in wrap(sentence, "  ")]
        yield [interleaving.title, "", *table, *([""] if waits else []), *waits]
    if drawn_cycle(one):
        yield list(_checked(one))
    if explanation.not_shown:
        texts = list(explanation.not_shown)
        yield ["What the report does not show", *(x for t in texts for x in wrap(t, "  - "))]
    if explanation.locks:
        yield ["The locks", *(line for note in explanation.locks for line in _lock(note))]


def _checked(one: Explained) -> Iterator[str]:
    yield "The drawn cycle, checked as a model"
    yield from wrap(drawn_cycle(one), "  ")
    yield from wrap(
        "All rows have the same objects in it, so this is not evidence that it can hang.", "  "
    )
    if one.proof.interleaving:
        yield ""
        yield from (f"  {line}" for line in one.proof.interleaving.splitlines())
    if other_readings(one):
        yield ""
        yield from (line for text in other_readings(one) for line in wrap(text, "  - "))


def excuse_text(excuse: Excuse) -> str:
    """Return *excuse* with its letter and its notes, in one line."""
    text = excuse.text[:1].upper() + excuse.text[1:]
    return " ".join(
        (f"({excuse.code}) {text}{'' if text.endswith(('.', '?')) else '.'}", *excuse.notes)
    )


def _lock(note: LockNote) -> Iterator[str]:
    yield f"  {note.name}"
    facts = [what_it_is(note)]
    if note.mode != AcquireMode.UNKNOWN.value:
        facts.append(f"taken {mode_words(AcquireMode(note.mode))}")
    if note.where:
        facts.append(f"at {note.where}")
    yield from wrap(f"{note.role}: {', '.join(facts)}", "    ")
    if note.usage_text:
        yield from wrap(f"{{{note.usage}}}: {note.usage_text}", "    ")
    if note.stands_for:
        yield from wrap(f"It stands for {note.stands_for}.", "    ")
        see = f" See {note.source}." if note.source else ""
        yield from wrap(f"{note.blocks}{see}", "    ")
