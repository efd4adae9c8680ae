# SPDX-License-Identifier: Apache-2.0
"""An explained log as text for a terminal, 78 columns, or to be pasted into a mail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from quiesce.explain.judge.excuses import Excuse
from quiesce.explain.judge.explanation import LockNote
from quiesce.explain.judge.lock_notes import mode_words, what_it_is
from quiesce.explain.judge.modes import AcquireMode
from quiesce.explain.log import Explained, ExplainedLog, drawn_cycle, other_readings
from quiesce.explain.show.screen import answer_sections, paragraph, screen_sections, wrap
from quiesce.report.document import Block, BlockGroup, CodeBlock, Paragraph
from quiesce.report.formats.text import text_of


def render(log: ExplainedLog, *, quiet: bool = False, verbose: bool = False) -> str:
    """Return *log* as text that ends with a newline; empty for a log without reports."""
    return text_of(log_sections(log, quiet=quiet, verbose=verbose))


def log_sections(
    log: ExplainedLog, *, quiet: bool = False, verbose: bool = False
) -> list[BlockGroup]:
    """Return *log* for people; nothing for a log without reports.

    :param quiet: only the verdict of each report.
    :param verbose: after each answer, all that stands behind it.
    """
    sections = [s for one in log.problems for s in _report(one, log, quiet, verbose)]
    if log.others:
        sections.append(BlockGroup(tuple(map(CodeBlock, _others(log)))))
    return sections


def _report(one: Explained, log: ExplainedLog, quiet: bool, verbose: bool) -> list[BlockGroup]:
    answer = one.explanation.answer
    if quiet:
        sections = [BlockGroup((paragraph(answer.text),))]
    elif verbose:
        sections = [*answer_sections(answer), *_details(one)]
    else:
        sections = screen_sections(answer)
    if len(log.problems) > 1 or one.count > 1 or verbose:
        sections[0] = BlockGroup((*_headline(one, log), *sections[0].blocks))
    return sections


_MOST_OTHERS = 6


def _others(log: ExplainedLog) -> list[str]:
    """Return one line for each thing that is known but not about waiting."""
    shown = [f"Not about waiting: {other}" for other in log.others[:_MOST_OTHERS]]
    rest = len(log.others) - len(shown)
    return [*shown, *([f"Not about waiting: {rest} more"] if rest else [])]


def _headline(one: Explained, log: ExplainedLog) -> tuple[Block, ...]:
    report = one.report
    facts = [report.kind, report.kernel and f"kernel {report.kernel}", report.task]
    facts.append(f"lines {report.line}-{report.end_line}")
    if one.count > 1:
        first = log.reports.index(one)
        again = [r.report.line for r in log.reports if r.same_as == first]
        where = ", ".join(str(line) for line in again[:6]) + (" ..." if len(again) > 6 else "")
        facts.append(f"seen {one.count} times, again at line {where}")
    text = ", ".join(fact for fact in facts if fact)
    return paragraph(text), CodeBlock("-" * max(map(len, wrap(text))))


def _details(one: Explained) -> list[BlockGroup]:
    explanation = one.explanation
    found: list[list[Block]] = []
    if explanation.excuses:
        texts = [excuse_text(excuse) for excuse in explanation.excuses]
        found.append([CodeBlock("What speaks against it"), *_items(texts)])
    for interleaving in explanation.interleavings:
        found += [[CodeBlock(interleaving.title)], [CodeBlock(interleaving.text, "  ")]]
        if interleaving.waits:
            found.append([paragraph(sentence, "  ") for sentence in interleaving.waits])
    if drawn_cycle(one):
        found += _checked(one)
    if explanation.not_shown:
        found.append([CodeBlock("What the report does not show"), *_items(explanation.not_shown)])
    if explanation.locks:
        locks = (block for note in explanation.locks for block in _lock(note))
        found.append([CodeBlock("The locks"), *locks])
    return [BlockGroup(tuple(blocks)) for blocks in found]


def _items(texts: Iterable[str]) -> list[Paragraph]:
    return [paragraph(text, "  - ") for text in texts]


def _checked(one: Explained) -> list[list[Block]]:
    found: list[list[Block]] = [
        [
            CodeBlock("The drawn cycle, checked as a model"),
            paragraph(drawn_cycle(one), "  "),
            paragraph(
                "All rows have the same objects in it, so this is not evidence that it can hang.",
                "  ",
            ),
        ]
    ]
    if one.proof.interleaving:
        found.append([CodeBlock(one.proof.interleaving, "  ")])
    if other_readings(one):
        found.append([*_items(other_readings(one))])
    return found


def excuse_text(excuse: Excuse) -> str:
    """Return *excuse* with its letter and its notes, in one line."""
    text = excuse.text[:1].upper() + excuse.text[1:]
    return " ".join(
        (f"({excuse.code}) {text}{'' if text.endswith(('.', '?')) else '.'}", *excuse.notes)
    )


def _lock(note: LockNote) -> Iterator[Block]:
    yield CodeBlock(f"  {note.name}")
    facts = [what_it_is(note)]
    if note.mode != AcquireMode.UNKNOWN.value:
        facts.append(f"taken {mode_words(AcquireMode(note.mode))}")
    if note.where:
        facts.append(f"at {note.where}")
    yield paragraph(f"{note.role}: {', '.join(facts)}", "    ")
    if note.usage_text:
        yield paragraph(f"{{{note.usage}}}: {note.usage_text}", "    ")
    if note.stands_for:
        yield paragraph(f"It stands for {note.stands_for}.", "    ")
        see = f" See {note.source}." if note.source else ""
        yield paragraph(f"{note.blocks}{see}", "    ")
