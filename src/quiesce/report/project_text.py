# SPDX-License-Identifier: Apache-2.0
"""The scenarios of a project: one row each, then what did not come out as it should."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from quiesce.explorer.expected import as_expected, shown_findings, unexpected
from quiesce.explorer.findings import CheckResult
from quiesce.harmless import one_line
from quiesce.verdict import Verdict

WIDTH = 79


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario and what came out.

    :param command: what checks it alone, with its counterexample.
    """

    target: str
    settings: tuple[str, ...]
    result: CheckResult
    command: str


def render_project(file: str, rows: Sequence[Row]) -> str:
    """Return the table of *rows*, and a paragraph for each that is not as it should be.

    :param file: the file that lists them.
    """
    cells = [["scenario", "verdict", "as expected", "states", "seconds"]]
    cells += [_cells(row) for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    cells.insert(1, ["-" * width for width in widths])
    lines = [one_line(file), ""]
    lines += [("  " + "  ".join(_aligned(line, widths))).rstrip() for line in cells]
    good = sum(_is_good(row.result) for row in rows)
    lines += ["", f"{good} of {len(rows)} as {'they' if len(rows) > 1 else 'it'} should be"]
    for row in rows:
        if not _is_good(row.result):
            lines += ["", *_paragraph(row)]
    return "\n".join(lines) + "\n"


def _is_good(result: CheckResult) -> bool:
    if result.expected is None:
        return result.verdict is Verdict.HOLDS
    return as_expected(result) is True


def _cells(row: Row) -> list[str]:
    result = row.result
    words = {True: "yes", False: "NO", None: "-" if result.expected is None else "?"}
    return [
        one_line(" ".join((row.target, *row.settings))),
        result.verdict.name,
        words[as_expected(result)],
        f"{result.states:,}",
        f"{result.seconds:.2f}",
    ]


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if i > 2 else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def _paragraph(row: Row) -> list[str]:
    result = row.result
    texts = [one_line(" ".join((row.target, *row.settings)))]
    surprising = unexpected(result)
    for found in surprising:
        if found.finding is None:
            texts.append(f"  {found.name}: expected to be violated, and holds")
        else:
            texts.append(f"  {found.name}: {found.finding.kind}: {found.finding.message}")
    if result.expected is None:
        texts += [f"  {f.property}: {f.kind}: {f.message}" for f in shown_findings(result)]
    if result.incomplete:
        texts.append(f"  not the whole space: {result.incomplete}")
    lines = [part for text in texts for part in _wrapped(text)]
    # A command is copied: it stays on its line.
    return [*lines, one_line(f"  see: {row.command}")]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        one_line(text), WIDTH, subsequent_indent="      ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
