# SPDX-License-Identifier: Apache-2.0
"""``with`` statements, and how ``return``, ``break`` and ``continue`` leave them."""

from __future__ import annotations

import ast

from quiesce.compiler.read.advice import about_with
from quiesce.compiler.read.assignments import assign_one
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.evaluation import frozen
from quiesce.compiler.read.inlining import inline
from quiesce.compiler.read.members import member, pointee
from quiesce.compiler.read.values import Component, Dynamic, Method, Static, Value
from quiesce.compiler.read.words import words
from quiesce.compiler.types import RefType


def read_with(b: Builder, node: ast.With) -> None:
    """Read ``with``: the calls of ``__enter__`` and ``__exit__`` are inlined."""
    entered = 0
    for item in node.items:
        manager = frozen(b, b.read(item.context_expr))
        if isinstance(manager, Dynamic):
            manager = _pointed_to(b, manager)
        if not isinstance(manager, Component) or not _is_manager(manager):
            b.refuse(
                item.context_expr, "with", "`with` needs a lock of the protocol",
                f"this is {words(manager)}, and has no `__enter__` and `__exit__` to inline",
                about_with(manager.object if isinstance(manager, Static) else None),
            )  # fmt: skip
        value = _call_method(b, manager, "__enter__", item.context_expr)
        if item.optional_vars is not None:
            assign_one(b, item.optional_vars, value)
        b.frame.cleanups.append((manager, item.context_expr))
        entered += 1
    b.block(node.body)
    for _ in range(entered):
        manager, where = b.frame.cleanups.pop()
        b.begin_statement(where)
        _call_method(b, manager, "__exit__", where)


def _pointed_to(b: Builder, reference: Dynamic) -> Value:
    if isinstance(reference.type, RefType):
        return pointee(b, reference.expr, reference.type)
    return reference


def _is_manager(component: Component) -> bool:
    class_ = type(component.template)
    return hasattr(class_, "__enter__") and hasattr(class_, "__exit__")


def leave_blocks(b: Builder, keep: int) -> None:
    """Release the locks of the open ``with`` blocks, innermost first, without closing them."""
    blocks = b.frame.cleanups
    open_blocks = list(blocks)
    while len(blocks) > keep:
        manager, where = blocks.pop()
        _call_method(b, manager, "__exit__", where)
    blocks[:] = open_blocks


def _call_method(b: Builder, component: Component, name: str, node: ast.AST) -> Value:
    method = member(b, component, name, node)
    assert isinstance(method, Method)
    arguments: list[Value] = [Static(None)] * 3 if name == "__exit__" else []
    return inline(b, method, arguments, {}, node)
