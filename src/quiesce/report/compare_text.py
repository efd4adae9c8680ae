# SPDX-License-Identifier: Apache-2.0
"""Variants of one scenario side by side: a column each, and where their runs part."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from quiesce.explorer.differ import Difference
from quiesce.explorer.expected import as_expected
from quiesce.explorer.findings import CheckResult, PropertyResult
from quiesce.explorer.reference.checker import cut_only_by_failures
from quiesce.harmless import one_line
from quiesce.verdict import Verdict

WIDTH = 79

_WORDS = {
    Verdict.HOLDS: "holds",
    Verdict.INCOMPLETE: "not decided",
    Verdict.VIOLATION: "VIOLATED",
    Verdict.ERROR: "error",
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One value of the parameter, and what came out with it."""

    value: str
    result: CheckResult


@dataclass(frozen=True, slots=True)
class Pair:
    """Two variants of which the first violates a property, and where they part."""

    first: Variant
    second: Variant
    property: str
    difference: Difference


def render_comparison(
    title: str, over: str, variants: Sequence[Variant], pairs: Sequence[Pair]
) -> str:
    """Return the table of *variants*, then a paragraph for each of *pairs*."""
    rows = _rows(variants)
    lines = [one_line(title)]
    for part in _parts(rows, len(variants)):
        lines += ["", *_table([[row[0], *(row[i + 1] for i in part)] for row in rows])]
    lines += _rest(variants)
    for pair in pairs:
        lines += ["", *_paragraph(over, pair)]
    return "\n".join(lines) + "\n"


def _rows(variants: Sequence[Variant]) -> list[list[str]]:
    """Return the cells: the values, the verdicts, what does not hold everywhere, the sizes."""
    rows = [["", *(one_line(v.value) for v in variants)]]
    rows.append(["verdict", *(v.result.verdict.name for v in variants)])
    if any(v.result.expected is not None for v in variants):
        words = {True: "yes", False: "NO", None: "-"}
        rows.append(["as expected", *(words[as_expected(v.result)] for v in variants)])
    for name in _names(variants):
        if any(_is_shown(v, name) for v in variants):
            rows.append([one_line(name), *(_cell(v, name) for v in variants)])
    rows.append(["states", *(f"{v.result.states:,}" for v in variants)])
    rows.append(["seconds", *(f"{v.result.seconds:.2f}" for v in variants)])
    return rows


def _names(variants: Sequence[Variant]) -> list[str]:
    """Return the properties of all variants, each once: a variant may declare some of its own."""
    return list(dict.fromkeys(p.name for v in variants for p in v.result.properties))


def _find(variant: Variant, name: str) -> PropertyResult | None:
    return next((p for p in variant.result.properties if p.name == name), None)


def _is_shown(variant: Variant, name: str) -> bool:
    """Return True unless the property holds, or is left open only by what would come after failed steps."""
    found = _find(variant, name)
    if found is None or found.verdict is Verdict.VIOLATION:
        return True
    return found.verdict is not Verdict.HOLDS and not cut_only_by_failures(
        variant.result.incomplete
    )


def _cell(variant: Variant, name: str) -> str:
    found = _find(variant, name)
    if found is None:
        return "-"
    word = str(found.finding.kind) if found.finding else _WORDS[found.verdict]
    return f"({word})" if found.informational else word


def _parts(rows: list[list[str]], count: int) -> list[list[int]]:
    """Divide the columns into tables that are not too wide."""
    first = max(len(row[0]) for row in rows)
    parts: list[list[int]] = []
    room = 0
    for i in range(count):
        width = max(len(row[i + 1]) for row in rows) + 2
        if not parts or room < width:
            parts.append([])
            room = WIDTH - 2 - first
        parts[-1].append(i)
        room -= width
    return parts


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return [
        ("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def _rest(variants: Sequence[Variant]) -> list[str]:
    """Say how much is not in the table, and why something is not decided."""
    names = [n for n in _names(variants) if not any(_is_shown(v, n) for v in variants)]
    proved = [n for n in names if all(_cell(v, n) in ("holds", "(holds)") for v in variants)]
    count, left_open = len(proved), len(names) - len(proved)
    lines = []
    if count:
        lines.append(
            f"  {count} other {'property holds' if count == 1 else 'properties hold'} with each"
        )
    if left_open:
        verb = "property is" if left_open == 1 else "properties are"
        lines.append(f"  {left_open} other {verb} violated with none, and not decided with each")
    for variant in variants:
        if variant.result.incomplete:
            lines += _filled(
                f"{variant.value}: not the whole space: {variant.result.incomplete}", "  "
            )
    return lines


def _paragraph(over: str, pair: Pair) -> list[str]:
    """Return the first line that differs, of both runs."""
    first, second = pair.first.value, pair.second.value
    difference = pair.difference
    if not difference.ours and not difference.theirs:
        return _filled(
            f"{over}={first} and {over}={second} fail {pair.property} by the same run.", ""
        )
    lines = _filled(
        f"{over}={first} fails {pair.property}; "
        + (
            f"with {over}={second}, the same run differs in line {difference.same + 1}:"
            if difference.end
            else f"{over}={second} does, too. The runs differ in line {difference.same + 1}:"
        ),
        "",
    )
    width = max(len(one_line(first)), len(one_line(second)))
    for value, text in ((first, difference.ours), (second, difference.theirs)):
        lines += _filled(f"{one_line(value):{width}}  {text or 'the run has ended'}", "  ")
    if difference.end and difference.end != difference.theirs:
        lines += _filled(f"and in the end: {difference.end}", "  ")
    return lines


def _filled(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        one_line(text), WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
    )  # fmt: skip
