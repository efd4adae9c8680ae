# SPDX-License-Identifier: Apache-2.0
"""The way to a state: of the shortest runs, the one with the fewest context switches."""

from __future__ import annotations

from quiesce.explorer.findings import Path
from quiesce.explorer.reference.graph import Graph


def path_to(graph: Graph, target: int, last_thread: int = -1) -> Path:
    """Return the initial state's number and the actions that lead to *target*.

    Among all runs of the least length, one that changes threads least often: found backwards, level
    by level, since every step of a shortest run leads one level deeper.

    :param last_thread: the thread that moves next, in *target*; -1 for any.
    """
    depth = graph.depth[target]
    # For each state of a level: the thread that moves first on the path to the target -> (switches, edge).
    onward: dict[int, dict[int, tuple[int, int]]] = {target: {last_thread: (0, -1)}}
    levels = [onward]
    states = _levels(graph, depth)
    for level in range(depth - 1, -1, -1):
        onward = _one_level_up(graph, states[level], onward)
        levels.append(onward)
    start = min(onward, key=lambda s: (min(onward[s].values()), s))
    path = [start]
    here, mover = start, -1
    for onward in reversed(levels[1:]):
        options = onward[here]
        mover = min(options, key=lambda t: (options[t][0] + (t != mover), t))
        edge = options[mover][1]
        path.append(graph.actions[edge])
        here = graph.targets[edge]
    return tuple(path)


def _one_level_up(
    graph: Graph, states: range, onward: dict[int, dict[int, tuple[int, int]]]
) -> dict[int, dict[int, tuple[int, int]]]:
    found: dict[int, dict[int, tuple[int, int]]] = {}
    for state in states:
        for edge in graph.edges(state):
            after = onward.get(graph.targets[edge])
            if after is None:
                continue
            thread = graph.threads[edge]
            cost = min(c + (t not in (thread, -1)) for t, (c, _) in after.items())
            best = found.setdefault(state, {})
            if thread not in best or cost < best[thread][0]:
                best[thread] = (cost, edge)
    return found


def _levels(graph: Graph, depth: int) -> list[range]:
    """Return the states of each depth up to *depth*: they are numbered level by level."""
    levels: list[range] = []
    start = 0
    for level in range(depth + 1):
        end = start
        while end < len(graph.depth) and graph.depth[end] == level:
            end += 1
        levels.append(range(start, end))
        start = end
    return levels
