# SPDX-License-Identifier: Apache-2.0
"""What a thread may hold when it acquires a lock, read off its code alone.

Every path of control is followed, with the locks that are held on it and the local variables of which the
value is known. What the thread reads of shared memory may be anything. So this is more than can happen, and
never less: if lockdep is silent about all of it, it is silent about every run.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import assert_never

from quiesce.compiler.ir import (
    Address,
    Await,
    Begin,
    Binary,
    Branch,
    Bump,
    Check,
    Choose,
    Const,
    Current,
    End,
    Expr,
    Halt,
    IfElse,
    Jump,
    Load,
    Local,
    LockEvent,
    Op,
    SetLocal,
    Store,
    Unary,
    VersionRead,
    successors,
)
from quiesce.compiler.liveness import live_slots
from quiesce.compiler.program import Program, ThreadKind
from quiesce.compiler.types import BoolType, SnapshotType

MOST = 50_000
"""Places, with what is held and known there, that are followed in all; with more nothing is said."""

DEEPEST = 48
"""Locks that a thread holds at a time, as in lockdep (``MAX_LOCK_DEPTH``); with more nothing is said."""

Known = frozenset[tuple[int, int]]
"""Local variables, by slot, with their values."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A lock that is held or acquired: the component, how, and the functions around it."""

    component: int
    read: int
    trylock: bool
    stack: tuple[str, ...]


Held = tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """A lock that *thread* acquires while it holds others."""

    thread: int
    held: Held
    entry: Entry


def possible_contexts(program: Program) -> list[Context] | None:
    """Return every lock that a thread may acquire, with what it may hold there; None if that is too much."""
    found: dict[Context, None] = {}
    left = MOST
    for number, thread in enumerate(program.threads):
        paths = _Paths(thread.kind, number, found)
        left -= paths.follow(left)
        if left <= 0 or paths.deepest > DEEPEST:
            return None
    return list(found)


def without(held: Held, component: int) -> Held:
    """Return *held* after *component* was released: the last time that it was acquired counts."""
    for i in range(len(held) - 1, -1, -1):
        if held[i].component == component:
            return held[:i] + held[i + 1 :]
    return held


