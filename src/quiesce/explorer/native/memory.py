# SPDX-License-Identifier: Apache-2.0
"""How much memory a search may take before the system would kill it."""

from __future__ import annotations

import os
from pathlib import Path

_SHARE = 0.9
"""Of the memory that is free: the rest is for what else there is."""
_MEMINFO = Path("/proc/meminfo")
_GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)
"""Limit and use of the control group that we are in, in its second version and in its first."""


def memory_at_hand() -> int:
    """Return how many bytes a search may take, from what is free now on the machine and in our group."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in _lines(_MEMINFO):
        if line.startswith("MemAvailable:"):
            free = min(free, int(line.split()[1]) * 1024)
    for limit, used in _GROUPS:
        most, now = _number(limit), _number(used)
        if most is not None and now is not None:
            free = min(free, max(0, most - now))
    return int(free * _SHARE)


def _number(path: Path) -> int | None:
    """Return the number that is all of a file; None if it is not there or says ``max``."""
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []
