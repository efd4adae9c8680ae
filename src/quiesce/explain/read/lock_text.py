# SPDX-License-Identifier: Apache-2.0
"""The grammar of a lock in a report: ``address (name#2/1){+.+.}-{3:3}, at: function``.

Names contain nearly everything: spaces, quotes, nested and unbalanced parentheses, ``#`` and ``/``
(``(work_completion)(&(&wb->dwork)->work)``, ``(wq_completion)"%s"name``, ``subsys mutex#3``). So a
name is not matched but delimited: it lies between the parenthesis that follows the address and the
first ``){usage}``, a sequence that no name can contain.
"""

from __future__ import annotations

import re

from quiesce.explain.read.frames import parse_frame
from quiesce.explain.read.model import PrintedFrame, PrintedLock

_USAGE = re.compile(r"\)\s?\{([.+?-]{4,6})\}(?:-\{(\d+):(\d+)\})?")
_ADDRESS = re.compile(
    r"(?:0x)?[0-9a-fA-F]{8,16}(?=\s*\()|\(_*ptrval_*\)(?=\s*\()|\(null\)(?=\s*\()"
)
_MARK = re.compile(r"(?:-> )?#(\d{1,4}):?\s*|-> ?")
_DETAIL = re.compile(r" \w+=")
_MAX_LOCK = 4000


def find_usage(text: str) -> re.Match[str] | None:
    """Return the match of ``){usage}-{o:i}``, by which a lock's text is recognised."""
    return _USAGE.search(text) if len(text) <= _MAX_LOCK else None


def parse_lock(text: str, line: int = 0) -> PrintedLock | None:
    """Return the lock that *text* begins with, or None.

    :param text: one (joined) line; a leading ``#3:`` or ``-> #3`` is skipped.
    :param line: 1-based line of the log, kept in the result.
    """
    match = find_usage(text)
    if match is None:
        return None
    head = text[: match.start()].lstrip()
    mark = _MARK.match(head)
    if mark is not None:
        head = head[mark.end() :].lstrip()
    address = ""
    address_match = _ADDRESS.match(head)
    if address_match is not None:
        address = address_match.group()
        head = head[address_match.end() :].lstrip()
    if not head.startswith("("):
        return None
    name, detail = _split_detail(head[1:])
    base, version, subclass = split_name(name)
    outer, inner = match.group(2), match.group(3)
    return PrintedLock(
        name=name,
        base=base,
        version=version,
        subclass=subclass,
        detail=detail,
        usage=match.group(1),
        outer=int(outer) if outer else None,
        inner=int(inner) if inner else None,
        address=address.strip("()"),
        at=_place(text[match.end() :]),
        line=line,
    )


def mark_number(text: str) -> int | None:
    """Return N of a leading ``#N:`` or ``-> #N``, or None."""
    match = _MARK.match(text.lstrip())
    return int(match.group(1)) if match and match.group(1) else None


def split_name(name: str) -> tuple[str, int, int]:
    """Split ``&x->lock#45/1`` into base name, version (1 when absent) and subclass (0 when absent)."""
    base, version, subclass = name, 1, 0
    head, slash, tail = base.rpartition("/")
    if slash and head and len(tail) == 1 and tail in "01234567":
        base, subclass = head, int(tail)
    head, hash_mark, tail = base.rpartition("#")
    if hash_mark and head and tail.isdecimal() and tail.isascii() and len(tail) <= 9:
        base, version = head, int(tail)
    return base, version, subclass


def bare_lock(name: str, line: int = 0) -> PrintedLock:
    """Return a lock of which only the name is known (scenario tables, unlock reports)."""
    name, detail = _split_detail(name)
    base, version, subclass = split_name(name)
    return PrintedLock(
        name=name, base=base, version=version, subclass=subclass, detail=detail, line=line
    )


def _split_detail(name: str) -> tuple[str, str]:
    """Separate what the class's print function appended: ``&b->lock l=1 0:28`` (6.5 and later)."""
    match = _DETAIL.search(name)
    if match is None:
        return name, ""
    return name[: match.start()], name[match.start() + 1 :]


def _place(rest: str) -> tuple[PrintedFrame, ...]:
    before, separator, after = rest.partition("at:")
    if not separator or len(before) > 8:
        return ()
    frame = parse_frame(after)
    if frame is None:
        word = after.split()[:1]
        frame = PrintedFrame(word[0]) if word and word[0][0].isalpha() else None
    return (frame,) if frame is not None else ()
