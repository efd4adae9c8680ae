# SPDX-License-Identifier: Apache-2.0
"""What an index leads to: an element of an array of variables or components, or of a tuple."""

from __future__ import annotations

import ast

from quiesce.compiler.ir import Address, Const, Expr, Term
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.python_objects import refuse_stranger, static
from quiesce.compiler.read.shorthand import minus_one
from quiesce.compiler.read.typing_rules import coerce
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Marked,
    Static,
    Tuple,
    Value,
    VariableArray,
    VariablePlace,
)
from quiesce.compiler.read.words import words
from quiesce.compiler.types import IntType, SnapshotType, TaskType


def element(b: Builder, base: Value, index: Value, node: ast.AST) -> Value:
    """Return one element of *base*; a shared variable as a place."""
    match base:
        case Marked(base=VariableArray() as inner):
            place = element(b, inner, index, node)
            assert isinstance(place, VariablePlace)
            return VariablePlace(place.address, place.type, place.low, place.high, True)
        case VariableArray():
            return _variable_element(b, base, index, node)
        case ComponentArray():
            return _component_element(b, base, index, node)
        case Tuple() | Static(object=tuple()) if isinstance(index, Static):
            items = base.items if isinstance(base, Tuple) else [static(b, o) for o in base.object]
            if isinstance(index.object, int) and -len(items) <= index.object < len(items):
                return items[index.object]
            b.refuse(node, "index", f"the index {words(index)} is not in 0..{len(items) - 1}")
    b.refuse(
        node, "subscript", f"this cannot be indexed: it is {words(base)}",
        "a declared Array or PerTask can be, and a tuple with an index known when the scenario is built",
        "declare `Array(Int(0), n)`",
    )  # fmt: skip


def _variable_element(
    b: Builder, base: VariableArray, index: Value, node: ast.AST
) -> VariablePlace:
    if base.per_task:
        expr = coerce(b, index, TaskType(), node, "the index of a PerTask")
        number: Expr = minus_one(expr)
    else:
        number = coerce(b, index, IntType(0, base.length - 1), node, "an index")
    term = Term(number, base.length, 1)
    address = Address(base.address.base, (*base.address.terms, term))
    type_ = base.type
    if isinstance(type_, SnapshotType):
        offset = number.value if isinstance(number, Const) else 0
        if 0 <= offset < base.length:
            type_ = b.layout.cells[address.base + offset].type
    return VariablePlace(address, type_, *base.bounds, base.marked)


def _component_element(b: Builder, base: ComponentArray, index: Value, node: ast.AST) -> Value:
    count = len(base.elements)
    if isinstance(index, Static) and isinstance(index.object, int):
        if not 0 <= index.object < count:
            b.refuse(
                node, "index", f"the index {index.object} is not in 0..{count - 1}",
                "elements are counted from 0, and never from the end",
            )  # fmt: skip
        chosen = base.elements[int(index.object)]
        if not b.layout.contains(chosen):
            refuse_stranger(b, chosen, node)
        return Component(chosen, base.terms)
    expr = coerce(b, index, IntType(0, count - 1), node, "an index")
    if not b.layout.is_uniform(base.elements):
        b.refuse(
            node, "mixed-array", "these components are not alike",
            "an index known only at run time needs components of one class, built alike",
            "declare `Array(Component(), n)`, or loop over them with `for`",
        )  # fmt: skip
    stride, component_stride = b.layout.strides(base.elements)
    term = Term(expr, count, stride, component_stride)
    return Component(base.elements[0], (*base.terms, term))
