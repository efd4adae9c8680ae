# SPDX-License-Identifier: Apache-2.0
"""Which value may stand where: types of values, conversions to integers, and truth."""

from __future__ import annotations

import ast
import enum
from collections.abc import Sequence

from quiesce.compiler.ir import Binary, Const, Expr, VersionRead
from quiesce.compiler.read.frames import ONE, ZERO
from quiesce.compiler.read.settle import Settler
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Dynamic,
    Method,
    Static,
    Tuple,
    Value,
    VariableArray,
    VersionPlace,
)
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


class TypeRules(Settler):
    """Types of values, and what a value is as an integer of the IR."""

    def type_of(self, value: Value, node: ast.AST) -> Type:
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
                found = self.array_of(value)
                if found is not None:
                    return found
        self.refuse(
            node, "type", f"a variable cannot hold {self.words(value)}",
            "a state holds integers, booleans, members of enums, tasks and references into arrays",
            "use it where it stands, or declare `Array(Component(), n)` and keep a Ref",
        )  # fmt: skip

    def array_of(self, component: Component) -> RefType | None:
        """Return the type of references to *component*, if it is an element of an array."""
        template = component.template
        owner = template._owner
        for value in owner.__dict__.values() if owner is not None else ():
            if isinstance(value, tuple) and any(v is template for v in value):
                if self.layout.is_uniform(value):
                    return self.layout.array_type(value)
        return None

    def common_type(self, values: Sequence[Value], node: ast.AST) -> Type:
        """Return the type that covers all of *values*, or refuse."""
        result = self.type_of(values[0], node)
        for value in values[1:]:
            other = self.type_of(value, node)
            both = join(result, other)
            if both is None:
                self.refuse(
                    node, "type", f"{describe(result)} and {describe(other)} do not go together",
                    "a value has one type, whichever way it came about",
                )  # fmt: skip
            result = both
        return result

    def coerce(self, value: Value, type_: Type, node: ast.AST, what: str = "this") -> Expr:
        """Return the integer expression for *value* as a *type_*, or refuse."""
        match type_, value:
            case (IntType(), _):
                return self.integer(value, node)
            case (BoolType(), Dynamic(expr=expr, type=BoolType())):
                return expr
            case (BoolType(), Static(object=bool() as truth)):
                return Const(int(truth))
            case (BoolType(), _):
                self.refuse(
                    node, "type", f"{what} needs a boolean, and is {self.words(value)}",
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
                return self._index_plus_one(value, task.tid, node)
            case (RefType(), Component(template=template)):
                for index, element in enumerate(self.layout.elements(type_)):
                    if element is template:
                        return self._index_plus_one(value, index, node)
            case (SnapshotType(), VersionPlace(version=version)):
                return VersionRead(version, value.marked or self.atomic_depth > 0)
        self.refuse(node, "type", f"{what} needs {describe(type_)}, and is {self.words(value)}")

    def _index_plus_one(self, component: Component, index: int, node: ast.AST) -> Expr:
        """Return a reference to *component*, which is element *index* of its array.

        With an index of the array itself, that index; an outer array that is indexed makes it an element of
        an array that is not known.
        """
        if not component.terms:
            return Const(index + 1)
        term = component.terms[-1]
        if len(component.terms) > 1 or not self._indexes_own_array(component):
            self.refuse(
                node, "inner-ref", "this points into an array of a component that is itself indexed",
                "which array is meant would depend on the index",
                "loop over the outer array, `for x in self.outer:`, so that each is known",
            )  # fmt: skip
        if isinstance(term.index, Binary) and term.index.op == "-" and term.index.right == ONE:
            return term.index.left
        return Binary("+", term.index, ONE)

    def _indexes_own_array(self, component: Component) -> bool:
        """Whether the last index of *component* says which element of its own array it is."""
        number = self.layout.number(component.template) + component.terms[-1].component_stride
        template = component.template
        following = (
            self.layout.components[number] if number < len(self.layout.components) else template
        )
        return component.terms[-1].length == 1 or following._owner is template._owner

    def integer(self, value: Value, node: ast.AST) -> Expr:
        """Return *value* as an integer expression, or refuse."""
        if isinstance(value, Static) and isinstance(value.object, int):
            return Const(int(value.object))
        if isinstance(value, Dynamic) and isinstance(value.type, IntType | BoolType):
            return value.expr
        if isinstance(value, VersionPlace) or (
            isinstance(value, Dynamic) and isinstance(value.type, SnapshotType)
        ):
            self.refuse(
                node, "version-arithmetic", "a version is only compared, never computed with",
                "what is kept of it is whether it changed since a look at it",
                "seen = self.seq ... if self.seq != seen",
            )  # fmt: skip
        self.refuse(
            node, "type", f"this needs an integer, and is {self.words(value)}",
            "arithmetic is on integers and booleans",
        )  # fmt: skip

    def truth(self, value: Value, node: ast.AST) -> Expr:
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
                self.refuse(
                    node, "enum-truth", "a member of an enum is always true",
                    "so this would not look at which one it is",
                    "compare it: `if self.state == State.READY`",
                )  # fmt: skip
        self.refuse(
            node, "type", f"this is no condition: it is {self.words(value)}",
            "a condition is a boolean, an integer, a set, a task or a reference",
        )  # fmt: skip

    def words(self, value: Value) -> str:
        """Describe *value* for an error message."""
        match value:
            case Dynamic(type=type_):
                return describe(type_)
            case Static(object=obj):
                return _short(obj)
            case Component(template=template):
                return f"the component {template.path or type(template).__name__}"
            case VersionPlace():
                return "a version"
            case Method(function=function):
                return f"the method {function.__name__}; call it with ()"
            case Tuple():
                return "a tuple"
            case ComponentArray():
                return "an array of components"
            case VariableArray():
                return "an array of variables"
        return "not a value"


_LONGEST_SHOWN = 40


def _short(obj: object) -> str:
    """Return *obj* for an error message: no address of an object, and not too long."""
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    if isinstance(name, str):
        return f"`{name}`"
    if type(obj).__repr__ is object.__repr__:
        return f"an object of class {type(obj).__name__}"
    text = repr(obj)
    return text if len(text) <= _LONGEST_SHOWN else f"a {type(obj).__name__}"
