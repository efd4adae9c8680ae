# SPDX-License-Identifier: Apache-2.0
"""A task slept, or might have, where it must not: the two BUG lines of the scheduler.

``BUG: sleeping function called from invalid context at FILE:LINE`` (__might_sleep()) and ``BUG: scheduling
while atomic: COMM/PID/0x00000002`` (__schedule_bug()).
"""

from __future__ import annotations

import re

from quiesce.explain.read.frames import parse_frame
from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.reader import Handler, ReportReader

_COUNTS = re.compile(
    r"in_atomic\(\): ?(?P<atomic>\d+), irqs_disabled\(\): ?(?P<irqs>\d+)(?:, non_block: ?(?P<block>\d+))?"
    r"(?:, pid: ?(?P<pid>\d+))?(?:, name: ?(?P<comm>.{1,60}))?"
)
_ATOMIC = re.compile(r"scheduling while atomic: (?P<task>.{1,60})/(?P<count>0x[0-9a-f]+)")
_PREEMPT = re.compile(
    r"preempt_count: ?(?P<count>[0-9a-f]+)(?:, expected: ?(?P<expected>[0-9a-f]+))?"
)
_RCU = re.compile(r"RCU nest depth: ?(?P<depth>\d+)(?:, expected: ?(?P<expected>\d+))?")


def _counts(reader: ReportReader, text: str, number: int) -> None:
    match = _COUNTS.search(text)
    if match is None:
        return
    reader.facts["in_atomic"], reader.facts["irqs_disabled"] = match["atomic"], match["irqs"]
    reader.facts["non_block"] = match["block"] or "0"
    if match["pid"] and match["comm"]:
        reader.task = reader.task or f"{match['comm'].strip()}/{match['pid']}"


def _preempt(reader: ReportReader, text: str, number: int) -> None:
    match = _PREEMPT.search(text)
    if match is not None:
        reader.facts["preempt_count"] = match["count"]


def _rcu_depth(reader: ReportReader, text: str, number: int) -> None:
    match = _RCU.search(text)
    if match is not None:
        reader.facts["rcu depth"] = match["depth"]


def _disabled_at(reader: ReportReader, text: str, number: int) -> None:
    rest = text.partition("at:")[2].strip()
    reader.close()
    reader.trace("preemption disabled")
    frame = parse_frame(rest) if rest else None
    if frame is not None:
        reader.traces["preemption disabled"].append(frame)


_PHRASES: dict[str, Handler] = {
    "in_atomic():": _counts,
    "rcu nest depth:": _rcu_depth,
    "preempt_count:": _preempt,
    "preemption disabled at": _disabled_at,
}


def _from_title(reader: ReportReader) -> None:
    """Read the place or the task that only the headline has."""
    title = reader.draft.title.text
    match = _ATOMIC.match(title)
    if match is not None:
        reader.task = match["task"]
        reader.facts["preempt_count"] = match["count"]
    else:
        reader.facts["place"] = title.rpartition(" at ")[2]


register(
    ReportKind(
        "sleeping-while-atomic",
        titles=(
            r"sleeping function called from invalid context(?: at(?: [\w./+:=-]{0,200})?)?",
            r"scheduling while atomic: .{1,60}/0x[0-9a-f]+(?:/0x[0-9a-f]+)?",
        ),
        triggers=("sleeping function called from invalid", "scheduling while atomic:"),
        phrases=_PHRASES,
        find_missing=_from_title,
        proof=(
            r"in_atomic\(\): ?\d|preempt_count: |(?:CPU|Pid): ?\d|\d+ locks? held by |no locks held by "
            r"|Preemption disabled at|Modules linked in|Call Trace:"
        ),
        lists_held=False,
        release_optional=True,
    )
)
