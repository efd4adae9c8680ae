# SPDX-License-Identifier: Apache-2.0
"""``READ_ONCE`` and ``WRITE_ONCE``."""

from __future__ import annotations

import ast

from quiesce.compiler.ir import Load, Local
from quiesce.compiler.read.arguments import exactly
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.members import pointee
from quiesce.compiler.read.values import (
    Component,
    Dynamic,
    Marked,
    Value,
    VariableArray,
    VariablePlace,
    VersionPlace,
)
from quiesce.compiler.types import RefType, TaskType


def read_read_once(b: Builder, node: ast.Call) -> Value:
    """Read ``READ_ONCE(variable)``."""
    (argument,) = exactly(b, node, 1)
    place = b.place(argument)
    if isinstance(place, VersionPlace):
        return VersionPlace(place.version, True)
    if not isinstance(place, VariablePlace):
        b.refuse(
            argument, "marked", "READ_ONCE is for a shared variable",
            "it is one access of one variable", "READ_ONCE(self.count)",
        )  # fmt: skip
    expr = Load(place.address, True)
    return Dynamic(Local(b.temporary(expr, place.type)), place.type)


def read_write_once(b: Builder, node: ast.Call) -> Value:
    """Read ``WRITE_ONCE(component)``, whose variables are then written by a marked access."""
    (argument,) = exactly(b, node, 1)
    base = b.read(argument)
    if isinstance(base, Dynamic) and isinstance(base.type, RefType | TaskType):
        base = pointee(b, base.expr, base.type)
    if isinstance(base, Component | VariableArray):
        return Marked(base)
    b.refuse(
        argument, "marked", "WRITE_ONCE is for a component or an Array of variables",
        "a Python function cannot write to its argument",
        "WRITE_ONCE(self).count = 1",
    )  # fmt: skip
