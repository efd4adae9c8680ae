# SPDX-License-Identifier: Apache-2.0
"""Reads and writes of shared variables."""

from __future__ import annotations

import ast
from typing import NoReturn

from quiesce.compiler.ir import Expr, Load, Local, Store
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.typing_rules import coerce
from quiesce.compiler.read.values import (
    ComponentArray,
    Dynamic,
    Value,
    VariableArray,
    VariablePlace,
    VersionPlace,
)
from quiesce.compiler.read.versions import snapshot
from quiesce.compiler.types import SnapshotType


def load(b: Builder, place: VariablePlace) -> Dynamic:
    """Read a shared variable; a marked access outside an atomic region is a step of its own."""
    marked = b.marks_access(place.marked)
    expr = Load(place.address, marked)
    if marked and not b.atomic_depth:
        return Dynamic(Local(b.temporary(expr, place.type)), place.type)
    return Dynamic(expr, place.type)


def store(b: Builder, place: Value, value: Value, node: ast.AST) -> None:
    """Write *value* to the shared variable *place*, or refuse."""
    b.refuse_in_property(node, "change a variable")
    if isinstance(place, VersionPlace):
        b.refuse(
            node, "version-store", "a Version is only incremented",
            "what is kept of it is whether it changed since a look at it", "self.seq += 1",
        )  # fmt: skip
    if not isinstance(place, VariablePlace):
        refuse_store(b, place, node)
    expr: Expr
    if isinstance(place.type, SnapshotType):
        expr = snapshot(b, place, value, node)
    else:
        expr = coerce(b, value, place.type, node, "the variable")
    marked = b.marks_access(place.marked)
    b.emit(Store(place.address, expr, place.low, place.high, marked, **b.at))


def refuse_store(b: Builder, place: Value, node: ast.AST) -> NoReturn:
    """Refuse an assignment to *place*, which is not a shared variable."""
    if isinstance(place, VariableArray | ComponentArray):
        b.refuse(
            node, "store", "an array is not assigned as a whole",
            "each element is a variable of its own", "self.items[i] = 0",
        )  # fmt: skip
    b.refuse(
        node, "store", "this is no shared variable",
        "attributes that are not declared are constants of the scenario",
        "declare it on the class: `name = Int(0)`, or `Bool()`, `TaskRef()`, ...",
    )  # fmt: skip
