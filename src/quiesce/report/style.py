# SPDX-License-Identifier: Apache-2.0
"""How a stream shows text: with colors or without, how wide, and whether a line can be written over.

This is the one place that decides it. Colors are used on a terminal only. ``NO_COLOR`` (https://no-color.org)
turns them off, ``FORCE_COLOR`` turns them on where no terminal is; each counts if it is not empty.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from typing import TextIO

from quiesce.harmless import harmless
from quiesce.report.document import Tone, Word

_CODES = {Tone.GOOD: "32", Tone.BAD: "1;31", Tone.OPEN: "33", Tone.LINK: "36"}
NARROWEST = 40
"""Columns below which text is not wrapped any narrower."""


@dataclass(frozen=True, slots=True)
class Style:
    """How text is shown.

    :param colors: the stream obeys color sequences.
    :param columns: the width of the terminal; 0 where there is none.
    """

    colors: bool = False
    columns: int = 0
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    def paint(self, word: Word) -> str:
        """Return the text of *word* with marks for the color of its tone around it: see :meth:`finish`."""
        code = _CODES.get(word.tone)
        if not self.colors or code is None or not word.text.strip():
            return word.text
        return f"{self.mark}{code}m{word.text}{self.mark}0m"

    def finish(self, text: str) -> str:
        """Return *text* with its marks turned into color sequences, and every other sequence harmless.

        A name from outside cannot contain a mark: it is random.
        """
        return harmless(text).replace(self.mark, "\x1b[") if self.colors else text

    def width(self, most: int) -> int:
        """Return *most* columns, or fewer on a terminal that is narrower."""
        return max(NARROWEST, min(most, self.columns)) if self.columns else most


PLAIN = Style()
"""No colors, and the widths that each text was written for."""


def style_of(stream: TextIO) -> Style:
    """Return how *stream* shows text."""
    terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    colors = terminal or bool(os.environ.get("FORCE_COLOR"))
    if os.environ.get("NO_COLOR"):
        colors = False
    return Style(colors, _columns(stream) if stream.isatty() else 0)


def _columns(stream: TextIO) -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdecimal() and 0 < int(given[:9]):
        return int(given[:9])
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0
