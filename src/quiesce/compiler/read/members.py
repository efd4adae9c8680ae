# SPDX-License-Identifier: Apache-2.0
"""What an attribute leads to: a variable, a component, a method, a constant of the object."""

from __future__ import annotations

import ast

from quiesce.compiler.ir import Address, Expr, Term
from quiesce.compiler.layout import PlacedVersion
from quiesce.compiler.read.accesses import load
from quiesce.compiler.read.advice import about_attribute
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.indexed_attributes import plain_attribute
from quiesce.compiler.read.inlining import inline
from quiesce.compiler.read.python_objects import object_member, refuse_stranger, static
from quiesce.compiler.read.shorthand import minus_one
from quiesce.compiler.read.values import (
    Component,
    Dynamic,
    Marked,
    Method,
    Static,
    Super,
    Value,
    VariableArray,
    VariablePlace,
    VersionPlace,
)
from quiesce.compiler.read.words import words
from quiesce.compiler.types import NoneType, RefType, SetType, TaskType, bounds
from quiesce.protocol import Protocol


def attribute(b: Builder, base: Value, name: str, node: ast.AST) -> Value:
    """Return attribute *name* of *base*; a shared variable is read."""
    found = member(b, base, name, node)
    return load(b, found) if isinstance(found, VariablePlace) else found


def member(b: Builder, base: Value, name: str, node: ast.AST) -> Value:
    """Return attribute *name* of *base*; a shared variable as a place."""
    name = b.frame.attribute_name(name)
    match base:
        case Component():
            return _component_member(b, base, name, node)
        case Dynamic(expr=expr, type=RefType() | TaskType() as type_):
            return _component_member(b, pointee(b, expr, type_), name, node)
        case Dynamic(type=NoneType()):
            return object_member(b, None, name, node)
        case Dynamic(type=SetType()):
            b.refuse(
                node, "set-method", f"`{name}` of a set is outside the language",
                "a set is kept as a bit mask",
                "x in s, s.add(x), s.discard(x), s.clear(), len(s), |, & and -",
            )  # fmt: skip
        case Super():
            return _super_member(b, base, name, node)
        case Marked(base=Component() as inner):
            return _marked_member(b, inner, name, node)
        case Static(object=Protocol() as stranger):
            refuse_stranger(b, stranger, node)
        case Static(object=obj):
            return object_member(b, obj, name, node)
    b.refuse(
        node, "attribute", f"`{name}` cannot be looked up here: this is {words(base)}",
        "only components, tasks, references and constants of the object have attributes",
    )  # fmt: skip


def _marked_member(b: Builder, base: Component, name: str, node: ast.AST) -> Value:
    found = _component_member(b, base, name, node)
    if isinstance(found, VariablePlace):
        return VariablePlace(found.address, found.type, found.low, found.high, True)
    if isinstance(found, VersionPlace):
        return VersionPlace(found.version, True)
    if isinstance(found, VariableArray):
        return Marked(found)
    b.refuse(
        node, "marked", f"`{name}` is not a shared variable",
        "READ_ONCE and WRITE_ONCE are accesses of one variable", "WRITE_ONCE(self).count = 1",
    )  # fmt: skip


def pointee(b: Builder, expr: Expr, type_: RefType | TaskType) -> Component:
    """Return the component that a reference points to."""
    if isinstance(type_, TaskType):
        elements: tuple[Protocol, ...] = b.layout.scenario.tasks
    else:
        elements = b.layout.elements(type_)
    stride, component_stride = b.layout.strides(elements)
    index = minus_one(expr)
    term = Term(index, len(elements), stride, component_stride, deref=True)
    return Component(elements[0], (term,))


def _component_member(b: Builder, base: Component, name: str, node: ast.AST) -> Value:
    component = base.template
    if b.layout.is_placed(component, name):
        return _variable(b, base, name, node)
    if name in component.__dict__:
        return plain_attribute(b, base, name, node)
    return _class_member(b, base, type(component), name, node)


def _variable(b: Builder, base: Component, name: str, node: ast.AST) -> Value:
    placed = b.layout.placed(base.template, name)
    if isinstance(placed, PlacedVersion):
        if base.terms:
            b.refuse(
                node, "version-in-array", f"`{name}` is a Version in an array of components",
                "each Version is one counter, known when the scenario is built",
                "keep it on the component that owns the array",
            )  # fmt: skip
        return VersionPlace(placed.version, placed.marked)
    if isinstance(placed.type, RefType) and base.terms:
        _refuse_inner_ref(b, base, placed.type, name, node)
    address = Address(placed.base, base.terms)
    limits = bounds(placed.type, b.layout.threads)
    # A Snapshot's type says which Version it follows, as far as that is known by now.
    type_ = b.layout.cells[placed.base].type
    if placed.length is not None:
        return VariableArray(address, placed.length, placed.per_task, type_, placed.marked, limits)
    return VariablePlace(address, type_, *limits, placed.marked)


def _refuse_inner_ref(
    b: Builder, base: Component, type_: RefType, name: str, node: ast.AST
) -> None:
    """Refuse a Ref in an array element whose array differs from element to element."""
    for component in b.layout.chosen(base.template, base.terms):
        placed = b.layout.placed(component, name)
        if isinstance(placed, PlacedVersion) or placed.type != type_:
            b.refuse(
                node, "inner-ref", f"`{name}` points into an array of a component that is itself indexed",
                "which array is meant would depend on the index",
                "loop over the outer array, `for x in self.outer:`, so that each is known",
            )  # fmt: skip


def _class_member(
    b: Builder, base: Component, klass: type, name: str, node: ast.AST, after: type | None = None
) -> Value:
    mro = list(klass.__mro__)
    for defining in mro[mro.index(after) + 1 if after else 0 :]:
        if name in vars(defining):
            value = vars(defining)[name]
            if isinstance(value, property) and value.fget is not None:
                return inline(b, Method(value.fget, base, defining), [], {}, node)
            if isinstance(value, staticmethod):
                return Static(value.__func__)
            if callable(value) and not isinstance(value, type):
                return Method(value, base, defining)
            return static(b, value)
    b.refuse(
        node, "attribute", f"{klass.__name__} has no attribute `{name}`",
        "what a method uses is declared on the class, or set in its constructor",
        about_attribute(klass, name),
    )  # fmt: skip


def _super_member(b: Builder, base: Super, name: str, node: ast.AST) -> Value:
    template = base.receiver.template
    return _class_member(b, base.receiver, type(template), name, node, after=base.defining)
