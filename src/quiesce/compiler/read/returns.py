# SPDX-License-Identifier: Apache-2.0
"""What an inlined call returns."""

from __future__ import annotations

import ast
from functools import lru_cache

from quiesce.compiler.ir import Local, SetLocal
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.evaluation import settled
from quiesce.compiler.read.inlined_call import InlinedCall
from quiesce.compiler.read.local_variables import for_slot, has_type, join_slot
from quiesce.compiler.read.python_objects import static
from quiesce.compiler.read.typing_rules import type_of
from quiesce.compiler.read.values import Component, Dynamic, Static, Tuple, Value
from quiesce.compiler.types import join


@lru_cache(maxsize=4096)
def _returns_of(node: ast.AST) -> list[ast.Return]:
    """Return the ``return`` statements of a function, which is read once for each call of it."""
    return [n for n in ast.walk(node) if isinstance(n, ast.Return)]


def function_body(b: Builder, callee: InlinedCall, settle: bool) -> Value:
    """Read the body of an inlined function and return its value."""
    body = callee.node.body
    returns = _returns_of(callee.node)
    callee.single_return = len(returns) == 1 and body[-1] is returns[0]
    callee.returns_value = any(r.value is not None for r in returns)
    b.block(body)
    if callee.returns_value and not callee.single_return and b.reachable:
        # Python returns None where control falls off the end.
        b.begin_statement(callee.node)
        keep_returned(b, Static(None), callee.node)
    b.place_label(callee.end)
    if callee.returned is None:
        return Static(None)
    return settled(b, callee.returned) if settle else callee.returned


def keep_returned(b: Builder, value: Value, node: ast.AST) -> None:
    """Let *value* be what the function being read returns, on this path."""
    if isinstance(value, Static) and isinstance(value.object, tuple):
        value = Tuple(tuple(static(b, o) for o in value.object))
    if b.frame.returned is None:
        b.frame.returned = _return_slots(b, value, node)
    _store_returned(b, b.frame.returned, value, node)


def _return_slots(b: Builder, value: Value, node: ast.AST) -> Value:
    if isinstance(value, Tuple):
        return Tuple(tuple(_return_slots(b, v, node) for v in value.items))
    if isinstance(value, Component) and not has_type(b, value):
        return value
    type_ = type_of(b, value, node)
    name = f"{b.frame.name}()"
    return Dynamic(Local(b.new_slot(name, type_)), type_)


def _store_returned(b: Builder, target: Value, value: Value, node: ast.AST) -> None:
    match target, value:
        case Tuple(items=slots), Tuple(items=items) if len(slots) == len(items):
            for slot, item in zip(slots, [settled(b, i) for i in items], strict=True):
                _store_returned(b, slot, item, node)
            return
        case Component(), _ if target == value:
            return
        case Dynamic(expr=Local(slot=slot)), _ if _goes_with(b, slot, value, node):
            join_slot(b, slot, value, node, f"what `{b.frame.name}` returns")
            b.emit(SetLocal(slot, for_slot(b, slot, value, node), **b.at))
            # The type may have grown since the first `return`.
            b.frame.returned = _retyped(b, b.frame.returned)
            return
    b.refuse(
        node, "return", f"the values that `{b.frame.name}` returns do not go together",
        "what a call stands for has one type; where control falls off the end, that is None",
        "return as many values, of the same types, on every path",
    )  # fmt: skip


def _goes_with(b: Builder, slot: int, value: Value, node: ast.AST) -> bool:
    return join(b.slots[slot].type, type_of(b, value, node)) is not None


def _retyped(b: Builder, value: Value | None) -> Value | None:
    match value:
        case Dynamic(expr=Local(slot=slot)):
            return Dynamic(Local(slot), b.slots[slot].type)
        case Tuple(items=items):
            return Tuple(tuple(v for v in (_retyped(b, i) for i in items) if v is not None))
    return value
