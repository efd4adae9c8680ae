# SPDX-License-Identifier: Apache-2.0
"""The runs of a sweep, one row each: what was varied, the verdict, what was found, states and seconds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from quiesce.harmless import harmless

_WIDEST = 40
"""Columns for the names of what was found."""


def render_sweep(title: str, over: Sequence[str], runs: Sequence[dict[str, Any]]) -> str:
    """Return the table of the *runs*, each as ``commands/sweep.py`` returns it."""
    designs = any(run["design"] for run in runs)
    heads = [*(["design"] if designs else []), *over, "verdict", "states", "seconds", "violated"]
    rows = []
    for run in runs:
        check = run["check"]
        found = [p["name"] for p in check["properties"] if p["verdict"] == "violation"]
        found = [p for p in found if p not in _informational(check)]
        rows.append(
            [
                *([run["design"]] if designs else []),
                *(run["settings"].get(name, "") for name in over),
                check["verdict"], f"{check['states']:,}", f"{check['seconds']:.1f}",
                textwrap.shorten(", ".join(found), _WIDEST, placeholder=" ..."),
            ]
        )  # fmt: skip
    widths = [max(len(r[i]) for r in [heads, *rows]) for i in range(len(heads))]
    lines = [title, "", _line(heads, widths), _line(["-" * w for w in widths], widths)]
    lines += [_line(row, widths) for row in rows]
    notes = []
    for run in runs:
        if run["check"]["verdict"] == "incomplete":
            values = ", ".join(run["settings"].get(name, "") for name in over)
            notes.append(f"{values}: {run['check']['incomplete_because']}")
    if notes:
        lines += ["", "not decided:", *(f"  {note}" for note in notes)]
    return harmless("\n".join(line.rstrip() for line in lines) + "\n")


def _informational(check: dict[str, Any]) -> set[str]:
    return {p["name"] for p in check["properties"] if p["informational"]}


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return one row; the numbers, third and second from the end, to the right."""
    last = len(cells) - 1
    numbers = (last - 1, last - 2)
    return "  ".join(
        c.rjust(w) if i in numbers else c.ljust(w)
        for i, (c, w) in enumerate(zip(cells, widths, strict=True))
    )
