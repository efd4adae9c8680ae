# SPDX-License-Identifier: Apache-2.0
"""What "suspicious RCU usage" prints of its own: the source line and why it is suspicious."""

from __future__ import annotations

import re

from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.reader import Handler, ReportReader

_USAGE = re.compile(r"(?P<place>[\w./+-]{1,200}:\d{1,7})(?P<what>(?: .{0,200}?)?)!{0,2}$")
_FLAGS = re.compile(r"rcu_scheduler_active = (\d), debug_locks = (\d)")


def _usage(reader: ReportReader, text: str, number: int) -> None:
    """``file.c:12 suspicious rcu_dereference_check() usage!``, which mail programs wrap."""
    if "place" in reader.facts:
        return
    match = _USAGE.match(text)
    if match is None:
        return
    reader.facts["place"], reader.facts["what"] = match["place"], match["what"].strip()
    if not text.endswith("!"):
        reader.await_text(_rest_of_usage)


def _rest_of_usage(reader: ReportReader, text: str, number: int) -> None:
    if text.endswith("!") and len(text) < 100:
        reader.facts["what"] = f"{reader.facts['what']} {text.rstrip('!')}".strip()


def _flags(reader: ReportReader, text: str, number: int) -> None:
    match = _FLAGS.search(text)
    if match is not None:
        reader.facts["rcu_scheduler_active"] = match.group(1)
        reader.facts["debug_locks"] = match.group(2)


def _illegal(reader: ReportReader, text: str, number: int) -> None:
    reader.facts["illegal"] = text.rstrip("!")


_PHRASES: dict[str, Handler] = {
    "rcu_scheduler_active": _flags,
    "rcu used illegally": _illegal,
    ".c:": _usage,
    ".h:": _usage,
    ".rs:": _usage,
    ".s:": _usage,
}


def _find_missing(reader: ReportReader) -> None:
    """The place in the source."""
    if "place" not in reader.facts:
        reader.lack("the source line that was suspicious")


register(
    ReportKind(
        "rcu",
        titles=(r"suspicious RCU usage", r"suspicious rcu_dereference_check\(\) usage"),
        triggers=("suspicious RCU usage", "suspicious rcu_dereference"),
        phrases=_PHRASES,
        find_missing=_find_missing,
    )
)
