# SPDX-License-Identifier: Apache-2.0
"""Set and TaskSet variables: their methods and operators."""

from __future__ import annotations

import ast

from quiesce.compiler.ir import Binary, Const, Current, Expr, IfElse, Load, Local, Store, Unary
from quiesce.compiler.read.arguments import exactly
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.evaluation import before, settled
from quiesce.compiler.read.shorthand import ONE, ZERO, minus_one
from quiesce.compiler.read.typing_rules import coerce, integer, type_of
from quiesce.compiler.read.values import Dynamic, SetMethod, Static, Value, VariablePlace
from quiesce.compiler.read.words import words
from quiesce.compiler.types import SetType, TaskType, join


def set_method(b: Builder, place: VariablePlace, name: str) -> SetMethod | None:
    """Return the method *name* of a set variable, if there is one."""
    if isinstance(place.type, SetType) and name in ("add", "discard", "clear"):
        return SetMethod(name, place, place.type)
    return None


def read_set_call(b: Builder, method: SetMethod, node: ast.Call) -> Value:
    """Read ``s.add(x)``, ``s.discard(x)`` or ``s.clear()``."""
    b.refuse_in_property(node, "change a variable")
    place = method.place
    if method.name == "clear":
        exactly(b, node, 0)
        _store_set(b, place, ZERO)
        return Static(None)
    (argument,) = exactly(b, node, 1)
    (place_,), item = before(b, [place], lambda: settled(b, b.read(argument)))
    assert isinstance(place_, VariablePlace)
    if method.type.of_tasks:
        task = coerce(b, item, TaskType(), argument, "a member")
        bit: Expr = minus_one(task)
    else:
        bit = integer(b, item, argument)
    marked = b.marks_access(place_.marked)
    old: Expr = Load(place_.address, marked)
    if marked and not b.atomic_depth:
        # Two steps, but one index.
        fixed = settled(b, place_)
        assert isinstance(fixed, VariablePlace)
        place_ = fixed
        old = Local(b.temporary(Load(place_.address, marked), place_.type))
    if method.name == "add":
        _store_set(b, place_, Binary("|", old, Binary("<<", ONE, bit)))
    else:
        _store_set(b, place_, _without(old, bit, method.type))
    return Static(None)


def _store_set(b: Builder, place: VariablePlace, value: Expr) -> None:
    marked = b.marks_access(place.marked)
    b.emit(Store(place.address, value, place.low, place.high, marked, **b.at))


def _without(mask: Expr, bit: Expr, type_: SetType) -> Expr:
    """Return *mask* without *bit*; a bit that no member can have takes nothing away."""
    cleared = Binary("&", mask, Unary("~", Binary("<<", ONE, bit)))
    if isinstance(bit, Const) and not 0 <= bit.value < type_.size:
        return mask
    if isinstance(bit, Const) or bit == Binary("-", Current(), ONE):
        return cleared
    inside = Binary("and", Binary(">=", bit, ZERO), Binary("<", bit, Const(type_.size)))
    return IfElse(inside, cleared, mask)


def set_operation(
    b: Builder, left: Expr, type_: SetType, symbol: str, right: Value, node: ast.AST
) -> Dynamic:
    """Return ``left | right``, ``left & right`` or ``left - right`` of two sets."""
    given = type_of(b, right, node)
    both = join(type_, given)
    if not isinstance(both, SetType) or not isinstance(right, Dynamic):
        b.refuse(
            node, "type", f"a set goes together with a set only, and this is {words(right)}",
            "a set is kept as a bit mask",
        )  # fmt: skip
    if symbol == "-":
        return Dynamic(Binary("&", left, Unary("~", right.expr)), type_)
    return Dynamic(Binary(symbol, left, right.expr), both)
