# SPDX-License-Identifier: Apache-2.0
"""When a value is evaluated: now, or where it is used.

The reader keeps what an expression stands for, and evaluates it as late as it can; so
``self.slots[i].count`` is one access and not three. Late must never mean different. Before something
happens that could change the value, it is put into a temporary:

* *settled*: nothing of it reads shared memory any more. Enough while a call is inlined, since a callee
  cannot assign its caller's local variables.
* *frozen*: nor does it depend on a local variable that may be assigned again. Needed for what is kept
  under a name, or across other statements: ``a, b = b, a``; ``with self.locks[i]:``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar, assert_never

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
from quiesce.compiler.read.frames import ONE, Emitter
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Dynamic,
    Marked,
    Method,
    Place,
    Range,
    SetMethod,
    Super,
    Tuple,
    Value,
    VariableArray,
    VersionPlace,
)
from quiesce.compiler.types import (
    IntType,
    NoneType,
    RefType,
    SnapshotType,
    TaskType,
    Type,
    join,
)

T = TypeVar("T")
_Needs = Callable[[Expr], bool]


class Settler(Emitter):
    """Evaluates values now, if evaluating them later could give something else."""

    def read(self, node: ast.expr) -> Value:
        """Return what *node* stands for. See :mod:`quiesce.compiler.read.expressions`."""
        raise NotImplementedError

    def read_in_order(self, nodes: Sequence[ast.expr]) -> list[Value]:
        """Read several expressions, keeping Python's order of evaluation."""
        values: list[Value] = []
        for node in nodes:
            values, value = self.before(values, lambda node=node: self.read(node))  # type: ignore[misc]
            values.append(value)
        return values

    def before(self, values: list[Value], then: Callable[[], T]) -> tuple[list[Value], T]:
        """Do *then*; if it emits operations, evaluate *values* before them.

        :return: *values*, settled if need be, and what *then* returned.
        """
        outer, self.ops = self.ops, []
        try:
            result = then()
        finally:
            emitted, self.ops = self.ops, outer
        if emitted:
            values = [self.settled(v) for v in values]
            self.ops += emitted
        return values, result

    def settled(self, value: Value) -> Value:
        """Return *value* with all that reads shared memory evaluated now."""
        return self._now(value, touches_memory)

    def frozen(self, value: Value) -> Value:
        """Return *value* with all that could ever change evaluated now."""
        return self._now(value, self._may_change)

    def _may_change(self, expr: Expr) -> bool:
        return any(
            isinstance(e, Load | VersionRead)
            or (isinstance(e, Local) and e.slot in self.reassigned)
            for e in walk(expr)
        )

    def _now(self, value: Value, needs: _Needs) -> Value:
        match value:
            case Dynamic(expr=expr, type=type_) if needs(expr):
                return Dynamic(Local(self.temporary(expr, type_)), type_)
            case VersionPlace():
                return self.look(value)
            case Tuple(items=items):
                return Tuple(tuple(self._now(v, needs) for v in items))
            case Component(template=template, terms=terms):
                return Component(template, self._terms_now(terms, needs))
            case ComponentArray(elements=elements, terms=terms):
                return ComponentArray(elements, self._terms_now(terms, needs))
            case VariableArray(address=address) | Place(address=address):
                return replace(value, address=self._address_now(address, needs))
            case SetMethod(place=place):
                return replace(value, place=self._place_now(place, needs))
            case Method(receiver=receiver) | Super(receiver=receiver) if receiver.terms:
                terms = self._terms_now(receiver.terms, needs)
                return replace(value, receiver=Component(receiver.template, terms))
            case Marked(base=base):
                inner = self._now(base, needs)
                assert isinstance(inner, Component | VariableArray)
                return Marked(inner)
            case Range(start=start, stop=stop, step=step):
                return Range(self._now(start, needs), self._now(stop, needs), step)
        return value

    def _place_now(self, place: Place, needs: _Needs) -> Place:
        return replace(place, address=self._address_now(place.address, needs))

    def _address_now(self, address: Address, needs: _Needs) -> Address:
        return Address(address.base, self._terms_now(address.terms, needs))

    def _terms_now(self, terms: tuple[Term, ...], needs: _Needs) -> tuple[Term, ...]:
        return tuple(
            replace(t, index=self._index_now(t.index)) if needs(t.index) else t for t in terms
        )

    def _index_now(self, index: Expr) -> Expr:
        """Evaluate an index; where it comes from a task or a reference, that is what is kept.

        So the temporary has the task's type, and is renamed with the threads.
        """
        if isinstance(index, Binary) and index.op == "-" and index.right == ONE:
            type_ = self._type_of_expr(index.left)
            if isinstance(type_, TaskType | RefType):
                return Binary("-", Local(self.temporary(index.left, type_)), ONE)
        return Local(self.temporary(index, IntType(0, 0)))

    def _type_of_expr(self, expr: Expr) -> Type | None:
        match expr:
            case Current():
                return TaskType()
            case Load(address=address):
                return self.layout.cells[address.base].type
            case Local(slot=slot):
                return self.slots[slot].type  # type: ignore[return-value]
            case IfElse(then=then, otherwise=otherwise):
                a = self._type_of_expr(then) or NoneType()
                b = self._type_of_expr(otherwise) or NoneType()
                return join(a, b)
            case Const() | VersionRead() | Unary() | Binary():
                return None
            case _:
                assert_never(expr)

    def look(self, version: VersionPlace) -> Dynamic:
        """Take a snapshot of a version, now."""
        type_ = SnapshotType(version.version)
        expr = VersionRead(version.version, version.marked or self.atomic_depth > 0)
        return Dynamic(Local(self.temporary(expr, type_)), type_)
