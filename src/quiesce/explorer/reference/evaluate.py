# SPDX-License-Identifier: Apache-2.0
"""The reference evaluator: what each expression and operation of the IR means.

Every expression becomes a Python closure that reads a *working vector*, and every operation one that
changes it and returns the position to go on at. The vector is the state, then the running task, then
the locals that are no part of a state. Nothing is optimised beyond that: this file is the definition
that the native kernel and the thread runner are held against.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import lru_cache
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
    Shown,
    Store,
    Unary,
    VersionRead,
)
from quiesce.compiler.program import Program, ThreadKind
from quiesce.explorer.reference.record import Access, LockCall, Record, Seen

Vector = list[int]
Evaluate = Callable[[Vector, int], int]
"""From the working vector and the base of the running thread's block to a value."""

BLOCKED = -1
CHOICE = -2


class StepFailure(Exception):
    """A step did what no step may: the run ends here with a finding.

    :param kind: ``assertion``, ``range``, ``index``, ``null``, ``division`` or ``endless step``.
    """

    def __init__(self, kind: str, message: str, op: Op) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.op = op


class Evaluator:
    """The operations of one thread kind, or of a property, as closures.

    :param places: for each stored slot, its offset in the thread's block; other slots are scratch.
    :param scratch: where in the working vector the scratch locals begin; the task is just before.
    :param record: note what each operation does; slower, used for traces and race checks.
    """

    def __init__(
        self,
        program: Program,
        ops: list[Op],
        places: dict[int, int],
        ranges: list[tuple[int, int]],
        record: Record | None = None,
    ) -> None:
        self.program = program
        self.places = places
        self.ranges = ranges
        self.scratch = program.size + 1
        self.record = record
        self.ops = ops
        self.choices: dict[int, tuple[Evaluate, ...]] = {}
        self.run: list[Evaluate] = []
        for i, op in enumerate(ops):
            step = self._operation(op, i)
            self.run.append(step if record is None else self._recorded(op, step, record))

    # --- Expressions ------------------------------------------------------------------------------

    def expression(self, expr: Expr, op: Op) -> Evaluate:
        """Return the closure that evaluates *expr*, which is part of *op*."""
        match expr:
            case Const(value=value):
                return lambda w, b: value
            case Local(slot=slot):
                return self._local(slot)
            case Current():
                task = self.scratch - 1
                return lambda w, b: w[task]
            case Load():
                return self._load(expr, op)
            case VersionRead(version=version, marked=marked):
                return self._version_read(version, marked, op)
            case Unary():
                return self._unary(expr, op)
            case Binary():
                return self._binary(expr, op)
            case IfElse():
                test = self.expression(expr.condition, op)
                then = self.expression(expr.then, op)
                otherwise = self.expression(expr.otherwise, op)
                return lambda w, b: then(w, b) if test(w, b) else otherwise(w, b)
            case _:
                assert_never(expr)

    def _local(self, slot: int) -> Evaluate:
        if slot in self.places:
            offset = self.places[slot]
            return lambda w, b: w[b + offset]
        index = self.scratch + slot
        return lambda w, b: w[index]

    def _load(self, expr: Load, op: Op) -> Evaluate:
        record = self.record
        if record is not None:
            where = self.address(expr.address, op)
            marked = expr.marked

            def recorded(w: Vector, b: int) -> int:
                cell = where(w, b)
                record.accesses.append(Access(cell, False, marked, op))
                if record.values is not None:
                    record.values.append(Seen(len(record.ops) - 1, cell, w[cell]))
                return w[cell]

            return recorded
        if not expr.address.terms:
            base = expr.address.base
            return lambda w, b: w[base]
        where = self.address(expr.address, op)
        return lambda w, b: w[where(w, b)]

    def _version_read(self, version: int, marked: bool, op: Op) -> Evaluate:
        record = self.record
        if record is None:
            return lambda w, b: 1

        def recorded(w: Vector, b: int) -> int:
            record.accesses.append(Access(-1 - version, False, marked, op))
            return 1

        return recorded

    def address(self, address: Address, op: Op) -> Evaluate:
        """Return the closure that computes which cell (or component) *address* names."""
        base = address.base
        if not address.terms:
            return lambda w, b: base
        terms = [(self.expression(t.index, op), t) for t in address.terms]

        def compute(w: Vector, b: int) -> int:
            cell = base
            for index, term in terms:
                i = index(w, b)
                if not 0 <= i < term.length:
                    if term.deref and i == -1:
                        raise StepFailure("null", "None is used like a component", op)
                    raise StepFailure("index", f"the index {i} is not in 0..{term.length - 1}", op)
                cell += i * term.stride
            return cell

        return compute

    def _unary(self, expr: Unary, op: Op) -> Evaluate:
        inner = self.expression(expr.operand, op)
        match expr.op:
            case "not":
                return lambda w, b: 0 if inner(w, b) else 1
            case "-":
                return lambda w, b: -inner(w, b)
            case "~":
                return lambda w, b: ~inner(w, b)
        return lambda w, b: inner(w, b).bit_count()

    def _binary(self, expr: Binary, op: Op) -> Evaluate:
        x = self.expression(expr.left, op)
        y = self.expression(expr.right, op)
        match expr.op:
            case "and":
                return lambda w, b: 1 if x(w, b) and y(w, b) else 0
            case "or":
                return lambda w, b: 1 if x(w, b) or y(w, b) else 0
            case "bit":
                return lambda w, b: x(w, b) >> y(w, b) & 1 if y(w, b) >= 0 else 0
            case "==":
                return lambda w, b: 1 if x(w, b) == y(w, b) else 0
            case "!=":
                return lambda w, b: 1 if x(w, b) != y(w, b) else 0
            case "<":
                return lambda w, b: 1 if x(w, b) < y(w, b) else 0
            case "<=":
                return lambda w, b: 1 if x(w, b) <= y(w, b) else 0
            case ">":
                return lambda w, b: 1 if x(w, b) > y(w, b) else 0
            case ">=":
                return lambda w, b: 1 if x(w, b) >= y(w, b) else 0
            case "+":
                return lambda w, b: x(w, b) + y(w, b)
            case "-":
                return lambda w, b: x(w, b) - y(w, b)
            case "*":
                return lambda w, b: x(w, b) * y(w, b)
            case "&":
                return lambda w, b: x(w, b) & y(w, b)
            case "|":
                return lambda w, b: x(w, b) | y(w, b)
            case "^":
                return lambda w, b: x(w, b) ^ y(w, b)
        return self._partial(expr.op, x, y, op)

    def _partial(self, symbol: str, x: Evaluate, y: Evaluate, op: Op) -> Evaluate:
        """The operators that are not defined for every pair of integers."""

        def compute(w: Vector, b: int) -> int:
            left, right = x(w, b), y(w, b)
            if symbol in ("//", "%"):
                if right == 0:
                    raise StepFailure("division", "division by zero", op)
                return left // right if symbol == "//" else left % right
            if not 0 <= right < 62:
                raise StepFailure("range", f"a shift by {right} is not in 0..61", op)
            return left << right if symbol == "<<" else left >> right

        return compute

    # --- Operations -------------------------------------------------------------------------------

    def _recorded(self, op: Op, step: Evaluate, record: Record) -> Evaluate:
        told = self._told(op) if record.values is not None else []

        def run(w: Vector, b: int) -> int:
            record.ops.append(op)
            for index, value in told:
                assert record.values is not None
                with contextlib.suppress(StepFailure):
                    record.values.append(Seen(len(record.ops) - 1, None, value(w, b), index=index))
            return step(w, b)

        return run

    def _told(self, op: Op) -> list[tuple[int, Evaluate]]:
        """Return what traces show of *op* besides what it does, by number: arguments, results, the receiver.

        The receiver of an atomic region has the number -1.
        """
        match op:
            case Begin(arguments=arguments, receiver=receiver):
                told = self._evaluated(arguments or (), op)
                return told if receiver is None else [*told, (-1, self.address(receiver, op))]
            case End(results=results):
                return self._evaluated(results, op)
            case _:
                return []

    def _evaluated(
        self, shown: Sequence[Shown | Address | str], op: Op
    ) -> list[tuple[int, Evaluate]]:
        found: list[tuple[int, Evaluate]] = []
        for index, item in enumerate(shown):
            if isinstance(item, Shown):
                found.append((index, self.expression(item.expr, op)))
            elif isinstance(item, Address):
                found.append((index, self.address(item, op)))
        return found

    def _operation(self, op: Op, position: int) -> Evaluate:
        after = position + 1
        match op:
            case SetLocal(slot=slot, value=value):
                return self._set_local(slot, self.expression(value, op), op, after)
            case Store():
                return self._store(op, after)
            case Bump():
                return self._bump(op, after)
            case Await(condition=condition):
                test = self.expression(condition, op)
                return lambda w, b: after if test(w, b) else BLOCKED
            case Choose(slot=slot, options=options):
                self.choices[position] = tuple(self.expression(o, op) for o in options)
                return lambda w, b: CHOICE
            case Check(condition=condition, message=message):
                return self._check(self.expression(condition, op), message, op, after)
            case Jump(target=target):
                to = target.position
                return lambda w, b: to
            case Branch(condition=condition, target=target):
                test, to = self.expression(condition, op), target.position
                return lambda w, b: after if test(w, b) else to
            case LockEvent() if self.record is not None:
                return self._lock_event(op, self.record, after)
            case Begin() | End() | LockEvent() | Halt():
                return lambda w, b: after
            case _:
                assert_never(op)

    def assign(self, slot: int) -> Callable[[Vector, int, int], None]:
        """Return the closure that sets local *slot*."""
        if slot in self.places:
            offset = self.places[slot]

            def stored(w: Vector, b: int, value: int) -> None:
                w[b + offset] = value

            return stored
        index = self.scratch + slot

        def scratch(w: Vector, b: int, value: int) -> None:
            w[index] = value

        return scratch

    def _set_local(self, slot: int, value: Evaluate, op: Op, after: int) -> Evaluate:
        low, high = self.ranges[slot]
        assign = self.assign(slot)

        def run(w: Vector, b: int) -> int:
            v = value(w, b)
            if not low <= v <= high:
                raise StepFailure("range", f"a local variable became {v}, not in {low}..{high}", op)
            assign(w, b, v)
            return after

        return run

    def _store(self, op: Store, after: int) -> Evaluate:
        where = self.address(op.address, op)
        value = self.expression(op.value, op)
        low, high, record, cells = op.low, op.high, self.record, self.program.cells

        def run(w: Vector, b: int) -> int:
            v = value(w, b)
            cell = where(w, b)
            if not low <= v <= high:
                raise StepFailure(
                    "range", f"{cells[cell].name} became {v}, not in {low}..{high}", op
                )
            if record is not None:
                record.accesses.append(Access(cell, True, op.marked, op))
                if record.values is not None:
                    record.values.append(Seen(len(record.ops) - 1, cell, w[cell], v))
            w[cell] = v
            return after

        return run

    def _bump(self, op: Bump, after: int) -> Evaluate:
        holders = self.program.snapshot_holders(op.version)
        for kind in self.program.kinds:
            if kind.code.ops is self.ops:
                holders += [self.scratch + slot for slot in kind.cleared[after - 1]]
        record = self.record

        def run(w: Vector, b: int) -> int:
            if record is not None:
                record.accesses.append(Access(-1 - op.version, True, op.marked, op))
            for holder in holders:
                w[holder] = 0
            return after

        return run

    def _check(self, test: Evaluate, message: str, op: Op, after: int) -> Evaluate:
        def run(w: Vector, b: int) -> int:
            if not test(w, b):
                raise StepFailure("assertion", message, op)
            return after

        return run

    def _lock_event(self, op: LockEvent, record: Record, after: int) -> Evaluate:
        where = self.address(op.lock, op)

        def run(w: Vector, b: int) -> int:
            record.locks.append(LockCall(op.action, where(w, b), op.read, op.trylock, op))
            return after

        return run


def kind_evaluator(program: Program, kind: ThreadKind, record: Record | None = None) -> Evaluator:
    """Return the evaluator for threads of *kind*; without a record, always the same one."""
    if record is None:
        return _plain_evaluator(program, kind)
    return Evaluator(program, kind.code.ops, kind.places, kind.ranges, record)


@lru_cache(maxsize=64)
def _plain_evaluator(program: Program, kind: ThreadKind) -> Evaluator:
    return Evaluator(program, kind.code.ops, kind.places, kind.ranges)
