# SPDX-License-Identifier: Apache-2.0
"""What "possible recursive locking detected" prints of its own."""

from __future__ import annotations

from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.reader import Handler, ReportReader


def _comparison(reader: ReportReader, text: str, number: int) -> None:
    reader.facts["comparison"] = text.rpartition("returns")[2].strip(" :")


def _nesting_hint(reader: ReportReader, text: str, number: int) -> None:
    reader.facts["hint"] = "may be due to missing lock nesting notation"


_PHRASES: dict[str, Handler] = {
    "and the lock comparison function returns": _comparison,
    "may be due to missing lock nesting": _nesting_hint,
}


register(
    ReportKind(
        "recursive",
        titles=(r"possible recursive locking(?: detected)?",),
        triggers=("possible recursive locking",),
        whole_title="possible recursive locking detected",
        phrases=_PHRASES,
        locks=2,
        has_table=True,
        headless_otherwise=True,
    )
)
