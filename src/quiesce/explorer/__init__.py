# SPDX-License-Identifier: Apache-2.0
"""Explorers: every reachable state of a compiled protocol, and what is wrong in it."""

from quiesce.explorer.engine import check
from quiesce.explorer.findings import CheckResult, Finding, PropertyResult
from quiesce.explorer.reference.checker import Options, check_reference
from quiesce.explorer.reference.graph import Bounds, Progress

__all__ = [
    "Bounds",
    "CheckResult",
    "Finding",
    "Options",
    "Progress",
    "PropertyResult",
    "check",
    "check_reference",
]
