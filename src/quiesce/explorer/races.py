# SPDX-License-Identifier: Apache-2.0
"""Data races: two accesses, one a write and at least one plain, that nothing keeps apart.

KCSAN's notion, as a property of two steps: thread A takes a step that makes a plain access, and right
after it thread B can take a step that makes a conflicting one. Since the other accesses of A's step
that follow the plain one are plain too, A could have stopped just before it; so the two accesses can
stand next to each other. A step that only became possible through the end of A's (an unlock that
let B in) begins with its own synchronisation, and A's plain accesses lie in an earlier step.

This is checked on the very steps that are explored, so it also justifies that plain accesses ride
along with the synchronisation before them (``compiler/atomic_steps.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.compiler.atomic_steps import cells_of, expression_cells, expression_versions
from quiesce.compiler.ir import (
    Begin,
    Bump,
    Code,
    End,
    Load,
    Op,
    Store,
    VersionRead,
    operands,
    successors,
    walk,
)
from quiesce.compiler.program import Program, ThreadKind
from quiesce.explorer.evaluate import Access, Record
from quiesce.explorer.reference import State, Step, Stepper


@dataclass(frozen=True, slots=True)
class Race:
    """Two racing accesses: the first by *thread*, the second by *other* right after it."""

    state: State
    thread: int
    other: int
    first: Access
    second: Access


@dataclass(frozen=True, slots=True)
class _Footprint:
    """What a step from one location may touch: cells (a version is -1 minus its number)."""

    plain_reads: frozenset[int]
    plain_writes: frozenset[int]
    reads: frozenset[int]
    writes: frozenset[int]


class RaceFinder:
    """Looks for races in the steps of a search; each pair of source places is reported once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.races: list[Race] = []
        self._seen: set[tuple[int, object, object]] = set()
        self._stepper = Stepper(program, Record())
        self._base = [t.base for t in program.threads]
        prints = {id(k): [_footprint(k, i) for i in range(len(k.locations))] for k in program.kinds}
        self._prints = [prints[id(t.kind)] for t in program.threads]
        self._memo: dict[tuple[int, int, int, int], bool] = {}

    def look(self, state: State, steps: list[Step]) -> bool:
        """Look for races right after each of *steps* from *state*; true if a new one was found."""
        found = False
        seen_threads: set[int] = set()
        for step in steps:
            thread = step.thread
            if thread in seen_threads:
                continue
            seen_threads.add(thread)
            location = state[self._base[thread]]
            others = [
                other
                for other in range(len(self._base))
                if other != thread
                and self._may_race(thread, location, other, state[self._base[other]])
            ]
            if others:
                found |= self._try(state, thread, others)
        return found

    def _may_race(self, thread: int, location: int, other: int, other_location: int) -> bool:
        key = thread, location, other, other_location
        answer = self._memo.get(key)
        if answer is None:
            a, b = self._prints[thread][location], self._prints[other][other_location]
            answer = bool(
                a.plain_writes & (b.reads | b.writes) or a.plain_reads & b.writes
            )
            self._memo[key] = answer
        return answer

    def _try(self, state: State, thread: int, others: list[int]) -> bool:
        found = False
        for step in self._stepper.steps_of(state, thread):
            if step.failure is not None or step.record is None:
                continue
            plain = [a for a in step.record.accesses if not a.marked]
            if not plain:
                continue
            for other in others:
                for after in self._stepper.steps_of(step.target, other):
                    if after.record is not None:
                        found |= self._compare(
                            state, thread, other, plain, after.record.accesses
                        )
        return found

    def _compare(
        self, state: State, thread: int, other: int, plain: list[Access], after: list[Access]
    ) -> bool:
        found = False
        for first in plain:
            for second in after:
                if first.cell == second.cell and (first.write or second.write):
                    places = sorted([str(first.op.loc), str(second.op.loc)])
                    key = (first.cell, *places)
                    if key not in self._seen:
                        self._seen.add(key)
                        self.races.append(Race(state, thread, other, first, second))
                        found = True
        return found


def _footprint(kind: ThreadKind, location: int) -> _Footprint:
    """Return what a step of *kind* from *location* may touch, over all its paths."""
    plain_reads: set[int] = set()
    plain_writes: set[int] = set()
    reads: set[int] = set()
    writes: set[int] = set()
    for op in _ops_of_step(kind.code, kind, kind.locations[location].position):
        for expr in operands(op):
            touched = expression_cells(expr) | {-1 - v for v in expression_versions(expr)}
            reads |= touched
            if any(isinstance(e, Load | VersionRead) and not e.marked for e in walk(expr)):
                plain_reads |= touched
        if isinstance(op, Store):
            cells = cells_of(op.address.base, op.address.terms)
            writes |= cells
            if not op.marked:
                plain_writes |= cells
        elif isinstance(op, Bump):
            writes.add(-1 - op.version)
            if not op.marked:
                plain_writes.add(-1 - op.version)
    return _Footprint(
        frozenset(plain_reads), frozenset(plain_writes), frozenset(reads), frozenset(writes)
    )


def _ops_of_step(code: Code, kind: ThreadKind, start: int) -> list[Op]:
    seen: set[int] = set()
    todo = [start]
    while todo:
        position = todo.pop()
        if position in seen or (position != start and position in kind.location_at):
            continue
        seen.add(position)
        todo += successors(code.ops, position)
    return [code.ops[i] for i in sorted(seen) if not isinstance(code.ops[i], Begin | End)]
