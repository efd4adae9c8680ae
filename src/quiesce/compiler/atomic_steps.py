# SPDX-License-Identifier: Apache-2.0
"""Where other threads can come in: operations are cut into steps.

A step runs from one *location* to the next. What it must not share with anything else that others
could see is called an *event* here: an atomic region (a primitive, a ``wait_until``), an operation with
a marked access (``READ_ONCE``, ``WRITE_ONCE``, a variable declared marked), a write of a variable that
a property looks at, the end of the thread.

* With fusion a step is: plain accesses, then one event. The next location lies before the first shared
  access after it; what touches no shared variable rides along with the step before.
* Without fusion every statement that touches shared variables is a step, too.
* Where many steps have a long way in common (a loop over a hundred cases, each with plain accesses), it
  would be a part of each of them. Then paths that come together end a step, too.

Why fusion is sound. In a program without data races, plain accesses commute with every step that
other threads can take in between: they are both-movers, and any number of them followed by one other
action is one atomic action (R. J. Lipton, "Reduction", CACM 18(12), 1975). What a property looks at is
not moved, so every state that a property can tell apart is kept. That there are no data races is
checked on the very steps that are explored (``explorer/reference/races.py``): a thread stands *before*
its plain accesses until it takes its next event, so two accesses that nothing keeps apart are both next
in some state that is visited.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from quiesce.compiler.control_flow import (
    Few,
    break_loops,
    explore,
    joins,
    next_stops,
    overlap,
)
from quiesce.compiler.ir import (
    Await,
    Begin,
    Binary,
    Branch,
    Bump,
    Check,
    Choose,
    Code,
    Const,
    Current,
    End,
    Expr,
    Halt,
    Jump,
    Load,
    LockEvent,
    Op,
    SetLocal,
    Store,
    Term,
    VersionRead,
    accesses_memory,
    inside_atomic,
    reachable,
    reads_of,
    successors,
    walk,
    writes_memory,
)
from quiesce.compiler.loops import LoopNest

MOST_OVERLAP = 8
"""How many steps an operation may be a part of, on average."""


@dataclass(frozen=True, slots=True)
class Location:
    """A place where a thread can be between two steps.

    :param position: the operation that the next step begins with.
    :param event: the operation of the one event of the next step; -1 if it has none.
    :param label: the event's name, if it is an atomic region.
    :param waits: the event can be held up by a ``wait_until``.
    :param queued: strong fairness: a thread that can go from here again and again does go.
    :param final: the thread has finished.
    """

    position: int
    event: int
    label: str
    waits: bool
    queued: bool
    final: bool


def find_locations(
    code: Code,
    nest: LoopNest,
    *,
    fuse: bool,
    visible_cells: frozenset[int],
    visible_versions: frozenset[int],
) -> list[Location]:
    """Return the locations of *code*; the first is the start, which a run leaves before it begins.

    :param nest: the loops of *code*; each step leaves the same of them on all its paths.
    :param fuse: let plain accesses ride along with the event that follows them.
    :param visible_cells: the cells that properties look at.
    """
    ops = code.ops
    inside = inside_atomic(ops)
    events = {
        i
        for i, op in enumerate(ops)
        if not inside[i] and _is_event(ops, i, visible_cells, visible_versions)
    }
    # A finished thread has a location too, so plain accesses before the end are a step of their own.
    starts = {0, *(i for i in events if isinstance(ops[i], Halt))}
    touching = {i for i, op in enumerate(ops) if not inside[i] and accesses_memory(op)}
    if fuse:
        after_events = [0, *(_after_event(ops, i) for i in events if not isinstance(ops[i], Halt))]
        walked: set[int] = set()
        starts |= _first_shared(ops, after_events, touching, events, walked)
        _break_loops(ops, touching, events, starts)
        _one_event_each(ops, touching, events, starts, walked)
    else:
        starts |= events
        starts |= {i for i in touching if _first_of_statement(ops, inside, touching, events, i)}
        _break_loops(ops, touching, events, starts)
    if overlap(ops, starts) > MOST_OVERLAP:
        reached_at_all = reachable(ops)
        starts |= {i for i in joins(ops) if reached_at_all[i] and not inside[i]}
        _one_event_each(ops, touching, events, starts, set())
    while missing := nest.missing_locations(starts):
        starts |= missing
    reached = next_stops(ops, events | starts)
    return [_location(ops, i, reached[i], events, starts) for i in sorted(starts)]


def _is_event(
    ops: list[Op], position: int, cells: frozenset[int], versions: frozenset[int]
) -> bool:
    op = ops[position]
    match op:
        case Begin():
            # A region that only declares something, a lockdep map, is nothing that others could see.
            region = ops[position : _after_event(ops, position)]
            return any(isinstance(o, Await) or accesses_memory(o) for o in region)
        case Halt():
            return True
        case Store():
            return has_marked_access(op) or _may_touch(op, cells)
        case Bump(version=version):
            return has_marked_access(op) or version in versions
        case (
            SetLocal() | Await() | Choose() | Check() | Jump() | Branch() | End() | LockEvent()
        ):  # fmt: skip
            return has_marked_access(op)
        case _:
            assert_never(op)


def _after_event(ops: list[Op], position: int) -> int:
    """Return the position after the event at *position*."""
    if isinstance(ops[position], Begin):
        while not isinstance(ops[position], End):
            position += 1
    return position + 1


def _first_shared(
    ops: list[Op], froms: Iterable[int], touching: set[int], events: set[int], walked: set[int]
) -> set[int]:
    """Return where control first meets shared memory or an event from *froms*.

    :param walked: where such a walk has been; what it met there is not returned again.
    """
    return explore(ops, froms, lambda i: i in events or i in touching, walked)


def _one_event_each(
    ops: list[Op], touching: set[int], events: set[int], starts: set[int], walked: set[int]
) -> None:
    """Where plain accesses may lead to different events, let the first of them be a step alone.

    A location then has one event, so that it is known what a thread there waits for.
    """
    ahead = next_stops(ops, events)
    todo = list(starts - events - {0})
    while todo:
        position = todo.pop()
        reached = ahead[position]
        if reached is None or len(reached) > 1:
            after = successors(ops, position)
            new = _first_shared(ops, after, touching, events, walked) - starts
            starts |= new
            todo += new - events


def has_marked_access(op: Op) -> bool:
    """Whether *op*, outside an atomic region, makes a marked access."""
    if writes_memory(op) and op.marked:
        return True
    return any(read.marked for read in reads_of(op))


def _first_of_statement(
    ops: list[Op], inside: list[bool], touching: set[int], events: set[int], position: int
) -> bool:
    """Whether no operation of the same statement just before this one touches shared memory.

    A marked access in the middle of a statement is a step of its own, and so is what comes after it.
    """
    statement = ops[position].statement
    for i in range(position - 1, -1, -1):
        if ops[i].statement != statement or inside[i] or i in events:
            return True
        if i in touching:
            return False
    return True


def _may_touch(op: Store, cells: frozenset[int]) -> bool:
    return not cells.isdisjoint(cells_of(op.address.base, op.address.terms))


def cells_of(base: int, terms: tuple[Term, ...], task: int = -1) -> set[int]:
    """Return every cell that an address may name.

    :param task: the thread that computes the address, where that is known: what is indexed by the
        running task is then its own.
    """
    cells = {base}
    for term in terms:
        fixed = _fixed_index(term.index, task)
        indices = range(term.length) if fixed is None else [fixed]
        cells = {b + i * term.stride for b in cells for i in indices}
    return cells


def _fixed_index(index: Expr, task: int) -> int | None:
    """Return the only value that *index* can have, if that is known."""
    if isinstance(index, Const):
        return index.value
    if task >= 0 and index == Binary("-", Current(), Const(1)):
        return task
    return None


def expression_cells(expr: Expr, task: int = -1) -> set[int]:
    """Return every cell that *expr* may read; *task* as for :func:`cells_of`."""
    cells: set[int] = set()
    for e in walk(expr):
        if isinstance(e, Load):
            cells |= cells_of(e.address.base, e.address.terms, task)
    return cells


def expression_versions(expr: Expr) -> set[int]:
    """Return every version that *expr* may look at."""
    return {e.version for e in walk(expr) if isinstance(e, VersionRead)}


def _break_loops(ops: list[Op], touching: set[int], events: set[int], starts: set[int]) -> None:
    """Put a location into each loop that touches memory and could run without passing one.

    Such a loop polls plain variables. Without a location others would never come in.
    """
    free = set(range(len(ops))) - starts - events
    starts |= break_loops(ops, free, touching & free)


def _location(
    ops: list[Op], position: int, reached: Few, events: set[int], starts: set[int]
) -> Location:
    """Return the location at *position*, after which control first meets *reached*: events and locations."""
    event = -1
    if position in events:
        event = position
    elif reached is not None and len(reached - {position}) == 1 and not reached <= starts:
        (event,) = reached - {position}
    label, waits, queued = "", False, False
    if event >= 0:
        begin = ops[event]
        if isinstance(begin, Begin):
            label, queued = begin.label, begin.queued
            region = ops[event : _after_event(ops, event)]
            waits = any(isinstance(op, Await) for op in region)
    return Location(position, event, label, waits, queued, isinstance(ops[position], Halt))


def lock_waited_for(ops: list[Op], position: int) -> LockEvent | None:
    """Return what the atomic region at *position* says it acquires, if anything."""
    for op in ops[position:]:
        if isinstance(op, LockEvent) and op.action == "acquire":
            return op
        if isinstance(op, End):
            return None
    return None
