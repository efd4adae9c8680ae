# SPDX-License-Identifier: Apache-2.0
"""The same source on real threads. ``docs/threads.md`` is the manual."""

from quiesce.threads.render import render
from quiesce.threads.result import Finding, Holder, Role, RunResult, Site, ThreadReport
from quiesce.threads.run import run
from quiesce.threads.world import Listener

__all__ = [
    "Finding",
    "Holder",
    "Listener",
    "Role",
    "RunResult",
    "Site",
    "ThreadReport",
    "render",
    "run",
]