class _Paths:
    """The paths of one thread."""

    def __init__(self, kind: ThreadKind, thread: int, found: dict[Context, None]) -> None:
        self.code = kind.code
        self.thread = thread
        self.found = found
        self.deepest = 0
        self._live = live_slots(kind.code)

    def follow(self, most: int) -> int:
        """Enter what is found on all paths; return how many places there were, at most about *most*."""
        start: tuple[int, Held, Known] = (0, (), frozenset())
        seen, todo = {start}, [start]
        while todo and len(seen) < most and self.deepest <= DEEPEST:
            position, held, known = todo.pop()
            for after, held_after, known_after in self._step(position, held, dict(known)):
                live = self._live[after]
                kept = frozenset(item for item in known_after.items() if item[0] in live)
                place = after, held_after, kept
                if place not in seen:
                    seen.add(place)
                    todo.append(place)
        return len(seen)

    def _step(
        self, position: int, held: Held, known: dict[int, int]
    ) -> Iterator[tuple[int, Held, dict[int, int]]]:
        """Yield where control may go from *position*, and what is held and known there."""
        op: Op = self.code.ops[position]
        match op:
            case SetLocal(slot=slot, value=value):
                yield position + 1, held, self._with(known, slot, self._value(value, known))
            case Choose(slot=slot, options=options):
                for chosen in {self._value(option, known) for option in options}:
                    yield position + 1, held, self._with(known, slot, chosen)
            case Branch(condition=condition, target=target):
                outcome = self._value(condition, known)
                if outcome is None or outcome:
                    yield position + 1, held, self._learned(known, condition, True)
                if not outcome:
                    yield target.position, held, self._learned(known, condition, False)
            case Await(condition=condition) | Check(condition=condition):
                if self._value(condition, known) != 0:
                    yield position + 1, held, self._learned(known, condition, True)
            case LockEvent():
                for component, learned in self._components(op.lock, known):
                    yield position + 1, self._told(op, component, held), learned
            case Store() | Bump() | Jump() | Begin() | End() | Halt():
                for after in successors(self.code.ops, position):
                    yield after, held, known
            case _:
                assert_never(op)

    def _told(self, op: LockEvent, component: int, held: Held) -> Held:
        """Enter what *op* acquires; return what is held after it."""
        if op.action == "release":
            return without(held, component)
        entry = Entry(component, op.read, op.trylock, op.stack)
        self.found[Context(self.thread, held, entry)] = None
        self.deepest = max(self.deepest, len(held) + 1)
        return (*held, entry)

    def _components(
        self, lock: Address, known: dict[int, int]
    ) -> Iterator[tuple[int, dict[int, int]]]:
        """Yield each component that *lock* may name, and what is known if it is that one."""
        places = [(lock.base, known)]
        for term in lock.terms:
            places = [
                (component + index * term.stride, learned)
                for component, before in places
                for index, learned in self._indices(term.index, term.length, before)
            ]
        yield from places

    def _indices(
        self, expr: Expr, length: int, known: dict[int, int]
    ) -> Iterator[tuple[int, dict[int, int]]]:
        value = self._value(expr, known)
        for index in range(length):
            if value is None or value == index:
                yield index, self._learned(known, Binary("==", expr, Const(index)), True)

    def _with(self, known: dict[int, int], slot: int, value: int | None) -> dict[int, int]:
        """Return what is known after an assignment. A snapshot is not only changed by its own thread."""
        changed = {s: v for s, v in known.items() if s != slot}
        if value is not None and not isinstance(self.code.slots[slot].type, SnapshotType):
            changed[slot] = value
        return changed

    def _learned(self, known: dict[int, int], condition: Expr, outcome: bool) -> dict[int, int]:
        """Return what is known where *condition* has come out as *outcome*."""
        match condition:
            case Local(slot=slot) if not outcome or self.code.slots[slot].type == BoolType():
                return self._with(known, slot, int(outcome))
            case Unary(op="not", operand=operand):
                return self._learned(known, operand, not outcome)
            case Binary(op="==", left=Local(slot=slot), right=Const(value=value)) if outcome:
                return self._with(known, slot, value)
            case Binary(
                op="==",
                left=Binary(op="-", left=Local(slot=slot), right=Const(value=less)),
                right=Const(value=value),
            ) if outcome:
                return self._with(known, slot, value + less)
            case _:
                return known

    def _value(self, expr: Expr, known: dict[int, int]) -> int | None:
        """Return the value of *expr*, or None if it is not known or cannot be computed."""
        match expr:
            case Const(value=value):
                return value
            case Local(slot=slot):
                return known.get(slot)
            case Current():
                return self.thread + 1
            case Load() | VersionRead():
                return None
            case Unary(op=op, operand=operand):
                inner = self._value(operand, known)
                return None if inner is None else _UNARY[op](inner)
            case Binary(op="and" | "or" as op, left=left, right=right):
                return _both(op == "and", self._value(left, known), self._value(right, known))
            case Binary(op=op, left=left, right=right):
                a, b = self._value(left, known), self._value(right, known)
                return None if a is None or b is None else _computed(op, a, b)
            case IfElse(condition=condition, then=then, otherwise=otherwise):
                test = self._value(condition, known)
                a, b = self._value(then, known), self._value(otherwise, known)
                if test is None:
                    return a if a == b else None
                return a if test else b
            case _:
                assert_never(expr)


_UNARY: dict[str, Callable[[int], int]] = {
    "not": lambda x: int(not x),
    "-": operator.neg,
    "~": operator.invert,
    "count": int.bit_count,
}

_BINARY: dict[str, Callable[[int, int], int]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge, "+": operator.add, "-": operator.sub, "*": operator.mul, "&": operator.and_,
    "|": operator.or_, "^": operator.xor, "bit": lambda x, y: x >> y & 1,
    "//": operator.floordiv, "%": operator.mod, "<<": operator.lshift, ">>": operator.rshift,
}  # fmt: skip


def _both(conjunction: bool, a: int | None, b: int | None) -> int | None:
    """Return ``a and b``, or ``a or b``, of which one may decide alone."""
    truths = [None if x is None else bool(x) for x in (a, b)]
    if (not conjunction) in truths:
        return int(not conjunction)
    return None if None in truths else int(conjunction)


def _computed(op: str, a: int, b: int) -> int | None:
    fails = b == 0 if op in ("//", "%") else op in ("<<", ">>", "bit") and not 0 <= b < 62
    return None if fails else int(_BINARY[op](a, b))
