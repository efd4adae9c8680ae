# SPDX-License-Identifier: Apache-2.0
"""Strongly connected components of a part of an explored graph.

R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1(2), 1972, with an explicit
stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from quiesce.explorer.reference.graph import Graph


def strongly_connected(
    graph: Graph, region: Iterable[int], passable: Callable[[int], bool] | None = None
) -> Iterator[list[int]]:
    """Yield the components of *region*, each after all components that it leads to.

    :param region: numbers of states; edges that leave it do not count.
    :param passable: tells of an edge's number whether it counts; None: all do.
    """
    states = list(region)
    members = set(states)
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    on_stack: set[int] = set()
    stack: list[int] = []
    for root in states:
        if root in order:
            continue
        work: list[tuple[int, int]] = [(root, graph.first[root])]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while work:
            state, edge = work[-1]
            if edge < graph.first[state + 1]:
                work[-1] = (state, edge + 1)
                target = graph.targets[edge]
                if target not in members or (passable is not None and not passable(edge)):
                    continue
                if target not in order:
                    order[target] = low[target] = len(order)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, graph.first[target]))
                elif target in on_stack:
                    low[state] = min(low[state], order[target])
                continue
            work.pop()
            if work:
                above = work[-1][0]
                low[above] = min(low[above], low[state])
            if low[state] == order[state]:
                component = []
                while True:
                    member = stack.pop()
                    on_stack.discard(member)
                    component.append(member)
                    if member == state:
                        break
                yield component
