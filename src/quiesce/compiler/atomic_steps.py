# SPDX-License-Identifier: Apache-2.0
"""Where other threads can come in: operations are cut into steps.

A step runs from one *location* to the next. A location lies before

* the beginning of an atomic region: a primitive, a ``wait_until``;
* an operation with a marked access (``READ_ONCE``, ``WRITE_ONCE``, a variable declared marked);
* the first shared access of a statement, if every statement is to be a step of its own; with fusion,
  only if it writes a variable that a property looks at, or if a loop would otherwise run without ever
  letting another thread in.

Everything else rides along with the step before it.

Why fusion is sound. Plain accesses in a program without data races commute with every step of the
other threads that can come next to them: they are both-movers, and a synchronisation followed by
both-movers is one atomic action (R. J. Lipton, "Reduction", CACM 18(12), 1975). That there are no
data races is checked on the very steps that are explored (see ``explorer/races.py``); a first race in
the unfused program is also one there. What a property looks at is not moved, so every state that a
property can tell apart is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.compiler.ir import (
    Await,
    Begin,
    Bump,
    Code,
    End,
    Expr,
    Halt,
    Jump,
    Load,
    LockEvent,
    Op,
    Store,
    VersionRead,
    operands,
    successors,
    touches_memory,
    walk,
)


@dataclass(frozen=True, slots=True)
class Location:
    """A place where a thread can be between two steps.

    :param position: the operation that the next step begins with.
    :param label: what the next step does first, as a trace shows it.
    :param waits: the step can be held up by a ``wait_until``.
    :param queued: strong fairness: a thread that can go from here again and again does go.
    :param final: the thread has finished.
    """

    position: int
    label: str
    waits: bool
    queued: bool
    final: bool


def find_locations(
    code: Code, *, fuse: bool, visible_cells: frozenset[int], visible_versions: frozenset[int]
) -> list[Location]:
    """Return the locations of *code*; the first is the start, which a run leaves before it begins.

    :param fuse: let plain accesses ride along with the synchronisation before them.
    :param visible_cells: the cells that properties look at.
    """
    inside = _inside_atomic(code.ops)
    starts = {0}
    for i, op in enumerate(code.ops):
        if inside[i]:
            continue
        if isinstance(op, Begin | Halt) or has_marked_access(op):
            starts.add(i)
        elif fuse:
            if isinstance(op, Store) and _may_touch(op, visible_cells):
                starts.add(i)
            elif isinstance(op, Bump) and op.version in visible_versions:
                starts.add(i)
        elif _touches(op) and _first_of_statement(code.ops, inside, i):
            starts.add(i)
    if fuse:
        _break_loops(code.ops, inside, starts)
    return [_location(code.ops, i) for i in sorted(starts)]


def _inside_atomic(ops: list[Op]) -> list[bool]:
    """Return for each operation whether it lies in an atomic region; ``Begin`` itself does not.

    Regions are contiguous in the list: an inlined call lies between its ``Begin`` and its ``End``.
    """
    inside = []
    open_ = False
    for op in ops:
        inside.append(open_)
        if isinstance(op, Begin):
            open_ = True
        elif isinstance(op, End):
            open_ = False
    return inside


def has_marked_access(op: Op) -> bool:
    """Whether *op*, outside an atomic region, makes a marked access."""
    if isinstance(op, Store | Bump) and op.marked:
        return True
    return any(
        isinstance(e, Load | VersionRead) and e.marked for x in operands(op) for e in walk(x)
    )


def _touches(op: Op) -> bool:
    return isinstance(op, Store | Bump) or any(touches_memory(x) for x in operands(op))


def _first_of_statement(ops: list[Op], inside: list[bool], position: int) -> bool:
    """Whether no operation of the same statement just before this one touches shared memory."""
    statement = ops[position].statement
    for i in range(position - 1, -1, -1):
        if ops[i].statement != statement or inside[i]:
            return True
        if _touches(ops[i]):
            return False
    return True


def _may_touch(op: Store, cells: frozenset[int]) -> bool:
    return not cells.isdisjoint(cells_of(op.address.base, op.address.terms))


def cells_of(base: int, terms: tuple[object, ...]) -> set[int]:
    """Return every cell that an address may name."""
    from quiesce.compiler.ir import Term

    cells = {base}
    for term in terms:
        assert isinstance(term, Term)
        cells = {b + i * term.stride for b in cells for i in range(term.length)}
    return cells


def expression_cells(expr: Expr) -> set[int]:
    """Return every cell that *expr* may read."""
    cells: set[int] = set()
    for e in walk(expr):
        if isinstance(e, Load):
            cells |= cells_of(e.address.base, e.address.terms)
    return cells


def expression_versions(expr: Expr) -> set[int]:
    """Return every version that *expr* may look at."""
    return {e.version for e in walk(expr) if isinstance(e, VersionRead)}


def _break_loops(ops: list[Op], inside: list[bool], starts: set[int]) -> None:
    """Put a location at the head of each loop that touches memory and has none.

    A jump backwards closes a loop, since the reader lays code out in source order.
    """
    for i, op in enumerate(ops):
        if inside[i] or not isinstance(op, Jump) or op.target.position > i:
            continue
        body = range(op.target.position, i + 1)
        if not any(j in starts for j in body) and any(_touches(ops[j]) for j in body):
            starts.add(op.target.position)


def _location(ops: list[Op], position: int) -> Location:
    op = ops[position]
    if isinstance(op, Begin):
        waits = False
        for later in ops[position + 1 :]:
            if isinstance(later, End):
                break
            waits = waits or isinstance(later, Await)
        return Location(position, op.label, waits, op.queued, False)
    return Location(position, "", False, False, isinstance(op, Halt))


def lock_waited_for(ops: list[Op], position: int) -> LockEvent | None:
    """Return what the atomic region at *position* says it acquires, if anything."""
    for op in ops[position:]:
        if isinstance(op, LockEvent) and op.action == "acquire":
            return op
        if isinstance(op, End):
            return None
    return None


def reachable(ops: list[Op], start: int) -> set[int]:
    """Return the positions that control can get to from *start*."""
    seen: set[int] = set()
    todo = [start]
    while todo:
        i = todo.pop()
        if i not in seen:
            seen.add(i)
            todo += successors(ops, i)
    return seen
