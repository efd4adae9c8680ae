# SPDX-License-Identifier: Apache-2.0
"""Data races: two accesses, one a write and at least one plain, that are both next in some state.

KCSAN's notion. A thread stands before its plain accesses until it takes the step that they belong to
(``compiler/atomic_steps.py``), so in each state the accesses of every thread's next step are compared,
also where the step cannot be finished because its ``wait_until`` is false: up to there it happens.

This is checked on the very steps that are explored, so it also justifies that plain accesses ride
along with the event after them: if the unfused program has a race, its first one is met here, since
up to it all plain accesses commute.
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
from quiesce.explorer.reference import State, Stepper


@dataclass(frozen=True, slots=True)
class Race:
    """Two racing accesses, both next in *state*: the first, plain, by *thread*, the second by *other*."""

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

    @property
    def plain(self) -> bool:
        """Whether there is any plain access."""
        return bool(self.plain_reads or self.plain_writes)


class RaceFinder:
    """Looks for races in the steps of a search; each pair of source places is reported once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.races: list[Race] = []
        self._seen: set[tuple[object, ...]] = set()
        self._stepper = Stepper(program, Record())
        self._base = [t.base for t in program.threads]
        prints = {id(k): [_footprint(k, i) for i in range(len(k.locations))] for k in program.kinds}
        self._prints = [prints[id(t.kind)] for t in program.threads]
        self._memo: dict[tuple[int, int, int, int], bool] = {}

    def look(self, state: State) -> bool:
        """Compare the next steps of all threads in *state*; true if a new race was found."""
        found = False
        locations = [state[base] for base in self._base]
        accesses: dict[int, list[Access]] = {}
        for thread, location in enumerate(locations):
            if not self._prints[thread][location].plain:
                continue
            for other, other_location in enumerate(locations):
                if other != thread and self._may_race(thread, location, other, other_location):
                    for number in (thread, other):
                        if number not in accesses:
                            accesses[number] = self._next_accesses(state, number)
                    found |= self._compare(state, thread, other, accesses)
        return found

    def _next_accesses(self, state: State, thread: int) -> list[Access]:
        """Return what the next step of *thread* touches, over all its choices."""
        return self._stepper.accesses_of(state, thread)

    def _may_race(self, thread: int, location: int, other: int, other_location: int) -> bool:
        key = thread, location, other, other_location
        answer = self._memo.get(key)
        if answer is None:
            a, b = self._prints[thread][location], self._prints[other][other_location]
            answer = bool(a.plain_writes & (b.reads | b.writes) or a.plain_reads & b.writes)
            self._memo[key] = answer
        return answer

    def _compare(
        self, state: State, thread: int, other: int, accesses: dict[int, list[Access]]
    ) -> bool:
        found = False
        for first in accesses[thread]:
            if first.marked:
                continue
            for second in accesses[other]:
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
