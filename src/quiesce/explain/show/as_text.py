# SPDX-License-Identifier: Apache-2.0
"""An explained log as text for a terminal, 80 columns, or to be pasted into a mail."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from quiesce.explain.judge.explanation import LockNote, PathNote, Reason
from quiesce.explain.judge.lock_notes import mode_words, what_it_is
from quiesce.explain.judge.modes import Mode
from quiesce.explain.log import Explained, ExplainedLog, other_readings, proof_line, question

_WIDTH = 78


def render(log: ExplainedLog, quiet: bool = False) -> str:
    """Return *log* as text that ends with a newline; empty for a log without reports.

    :param quiet: only the headline and the sentence of each report.
    """
    parts = [_report(one, log, quiet) for one in log.problems]
    return "\n\n".join(parts) + "\n" if parts else ""


def _report(one: Explained, log: ExplainedLog, quiet: bool) -> str:
    lines = list(_headline(one, log))
    lines += ["", *_wrap(one.explanation.summary)]
    if not quiet:
        lines += [line for section in _sections(one) for line in ("", *section)]
    return "\n".join(line.rstrip() for line in lines)


def _headline(one: Explained, log: ExplainedLog) -> Iterator[str]:
    report = one.report
    text = f"{report.kind}: {report.title}"
    yield text
    yield "=" * min(len(text), _WIDTH)
    facts = [report.kernel and f"kernel {report.kernel}", report.task]
    yield ", ".join(f for f in (*facts, f"lines {report.line}-{report.end_line}") if f)
    if one.count > 1:
        first = log.reports.index(one)
        again = [r.report.line for r in log.reports if r.same_as == first]
        where = ", ".join(str(line) for line in again[:6]) + (" ..." if len(again) > 6 else "")
        yield f"seen {one.count} times in this log, again at line {where}"


def _sections(one: Explained) -> Iterator[list[str]]:
    explanation = one.explanation
    if explanation.locks:
        yield ["The locks", *(line for note in explanation.locks for line in _lock(note))]
    if explanation.paths:
        alone = len(explanation.paths) == 1
        yield ["The paths", *(x for note in explanation.paths for x in _path(note, alone))]
    for interleaving in explanation.interleavings:
        table = [f"  {line}" for line in interleaving.text.splitlines()]
        waits = [line for sentence in interleaving.waits for line in _wrap(sentence, "  ")]
        yield [interleaving.title, "", *table, *([""] if waits else []), *waits]
    if explanation.because or explanation.assessment:
        yield [question(one), *_verdict(one)]
    if explanation.real:
        yield ["For it", *(line for reason in explanation.real for line in _reason(reason))]
    if explanation.false:
        yield ["Against it", *(line for r in explanation.false for line in _reason(r))]
    if explanation.not_shown:
        texts = explanation.not_shown
        yield ["What the report does not show", *(x for t in texts for x in _wrap(t, "  - "))]
    if explanation.fixes:
        numbered = enumerate(explanation.fixes, 1)
        yield ["What would break it", *(x for n, t in numbered for x in _wrap(t, f"  {n}. "))]


def _lock(note: LockNote) -> Iterator[str]:
    yield f"  {note.name}"
    facts = [what_it_is(note)]
    if note.mode != Mode.UNKNOWN.value:
        facts.append(f"taken {mode_words(Mode(note.mode))}")
    if note.where:
        facts.append(f"at {note.where}")
    yield from _wrap(f"{note.role}: {', '.join(facts)}", "    ")
    if note.usage_text:
        yield from _wrap(f"{{{note.usage}}}: {note.usage_text}", "    ")
    if note.stands_for:
        yield from _wrap(f"It stands for {note.stands_for}.", "    ")
        yield from _wrap(
            f"{note.blocks} See {note.source}." if note.source else note.blocks, "    "
        )


def _path(note: PathNote, alone: bool) -> Iterator[str]:
    entry = f", reached from {note.entry}()" if note.entry and note.entry != note.function else ""
    link = "" if alone else f"link #{note.number}, "
    yield from _wrap(f"{note.task}: {link}line {note.line}{entry}", "  ")
    how = f", {note.held_mode}" if note.held_mode else ""
    why = f" ({note.held_how})" if note.held_how and how else ""
    yield from _wrap(f"{note.holds}{how}{why}", "     first  ")
    place = f", in {note.function}()" if note.function else ""
    yield from _wrap(f"{note.call}{place}", "     then   ")


def _verdict(one: Explained) -> Iterator[str]:
    explanation = one.explanation
    if explanation.because:
        yield from _wrap(explanation.because, "  ")
    if not proof_line(one):
        return
    yield from _wrap(proof_line(one), "  ")
    if one.proof.interleaving:
        yield ""
        yield from (f"  {line}" for line in one.proof.interleaving.splitlines())
    if other_readings(one):
        yield ""
        yield from (line for text in other_readings(one) for line in _wrap(text, "  - "))


def _reason(reason: Reason) -> list[str]:
    letter = f"({reason.code}) " if reason.code else ""
    ask = "" if reason.certain else "To check: "
    return _wrap(f"{letter}{ask}{reason.text}", "  - ")


def _wrap(text: str, indent: str = "") -> list[str]:
    """Wrap *text*; *indent* begins the first line, the others align with its end."""
    rest = " " * len(indent)
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [indent]
