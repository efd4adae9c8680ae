# SPDX-License-Identifier: Apache-2.0
"""Text from outside, made harmless before it is shown: the one place that decides what that means.

Names come out of logs, protocol files, case files and the command line, and may contain anything:
sequences that a terminal obeys, characters that reverse the direction of text, halves of surrogate pairs
that no encoding can write. Each such character is spelled out as Python spells it, ``\\x1b``, so that a
reader sees that it is there. What Python calls printable stays as it is, and so do blanks.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_SUSPECT = re.compile(r"[^\n\t\x20-\x7e]")
_SUSPECT_IN_A_LINE = re.compile(r"[^\x20-\x7e]")


def harmless(text: str) -> str:
    """Return *text* without control, format and other characters that cannot be seen; lines and tabs stay."""
    return _SUSPECT.sub(_spelled, text)


def one_line(text: str) -> str:
    """Return *text*, which is a name or otherwise a part of a line, harmless and on one line."""
    return _SUSPECT_IN_A_LINE.sub(_spelled, text)


def harmless_data(data: Any) -> Any:
    """Return *data*, which is made of what JSON knows, with every string in it harmless."""
    if isinstance(data, str):
        return harmless(data)
    if isinstance(data, dict):
        return {harmless_data(key): harmless_data(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [harmless_data(value) for value in data]
    return data


def json_text(data: Any, indent: int | None = None) -> str:
    """Return *data* as JSON of ASCII characters, whose strings can be printed as they are."""
    return json.dumps(harmless_data(data), indent=indent)


def _spelled(match: re.Match[str]) -> str:
    char = match[0]
    if char.isprintable() or unicodedata.category(char) == "Zs":
        return char
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
