# SPDX-License-Identifier: Apache-2.0
"""Dumps of tasks that are stuck: the hung task detector, and SysRq-w, SysRq-t and SysRq-d.

All tasks that the detector names in one pass are one report; a new one starts when a task is named again.
"""

from __future__ import annotations

import re

from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.stuck_tasks import read_stuck_tasks

_PROOF = (
    r"\"echo 0 > /proc/sys/kernel/hung_task|(?:Not tainted|Tainted: )|task:.{1,80} state:|Call [Tt]race:"
    r"|.{1,80} [DSRTI] +(?:[0-9a-f]{8,16} +)?\d{1,6} +\d{1,8} |\[<[0-9a-f]{8,16}>\] "
    r"|\S{1,120}\+0x[0-9a-f]+/0x"
    r"|task +PC stack +pid father|\d+ locks? held by "
)
_OTHERS = ("INFO: task ", "Showing all locks held", "NMI backtrace", "INFO: lockdep is turned off")
_TASK = re.compile(r"task \"?(.{1,64}?)\"?:(\d{1,8}) ")


def _names_another_task(earlier: str, later: str) -> bool:
    one, other = _TASK.search(earlier), _TASK.search(later)
    return one is None or other is None or one.groups() != other.groups()


register(
    ReportKind(
        "hung-task",
        titles=(r"task .{1,70}:\d{1,8} blocked(?: in I/O wait)? for more than \d{1,7} seconds",),
        triggers=("blocked for more than", "blocked in I/O wait for more than"),
        proof=_PROOF,
        same_report=_names_another_task,
        goes_on_at=_OTHERS,
        patience=200,
        longest=60_000,
        read=read_stuck_tasks,
    )
)
register(
    ReportKind(
        "blocked-tasks",
        untagged=(r"sys[Rr]q ?: ?(?:Show Blocked State|Show State|Show Locks Held)",),
        triggers=("Show Blocked State", "Show State", "Show Locks Held"),
        proof=_PROOF,
        same_report=lambda earlier, later: False,
        goes_on_at=_OTHERS,
        patience=200,
        longest=60_000,
        read=read_stuck_tasks,
    )
)
