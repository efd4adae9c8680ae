# SPDX-License-Identifier: Apache-2.0
"""Explain the reports of other lock order checkers, which are cycles like lockdep's: DEPT, WITNESS."""

from __future__ import annotations

from quiesce.explain.judge.cycle import chain_cycle
from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.fingerprint import chain_of_names
from quiesce.explain.judge.kind import Judge, Shape, register
from quiesce.explain.judge.tasks import explain_tasks
from quiesce.explain.read.model import PrintedReport


def _explain(report: PrintedReport) -> Explanation:
    return explain_tasks(report, chain_cycle(report))


register(Judge("dept", _explain, Shape.TASKS, identity=chain_of_names))
register(Judge("witness", _explain, Shape.TASKS, identity=chain_of_names))
