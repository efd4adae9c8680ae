# SPDX-License-Identifier: Apache-2.0
"""A CPU that does not get on: soft and hard lockups, and RCU stalls."""

from __future__ import annotations

import re

from quiesce.explain.read.frames import parse_frame
from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.reader import Handler, ReportReader

_SOFT = re.compile(
    r"soft lockup - CPU#(?P<cpu>\d+) stuck for (?P<seconds>\d+)s! \[(?P<task>.{1,60}:\d+)"
)
_HARD = re.compile(r"hard LOCKUP on cpu (?P<cpu>\d+)")
_JIFFIES = re.compile(r"\(t=(?P<jiffies>\d+) jiffies")
_STARVED = re.compile(r"(?P<kthread>rcu_\w+) kthread starved for (?P<jiffies>\d+) jiffies")
_PROOF = (
    r"Modules linked in|CPU: ?\d+|(?:Sending NMI|NMI backtrace)|\(t=\d+ jiffies|\(detected by \d+"
    r"|\d+-[.!?-]{1,4}: \(|RIP: 0010:|Call [Tt]race:|irq event stamp|pc : |Tasks blocked on level"
)


def _rip(reader: ReportReader, text: str, number: int) -> None:
    rest = re.sub(r".*?(?:RIP: [0-9a-f]{4}:|pc : |PC is at )", "", text).strip()
    frame = parse_frame(rest)
    if frame is not None and "rip" not in reader.facts and not rest.startswith("0x"):
        reader.facts["rip"] = frame.function


def _jiffies(reader: ReportReader, text: str, number: int) -> None:
    match = _JIFFIES.search(text)
    if match is not None:
        reader.facts.setdefault("jiffies", match["jiffies"])


def _starved(reader: ReportReader, text: str, number: int) -> None:
    match = _STARVED.search(text)
    if match is not None:
        reader.facts["starved"] = match["kthread"]


def _from_title(reader: ReportReader) -> None:
    """Read the CPU, the task and the time, which only the headline has."""
    title = reader.draft.title.text
    soft, hard = _SOFT.search(title), _HARD.search(title)
    if soft is not None:
        comm, _, pid = soft["task"].rpartition(":")
        reader.task = f"{comm}/{pid}"
        reader.facts["cpu"], reader.facts["seconds"] = soft["cpu"], soft["seconds"]
    elif hard is not None:
        reader.facts["cpu"] = hard["cpu"]
    if not reader.traces.get("backtrace"):
        reader.lack("the stack of the CPU", reader.end_line)


_PHRASES: dict[str, Handler] = {
    "rip: 0010:": _rip,
    "pc : ": _rip,
    "pc is at ": _rip,
    " jiffies g=": _jiffies,
    "kthread starved for": _starved,
    " jiffies": _jiffies,
}
_GOES_ON = ("NMI backtrace", "rcu: INFO", "INFO: rcu")

register(
    ReportKind(
        "soft-lockup",
        titles=(r"soft lockup - CPU#\d+ stuck for \d+s! \[.{1,60}:\d+",),
        triggers=("soft lockup - CPU#",),
        phrases=_PHRASES,
        find_missing=_from_title,
        lists_held=False,
        has_backtrace=False,
        release_optional=True,
        proof=_PROOF,
        goes_on_at=_GOES_ON,
    )
)
register(
    ReportKind(
        "hard-lockup",
        untagged=(
            r"(?:NMI watchdog: |watchdog: )?(?:CPU\d+: )?Watchdog detected hard LOCKUP on cpu \d+",
        ),
        triggers=("detected hard LOCKUP",),
        phrases=_PHRASES,
        find_missing=_from_title,
        lists_held=False,
        has_backtrace=False,
        release_optional=True,
        proof=_PROOF,
        goes_on_at=_GOES_ON,
    )
)
register(
    ReportKind(
        "rcu-stall",
        titles=(
            r"rcu_\w+ (?:detected (?:expedited )?stalls on CPUs/tasks|self-detected stall on CPU).{0,200}",
        ),
        triggers=(
            "detected stalls on CPUs",
            "detected expedited stalls",
            "self-detected stall on CPU",
        ),
        phrases=_PHRASES,
        find_missing=_from_title,
        lists_held=False,
        has_backtrace=False,
        release_optional=True,
        proof=_PROOF,
        goes_on_at=_GOES_ON,
    )
)
