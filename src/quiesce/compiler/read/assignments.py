# SPDX-License-Identifier: Apache-2.0
"""Assignment statements: to shared variables, to local names, to several targets."""

from __future__ import annotations

import ast
from functools import partial

from quiesce.compiler.read.accesses import load, refuse_store, store
from quiesce.compiler.read.arithmetic import arithmetic
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.evaluation import before, frozen, settled
from quiesce.compiler.read.local_variables import assign_local
from quiesce.compiler.read.python_objects import static
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Static,
    Tuple,
    Value,
    VariablePlace,
    VersionPlace,
)
from quiesce.compiler.read.versions import bump
from quiesce.compiler.read.words import words


def read_assign(b: Builder, node: ast.Assign) -> None:
    """Read ``a = b = value``: the value first, then the targets from left to right."""
    value = b.read(node.value)
    if len(node.targets) > 1:
        value = frozen(b, value)
    for target in node.targets:
        assign_one(b, target, value)


def assign_one(b: Builder, target: ast.expr, value: Value) -> None:
    """Assign *value* to *target*."""
    if isinstance(target, ast.Tuple | ast.List):
        items = _unpacked(b, target, value)
        for inner, item in zip(target.elts, items, strict=True):
            assign_one(b, inner, item)
    elif isinstance(target, ast.Name):
        assign_local(b, target, value)
    else:
        (value,), place = before(b, [value], partial(b.place, target))
        store(b, place, value, target)


def _unpacked(b: Builder, target: ast.Tuple | ast.List, value: Value) -> list[Value]:
    """Return the items of *value*, one for each target."""
    if isinstance(value, Static) and isinstance(value.object, tuple):
        value = Tuple(tuple(static(b, o) for o in value.object))
    if isinstance(value, ComponentArray):
        value = Tuple(tuple(Component(e, value.terms) for e in value.elements))
    if not isinstance(value, Tuple) or len(value.items) != len(target.elts):
        b.refuse(
            target, "unpack", f"this needs {len(target.elts)} values, and is {words(value)}",
            "how many values there are must be known when the scenario is built",
            "return or write that many, `a, b = 1, 2`",
        )  # fmt: skip
    return [frozen(b, v) for v in value.items]


def read_augmented(b: Builder, node: ast.AugAssign) -> None:
    """Read ``target += value``: the old value is read before the right side is evaluated."""
    if isinstance(node.target, ast.Name):
        left = b.read(ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target))
        right = b.read(node.value)
        assign_local(b, node.target, arithmetic(b, left, node.op, right, node))
        return
    place = b.place(node.target)
    if isinstance(place, VersionPlace):
        bump(b, place, node)
        return
    if not isinstance(place, VariablePlace):
        refuse_store(b, place, node.target)
    if place.marked and not b.atomic_depth:
        # Two steps, but one index.
        fixed = settled(b, place)
        assert isinstance(fixed, VariablePlace)
        place = fixed
    left = load(b, place)
    (left_, place_), right = before(b, [left, place], partial(b.read, node.value))
    result = arithmetic(b, left_, node.op, right, node)
    store(b, place_, result, node.target)
