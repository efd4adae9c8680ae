# SPDX-License-Identifier: Apache-2.0
"""``wait_until``, ``choose`` and ``current()``."""

from __future__ import annotations

import ast

from quiesce.compiler.ir import (
    Await,
    Begin,
    Binary,
    Branch,
    Check,
    Choose,
    Const,
    Current,
    End,
    Expr,
    Jump,
    Label,
    Local,
    SetLocal,
)
from quiesce.compiler.read.arguments import arguments, exactly
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.conditions import condition
from quiesce.compiler.read.shorthand import ONE, ZERO
from quiesce.compiler.read.typing_rules import coerce, common_type
from quiesce.compiler.read.values import Dynamic, Static, Value
from quiesce.compiler.types import BoolType, IntType, SetType, TaskType, Type
from quiesce.protocol import actions


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
        only = options[0]
        if isinstance(only, Dynamic) and isinstance(only.type, SetType):
            return _choose_member(b, only.expr, only.type)
        return only
    type_ = common_type(b, options, node)
    slot = b.new_slot("choice", type_)
    exprs = tuple(coerce(b, o, type_, node) for o in options)
    b.emit(Choose(slot, exprs, **b.at))
    return Dynamic(Local(slot), type_)


def _choose_member(b: Builder, members: Expr, type_: SetType) -> Value:
    """Read the choice of a member of a set: for each in turn, take it or go on; the last is taken."""
    fixed = Local(b.temporary(members, type_))
    b.emit(Check(Binary("!=", fixed, ZERO), actions.EMPTY_SET, **b.at))
    member: Type = TaskType() if type_.of_tasks else IntType(0, type_.size - 1)
    slot, end = b.new_slot("choice", member), Label()
    for number in range(type_.size):
        following, take = Label(), Label()
        b.emit(Branch(Binary("bit", fixed, Const(number)), following, **b.at))
        if number < type_.size - 1:
            decided = b.new_slot("taken", BoolType())
            others = Binary(">>", fixed, Const(number + 1))
            b.emit(Branch(Binary("!=", others, ZERO), take, **b.at))
            b.emit(Choose(decided, (ONE, ZERO), **b.at))
            b.emit(Branch(Local(decided), following, **b.at))
        b.place_label(take)
        b.emit(SetLocal(slot, Const(number + type_.of_tasks), **b.at))
        b.emit(Jump(end, **b.at))
        b.place_label(following)
    b.place_label(end)
    return Dynamic(Local(slot), member)
