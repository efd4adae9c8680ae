# SPDX-License-Identifier: Apache-2.0
"""Draws an interleaving as kernel people do: one column a thread, time going down.

A line has the text of one thread only, so a long text may run on to the right of its column; what still does
not fit is broken after a comma or a blank and continues on the next line.
"""

from __future__ import annotations

from collections.abc import Iterable

from quiesce.report.columns import broken
from quiesce.report.document import InterleavingBlock


def draw(interleaving: InterleavingBlock) -> str:
    """Return the drawing, without a newline at its end; empty for an interleaving without threads."""
    heads, starts = interleaving.heads, interleaving.starts
    if not heads:
        return ""
    lines = [
        _line(zip(starts, heads, strict=True)),
        _line((start, "-" * len(head)) for start, head in zip(starts, heads, strict=True)),
    ]
    for move in interleaving.moves:
        if move.lane < 0:
            lines.append(f" {move.text}".rstrip())
            continue
        start = starts[move.lane]
        for number, part in enumerate(broken(move.text, interleaving.width - start)):
            lines.append(_line([(start + 2 * (number > 0), part)]))
    return "\n".join(lines)


def _line(parts: Iterable[tuple[int, str]]) -> str:
    line = ""
    for start, text in parts:
        line = line.ljust(start) if len(line) < start else f"{line} "
        line += text
    return line.rstrip()
