# SPDX-License-Identifier: Apache-2.0
"""Comparisons, chains of them, and ``in``."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

from quiesce.compiler.ir import Binary, Expr
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.evaluation import before
from quiesce.compiler.read.python_objects import static
from quiesce.compiler.read.shorthand import ONE, negated
from quiesce.compiler.read.typing_rules import coerce, common_type, integer
from quiesce.compiler.read.values import Component, Dynamic, Static, Tuple, Value, VersionPlace
from quiesce.compiler.read.versions import compare_version
from quiesce.compiler.types import BoolType, IntType, SetType, SnapshotType, TaskType

COMPARISON: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Is: ("==", operator.is_),
    ast.IsNot: ("!=", operator.is_not),
}


def read_comparison(b: Builder, node: ast.Compare) -> Value:
    """Read a comparison, or a chain of them."""
    values = [b.read(node.left)]
    for number, comparator in enumerate(node.comparators):
        count = len(b.ops)
        values, value = before(b, values, partial(b.read, comparator))
        if number and len(b.ops) > count:
            b.refuse(
                comparator, "comparison-chain", "a call or marked access inside a chain of comparisons",
                "it would only happen where the comparison before it is true",
                "`a < b and b < c`",
            )  # fmt: skip
        values.append(value)
    result: Static | Dynamic = Static(True)
    for left, op, right in zip(values, node.ops, values[1:], strict=False):
        one = compare_two(b, left, op, right, node)
        if isinstance(result, Static):
            result = one if result.object else result
        elif one != Static(True):
            # Even where the outcome is known, what comes first is evaluated, and may fail.
            expr = coerce(b, one, BoolType(), node)
            result = Dynamic(Binary("and", result.expr, expr), BoolType())
    return result


def compare_two(
    b: Builder, left: Value, op: ast.cmpop, right: Value, node: ast.AST
) -> Static | Dynamic:
    """Return ``left op right``."""
    if isinstance(op, ast.In | ast.NotIn):
        inside = _contains(b, left, right, node)
        if isinstance(inside, Static):
            return Static(inside.object == isinstance(op, ast.In))
        expr = inside.expr if isinstance(op, ast.In) else negated(inside.expr)
        return Dynamic(expr, BoolType())
    symbol, fold = COMPARISON[type(op)]
    if isinstance(left, Static) and isinstance(right, Static):
        try:
            return Static(bool(fold(left.object, right.object)))
        except Exception as error:  # the operands may be objects of the user's
            b.refuse(node, "constant", f"this cannot be computed: {error}")
    known = _compare_components(left, symbol, right)
    if known is not None:
        return known
    if isinstance(left, VersionPlace) or isinstance(right, VersionPlace):
        return compare_version(b, left, symbol, right, node)
    if isinstance(op, ast.Is | ast.IsNot) and (_is_int(left) or _is_int(right)):
        b.refuse(
            node, "identity", "`is` compares integers as objects",
            "two equal integers may be two objects", "`==`",
        )  # fmt: skip
    if symbol in ("<", "<=", ">", ">="):
        one, other = integer(b, left, node), integer(b, right, node)
        return Dynamic(Binary(symbol, one, other), BoolType())
    type_ = common_type(b, [left, right], node)
    if isinstance(type_, SnapshotType):
        b.refuse(
            node, "snapshots", "two snapshots of a version are compared",
            "each only says whether the version changed since, so the version itself must be one side",
            "compare the snapshot with the version, `self.seq != seen`",
        )  # fmt: skip
    one, other = coerce(b, left, type_, node), coerce(b, right, type_, node)
    return Dynamic(Binary(symbol, one, other), BoolType())


def _is_int(value: Value) -> bool:
    if isinstance(value, Static):
        return isinstance(value.object, int) and not isinstance(value.object, bool)
    return isinstance(value, Dynamic) and isinstance(value.type, IntType)


def _compare_components(left: Value, symbol: str, right: Value) -> Static | None:
    """Compare components that are known, with each other or with None."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Component) and other == Static(None):
            return Static(symbol == "!=")
    if not isinstance(left, Component) or not isinstance(right, Component):
        return None
    if left.terms or right.terms or symbol not in ("==", "!="):
        return None
    return Static((left.template is right.template) == (symbol == "=="))


def _contains(b: Builder, item: Value, container: Value, node: ast.AST) -> Static | Dynamic:
    """Return ``item in container``."""
    match container:
        case Dynamic(expr=mask, type=SetType(of_tasks=of_tasks)):
            if of_tasks:
                task = coerce(b, item, TaskType(), node, "a member of a TaskSet")
                bit: Expr = Binary("-", task, ONE)
            else:
                bit = integer(b, item, node)
            return Dynamic(Binary("bit", mask, bit), BoolType())
        case Tuple(items=items):
            return _any_equal(b, item, items, node)
        case Static(object=tuple() as objects):
            if isinstance(item, Static):
                return Static(item.object in objects)
            return _any_equal(b, item, tuple(static(b, o) for o in objects), node)
    b.refuse(
        node, "in", "`in` is understood for Set and TaskSet variables and for tuples",
        "a state holds no other containers", "x in (A, B)",
    )  # fmt: skip


def _any_equal(
    b: Builder, item: Value, items: tuple[Value, ...], node: ast.AST
) -> Static | Dynamic:
    """Return ``item in items`` as a chain of ``==``."""
    result: Static | Dynamic = Static(False)
    for other in items:
        one = compare_two(b, item, ast.Eq(), other, node)
        if isinstance(result, Static):
            result = result if result.object else one
        elif one != Static(False):
            expr = coerce(b, one, BoolType(), node)
            result = Dynamic(Binary("or", result.expr, expr), BoolType())
    return result
