# SPDX-License-Identifier: Apache-2.0
"""Which value may stand where: types of values, conversions to integers, and truth."""

from __future__ import annotations

import ast
import enum
from collections.abc import Sequence

from quiesce.compiler.ir import Binary, Const, Expr, VersionRead
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.shorthand import ONE, ZERO
from quiesce.compiler.read.values import Component, Dynamic, Static, Value, VersionPlace
from quiesce.compiler.read.words import words
from quiesce.compiler.types import (
    BoolType,
    EnumType,
    IntType,
    NoneType,
    RefType,
    SetType,
    SnapshotType,
    TaskType,
    Type,
    describe,
    join,
)
from quiesce.protocol import Task


def type_of(b: Builder, value: Value, node: ast.AST) -> Type:
    """Return the type that a variable needs to hold *value*."""
    match value:
        case Dynamic(type=type_):
            return type_
        case VersionPlace(version=version):
            return SnapshotType(version)
        case Static(object=None):
            return NoneType()
        case Static(object=enum.Enum() as member):
            return EnumType(tuple(type(member)))
        case Static(object=bool()):
            return BoolType()
        case Static(object=int() as number):
            return IntType(number, number)
        case Component(template=Task()):
            return TaskType()
        case Component():
            found = array_of(b, value)
            if found is not None:
                return found
    b.refuse(
        node, "type", f"a variable cannot hold {words(value)}",
        "a state holds integers, booleans, members of enums, tasks and references into arrays",
        "use it where it stands, or declare `Array(Component(), n)` and keep a Ref",
    )  # fmt: skip


def array_of(b: Builder, component: Component) -> RefType | None:
    """Return the type of references to *component*, if it is an element of an array."""
    template = component.template
    owner = template._owner
    for value in owner.__dict__.values() if owner is not None else ():
        if isinstance(value, tuple) and any(v is template for v in value):
            if b.layout.is_uniform(value):
                return b.layout.array_type(value)
    return None


def common_type(b: Builder, values: Sequence[Value], node: ast.AST) -> Type:
    """Return the type that covers all of *values*, or refuse."""
    result = type_of(b, values[0], node)
    for value in values[1:]:
        other = type_of(b, value, node)
        both = join(result, other)
        if both is None:
            b.refuse(
                node, "type", f"{describe(result)} and {describe(other)} do not go together",
                "a value has one type, whichever way it came about",
            )  # fmt: skip
        result = both
    return result


def coerce(b: Builder, value: Value, type_: Type, node: ast.AST, what: str = "this") -> Expr:
    """Return the integer expression for *value* as a *type_*, or refuse."""
    match type_, value:
        case (IntType(), _):
            return integer(b, value, node)
        case (BoolType(), Dynamic(expr=expr, type=BoolType())):
            return expr
        case (BoolType(), Static(object=bool() as truth)):
            return Const(int(truth))
        case (BoolType(), _):
            b.refuse(
                node, "type", f"{what} needs a boolean, and is {words(value)}",
                "plain Python would keep the value as it is", "`x != 0`, or `bool(x)`",
            )  # fmt: skip
        case (SetType(size=size), Dynamic(type=SetType() as other)) if other.size > size:
            pass
        case (_, Dynamic(expr=expr, type=given)):
            if join(type_, given) is not None:
                return expr
        case (TaskType() | RefType() | NoneType(), Static(object=None)):
            return ZERO
        case (EnumType(members=members), Static(object=enum.Enum() as member)):
            if type(member) is type(members[0]):
                return Const(members.index(member))
        case (TaskType(), Component(template=Task() as task)):
            return _index_plus_one(b, value, task.tid, node)
        case (RefType(), Component(template=template)):
            for index, element in enumerate(b.layout.elements(type_)):
                if element is template:
                    return _index_plus_one(b, value, index, node)
        case (SnapshotType(), VersionPlace(version=version)):
            return VersionRead(version, b.marks_access(value.marked))
    b.refuse(node, "type", f"{what} needs {describe(type_)}, and is {words(value)}")


def _index_plus_one(b: Builder, component: Component, index: int, node: ast.AST) -> Expr:
    """Return a reference to *component*, which is element *index* of its array.

    With an index of the array itself, that index; an outer array that is indexed makes it an element of
    an array that is not known.
    """
    if not component.terms:
        return Const(index + 1)
    term = component.terms[-1]
    if len(component.terms) > 1 or not _indexes_own_array(b, component):
        b.refuse(
            node, "inner-ref", "this points into an array of a component that is itself indexed",
            "which array is meant would depend on the index",
            "loop over the outer array, `for x in self.outer:`, so that each is known",
        )  # fmt: skip
    if isinstance(term.index, Binary) and term.index.op == "-" and term.index.right == ONE:
        return term.index.left
    return Binary("+", term.index, ONE)


def _indexes_own_array(b: Builder, component: Component) -> bool:
    """True if the last index of *component* says which element of its own array it is."""
    number = b.layout.number(component.template) + component.terms[-1].component_stride
    template = component.template
    following = b.layout.components[number] if number < len(b.layout.components) else template
    return component.terms[-1].length == 1 or following._owner is template._owner


def integer(b: Builder, value: Value, node: ast.AST) -> Expr:
    """Return *value* as an integer expression, or refuse."""
    if isinstance(value, Static) and isinstance(value.object, int):
        return Const(int(value.object))
    if isinstance(value, Dynamic) and isinstance(value.type, IntType | BoolType):
        return value.expr
    if isinstance(value, VersionPlace) or (
        isinstance(value, Dynamic) and isinstance(value.type, SnapshotType)
    ):
        b.refuse(
            node, "version-arithmetic", "a version is only compared, never computed with",
            "what is kept of it is whether it changed since a look at it",
            "seen = self.seq ... if self.seq != seen",
        )  # fmt: skip
    b.refuse(
        node, "type", f"this needs an integer, and is {words(value)}",
        "arithmetic is on integers and booleans",
    )  # fmt: skip


def truth(b: Builder, value: Value, node: ast.AST) -> Expr:
    """Return whether *value* is true, as Python's ``if`` would see it."""
    match value:
        case Static(object=obj):
            return ONE if obj else ZERO
        case Component():
            return ONE
        case Dynamic(expr=expr, type=BoolType()):
            return expr
        case Dynamic(expr=expr, type=IntType() | SetType() | TaskType() | RefType()):
            return Binary("!=", expr, ZERO)
        case Dynamic(type=NoneType()):
            return ZERO
        case Dynamic(type=EnumType()):
            b.refuse(
                node, "enum-truth", "a member of an enum is always true",
                "so this would not look at which one it is",
                "compare it: `if self.state == State.READY`",
            )  # fmt: skip
    b.refuse(
        node, "type", f"this is no condition: it is {words(value)}",
        "a condition is a boolean, an integer, a set, a task or a reference",
    )  # fmt: skip
