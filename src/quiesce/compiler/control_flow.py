# SPDX-License-Identifier: Apache-2.0
"""Questions about where control may go in a list of operations.

Each is answered for all operations in one walk: a thread may have tens of thousands of statements, and
a walk from each of them would take the square of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

from quiesce.compiler.ir import Op, successors

Positions = Set[int]

Few = frozenset[int] | None
"""Up to :data:`FEW` positions; None stands for more."""

FEW = 2

ENOUGH = 16


def explore(
    ops: list[Op],
    starts: Iterable[int],
    stop: Callable[[int], bool],
    seen: set[int] | None = None,
) -> set[int]:
    """Return the positions where *stop* is first true on the paths from *starts*.

    :param seen: the positions that were walked already, with whatever was met there; grows.
    """
    met: set[int] = set()
    seen = set() if seen is None else seen
    todo = list(starts)
    while todo:
        i = todo.pop()
        if i in seen:
            continue
        seen.add(i)
        if stop(i):
            met.add(i)
        else:
            todo += successors(ops, i)
    return met


def next_stops(ops: list[Op], stops: Positions) -> list[Few]:
    """Return, for each operation, the *stops* that control may meet first after it."""
    found: list[Few] = [frozenset()] * len(ops)
    before = predecessors(ops)
    waiting = [True] * len(ops)
    todo = list(range(len(ops)))
    while todo:
        i = todo.pop()
        waiting[i] = False
        new = _together([frozenset([s]) if s in stops else found[s] for s in successors(ops, i)])
        if new == found[i]:
            continue
        found[i] = new
        if i not in stops:
            for p in before[i]:
                if not waiting[p]:
                    waiting[p] = True
                    todo.append(p)
    return found


def _together(parts: list[Few]) -> Few:
    if len(parts) == 1:
        return parts[0]
    union: frozenset[int] = frozenset()
    for part in parts:
        if part is None:
            return None
        union |= part
    return union if len(union) <= FEW else None


def predecessors(ops: list[Op]) -> list[list[int]]:
    """Return, for each operation, the positions that control may come from."""
    before: list[list[int]] = [[] for _ in ops]
    for i in range(len(ops)):
        for s in successors(ops, i):
            before[s].append(i)
    return before


def joins(ops: list[Op]) -> set[int]:
    """Return the operations that control may come to from several others."""
    return {i for i, before in enumerate(predecessors(ops)) if len(before) > 1}


def overlap(ops: list[Op], stops: Positions) -> float:
    """Return in how many walks from one of *stops* to the next an operation is, on average.

    Counting ends at :data:`ENOUGH`, since the sum may be the square of the operations.
    """
    count = 0
    for start in stops:
        seen: set[int] = set()
        explore(ops, successors(ops, start), lambda i: i in stops, seen)
        count += len(seen)
        if count > ENOUGH * len(ops):
            break
    return count / len(ops)


def break_loops(ops: list[Op], free: Positions, candidates: Positions) -> set[int]:
    """Return the *candidates* that break every loop of *free* operations which has one.

    They are those that a walk over the candidates in order takes, if it takes each that lies on a loop
    without one taken before. So each is the first candidate of some loop, and it is found from the
    loop's head: operations stand in the order of the source, and control only goes back to the head of a
    loop, which is also the only way into it.
    """
    before = predecessors(ops)
    heads: dict[int, list[int]] = {}
    for i in free:
        for s in successors(ops, i):
            if s <= i and s in free:
                heads.setdefault(s, []).append(i)
    found: set[int] = set()
    for head, ends in heads.items():
        body = _loop_body(head, ends, before, free)
        if not body.isdisjoint(successors(ops, head)):
            found |= _first_of_loop(ops, head, body, candidates)
    return found


def _first_of_loop(ops: list[Op], head: int, body: set[int], candidates: Positions) -> set[int]:
    return explore(ops, [head], lambda i: i in candidates or i not in body) & body


def _loop_body(head: int, ends: list[int], before: list[list[int]], free: Positions) -> set[int]:
    """Return *head* and the *free* operations from which control may return to it through *ends*."""
    body = {head}
    todo = list(ends)
    while todo:
        i = todo.pop()
        if i not in body and i > head and i in free:
            body.add(i)
            todo += before[i]
    return body
