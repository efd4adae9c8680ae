# SPDX-License-Identifier: Apache-2.0
"""What "inconsistent lock state" prints of its own: one lock, used in two ways that do not fit."""

from __future__ import annotations

import re

from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.reader import Handler, ReportReader

_USAGES = re.compile(r"inconsistent \{([\w -]{1,40})\} -> \{([\w -]{1,40})\} usage", re.IGNORECASE)


def _usages(reader: ReportReader, text: str, number: int) -> None:
    match = _USAGES.match(text)
    if match is not None:
        reader.facts["was"], reader.facts["becomes"] = match.group(1), match.group(2)


def _takes(reader: ReportReader, text: str, number: int) -> None:
    reader.task_line(text, number)
    reader.expect("wanted")


def _registered(reader: ReportReader, text: str, number: int) -> None:
    reader.expect("")
    reader.trace("registered")


def _stamp(reader: ReportReader, text: str, number: int) -> None:
    reader.close()


_PHRASES: dict[str, Handler] = {
    "inconsistent {": _usages,
    " takes:": _takes,
    " state was registered at": _registered,
    "irq event stamp:": _stamp,
    "hardirqs last": _stamp,
    "softirqs last": _stamp,
}


def _find_missing(reader: ReportReader) -> None:
    """The two usages and the trace of the earlier one."""
    if "was" not in reader.facts:
        reader.lack("the two usages")
    if not reader.traces.get("registered"):
        reader.lack("the stack of the earlier usage")


register(
    ReportKind(
        "inconsistent",
        titles=(r"inconsistent lock state",),
        triggers=("inconsistent lock state",),
        phrases=_PHRASES,
        find_missing=_find_missing,
        locks=1,
        has_table=True,
    )
)
