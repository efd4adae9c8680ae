# SPDX-License-Identifier: Apache-2.0
"""When a value is evaluated: now, or where it is used.

The builder keeps what an expression stands for, and evaluates it as late as possible; so
``self.slots[i].count`` is one access and not three. Late must never mean different. Before an operation
that could change the value, it is put into a temporary:

* *settled*: nothing of it reads shared memory any more. Enough while a call is inlined, since a callee
  cannot assign its caller's local variables.
* *frozen*: nor does it depend on a local variable that may be assigned again. Needed for what is kept
  under a name, or across other statements: ``a, b = b, a``; ``with self.locks[i]:``.

Evaluation order is Python's. When a later operand emits operations (an inlined call, a marked access), what
was evaluated before it is first put into temporaries; so an expression never observes memory later than its
source says.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import assert_never

from quiesce.compiler.ir import (
    Address,
    Binary,
    Const,
    Current,
    Expr,
    IfElse,
    Load,
    Local,
    Term,
    Unary,
    VersionRead,
    touches_memory,
    walk,
)
from quiesce.compiler.read.builder import Builder, T
from quiesce.compiler.read.shorthand import ONE
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Dynamic,
    Marked,
    Method,
    Range,
    SetMethod,
    Super,
    Tuple,
    Value,
    VariableArray,
    VariablePlace,
    VersionPlace,
)
from quiesce.compiler.types import IntType, NoneType, RefType, SnapshotType, TaskType, Type, join

_Needs = Callable[[Expr], bool]
"""Whether an expression must be evaluated now."""


def read_in_order(b: Builder, nodes: Sequence[ast.expr]) -> list[Value]:
    """Read several expressions, keeping Python's order of evaluation."""
    values: list[Value] = []
    for node in nodes:
        values, value = before(b, values, partial(b.read, node))
        values.append(value)
    return values


def before(b: Builder, values: list[Value], then: Callable[[], T]) -> tuple[list[Value], T]:
    """Call *then*; if it emits operations, evaluate *values* before them.

    :return: *values*, settled if need be, and what *then* returned.
    """
    result, emitted = b.apart(then)
    if emitted:
        values = [settled(b, v) for v in values]
        b.ops += emitted
    return values, result


def settled(b: Builder, value: Value) -> Value:
    """Return *value* with all that reads shared memory evaluated now."""
    return _now(b, value, touches_memory)


def frozen(b: Builder, value: Value) -> Value:
    """Return *value* with all that could ever change evaluated now."""
    return _now(b, value, partial(_may_change, b))


def _may_change(b: Builder, expr: Expr) -> bool:
    return any(
        isinstance(e, Load | VersionRead) or (isinstance(e, Local) and e.slot in b.reassigned)
        for e in walk(expr)
    )


def _now(b: Builder, value: Value, needs: _Needs) -> Value:
    """Return *value* with the expressions that *needs* names evaluated now."""
    match value:
        case Dynamic(expr=expr, type=type_) if needs(expr):
            return Dynamic(Local(b.temporary(expr, type_)), type_)
        case VersionPlace():
            return look(b, value)
        case Tuple(items=items):
            return Tuple(tuple(_now(b, v, needs) for v in items))
        case Component(template=template, terms=terms):
            return Component(template, _terms_now(b, terms, needs))
        case ComponentArray(elements=elements, terms=terms):
            return ComponentArray(elements, _terms_now(b, terms, needs))
        case VariableArray(address=address) | VariablePlace(address=address):
            return replace(value, address=_address_now(b, address, needs))
        case SetMethod(place=place):
            address = _address_now(b, place.address, needs)
            return replace(value, place=replace(place, address=address))
        case Method(receiver=Component() as receiver) | Super(receiver=receiver) if receiver.terms:
            terms = _terms_now(b, receiver.terms, needs)
            return replace(value, receiver=Component(receiver.template, terms))
        case Marked(base=base):
            inner = _now(b, base, needs)
            assert isinstance(inner, Component | VariableArray)
            return Marked(inner)
        case Range(start=start, stop=stop, step=step):
            return Range(_now(b, start, needs), _now(b, stop, needs), step)
    return value


def _address_now(b: Builder, address: Address, needs: _Needs) -> Address:
    return Address(address.base, _terms_now(b, address.terms, needs))


def _terms_now(b: Builder, terms: tuple[Term, ...], needs: _Needs) -> tuple[Term, ...]:
    return tuple(replace(t, index=_index_now(b, t.index)) if needs(t.index) else t for t in terms)


def _index_now(b: Builder, index: Expr) -> Expr:
    """Evaluate an index; where it comes from a task or a reference, that is what is kept.

    So the temporary has the task's type, and is renamed with the threads.
    """
    if isinstance(index, Binary) and index.op == "-" and index.right == ONE:
        type_ = _type_of_expr(b, index.left)
        if isinstance(type_, TaskType | RefType):
            return Binary("-", Local(b.temporary(index.left, type_)), ONE)
    return Local(b.temporary(index, IntType(0, 0)))


def _type_of_expr(b: Builder, expr: Expr) -> Type | None:
    match expr:
        case Current():
            return TaskType()
        case Load(address=address):
            return b.layout.cells[address.base].type
        case Local(slot=slot):
            return b.slots[slot].type
        case IfElse(then=then, otherwise=otherwise):
            one = _type_of_expr(b, then) or NoneType()
            other = _type_of_expr(b, otherwise) or NoneType()
            return join(one, other)
        case Const() | VersionRead() | Unary() | Binary():
            return None
        case _:
            assert_never(expr)


def look(b: Builder, version: VersionPlace) -> Dynamic:
    """Take a snapshot of a version, now."""
    type_ = SnapshotType(version.version)
    expr = VersionRead(version.version, b.marks_access(version.marked))
    return Dynamic(Local(b.temporary(expr, type_)), type_)
