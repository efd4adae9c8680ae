# SPDX-License-Identifier: Apache-2.0
"""Texts in columns: breaking a call that does not fit where a reader expects it."""

from __future__ import annotations

NARROWEST_TEXT = 24


def broken(text: str, width: int) -> list[str]:
    """Break *text* into lines of at most *width* columns.

    A remark after an arrow goes first; then a break after a blank, a comma or an opening parenthesis.
    With very many threads, or a very long name, the lines become wider than the table.
    """
    width = max(width, NARROWEST_TEXT)
    if len(text) <= width:
        return [text]
    head, arrow, tail = text.partition("   <- ")
    if arrow and len(head) <= width:
        return [head, *broken(f"<- {tail}", width - 2)]
    cut = max(text.rfind(" ", 0, width), text.rfind(",", 0, width - 1) + 1, _call(text, width))
    if cut <= 0:
        cut = width
    return [text[:cut].rstrip(), *broken(text[cut:].lstrip(), width - 2)]


def _call(text: str, width: int) -> int:
    """Return the place after the parenthesis that opens a call's arguments, if it is in reach."""
    place = text.find("(") + 1
    return place if place <= width else 0
