# SPDX-License-Identifier: Apache-2.0
"""What a Python object of the finished scenario stands for, and what is computed from it now."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any, NoReturn

from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.values import Component, ComponentArray, Method, Static, Value
from quiesce.compiler.read.words import words
from quiesce.protocol import Protocol


def static(b: Builder, value: Any) -> Value:
    """Return what the Python object *value* stands for."""
    if isinstance(value, Protocol) and b.layout.contains(value):
        return Component(value)
    if isinstance(value, tuple) and value and all(isinstance(v, Protocol) for v in value):
        return ComponentArray(value)
    if inspect.ismethod(value) and isinstance(value.__self__, Protocol):
        owner = value.__self__
        if b.layout.contains(owner):
            defining = next(c for c in type(owner).__mro__ if value.__name__ in vars(c))
            return Method(value.__func__, Component(owner), defining)
    return Static(value)


def refuse_stranger(b: Builder, component: Protocol, node: ast.AST) -> NoReturn:
    """Refuse a component that is not part of the scenario."""
    b.refuse(
        node, "stranger", f"this {type(component).__name__} is not part of the scenario",
        "the variables of a state are those of the scenario and of the components in it",
        "make it an attribute of the scenario, or of one of its components",
    )  # fmt: skip


def constant(b: Builder, function: Callable[..., Any], args: list[Value], node: ast.AST) -> Static:
    """Call a builtin on constants, now."""
    try:
        return Static(function(*(a.object for a in args if isinstance(a, Static))))
    except Exception as error:  # the arguments may be objects of the user's
        b.refuse(node, "constant", f"this cannot be computed: {error}")


def object_member(b: Builder, obj: object, name: str, node: ast.AST) -> Value:
    """Look *name* up in a plain Python object, which is known now."""
    if obj is None:
        b.refuse(
            node, "none", f"this is None, which has no `{name}`",
            "Python would raise AttributeError", "assign a component or a task first",
        )  # fmt: skip
    try:
        return static(b, getattr(obj, name))
    except AttributeError:
        b.refuse(node, "attribute", f"{words(Static(obj))} has no attribute `{name}`")
    except Exception as error:  # a property of the user's object may raise anything
        b.refuse(node, "constant", f"this cannot be computed: {error}")
