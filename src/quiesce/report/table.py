# SPDX-License-Identifier: Apache-2.0
"""The designs side by side: one row each, what was found in a word, at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from quiesce.explorer.findings import CheckResult
from quiesce.harmless import harmless
from quiesce.properties import NO_DEADLOCK, NO_STARVATION, NO_STUCK_THREAD
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


def render_table(rows: Sequence[Row]) -> str:
    """Return the table of the designs' results."""
    heads = ["design", *(head for head, _ in COLUMNS), "lockdep", "states", "seconds"]
    body = [_cells(*row) for row in rows]
    first, second = zip(*(_two_lines(h) for h in heads), strict=True)
    widths = [max(len(r[i]) for r in [first, second, *body]) for i in range(len(heads))]
    lines = [
        _joined(first, widths),
        _joined(second, widths),
        _joined(["-" * w for w in widths], widths),
    ]
    lines += [_joined(r, widths) for r in body]
    lines += ["", *_other_findings(rows)]
    return "\n".join(lines).rstrip() + "\n"


def cell(result: CheckResult, names: tuple[str, ...]) -> str:
    """Return the word for what was found about the properties *names*."""
    found = [p for p in result.properties if p.name in names]
    kinds = [p.finding.kind for p in found if p.finding is not None]
    if kinds:
        return "FOUND"
    return "none" if all(p.verdict is Verdict.HOLDS for p in found) else "?"


def _cells(design: str, result: CheckResult, lockdep: str) -> list[str]:
    return [
        design,
        *(cell(result, names) for _, names in COLUMNS),
        lockdep,
        f"{result.states:,}",
        f"{result.seconds:.1f}",
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
    return [
        part for line in lines for part in textwrap.wrap(harmless(line), 79, subsequent_indent="  ")
    ]


def _two_lines(head: str) -> tuple[str, str]:
    first, blank, second = head.partition(" ")
    return (first, second) if blank else ("", head)


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = [
        c.rjust(w) if i > 5 else c.ljust(w)
        for i, (c, w) in enumerate(zip(cells, widths, strict=True))
    ]
    return " ".join(parts).rstrip()
