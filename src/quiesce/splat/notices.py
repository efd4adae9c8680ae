# SPDX-License-Identifier: Apache-2.0
"""The notices by which lockdep turns itself off: a key without a class, a full table, a warning."""

from __future__ import annotations

from quiesce.splat.reader import Handler, Reader


def _off(reader: Reader, text: str, number: int) -> None:
    reader.facts["validator"] = "turned off"


PHRASES: dict[str, Handler] = {
    "turning off the locking correctness": _off,
    "the code is fine but needs": _off,
}


def find_missing(reader: Reader) -> None:
    """Nothing beyond the backtrace."""
