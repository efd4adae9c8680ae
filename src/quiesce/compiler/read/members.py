# SPDX-License-Identifier: Apache-2.0
"""What an attribute or an index leads to: variables, components, methods, constants of the object."""

from __future__ import annotations

import ast
import enum
import inspect
from typing import Any, NoReturn

from quiesce.compiler.ir import (
    Address,
    Binary,
    Check,
    Const,
    Expr,
    IfElse,
    Load,
    Local,
    Term,
)
from quiesce.compiler.layout import PlacedVersion
from quiesce.compiler.read.frames import ONE
from quiesce.compiler.read.typing_rules import TypeRules
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Dynamic,
    Marked,
    Method,
    Place,
    SetMethod,
    Static,
    Super,
    Tuple,
    Value,
    VariableArray,
    VersionPlace,
)
from quiesce.compiler.types import (
    IntType,
    NoneType,
    RefType,
    SetType,
    SnapshotType,
    TaskType,
    bounds,
)
from quiesce.protocol import Protocol


class MemberReader(TypeRules):
    """Looks attributes and elements up."""

    def static(self, value: Any) -> Value:
        """Return what the Python object *value* stands for."""
        if isinstance(value, Protocol) and self.layout.contains(value):
            return Component(value)
        if isinstance(value, tuple) and value and all(isinstance(v, Protocol) for v in value):
            return ComponentArray(value)
        if inspect.ismethod(value) and isinstance(value.__self__, Protocol):
            owner = value.__self__
            if self.layout.contains(owner):
                defining = next(c for c in type(owner).__mro__ if value.__name__ in vars(c))
                return Method(value.__func__, Component(owner), defining)
        return Static(value)

    def attribute(self, base: Value, name: str, node: ast.AST) -> Value:
        """Return attribute *name* of *base*; a shared variable is read."""
        found = self.member(base, name, node)
        return self.load(found) if isinstance(found, Place) else found

    def member(self, base: Value, name: str, node: ast.AST) -> Value | Place:
        """Return attribute *name* of *base*; a shared variable as a place."""
        name = self.frame.attribute_name(name)
        match base:
            case Component():
                return self._component_member(base, name, node)
            case Dynamic(expr=expr, type=RefType() | TaskType() as type_):
                return self._component_member(self.pointee(expr, type_), name, node)
            case Dynamic(type=NoneType()):
                return self._object_member(None, name, node)
            case Dynamic(type=SetType()):
                self.refuse(
                    node, "set-method", f"`{name}` of a set is outside the language",
                    "a set is kept as a bit mask",
                    "x in s, s.add(x), s.discard(x), s.clear(), len(s), |, & and -",
                )  # fmt: skip
            case Super():
                return self._super_member(base, name, node)
            case Marked(base=Component() as inner):
                return self._marked_member(inner, name, node)
            case Static(object=Protocol() as stranger):
                self.refuse_stranger(stranger, node)
            case Static(object=obj):
                return self._object_member(obj, name, node)
        self.refuse(
            node, "attribute", f"`{name}` cannot be looked up here: this is {self.words(base)}",
            "only components, tasks, references and constants of the object have attributes",
        )  # fmt: skip

    def _marked_member(self, base: Component, name: str, node: ast.AST) -> Value | Place:
        found = self._component_member(base, name, node)
        if isinstance(found, Place):
            return Place(found.address, found.type, found.low, found.high, True)
        if isinstance(found, VersionPlace):
            return VersionPlace(found.version, True)
        if isinstance(found, VariableArray):
            return Marked(found)
        self.refuse(
            node, "marked", f"`{name}` is not a shared variable",
            "READ_ONCE and WRITE_ONCE are accesses of one variable", "WRITE_ONCE(self).count = 1",
        )  # fmt: skip

    def _object_member(self, obj: object, name: str, node: ast.AST) -> Value:
        """Look *name* up in a plain Python object, which is known now."""
        if obj is None:
            self.refuse(
                node, "none", f"this is None, which has no `{name}`",
                "Python would raise AttributeError", "assign a component or a task first",
            )  # fmt: skip
        try:
            return self.static(getattr(obj, name))
        except AttributeError:
            self.refuse(node, "attribute", f"{self.words(Static(obj))} has no attribute `{name}`")
        except Exception as error:  # a property of the user's object may raise anything
            self.refuse(node, "constant", f"this cannot be computed: {error}")

    def refuse_stranger(self, component: Protocol, node: ast.AST) -> NoReturn:
        """Refuse a component that hangs nowhere in the scenario."""
        self.refuse(
            node, "stranger", f"this {type(component).__name__} is not part of the scenario",
            "the variables of a state are those of the scenario and of the components in it",
            "make it an attribute of the scenario, or of one of its components",
        )  # fmt: skip

    def pointee(self, expr: Expr, type_: RefType | TaskType) -> Component:
        """Return the component that a reference points to."""
        if isinstance(type_, TaskType):
            elements: tuple[Protocol, ...] = self.layout.scenario.tasks
        else:
            elements = self.layout.elements(type_)
        stride, component_stride = self.layout.strides(elements)
        index = (
            Const(expr.value - 1) if isinstance(expr, Const) else Binary("-", expr, ONE)
        )  # fmt: skip
        term = Term(index, len(elements), stride, component_stride, deref=True)
        return Component(elements[0], (term,))

    # --- Members of components --------------------------------------------------------------------

    def _component_member(self, base: Component, name: str, node: ast.AST) -> Value | Place:
        component = base.template
        if self.layout.is_placed(component, name):
            return self._variable(base, name, node)
        if name in component.__dict__:
            return self._plain_attribute(base, name, node)
        return self._class_member(base, type(component), name, node)

    def _variable(self, base: Component, name: str, node: ast.AST) -> Value | Place:
        placed = self.layout.placed(base.template, name)
        if isinstance(placed, PlacedVersion):
            if base.terms:
                self.refuse(
                    node, "version-in-array", f"`{name}` is a Version in an array of components",
                    "each Version is one counter, known when the scenario is built",
                    "keep it on the component that owns the array",
                )  # fmt: skip
            return VersionPlace(placed.version, placed.marked)
        if isinstance(placed.type, RefType) and base.terms:
            self._refuse_inner_ref(base, placed.type, name, node)
        address = Address(placed.base, base.terms)
        limits = bounds(placed.type, self.layout.threads)
        # A Snapshot's type says which Version it follows, as far as that is known by now.
        type_ = self.layout.cells[placed.base].type
        if placed.length is not None:
            return VariableArray(
                address, placed.length, placed.per_task, type_, placed.marked, limits
            )
        return Place(address, type_, *limits, placed.marked)

    def _refuse_inner_ref(self, base: Component, type_: RefType, name: str, node: ast.AST) -> None:
        """Refuse a Ref in an array element whose array differs from element to element."""
        for component in self.layout.chosen(base.template, base.terms):
            placed = self.layout.placed(component, name)
            if isinstance(placed, PlacedVersion) or placed.type != type_:
                self.refuse(
                    node, "inner-ref", f"`{name}` points into an array of a component that is itself indexed",
                    "which array is meant would depend on the index",
                    "loop over the outer array, `for x in self.outer:`, so that each is known",
                )  # fmt: skip

    def _plain_attribute(self, base: Component, name: str, node: ast.AST) -> Value:
        """Return an attribute that is no variable: a component, a tuple of them, a constant."""
        if not base.terms:
            return self.static(base.template.__dict__[name])
        chosen = self.layout.chosen(base.template, base.terms)
        values = [c.__dict__.get(name) for c in chosen]
        first = values[0]
        if all(isinstance(v, Protocol) and self.layout.contains(v) for v in values):
            terms = self._terms_to([(v,) for v in values], base.terms)
            if terms is not None and isinstance(first, Protocol):
                return Component(first, terms)
        elif isinstance(first, tuple) and first and isinstance(first[0], Protocol):
            if all(isinstance(v, tuple) and len(v) == len(first) for v in values):
                terms = self._terms_to(values, base.terms)
                if terms is not None:
                    return ComponentArray(first, terms)
        elif all(v is first or (type(v) is type(first) and v == first) for v in values):
            return Static(first)
        elif all(isinstance(v, int | enum.Enum | None) for v in values):
            return self._looked_up(values, base.terms, node)
        self.refuse(
            node, "mixed-array", f"`{name}` is not the same for all elements that this may be",
            "an index known only at run time needs elements that differ in numbers only",
            "declare it as a variable, or loop over the elements with `for`",
        )  # fmt: skip

    def _terms_to(self, groups: list[Any], terms: tuple[Term, ...]) -> tuple[Term, ...] | None:
        """Return how *terms* choose among components that the elements refer to; None if they do not.

        Each element's own component moves with the index; one that all share does not.

        :param groups: for each element, in the order of ``Layout.chosen``, its components.
        """
        layout = self.layout
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

    def _looked_up(self, values: list[Any], terms: tuple[Term, ...], node: ast.AST) -> Dynamic:
        """Return the constant of the element that is chosen: a table, as nested conditions."""
        statics = [Static(v) for v in values]
        type_ = self.common_type(statics, node)
        index: Expr = Const(0)
        for term in terms:
            one = Local(self.temporary(term.index, IntType(0, 0)))
            inside = Binary(
                "and", Binary(">=", one, Const(0)), Binary("<", one, Const(term.length))
            )
            message = f"the index is not in 0..{term.length - 1}"
            self.emit(Check(inside, message, **self.at))
            index = Binary("+", Binary("*", index, Const(term.length)), one)
        expr = self.coerce(statics[-1], type_, node)
        for i in range(len(values) - 2, -1, -1):
            expr = IfElse(Binary("==", index, Const(i)), self.coerce(statics[i], type_, node), expr)
        return Dynamic(expr, type_)

    def _class_member(
        self, base: Component, klass: type, name: str, node: ast.AST, after: type | None = None
    ) -> Value:
        mro = list(klass.__mro__)
        for defining in mro[mro.index(after) + 1 if after else 0 :]:
            if name in vars(defining):
                value = vars(defining)[name]
                if isinstance(value, property) and value.fget is not None:
                    return self.inline(Method(value.fget, base, defining), [], {}, node)
                if isinstance(value, staticmethod):
                    return Static(value.__func__)
                if callable(value) and not isinstance(value, type):
                    return Method(value, base, defining)
                return self.static(value)
        self.refuse(
            node, "attribute", f"{klass.__name__} has no attribute `{name}`",
            "what a method uses is declared on the class, or set in its constructor",
            f"declare it on the class: `{name} = Int(0)`",
        )  # fmt: skip

    def _super_member(self, base: Super, name: str, node: ast.AST) -> Value:
        template = base.receiver.template
        return self._class_member(base.receiver, type(template), name, node, after=base.defining)

    def inline(
        self, method: Method, args: list[Value], kwargs: dict[str, Value], node: ast.AST
    ) -> Value:
        """Read the body of *method* in place. See :mod:`quiesce.compiler.read.calls`."""
        raise NotImplementedError

    def load(self, place: Place) -> Dynamic:
        """Read a shared variable; a marked access outside an atomic region is a step of its own."""
        marked = place.marked or self.atomic_depth > 0
        expr = Load(place.address, marked)
        if marked and not self.atomic_depth:
            return Dynamic(Local(self.temporary(expr, place.type)), place.type)
        return Dynamic(expr, place.type)

    # --- Elements -----------------------------------------------------------------------------------

    def element(self, base: Value, index: Value, node: ast.AST) -> Value | Place:
        """Return one element of *base*; a shared variable as a place."""
        match base:
            case Marked(base=VariableArray() as inner):
                place = self.element(inner, index, node)
                assert isinstance(place, Place)
                return Place(place.address, place.type, place.low, place.high, True)
            case VariableArray():
                return self._variable_element(base, index, node)
            case ComponentArray():
                return self._component_element(base, index, node)
            case Tuple() | Static(object=tuple()) if isinstance(index, Static):
                items = (
                    base.items if isinstance(base, Tuple) else [self.static(o) for o in base.object]
                )
                if isinstance(index.object, int) and -len(items) <= index.object < len(items):
                    return items[index.object]
                self.refuse(
                    node, "index", f"the index {self.words(index)} is not in 0..{len(items) - 1}"
                )
        self.refuse(
            node, "subscript", f"this cannot be indexed: it is {self.words(base)}",
            "a declared Array or PerTask can be, and a tuple with an index known when the scenario is built",
            "declare `Array(Int(0), n)`",
        )  # fmt: skip

    def _variable_element(self, base: VariableArray, index: Value, node: ast.AST) -> Place:
        if base.per_task:
            expr = self.coerce(index, TaskType(), node, "the index of a PerTask")
            number: Expr = (
                Const(expr.value - 1) if isinstance(expr, Const) else Binary("-", expr, ONE)
            )
        else:
            number = self.coerce(index, IntType(0, base.length - 1), node, "an index")
        term = Term(number, base.length, 1)
        address = Address(base.address.base, (*base.address.terms, term))
        type_ = base.type
        if isinstance(type_, SnapshotType):
            offset = number.value if isinstance(number, Const) else 0
            if 0 <= offset < base.length:
                type_ = self.layout.cells[address.base + offset].type
        return Place(address, type_, *base.bounds, base.marked)

    def _component_element(self, base: ComponentArray, index: Value, node: ast.AST) -> Value:
        count = len(base.elements)
        if isinstance(index, Static) and isinstance(index.object, int):
            if not 0 <= index.object < count:
                self.refuse(
                    node, "index", f"the index {index.object} is not in 0..{count - 1}",
                    "elements are counted from 0, and never from the end",
                )  # fmt: skip
            element = base.elements[int(index.object)]
            if not self.layout.contains(element):
                self.refuse_stranger(element, node)
            return Component(element, base.terms)
        expr = self.coerce(index, IntType(0, count - 1), node, "an index")
        if not self.layout.is_uniform(base.elements):
            self.refuse(
                node, "mixed-array", "these components are not alike",
                "an index known only at run time needs components of one class, built alike",
                "declare `Array(Component(), n)`, or loop over them with `for`",
            )  # fmt: skip
        stride, component_stride = self.layout.strides(base.elements)
        term = Term(expr, count, stride, component_stride)
        return Component(base.elements[0], (*base.terms, term))

    def set_method(self, place: Place, name: str) -> SetMethod | None:
        """Return the method *name* of a set variable, if there is one."""
        if isinstance(place.type, SetType) and name in ("add", "discard", "clear"):
            return SetMethod(name, place, place.type)
        return None
