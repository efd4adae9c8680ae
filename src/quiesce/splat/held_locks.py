# SPDX-License-Identifier: Apache-2.0
"""The kinds about a lock that is held, or not held, at the wrong moment.

Bad unlock balance, nested lock was not taken, held lock freed, locks held at exit, lock held when
returning to user space.
"""

from __future__ import annotations

import re

from quiesce.splat.lock_text import bare_lock
from quiesce.splat.reader import Handler, Reader

_MEMORY = re.compile(r"is freeing memory ([0-9a-fA-F()_ptrvl]{4,20}-[0-9a-fA-F()_ptrvl]{4,20})")


def _release(reader: Reader, text: str, number: int) -> None:
    """``foo/1 is trying to release lock (name) at:``, the place on the next line."""
    reader.task_line(text, number)
    start, end = text.find("("), text.rfind(") at")
    end = text.rfind(")") if end < 0 else end
    if 0 <= start < end - 1:
        reader.subjects.setdefault("wanted", bare_lock(text[start + 1 : end], number))
    reader.expect("")
    reader.trace("released")


def _no_more_locks(reader: Reader, text: str, number: int) -> None:
    reader.close()


def _to_lock(reader: Reader, text: str, number: int) -> None:
    reader.task_line(text, number)
    reader.expect("wanted")


def _not_holding(reader: Reader, text: str, number: int) -> None:
    reader.close()
    reader.await_text(_nest_lock)


def _nest_lock(reader: Reader, text: str, number: int) -> None:
    if len(text) < 200 and not text.endswith(":") and ": " not in text:
        reader.subjects["nest lock"] = bare_lock(text, number)
    else:
        reader.await_text(_nest_lock)  # somebody else's message came in between


def _freeing(reader: Reader, text: str, number: int) -> None:
    reader.task_line(text, number)
    match = _MEMORY.search(text)
    if match is not None:
        reader.facts["memory"] = match.group(1)
    reader.expect("wanted")


def _leaving(reader: Reader, text: str, number: int) -> None:
    reader.task_line(text, number)


PHRASES: dict[str, Handler] = {
    "is trying to release lock": _release,
    "but there are no more locks": _no_more_locks,
    "is trying to lock": _to_lock,
    "but this task is not holding": _not_holding,
    "is freeing memory": _freeing,
    "is leaving the kernel": _leaving,
}


def find_missing(reader: Reader) -> None:
    """By kind: the place of the release, the lock that was not held."""
    kind = reader.draft.title.kind
    if kind == "unlock-balance" and not reader.traces.get("released"):
        reader.lack("where the lock was released")
    if kind == "nested-not-taken" and "nest lock" not in reader.subjects:
        reader.lack("the outer lock that should be held")
