# SPDX-License-Identifier: Apache-2.0
"""What "possible recursive locking detected" prints of its own."""

from __future__ import annotations

from quiesce.splat.reader import Handler, Reader


def _comparison(reader: Reader, text: str, number: int) -> None:
    reader.facts["comparison"] = text.rpartition("returns")[2].strip(" :")


def _nesting_hint(reader: Reader, text: str, number: int) -> None:
    reader.facts["hint"] = "may be due to missing lock nesting notation"


PHRASES: dict[str, Handler] = {
    "and the lock comparison function returns": _comparison,
    "may be due to missing lock nesting": _nesting_hint,
}


def find_missing(reader: Reader) -> None:
    """Nothing beyond what all kinds with two locks need."""
