# SPDX-License-Identifier: Apache-2.0
"""``/proc/lockdep_stats`` and ``/proc/lock_stat``: how full the tables are, and who waits for what."""

from __future__ import annotations

import re
from typing import Any

from quiesce.lockdep.read.export import Export

_STAT = re.compile(
    r"\s*(?P<name>[a-z][\w \-/()]*?):\s+(?P<value>\d+)(\s+\[max: (?P<max>\d+)\])?\s*"
)
NEARLY_FULL = 0.8
_LOCK = re.compile(r"\s*(?P<name>\S.*?):\s+(?P<numbers>(\d+(\.\d+)?\s+){9,11}\d+(\.\d+)?)\s*")
_POINT = re.compile(r"\s*(?P<name>\S.*?)\s+(?P<count>\d+)\s+\[<[0-9a-fA-Fx]+>\]\s+(?P<place>\S+)")
_COLUMNS = {
    12: ("con_bounces", "contentions", "wait_min", "wait_max", "wait_total", "wait_avg",
         "acq_bounces", "acquisitions", "hold_min", "hold_max", "hold_total", "hold_avg"),
    10: ("con_bounces", "contentions", "wait_min", "wait_max", "wait_total",
         "acq_bounces", "acquisitions", "hold_min", "hold_max", "hold_total"),
}  # fmt: skip
"""By how many numbers a line has: lock_stat 0.4 has averages, 0.3 has not."""


def is_stats(text: str) -> bool:
    """True if *text* is ``/proc/lockdep_stats``."""
    return "lock-classes:" in text


def is_lock_stat(text: str) -> bool:
    """True if *text* is ``/proc/lock_stat``."""
    return "lock_stat version" in text or ("con-bounces" in text and "waittime-max" in text)


def read_stats(text: str) -> Export:
    """Read ``/proc/lockdep_stats``."""
    values: dict[str, dict[str, int]] = {}
    for line in text.splitlines():
        match = _STAT.fullmatch(line)
        if match is not None:
            values[match["name"]] = {"value": int(match["value"])}
            if match["max"]:
                values[match["name"]]["max"] = int(match["max"])
    lines = ["/proc/lockdep_stats"]
    full = []
    for name, one in values.items():
        if "max" in one:
            part = one["value"] / one["max"]
            lines.append(f"  {name}: {one['value']} of {one['max']} ({part:.0%})")
            if part >= NEARLY_FULL:
                full.append(name)
    lost = values.get("dependency chain hlocks lost", {}).get("value", 0)
    if lost:
        lines.append(f"{lost} entries of chains are lost to fragmentation")
    if full:
        lines.append(
            f"nearly full: {', '.join(full)}; lockdep turns itself off when a table is full"
        )
    else:
        lines.append("no table is nearly full")
    return Export("lockdep_stats", lines, {"values": values, "nearly_full": full})


def read_lock_stat(text: str) -> Export:
    """Read ``/proc/lock_stat``; times are microseconds."""
    locks: list[dict[str, Any]] = []
    not_read = 0
    for line in text.splitlines():
        match, point = _LOCK.fullmatch(line), _POINT.match(line)
        if match is not None:
            numbers = [float(number) for number in match["numbers"].split()]
            columns = _COLUMNS.get(len(numbers))
            if columns is None:
                not_read += 1
                continue
            locks.append(
                {"name": match["name"], **dict(zip(columns, numbers, strict=True)), "points": []}
            )
        elif point is not None and locks:
            locks[-1]["points"].append({"place": point["place"], "count": int(point["count"])})
    locks.sort(key=lambda lock: -float(lock["wait_total"]))
    lines = [f"/proc/lock_stat: {len(locks)} classes, by the time waited"]
    for lock in locks[:15]:
        share = lock["contentions"] / lock["acquisitions"] if lock["acquisitions"] else 0.0
        lines.append(
            f"  {lock['name']}: waited {lock['wait_total'] / 1e6:.3f} s in all, "
            f"{lock['wait_max'] / 1e3:.3f} ms at most; "
            f"{share:.0%} of {lock['acquisitions']:.0f} acquisitions waited"
        )
        lines += [f"      {point['count']:9}  {point['place']}" for point in lock["points"][:4]]
    if not_read:
        lines.append(f"{not_read} lines were not understood")
    return Export("lock_stat", lines, {"locks": locks, "not_read": not_read})
