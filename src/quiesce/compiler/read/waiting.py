# SPDX-License-Identifier: Apache-2.0
"""``wait_until``, ``choose`` and ``current()``."""

from __future__ import annotations

import ast

from quiesce.compiler.ir import Await, Begin, Choose, Const, Current, End, Local
from quiesce.compiler.read.arguments import arguments, exactly
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.conditions import condition
from quiesce.compiler.read.typing_rules import coerce, common_type
from quiesce.compiler.read.values import Dynamic, Static, Value
from quiesce.compiler.types import TaskType


def read_current(b: Builder, node: ast.Call) -> Value:
    """Read ``current()``: the running task."""
    exactly(b, node, 0)
    b.refuse_in_property(node, "have a running task")
    return Dynamic(Current(), TaskType())


def read_wait_until(b: Builder, node: ast.Call) -> Value:
    """Read ``wait_until(condition)``; outside an atomic method the condition is a lambda."""
    (argument,) = exactly(b, node, 1)
    b.refuse_in_property(node, "wait")
    if isinstance(argument, ast.Lambda):
        if argument.args.args or argument.args.vararg or argument.args.kwonlyargs:
            b.refuse(
                argument, "arguments", "the lambda of wait_until takes no arguments",
                "it is called without any", "wait_until(lambda: condition)",
            )  # fmt: skip
        if not b.atomic_depth:
            return _wait_outside_atomic(b, argument, node)
        argument = argument.body
    elif not b.atomic_depth:
        b.refuse(
            node, "wait-outside-atomic", "this `wait_until` could only look once",
            "outside an @atomic method its argument is evaluated before the call",
            "wait_until(lambda: condition)",
        )  # fmt: skip
    _await(b, argument)
    return Static(None)


def _wait_outside_atomic(b: Builder, function: ast.Lambda, node: ast.Call) -> Value:
    """Read a wait that is an atomic region of its own."""
    b.emit(Begin(ast.unparse(node), False, None, **b.at))
    b.atomic_depth += 1
    try:
        _await(b, function.body)
    finally:
        b.atomic_depth -= 1
    b.emit(End(**b.at))
    return Static(None)


def _await(b: Builder, node: ast.expr) -> None:
    value = condition(b, node)
    expr = Const(int(bool(value.object))) if isinstance(value, Static) else value.expr
    b.emit(Await(expr, **b.at))


def read_choose(b: Builder, node: ast.Call) -> Value:
    """Read ``choose(a, b)``: the environment decides."""
    b.refuse_in_property(node, "choose")
    options, named = arguments(b, node)
    if not options or named:
        b.refuse(
            node, "choose", "choose() needs something to choose from",
            "each positional argument is an option", "choose(True, False)",
        )  # fmt: skip
    if len(options) == 1:
        return options[0]
    type_ = common_type(b, options, node)
    slot = b.new_slot("choice", type_)
    exprs = tuple(coerce(b, o, type_, node) for o in options)
    b.emit(Choose(slot, exprs, **b.at))
    return Dynamic(Local(slot), type_)
