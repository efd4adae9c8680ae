# SPDX-License-Identifier: Apache-2.0
"""Sets of steps that can be taken again and again, as greatest fixpoints.

After E. A. Emerson and C.-L. Lei, "Efficient model checking in fragments of the propositional mu-calculus",
LICS 1986. No strongly connected component is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from oracle.space import Edge

Demand = Callable[[Edge], bool]
"""Something that has to happen again and again."""

Options = dict[tuple[int, int], list[Edge] | None]
"""For a state and a thread whose choices are fair, all its steps; None if one of them fails."""


def before(edges: Iterable[Edge], goals: Iterable[int]) -> set[int]:
    """Return the states from which *edges* lead to *goals*; they are among them."""
    sources: dict[int, list[int]] = {}
    for edge in edges:
        sources.setdefault(edge.target, []).append(edge.source)
    reached = set(goals)
    todo = list(reached)
    while todo:
        for source in sources.get(todo.pop(), ()):
            if source not in reached:
                reached.add(source)
                todo.append(source)
    return reached


def cyclic(edges: list[Edge]) -> list[Edge]:
    """Return *edges* without those that begin or end where the others do not go on."""
    while True:
        sources = {e.source for e in edges}
        targets = {e.target for e in edges}
        kept = [e for e in edges if e.target in sources and e.source in targets]
        if len(kept) == len(edges):
            return edges
        edges = kept


def again_and_again(
    edges: list[Edge], demands: list[Demand], options: Options | None = None
) -> list[Edge]:
    """Return the edges on the way to, and of, runs that meet every demand endlessly often.

    A thread with *options* takes each of them again and again, or does not move in that state.
    """
    while True:
        size = len(edges)
        for demand in demands:
            reached = before(edges, {e.source for e in edges if demand(e)})
            edges = [e for e in edges if e.source in reached and e.target in reached]
        edges = cyclic(edges)
        if options:
            edges = cyclic(_without_unfair(edges, options))
        if len(edges) == size:
            return edges


def _without_unfair(edges: list[Edge], options: Options) -> list[Edge]:
    """Return *edges* without the steps whose other options cannot be taken again and again."""
    present = set(edges)
    after: dict[int, list[int]] = {}
    for edge in edges:
        after.setdefault(edge.source, []).append(edge.target)
    unfair = set()
    for (state, thread), steps in options.items():
        if steps is None or not present.issuperset(steps):
            unfair.add((state, thread))
        elif len(steps) > 1 and not all(_leads(after, e.target, state) for e in steps):
            unfair.add((state, thread))
    return [e for e in edges if (e.source, e.thread) not in unfair]


def _leads(after: dict[int, list[int]], state: int, goal: int) -> bool:
    """Return whether a run from *state* reaches *goal*."""
    seen, todo = {state}, [state]
    while todo:
        at = todo.pop()
        if at == goal:
            return True
        fresh = [s for s in after.get(at, ()) if s not in seen]
        seen.update(fresh)
        todo += fresh
    return False
