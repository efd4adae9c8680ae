# SPDX-License-Identifier: Apache-2.0
"""The few builtins that the language has: ``range``, ``len``, ``min`` and the like."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from quiesce.compiler.ir import Binary, IfElse, Unary
from quiesce.compiler.read.arguments import arguments, exactly
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.conditions import condition
from quiesce.compiler.read.evaluation import settled
from quiesce.compiler.read.python_objects import constant
from quiesce.compiler.read.typing_rules import integer
from quiesce.compiler.read.values import (
    ComponentArray,
    Dynamic,
    Range,
    Static,
    Super,
    Tuple,
    Value,
    VariableArray,
)
from quiesce.compiler.read.words import words
from quiesce.compiler.types import IntType, SetType


def read_range(b: Builder, node: ast.Call) -> Value:
    """Read ``range(...)``: what a ``for`` or ``*`` goes over."""
    args, named = arguments(b, node)
    if not 1 <= len(args) <= 3 or named:
        b.refuse(
            node, "range", "range() takes 1 to 3 arguments", "Python would refuse the call, too"
        )
    start, stop = (Static(0), args[0]) if len(args) == 1 else (args[0], args[1])
    step = args[2] if len(args) == 3 else Static(1)
    for bound in (start, stop):
        integer(b, bound, node)
    if not isinstance(step, Static) or not isinstance(step.object, int) or step.object == 0:
        b.refuse(
            node, "range", "the step of a range must be a constant other than 0",
            "which way it goes must be known", "range(n - 1, -1, -1)",
        )  # fmt: skip
    return Range(settled(b, start), settled(b, stop), int(step.object))


def read_len(b: Builder, node: ast.Call) -> Value:
    """Read ``len(x)``."""
    (argument,) = exactly(b, node, 1)
    value = b.read(argument)
    match value:
        case Dynamic(expr=expr, type=SetType()):
            return Dynamic(Unary("count", expr), IntType(0, 0))
        case Tuple(items=items):
            return Static(len(items))
        case ComponentArray(elements=elements):
            return Static(len(elements))
        case VariableArray(length=length):
            return Static(length)
        case Static(object=str() | tuple() | list() | dict() | set() | frozenset() as obj):
            return Static(len(obj))
    b.refuse(
        node, "len", "len() is understood for sets, arrays and tuples",
        f"this is {words(value)}", "len(self.members)",
    )  # fmt: skip


def read_super(b: Builder, node: ast.Call) -> Value:
    """Read ``super()``: the next class of the component."""
    frame = b.frame
    if frame.receiver is None or node.args or node.keywords:
        b.refuse(
            node, "super", "super() is understood in methods only, without arguments",
            "it stands for the next class of the component", "super().enter()",
        )  # fmt: skip
    return Super(frame.receiver, frame.defining or object)


def read_bool(b: Builder, node: ast.Call) -> Value:
    """Read ``bool(x)``."""
    (argument,) = exactly(b, node, 1)
    return condition(b, argument)


def read_int(b: Builder, node: ast.Call) -> Value:
    """Read ``int(x)``."""
    (argument,) = exactly(b, node, 1)
    value = b.read(argument)
    if isinstance(value, Static) and not isinstance(value.object, int):
        return constant(b, int, [value], node)
    if isinstance(value, Static):
        return Static(int(value.object))
    return Dynamic(integer(b, value, argument), IntType(0, 0))


def read_min(b: Builder, node: ast.Call) -> Value:
    """Read ``min(a, b)``."""
    return _least(b, node, min, "<=")


def read_max(b: Builder, node: ast.Call) -> Value:
    """Read ``max(a, b)``."""
    return _least(b, node, max, ">=")


def _least(b: Builder, node: ast.Call, function: Callable[..., Any], symbol: str) -> Value:
    """Read ``min`` or ``max``: folded where its arguments are constants."""
    args, named = arguments(b, node)
    if all(isinstance(a, Static) for a in args) and not named:
        return constant(b, function, args, node)
    if len(args) < 2 or named:
        b.refuse(
            node, "arguments", f"{function.__name__}() is understood for two or more integers",
            "a state holds no other sequences", f"{function.__name__}(a, b)",
        )  # fmt: skip
    result = integer(b, args[0], node)
    for arg in args[1:]:
        other = integer(b, arg, node)
        result = IfElse(Binary(symbol, result, other), result, other)
    return Dynamic(result, IntType(0, 0))
