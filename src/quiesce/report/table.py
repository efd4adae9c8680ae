# SPDX-License-Identifier: Apache-2.0
"""The designs side by side: one row each, what was found in a word, at most 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from quiesce.explorer.findings import CheckResult
from quiesce.harmless import harmless
from quiesce.properties import NO_DEADLOCK, NO_STARVATION, NO_STUCK_THREAD
from quiesce.report.document import BlockGroup, Paragraph, TableBlock, Tone, Word
from quiesce.report.formats.text import text_of
from quiesce.verdict import Verdict

Row = tuple[str, CheckResult, str]
"""A design, its result, and what lockdep says of it in a word."""

COLUMNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("deadlock", (NO_DEADLOCK.name, NO_STUCK_THREAD.name)),
    ("stale translation", ("no_stale_translation", "no_translation_without_memslot")),
    ("balance", ("balanced", "start_and_end_agree")),
    ("starvation", ("updates_finish", NO_STARVATION.name)),
)
"""The columns about findings, each with the properties that it sums up."""

OTHERS = frozenset(name for _, names in COLUMNS for name in names)


def design_sections(rows: Sequence[Row]) -> list[BlockGroup]:
    """Return the table of the designs' results, and what it does not show."""
    heads = ["design", *(head for head, _ in COLUMNS), "lockdep", "states", "seconds"]
    first, second = zip(*(_two_lines(h) for h in heads), strict=True)
    body = tuple(tuple(_cells(*row)) for row in rows)
    right = frozenset({len(heads) - 2, len(heads) - 1})
    table = TableBlock((first, second), body, right, gap=" ", ruled=True)
    others = tuple(Paragraph(harmless(line), rest="  ") for line in _other_findings(rows))
    return [BlockGroup((table,)), *([BlockGroup(others)] if others else [])]


def render_table(rows: Sequence[Row]) -> str:
    """Return the table of the designs' results as text."""
    return text_of(design_sections(rows))


def cell(result: CheckResult, names: tuple[str, ...]) -> str:
    """Return the word for what was found about the properties *names*."""
    found = [p for p in result.properties if p.name in names]
    kinds = [p.finding.kind for p in found if p.finding is not None]
    if kinds:
        return "FOUND"
    return "none" if all(p.verdict is Verdict.HOLDS for p in found) else "?"


def _cells(design: str, result: CheckResult, lockdep: str) -> list[Word]:
    tones = {"FOUND": Tone.BAD, "?": Tone.OPEN}
    found = [cell(result, names) for _, names in COLUMNS]
    return [
        Word(design),
        *(Word(word, tones.get(word, Tone.PLAIN)) for word in found),
        Word(lockdep),
        Word(f"{result.states:,}"),
        Word(f"{result.seconds:.1f}"),
    ]


def _other_findings(rows: Sequence[Row]) -> list[str]:
    """Name what was found beyond the columns, so that nothing is hidden by the table."""
    lines = []
    for design, result, _ in rows:
        for p in result.properties:
            if p.finding is not None and p.name not in OTHERS and not p.informational:
                lines.append(f"{design}: {p.finding.kind}: {p.finding.message}")
    for reason in dict.fromkeys(r.incomplete for _, r, _ in rows if r.incomplete):
        which = [design for design, r, _ in rows if r.incomplete == reason]
        lines.append(f"not the whole space, {reason}: {', '.join(which)}")
    information = sorted(
        {p.name for _, r, _ in rows for p in r.properties if p.informational and p.finding}
    )
    for name in information:
        which = [d for d, r, _ in rows if r.property(name).finding is not None]
        lines.append(f"for information, {name} can fail in: {', '.join(which)}")
    return lines


def _two_lines(head: str) -> tuple[str, str]:
    first, blank, second = head.partition(" ")
    return (first, second) if blank else ("", head)
