# SPDX-License-Identifier: Apache-2.0
"""Plain attributes of a component that an index chooses at run time."""

from __future__ import annotations

import ast
import enum
from typing import Any

from quiesce.compiler.ir import Binary, Check, Const, Expr, IfElse, Local, Term
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.python_objects import static
from quiesce.compiler.read.typing_rules import coerce, common_type
from quiesce.compiler.read.values import Component, ComponentArray, Dynamic, Static, Value
from quiesce.compiler.types import IntType
from quiesce.protocol import Protocol


def plain_attribute(b: Builder, base: Component, name: str, node: ast.AST) -> Value:
    """Return an attribute that is no variable: a component, a tuple of them, a constant."""
    if not base.terms:
        return static(b, base.template.__dict__[name])
    chosen = b.layout.chosen(base.template, base.terms)
    values = [c.__dict__.get(name) for c in chosen]
    first = values[0]
    if all(isinstance(v, Protocol) and b.layout.contains(v) for v in values):
        terms = _terms_to(b, [(v,) for v in values], base.terms)
        if terms is not None and isinstance(first, Protocol):
            return Component(first, terms)
    elif isinstance(first, tuple) and first and isinstance(first[0], Protocol):
        if all(isinstance(v, tuple) and len(v) == len(first) for v in values):
            terms = _terms_to(b, values, base.terms)
            if terms is not None:
                return ComponentArray(first, terms)
    elif all(v is first or (type(v) is type(first) and v == first) for v in values):
        return Static(first)
    elif all(isinstance(v, int | enum.Enum | None) for v in values):
        return _looked_up(b, values, base.terms, node)
    b.refuse(
        node, "mixed-array", f"`{name}` is not the same for all elements that this may be",
        "an index known only at run time needs elements that differ in numbers only",
        "declare it as a variable, or loop over the elements with `for`",
    )  # fmt: skip


def _terms_to(b: Builder, groups: list[Any], terms: tuple[Term, ...]) -> tuple[Term, ...] | None:
    """Return how *terms* choose among components that the elements refer to; None if they do not.

    Each element's own component moves with the index; one that all share does not.

    :param groups: for each element, in the order of ``Layout.chosen``, its components.
    """
    layout = b.layout
    if not all(layout.contains(c) for group in groups for c in group):
        return None
    numbers = [[layout.number(c) for c in group] for group in groups]
    cells = [[layout.first_cell(c) for c in group] for group in groups]
    found: list[Term] = []
    reach = len(groups)
    for term in terms:
        reach //= term.length
        step = reach if term.length > 1 else 0
        component_stride = numbers[step][0] - numbers[0][0]
        stride = cells[step][0] - cells[0][0]
        found.append(Term(term.index, term.length, stride, component_stride, term.deref))
    for at in range(len(groups)):
        offset, cell_offset, rest = 0, 0, at
        for term in reversed(found):
            offset += rest % term.length * term.component_stride
            cell_offset += rest % term.length * term.stride
            rest //= term.length
        if numbers[at] != [n + offset for n in numbers[0]]:
            return None
        if cells[at] != [c + cell_offset for c in cells[0]]:
            return None
    return tuple(found)


def _looked_up(b: Builder, values: list[Any], terms: tuple[Term, ...], node: ast.AST) -> Dynamic:
    """Return the constant of the element that is chosen: a table, as nested conditions."""
    statics = [Static(v) for v in values]
    type_ = common_type(b, statics, node)
    index: Expr = Const(0)
    for term in terms:
        one = Local(b.temporary(term.index, IntType(0, 0)))
        inside = Binary("and", Binary(">=", one, Const(0)), Binary("<", one, Const(term.length)))
        message = f"the index is not in 0..{term.length - 1}"
        b.emit(Check(inside, message, **b.at))
        index = Binary("+", Binary("*", index, Const(term.length)), one)
    expr = coerce(b, statics[-1], type_, node)
    for i in range(len(values) - 2, -1, -1):
        expr = IfElse(Binary("==", index, Const(i)), coerce(b, statics[i], type_, node), expr)
    return Dynamic(expr, type_)
