# SPDX-License-Identifier: Apache-2.0
"""What a step may touch, known before it is taken: all that its operations name, on all its ways."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from quiesce.compiler.atomic_steps import cells_of, expression_cells, expression_versions
from quiesce.compiler.ir import (
    Begin,
    Bump,
    End,
    Op,
    Store,
    operands,
    reads_memory,
    successors,
    walk,
    writes_memory,
)
from quiesce.compiler.program import Program, Thread, ThreadKind


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a step from one location may touch: cells (a version is -1 minus its number)."""

    plain_reads: frozenset[int]
    plain_writes: frozenset[int]
    reads: frozenset[int]
    writes: frozenset[int]

    @property
    def cells(self) -> frozenset[int]:
        """Everything that is read or written."""
        return self.reads | self.writes

    @property
    def plain(self) -> bool:
        """Whether there is any plain access."""
        return bool(self.plain_reads or self.plain_writes)


@lru_cache(maxsize=8192)
def step_footprint(kind: ThreadKind, location: int, task: int = -1) -> Footprint:
    """Return what a step of *kind* from *location* may touch, over all its paths.

    :param task: the thread's number, where one is meant: what it indexes by itself is then its own.
    """
    plain_reads: set[int] = set()
    plain_writes: set[int] = set()
    reads: set[int] = set()
    writes: set[int] = set()
    for op in ops_of_step(kind, location):
        for expr in operands(op):
            touched = expression_cells(expr, task) | {-1 - v for v in expression_versions(expr)}
            reads |= touched
            if any(reads_memory(e) and not e.marked for e in walk(expr)):
                plain_reads |= touched
        if writes_memory(op):
            cells = _written_by(op, task)
            writes |= cells
            if not op.marked:
                plain_writes |= cells
    return Footprint(
        frozenset(plain_reads), frozenset(plain_writes), frozenset(reads), frozenset(writes)
    )


def _written_by(op: Store | Bump, task: int) -> set[int]:
    match op:
        case Store(address=address):
            return cells_of(address.base, address.terms, task)
        case Bump(version=version):
            return {-1 - version}
        case _:
            assert_never(op)


def places_of_step(program: Program, thread: Thread, location: int, task: int = -1) -> list[int]:
    """Return the places in a state that a step of *thread* from *location* depends on, in order.

    :param task: as for :func:`step_footprint`.
    """
    places = set(range(thread.base, thread.base + thread.kind.block))
    for cell in step_footprint(thread.kind, location, task).cells:
        places |= {cell} if cell >= 0 else set(program.snapshot_holders(-1 - cell))
    return sorted(places)


def next_locations(kind: ThreadKind, location: int) -> set[int]:
    """Return the locations that a step of *kind* from *location* may lead to."""
    found: set[int] = set()
    seen: set[int] = set()
    todo = list(successors(kind.code.ops, kind.locations[location].position))
    while todo:
        position = todo.pop()
        if position in kind.location_at:
            found.add(kind.location_at[position])
        elif position not in seen:
            seen.add(position)
            todo += successors(kind.code.ops, position)
    return found


def ops_of_step(kind: ThreadKind, location: int) -> list[Op]:
    """Return the operations that a step of *kind* from *location* may consist of."""
    start = kind.locations[location].position
    seen: set[int] = set()
    todo = [start]
    while todo:
        position = todo.pop()
        if position in seen or (position != start and position in kind.location_at):
            continue
        seen.add(position)
        todo += successors(kind.code.ops, position)
    return [kind.code.ops[i] for i in sorted(seen) if not isinstance(kind.code.ops[i], Begin | End)]
