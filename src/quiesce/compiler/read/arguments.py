# SPDX-License-Identifier: Apache-2.0
"""The arguments of a call."""

from __future__ import annotations

import ast

from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.evaluation import read_in_order
from quiesce.compiler.read.python_objects import static
from quiesce.compiler.read.values import Component, ComponentArray, Range, Static, Tuple, Value

_MOST_OPTIONS = 1_000
"""Values that `*range(...)` may stand for."""


def arguments(b: Builder, node: ast.Call) -> tuple[list[Value], dict[str, Value]]:
    """Read the arguments of a call: the positional ones, and those by name."""
    nodes: list[ast.expr] = []
    for arg in node.args:
        nodes.append(arg.value if isinstance(arg, ast.Starred) else arg)
    for keyword in node.keywords:
        if keyword.arg is None:
            b.refuse(
                keyword.value, "starred", "`**` in a call is outside the language",
                "a state holds no dictionaries", "write the arguments out",
            )  # fmt: skip
        nodes.append(keyword.value)
    values = read_in_order(b, nodes)
    positional: list[Value] = []
    for arg, value in zip(node.args, values, strict=False):
        positional += _spread(b, value, arg) if isinstance(arg, ast.Starred) else [value]
    names = [k.arg for k in node.keywords if k.arg is not None]
    return positional, dict(zip(names, values[len(node.args) :], strict=True))


def _spread(b: Builder, value: Value, node: ast.Starred) -> list[Value]:
    """Return the arguments that ``*value`` stands for."""
    match value:
        case Range(
            start=Static(object=int() as first), stop=Static(object=int() as end), step=step
        ) if len(range(first, end, step)) <= _MOST_OPTIONS:
            return [Static(i) for i in range(first, end, step)]
        case Tuple(items=items):
            return list(items)
        case ComponentArray(elements=elements, terms=terms):
            return [Component(e, terms) for e in elements]
        case Static(object=tuple() as objects):
            return [static(b, o) for o in objects]
    b.refuse(
        node, "starred", "`*` needs something of a length known when the scenario is built",
        "each value is an argument of its own", "a tuple, or a range of constants",
    )  # fmt: skip


def exactly(b: Builder, node: ast.Call, count: int) -> list[ast.expr]:
    """Return the *count* positional arguments of a call, or refuse."""
    if len(node.args) != count or node.keywords:
        b.refuse(
            node, "arguments", f"this takes {count} argument{'s' * (count != 1)}",
            "Python would refuse the call, too",
        )  # fmt: skip
    return node.args
