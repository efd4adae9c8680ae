# SPDX-License-Identifier: Apache-2.0
"""The kinds about a lock that is held, or not held, at the wrong moment.

Bad unlock balance, nested lock was not taken, held lock freed, locks held at exit, lock held when
returning to user space.
"""

from __future__ import annotations

import re

from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.lock_text import bare_lock
from quiesce.explain.read.reader import Handler, ReportReader

_MEMORY = re.compile(r"is freeing memory ([0-9a-fA-F()_ptrvl]{4,20}-[0-9a-fA-F()_ptrvl]{4,20})")


def _release(reader: ReportReader, text: str, number: int) -> None:
    """``foo/1 is trying to release lock (name) at:``, the place on the next line."""
    reader.task_line(text, number)
    start, end = text.find("("), text.rfind(") at")
    end = text.rfind(")") if end < 0 else end
    if 0 <= start < end - 1:
        reader.subjects.setdefault("wanted", bare_lock(text[start + 1 : end], number))
    reader.expect("")
    reader.trace("released")


def _no_more_locks(reader: ReportReader, text: str, number: int) -> None:
    reader.close()


def _to_lock(reader: ReportReader, text: str, number: int) -> None:
    reader.task_line(text, number)
    reader.expect("wanted")


def _not_holding(reader: ReportReader, text: str, number: int) -> None:
    reader.close()
    reader.await_text(_nest_lock)


def _nest_lock(reader: ReportReader, text: str, number: int) -> None:
    if len(text) < 200 and not text.endswith(":") and ": " not in text:
        reader.subjects["nest lock"] = bare_lock(text, number)
    else:
        reader.await_text(_nest_lock)  # a message of another task stands between


def _freeing(reader: ReportReader, text: str, number: int) -> None:
    reader.task_line(text, number)
    match = _MEMORY.search(text)
    if match is not None:
        reader.facts["memory"] = match.group(1)
    reader.expect("wanted")


def _leaving(reader: ReportReader, text: str, number: int) -> None:
    reader.task_line(text, number)


_PHRASES: dict[str, Handler] = {
    "is trying to release lock": _release,
    "but there are no more locks": _no_more_locks,
    "is trying to lock": _to_lock,
    "but this task is not holding": _not_holding,
    "is freeing memory": _freeing,
    "is leaving the kernel": _leaving,
}


def _release_lacks(reader: ReportReader) -> None:
    """Note if the place of the release is missing."""
    if not reader.traces.get("released"):
        reader.lack("where the lock was released")


def _nested_lacks(reader: ReportReader) -> None:
    """Note if the outer lock is missing."""
    if "nest lock" not in reader.subjects:
        reader.lack("the outer lock that should be held")


register(
    ReportKind(
        "held-at-exit",
        titles=(r".{1,64} still has locks held", r"lock held at task exit time"),
        triggers=("still has locks held", "lock held at task exit"),
        phrases=_PHRASES,
        title_names_task=True,
    )
)
register(
    ReportKind(
        "held-freed",
        titles=(r"held lock freed",),
        triggers=("held lock freed",),
        phrases=_PHRASES,
        locks=1,
    )
)
register(
    ReportKind(
        "held-returning-user",
        titles=(r"lock held when returning to user(?: space)?",),
        triggers=("lock held when returning to user",),
        phrases=_PHRASES,
        has_backtrace=False,
    )
)
register(
    ReportKind(
        "nested-not-taken",
        titles=(r"Nested lock was not taken",),
        triggers=("ested lock was not taken",),
        phrases=_PHRASES,
        find_missing=_nested_lacks,
    )
)
register(
    ReportKind(
        "unlock-balance",
        titles=(r"bad unlock balance(?: detected)?",),
        triggers=("bad unlock balance",),
        phrases=_PHRASES,
        find_missing=_release_lacks,
        locks=1,
        lock_has_place=False,
    )
)
