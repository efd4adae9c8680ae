# SPDX-License-Identifier: Apache-2.0
"""Explain "possible recursive locking detected"."""

from __future__ import annotations

from quiesce.explain.judge.cycle import self_cycle
from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.kind import Judge, Shape, register
from quiesce.explain.judge.tasks import explain_tasks
from quiesce.explain.read.model import PrintedReport


def _explain(report: PrintedReport) -> Explanation:
    return explain_tasks(report, self_cycle(report))


register(Judge("recursive", _explain, Shape.TASKS, cycle=self_cycle))
