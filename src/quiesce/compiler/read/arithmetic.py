# SPDX-License-Identifier: Apache-2.0
"""Arithmetic: ``+``, ``&``, ``<<`` and the others, folded where both sides are constants."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from quiesce.compiler.ir import Binary, Unary
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.evaluation import read_in_order
from quiesce.compiler.read.language import REFUSED
from quiesce.compiler.read.sets import set_operation
from quiesce.compiler.read.typing_rules import integer
from quiesce.compiler.read.values import Dynamic, Static, Value
from quiesce.compiler.types import BoolType, IntType, SetType

ARITHMETIC: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.BitAnd: ("&", operator.and_),
    ast.BitOr: ("|", operator.or_),
    ast.BitXor: ("^", operator.xor),
    ast.LShift: ("<<", operator.lshift),
    ast.RShift: (">>", operator.rshift),
}

_SIGN: dict[type[ast.unaryop], Callable[[int], int]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.inv,
}

_LARGEST_SHIFT = 62


def read_binary(b: Builder, node: ast.BinOp) -> Value:
    """Read ``left op right``."""
    left, right = read_in_order(b, [node.left, node.right])
    return arithmetic(b, left, node.op, right, node)


def arithmetic(b: Builder, left: Value, op: ast.operator, right: Value, node: ast.AST) -> Value:
    """Return ``left op right``."""
    if type(op) not in ARITHMETIC:
        refusal = REFUSED[type(op)]
        b.refuse(node, refusal.code, refusal.message, refusal.why, refusal.help)
    symbol, fold = ARITHMETIC[type(op)]
    if isinstance(left, Static) and isinstance(right, Static):
        return _folded(b, left.object, symbol, fold, right.object, node)
    if isinstance(left, Dynamic) and isinstance(left.type, SetType) and symbol in "|&-":
        return set_operation(b, left.expr, left.type, symbol, right, node)
    one = integer(b, left, node)
    other = integer(b, right, node)
    # Ranges of intermediate results do not matter; those of variables are found later.
    truths = symbol in "|&^" and _is_bool(left) and _is_bool(right)
    return Dynamic(Binary(symbol, one, other), BoolType() if truths else IntType(0, 0))


def read_sign(b: Builder, node: ast.UnaryOp) -> Value:
    """Read ``-x``, ``+x`` or ``~x``."""
    operand = b.read(node.operand)
    if isinstance(operand, Static) and isinstance(operand.object, int):
        return Static(_SIGN[type(node.op)](operand.object))
    expr = integer(b, operand, node)
    if isinstance(node.op, ast.UAdd):
        return Dynamic(expr, IntType(0, 0))
    return Dynamic(Unary("-" if isinstance(node.op, ast.USub) else "~", expr), IntType(0, 0))


def _folded(
    b: Builder, left: Any, symbol: str, fold: Callable[[Any, Any], Any], right: Any, node: ast.AST
) -> Static:
    """Compute ``left symbol right`` now."""
    too_far = symbol == "<<" and isinstance(right, int) and right >= _LARGEST_SHIFT
    if too_far or (symbol == "*" and not (isinstance(left, int) and isinstance(right, int))):
        b.refuse(
            node, "constant", f"this cannot be computed: {left!r} {symbol} {right!r}",
            "a state holds integers of at most 62 bits", "a constant of the object",
        )  # fmt: skip
    try:
        return Static(fold(left, right))
    except Exception as error:  # the operands may be objects of the user's
        b.refuse(node, "constant", f"this cannot be computed: {error}")


def _is_bool(value: Value) -> bool:
    if isinstance(value, Static):
        return isinstance(value.object, bool)
    return isinstance(value, Dynamic) and isinstance(value.type, BoolType)
