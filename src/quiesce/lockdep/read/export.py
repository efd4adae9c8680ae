# SPDX-License-Identifier: Apache-2.0
"""What the readers have in common: a graph of lock classes by name, and a result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Export:
    """What was read.

    :ivar kind: the format, for example ``lockdep_stats``.
    :ivar lines: what there is to say, as text.
    :ivar data: the same as data.
    :ivar edges: lock orders, outer class first, by name; empty where the format has none.
    :ivar wrong: True if something in it can deadlock.
    """

    kind: str
    lines: list[str]
    data: dict[str, Any]
    edges: set[tuple[str, str]] = field(default_factory=set)
    wrong: bool = False


def cycles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return a shortest cycle through each strongly connected part of the graph, and self-loops.

    Each starts with its least name.
    """
    after: dict[str, list[str]] = {}
    for near, far in sorted(set(edges)):
        after.setdefault(near, []).append(far)
    found: list[list[str]] = []
    done: set[str] = set()
    for start in sorted(after):
        if start in done:
            continue
        path = _way_back(after, start)
        if path:
            found.append(path)
            done |= set(path)
    return found


def _way_back(after: dict[str, list[str]], start: str) -> list[str]:
    """Return a shortest path from *start* to itself; empty if there is none."""
    came: dict[str, str] = {}
    queue = [start]
    for name in queue:
        for far in after.get(name, ()):
            if far == start:
                path = [name]
                while path[-1] != start:
                    path.append(came[path[-1]])
                return path[::-1]
            if far not in came:
                came[far] = name
                queue.append(far)
    return []


def cycle_lines(found: list[list[str]]) -> list[str]:
    """Return a line for each cycle."""
    return [f"  {' -> '.join([*path, path[0]])}" for path in found]


def largest(counts: dict[str, int], limit: int = 10) -> list[tuple[str, int]]:
    """Return the names with the largest counts, largest first."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
