# SPDX-License-Identifier: Apache-2.0
"""Truth: ``and``, ``or``, ``not`` and the conditional expression.

``and`` and ``or`` are read in two ways. As a condition, only the truth counts. As a value, ``x or 5`` is
``x`` itself where that is true, as in Python.
"""

from __future__ import annotations

import ast
from functools import partial

from quiesce.compiler.ir import Binary, Branch, IfElse, Jump, Label, Local, Op, SetLocal
from quiesce.compiler.read.builder import Builder, Mark
from quiesce.compiler.read.evaluation import look
from quiesce.compiler.read.shorthand import negated
from quiesce.compiler.read.typing_rules import coerce, common_type, truth
from quiesce.compiler.read.values import Component, Dynamic, Static, Value, VersionPlace
from quiesce.compiler.types import BoolType, Type


def read_not(b: Builder, node: ast.UnaryOp) -> Static | Dynamic:
    """Read ``not x``."""
    value = condition(b, node.operand)
    if isinstance(value, Static):
        return Static(not value.object)
    return Dynamic(negated(value.expr), BoolType())


def condition(b: Builder, node: ast.expr) -> Static | Dynamic:
    """Read *node* where only its truth counts: a boolean, constant if it is known now."""
    if isinstance(node, ast.BoolOp):
        return _condition_of(b, node)
    value = b.read(node)
    if isinstance(value, Static):
        return Static(bool(value.object))
    if isinstance(value, Component):
        return Static(True)
    return Dynamic(truth(b, value, node), BoolType())


def _condition_of(b: Builder, node: ast.BoolOp) -> Static | Dynamic:
    """Read ``and``/``or`` where only its truth counts."""
    is_and = isinstance(node.op, ast.And)
    result = condition(b, node.values[0])
    for operand in node.values[1:]:
        if isinstance(result, Static):
            # A constant operand decides or drops out; what it hides is not even read.
            if bool(result.object) != is_and:
                return result
            result = condition(b, operand)
            continue
        right, emitted = b.apart(partial(condition, b, operand))
        if emitted:
            result = _guarded(b, result, is_and, emitted, right, BoolType(), operand)
        else:
            symbol = "and" if is_and else "or"
            expr = coerce(b, right, BoolType(), operand)
            result = Dynamic(Binary(symbol, result.expr, expr), BoolType())
    return result


def read_boolean(b: Builder, node: ast.BoolOp) -> Value:
    """Read ``and``/``or`` for its value: that of the operand that decides."""
    is_and = isinstance(node.op, ast.And)
    value = b.read(node.values[0])
    for operand in node.values[1:]:
        if isinstance(value, Static | Component):
            known = bool(value.object) if isinstance(value, Static) else True
            if known != is_and:
                return value
            value = b.read(operand)
            continue
        right, emitted = b.apart(partial(b.read, operand))
        if isinstance(right, VersionPlace):
            right, emitted = b.apart(partial(look, b, right))
        type_ = common_type(b, [value, right], node)
        if emitted:
            value = _guarded(b, value, is_and, emitted, right, type_, operand)
            continue
        test, first = truth(b, value, node), coerce(b, value, type_, node)
        second = coerce(b, right, type_, operand)
        if isinstance(type_, BoolType):
            value = Dynamic(Binary("and" if is_and else "or", first, second), type_)
        else:
            chosen = IfElse(test, second, first) if is_and else IfElse(test, first, second)
            value = Dynamic(chosen, type_)
    return value


def _guarded(
    b: Builder,
    left: Value,
    is_and: bool,
    emitted: list[Op | Mark],
    right: Value,
    type_: Type,
    node: ast.AST,
) -> Dynamic:
    """Emit the operations of the right operand so that they only happen where Python's would."""
    result = b.temporary(coerce(b, left, type_, node), type_)
    end = Label()
    test = truth(b, Dynamic(Local(result), type_), node)
    b.emit(Branch(test if is_and else negated(test), end, **b.at))
    b.ops += emitted
    b.emit(SetLocal(result, coerce(b, right, type_, node), **b.at))
    b.place_label(end)
    return Dynamic(Local(result), type_)


def read_conditional(b: Builder, node: ast.IfExp) -> Value:
    """Read ``a if condition else b``."""
    test = condition(b, node.test)
    if isinstance(test, Static):
        return b.read(node.body if test.object else node.orelse)
    then, first = b.apart(partial(b.read, node.body))
    otherwise, second = b.apart(partial(b.read, node.orelse))
    type_ = common_type(b, [then, otherwise], node)
    if not first and not second:
        return Dynamic(
            IfElse(
                test.expr,
                coerce(b, then, type_, node.body),
                coerce(b, otherwise, type_, node.orelse),
            ),
            type_,
        )
    result = b.new_slot("", type_)
    other, end = Label(), Label()
    b.emit(Branch(test.expr, other, **b.at))
    b.ops += first
    b.emit(SetLocal(result, coerce(b, then, type_, node.body), **b.at))
    b.emit(Jump(end, **b.at))
    b.place_label(other)
    b.ops += second
    b.emit(SetLocal(result, coerce(b, otherwise, type_, node.orelse), **b.at))
    b.place_label(end)
    return Dynamic(Local(result), type_)
