# SPDX-License-Identifier: Apache-2.0
"""What "Invalid wait context" prints of its own: a lock that may sleep where nothing may."""

from __future__ import annotations

import re

from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.reader import Handler, ReportReader

_CONTEXT = re.compile(r"context-\{(\d):(\d)\}")


def _to_lock(reader: ReportReader, text: str, number: int) -> None:
    reader.task_line(text, number)
    reader.expect("wanted")


def _context(reader: ReportReader, text: str, number: int) -> None:
    match = _CONTEXT.search(text)
    if match is not None:
        reader.facts["context"] = match.group(2)
    reader.expect("")


_PHRASES: dict[str, Handler] = {
    "is trying to lock": _to_lock,
    "context-{": _context,
}


def _find_missing(reader: ReportReader) -> None:
    """The context; printed since 5.8."""
    if "context" not in reader.facts:
        reader.lack("the wait context of the task")


register(
    ReportKind(
        "wait-context",
        titles=(r"Invalid wait context",),
        triggers=("Invalid wait context",),
        phrases=_PHRASES,
        find_missing=_find_missing,
        locks=1,
    )
)
