# SPDX-License-Identifier: Apache-2.0
"""The same source on real threads. ``docs/threads.md`` is the manual."""

from quiesce.threads.result import (
    Holder,
    RunFinding,
    RunResult,
    SourceSite,
    ThreadReport,
    ThreadRole,
)
from quiesce.threads.run import run
from quiesce.threads.world import Listener

__all__ = [
    "Holder",
    "Listener",
    "RunFinding",
    "RunResult",
    "SourceSite",
    "ThreadReport",
    "ThreadRole",
    "run",
]
