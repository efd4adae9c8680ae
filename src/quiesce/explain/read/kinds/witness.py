# SPDX-License-Identifier: Apache-2.0
"""The reports of WITNESS, the lock order checker of FreeBSD and OpenBSD.

The thread holds the first lock and takes the second one; "first seen at" and "established at" are
stacks in which the second was held and the first taken. That is a cycle of two links (or more, where
OpenBSD prints several orders), and is read as one.
"""

from __future__ import annotations

import re

from quiesce.explain.read.draft import Draft
from quiesce.explain.read.frames import parse_frame
from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.lock_text import split_name
from quiesce.explain.read.log_lines import LogLine
from quiesce.explain.read.model import (
    Missing,
    PrintedFrame,
    PrintedLink,
    PrintedLock,
    PrintedReport,
)

_LOCK = re.compile(
    r"(?P<nth>1st|2nd|3rd) (?P<address>0x[0-9a-f]{4,16}) (?P<name>.{1,80}?) \((?P<type>[^()]{1,80}?)"
    r"(?:, (?P<kind>[\w ]{1,30}))?\)(?: @ ?(?P<file>\S{1,200}):(?P<line>\d{1,6}))?"
)
_ORDER = re.compile(
    r"lock order \"?(?P<one>[^\"]{1,80}?)\"?(?:\(\w+\))? -> \"?(?P<other>[^\"]{1,80}?)\"?(?:\(\w+\))? "
    r"(?P<how>first seen|established|attempted) at"
)
_FRAME = re.compile(r"#\d{1,3} +(?:0x[0-9a-f]{4,16} at )?(?P<frame>\S.*)")


def _read(draft: Draft, lines: list[LogLine]) -> PrintedReport:
    locks: dict[str, PrintedLock] = {}
    orders: list[tuple[str, str, list[PrintedFrame]]] = []
    attempted: list[PrintedFrame] = []
    sink: list[PrintedFrame] | None = None
    end = lines[0].number
    for line in lines[1:]:
        text = line.text.strip()
        match, order, frame = _LOCK.match(text), _ORDER.match(text), _FRAME.match(text)
        if match is not None:
            locks[match["nth"]] = _lock(match, line.number)
        elif order is not None:
            sink = []
            if order["how"] == "attempted":
                attempted = sink
            else:
                orders.append((order["one"].strip(), order["other"].strip(), sink))
        elif text.lower().startswith("stack backtrace"):
            sink = attempted
        elif frame is not None and sink is not None:
            one = parse_frame(frame["frame"])
            if one is not None and not one.function.startswith(("witness_", "kdb_", "db_")):
                sink.append(one)
        else:
            continue
        end = line.number
    return _report(draft, locks, orders, attempted, end)


def _lock(match: re.Match[str], number: int) -> PrintedLock:
    name = match["type"] if match["type"].startswith("&") else match["name"]
    base, version, subclass = split_name(name)
    at = PrintedFrame("", source=f"{match['file']}:{match['line']}") if match["file"] else None
    return PrintedLock(
        name,
        base,
        version,
        subclass,
        detail=f"witness {match['kind'] or ''}".strip(),
        address=match["address"],
        at=(at,) if at is not None else (),
        line=number,
    )


def _report(
    draft: Draft,
    locks: dict[str, PrintedLock],
    orders: list[tuple[str, str, list[PrintedFrame]]],
    attempted: list[PrintedFrame],
    end: int,
) -> PrintedReport:
    first, second = locks.get("1st"), locks.get("2nd")
    number = draft.lines[0].number
    missing = []
    links: list[PrintedLink] = []
    if first is None or second is None:
        missing.append(Missing("one of the two locks", number))
    else:
        known = [frames for one, other, frames in orders if _means(other, first)]
        if not known or not known[0]:
            missing.append(Missing("the stack of the earlier order", end))
        if not attempted:
            missing.append(Missing("the stack of link #0", end))
        established = tuple(known[0]) if known else ()
        links = [
            PrintedLink(1, first, established, number),
            PrintedLink(0, second, tuple(attempted), number),
        ]
    return PrintedReport(
        kind=draft.title.kind,
        title=draft.title.text,
        line=number,
        end_line=end,
        wanted=second,
        holding=first,
        links=tuple(links),
        backtrace=tuple(attempted),
        missing=tuple(missing),
    )


def _means(name: str, lock: PrintedLock) -> bool:
    return name in (lock.name, lock.base)


register(
    ReportKind(
        "witness",
        untagged=(r"(?:witness: )?lock order reversal:.{0,60}",),
        triggers=("lock order reversal:",),
        proof=r"1st 0x[0-9a-f]{4,16} ",
        read=_read,
        patience=12,
    )
)
