# SPDX-License-Identifier: Apache-2.0
"""From Python expressions to IR: constants folded, shared accesses made explicit, calls inlined.

Evaluation order is Python's. When a later operand emits operations (an inlined call, a marked
access), what was evaluated before it is first put into temporaries; so an expression never observes
memory later than its source says.
"""

from __future__ import annotations

import ast
import enum
import operator
from collections.abc import Callable, Sequence
from typing import Any

from quiesce.compiler.frames import ONE, ZERO, Emitter, Refused
from quiesce.compiler.ir import (
    Address,
    Binary,
    Branch,
    Const,
    Current,
    Expr,
    IfElse,
    Label,
    Load,
    Local,
    Op,
    SetLocal,
    Term,
    Unary,
    VersionRead,
    touches_memory,
)
from quiesce.compiler.language import REFUSED
from quiesce.compiler.layout import PlacedVersion
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
    bounds,
    describe,
    join,
)
from quiesce.compiler.values import (
    Component,
    ComponentArray,
    Dynamic,
    Marked,
    Method,
    Place,
    Poison,
    SetMethod,
    Static,
    Super,
    Tuple,
    Value,
    VariableArray,
    VersionPlace,
)
from quiesce.protocol import Protocol, Task

_ARITHMETIC: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.BitAnd: ("&", operator.and_),
    ast.BitOr: ("|", operator.or_),
    ast.BitXor: ("^", operator.xor),
    ast.LShift: ("<<", operator.lshift),
    ast.RShift: (">>", operator.rshift),
}

_SIGN: dict[type[ast.unaryop], Callable[[int], int]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.inv,
}

_COMPARISON: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Is: ("==", operator.is_),
    ast.IsNot: ("!=", operator.is_not),
}


class ExpressionReader(Emitter):
    """Reads expressions; calls are left to :class:`statements.Reader`."""

    # --- The dispatch -------------------------------------------------------------------------

    def read(self, node: ast.expr) -> Value:
        """Return what *node* stands for, emitting what has to happen first."""
        match node:
            case ast.Constant():
                return Static(node.value)
            case ast.Name():
                return self._name(node)
            case ast.Attribute():
                return self.attribute(self.read(node.value), node.attr, node)
            case ast.Subscript():
                return self._subscript(node)
            case ast.BinOp():
                return self._binary(node)
            case ast.UnaryOp():
                return self._unary(node)
            case ast.BoolOp():
                return self._bool(node)
            case ast.Compare():
                return self._compare(node)
            case ast.IfExp():
                return self._if(node)
            case ast.Tuple():
                return Tuple(tuple(self.read_in_order(node.elts)))
            case ast.Call():
                return self.call(node)
            case ast.Starred():
                self.refuse(node, "starred", "`*` is only understood in a call's arguments")
        refusal = REFUSED.get(type(node))
        if refusal is not None:
            self.refuse(node, refusal.code, refusal.message, refusal.why, refusal.help)
        self.refuse(node, "syntax", f"`{type(node).__name__}` is outside the language")

    def call(self, node: ast.Call) -> Value:
        """Inline a call. See :mod:`quiesce.compiler.calls`."""
        raise NotImplementedError

    def read_in_order(self, nodes: Sequence[ast.expr]) -> list[Value]:
        """Read several expressions, keeping Python's order of evaluation."""
        values: list[Value] = []
        for node in nodes:
            before = self.ops
            self.ops = []
            try:
                value = self.read(node)
            finally:
                emitted, self.ops = self.ops, before
            if emitted:
                values = [self.settled(v) for v in values]
                self.ops += emitted
            values.append(value)
        return values

    def settled(self, value: Value) -> Value:
        """Return *value*, evaluated now if evaluating it later could give another result."""
        if isinstance(value, Dynamic) and touches_memory(value.expr):
            return Dynamic(Local(self.temporary(value.expr, value.type)), value.type)
        if isinstance(value, Tuple):
            return Tuple(tuple(self.settled(v) for v in value.items))
        if isinstance(value, VersionPlace):
            return self.look(value)
        if isinstance(value, Component) and any(touches_memory(t.index) for t in value.terms):
            return Component(value.template, self.settled_terms(value.terms))
        return value

    def settled_terms(self, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        """Return *terms* with every index that reads shared memory evaluated now."""
        return tuple(
            Term(
                Local(self.temporary(t.index, IntType(-1, t.length)))
                if touches_memory(t.index)
                else t.index,
                t.length,
                t.stride,
                t.component_stride,
                t.deref,
            )
            for t in terms
        )

    def look(self, version: VersionPlace) -> Dynamic:
        """Take a snapshot of a version, now."""
        type_ = SnapshotType(version.version)
        expr = VersionRead(version.version, version.marked or self.atomic_depth > 0)
        return Dynamic(Local(self.temporary(expr, type_)), type_)

    # --- Names and attributes -----------------------------------------------------------------

    def _name(self, node: ast.Name) -> Value:
        frame = self.frame
        if node.id in frame.env:
            value = frame.env[node.id]
            if isinstance(value, Poison):
                raise Refused
            return value
        if node.id in frame.stores:
            self.refuse(
                node, "unassigned", f"`{node.id}` has no value yet here",
                "a local variable is assigned before it is used, on every path",
                f"{node.id} = 0 before it",
            )  # fmt: skip
        found, value_object = frame.global_value(node.id)
        if not found:
            self.refuse(node, "unknown-name", f"`{node.id}` is not defined")
        return self.static(value_object)

    def static(self, value: Any) -> Value:
        """Return what the Python object *value* stands for."""
        if isinstance(value, Protocol) and self.layout.contains(value):
            return Component(value)
        if isinstance(value, tuple) and value and all(isinstance(v, Protocol) for v in value):
            return ComponentArray(value)
        return Static(value)

    def attribute(self, base: Value, name: str, node: ast.AST) -> Value:
        """Return attribute *name* of *base*; a shared variable is read."""
        found = self.member(base, name, node)
        return self.load(found) if isinstance(found, Place) else found

    def member(self, base: Value, name: str, node: ast.AST) -> Value | Place:
        """Return attribute *name* of *base*; a shared variable as a place."""
        match base:
            case Component():
                return self._component_member(base, name, node)
            case Dynamic(expr=expr, type=RefType() | TaskType() as type_):
                return self._component_member(self.pointee(expr, type_), name, node)
            case Dynamic(type=NoneType()):
                self.refuse(node, "none", f"this is None, which has no `{name}`")
            case Super():
                return self._super_member(base, name, node)
            case Marked(base=Component() as inner):
                found = self._component_member(inner, name, node)
                if isinstance(found, Place):
                    return Place(found.address, found.type, found.low, found.high, True)
                if isinstance(found, VersionPlace):
                    return VersionPlace(found.version, True)
                if isinstance(found, VariableArray):
                    return Marked(found)
                self.refuse(node, "marked", f"`{name}` is not a shared variable")
            case Static(object=obj) if not isinstance(obj, Protocol):
                try:
                    return self.static(getattr(obj, name))
                except AttributeError:
                    self.refuse(node, "attribute", f"{obj!r} has no attribute `{name}`")
        self.refuse(node, "attribute", f"`{name}` cannot be looked up here")

    def pointee(self, expr: Expr, type_: RefType | TaskType) -> Component:
        """Return the component that a reference points to."""
        if isinstance(type_, TaskType):
            elements: tuple[Protocol, ...] = self.layout.scenario.tasks
        else:
            elements = self.layout.elements(type_)
        stride, component_stride = self.layout.strides(elements)
        index = expr.value - 1 if isinstance(expr, Const) else None
        term = Term(
            Const(index) if index is not None else Binary("-", expr, ONE),
            len(elements), stride, component_stride, deref=True,
        )  # fmt: skip
        return Component(elements[0], (term,))

    def _component_member(self, base: Component, name: str, node: ast.AST) -> Value | Place:
        component = base.template
        declaration = component.declarations().get(name)
        if declaration is not None and (id(component), name) in self.layout._placed:
            placed = self.layout.placed(component, name)
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
            if placed.length is not None:
                return VariableArray(
                    address, placed.length, placed.per_task, placed.type, placed.marked, limits
                )
            return Place(address, placed.type, *limits, placed.marked)
        if name in component.__dict__:
            value = component.__dict__[name]
            if isinstance(value, Protocol) and self.layout.contains(value):
                return Component(value, base.terms)
            if isinstance(value, tuple) and value and isinstance(value[0], Protocol):
                return ComponentArray(value, base.terms)
            return Static(value)
        return self._class_member(base, type(component), name, node)

    def _refuse_inner_ref(
        self, base: Component, type_: RefType, name: str, node: ast.AST
    ) -> None:
        """Refuse a Ref in an array element that points into an array of the same element."""
        above: Protocol | None = self.layout.elements(type_)[0]
        while above is not None:
            if above is base.template:
                self.refuse(
                    node, "inner-ref", f"`{name}` points into an array of a component that is itself indexed",
                    "which array is meant would depend on the index",
                    "loop over the outer array, `for x in self.outer:`, so that each is known",
                )  # fmt: skip
            above = above._owner

    def _class_member(
        self, base: Component, klass: type, name: str, node: ast.AST, after: type | None = None
    ) -> Value:
        mro = list(klass.__mro__)
        for defining in mro[mro.index(after) + 1 if after else 0 :]:
            if name in vars(defining):
                value = vars(defining)[name]
                if isinstance(value, property):
                    assert value.fget is not None
                    return self.inline(Method(value.fget, base, defining), [], {}, node)
                if isinstance(value, staticmethod):
                    return Static(value.__func__)
                if callable(value) and not isinstance(value, type):
                    return Method(value, base, defining)
                return Static(value)
        self.refuse(
            node, "attribute", f"{klass.__name__} has no attribute `{name}`",
            help=f"declare it on the class: `{name} = Int(0)`",
        )  # fmt: skip

    def _super_member(self, base: Super, name: str, node: ast.AST) -> Value:
        template = base.receiver.template
        return self._class_member(base.receiver, type(template), name, node, after=base.defining)

    def inline(
        self, method: Method, args: list[Value], kwargs: dict[str, Value], node: ast.AST
    ) -> Value:
        """Read the body of *method* in place. See :mod:`quiesce.compiler.calls`."""
        raise NotImplementedError

    def load(self, place: Place) -> Dynamic:
        """Read a shared variable; a marked access outside an atomic region is a step of its own."""
        marked = place.marked or self.atomic_depth > 0
        expr = Load(place.address, marked)
        if marked and not self.atomic_depth:
            return Dynamic(Local(self.temporary(expr, place.type)), place.type)
        return Dynamic(expr, place.type)

    # --- Subscripts ---------------------------------------------------------------------------

    def _subscript(self, node: ast.Subscript) -> Value:
        base, index = self.read_in_order([node.value, node.slice])
        found = self.element(base, index, node)
        return self.load(found) if isinstance(found, Place) else found

    def element(self, base: Value, index: Value, node: ast.AST) -> Value | Place:
        """Return one element of *base*; a shared variable as a place."""
        match base:
            case Marked(base=VariableArray() as inner):
                place = self.element(inner, index, node)
                assert isinstance(place, Place)
                return Place(place.address, place.type, place.low, place.high, True)
            case VariableArray():
                if base.per_task:
                    wanted: Type = TaskType()
                    expr = self.coerce(index, wanted, node, "the index of a PerTask")
                    number: Expr = (
                        Const(expr.value - 1) if isinstance(expr, Const) else Binary("-", expr, ONE)
                    )
                else:
                    number = self.coerce(index, IntType(0, base.length - 1), node, "an index")
                term = Term(number, base.length, 1)
                address = Address(base.address.base, (*base.address.terms, term))
                return Place(address, base.type, *base.bounds, base.marked)
            case ComponentArray():
                return self._component_element(base, index, node)
            case Tuple() if isinstance(index, Static) and isinstance(index.object, int):
                if -len(base.items) <= index.object < len(base.items):
                    return base.items[index.object]
            case Static(object=tuple() as items) if isinstance(index, Static):
                return self.static(items[index.object])
        self.refuse(node, "subscript", "only a declared Array or PerTask can be indexed")

    def _component_element(self, base: ComponentArray, index: Value, node: ast.AST) -> Value:
        count = len(base.elements)
        if isinstance(index, Static) and isinstance(index.object, int):
            if not 0 <= index.object < count:
                self.refuse(node, "index", f"the index {index.object} is not in 0..{count - 1}")
            return Component(base.elements[index.object], base.terms)
        kinds = {type(e) for e in base.elements}
        expr = self.coerce(index, IntType(0, count - 1), node, "an index")
        if len(kinds) > 1 or not self.layout.contains(base.elements[0]):
            self.refuse(
                node, "mixed-array", "these components are of different classes",
                "an index known only at run time needs elements of one shape",
                "declare `Array(Component(), n)`, or loop over them with `for`",
            )  # fmt: skip
        stride, component_stride = self.layout.strides(base.elements)
        term = Term(expr, count, stride, component_stride)
        return Component(base.elements[0], (*base.terms, term))

    # --- Operators ----------------------------------------------------------------------------

    def _binary(self, node: ast.BinOp) -> Value:
        left, right = self.read_in_order([node.left, node.right])
        return self.arithmetic(left, node.op, right, node)

    def arithmetic(self, left: Value, op: ast.operator, right: Value, node: ast.AST) -> Value:
        """Return ``left op right``."""
        if type(op) not in _ARITHMETIC:
            refusal = REFUSED[type(op)]
            self.refuse(node, refusal.code, refusal.message, refusal.why, refusal.help)
        symbol, fold = _ARITHMETIC[type(op)]
        if isinstance(left, Static) and isinstance(right, Static):
            try:
                return Static(fold(left.object, right.object))
            except (TypeError, ValueError, ZeroDivisionError) as error:
                self.refuse(node, "constant", f"this cannot be computed: {error}")
        if isinstance(left, Dynamic) and isinstance(left.type, SetType) and symbol in "|&-":
            other = self.coerce(right, left.type, node, "the other set")
            if symbol == "-":
                other = Unary("~", other)
                symbol = "&"
            return Dynamic(Binary(symbol, left.expr, other), left.type)
        a = self.integer(left, node)
        b = self.integer(right, node)
        # Ranges of intermediate results do not matter; those of variables are found later.
        return Dynamic(Binary(symbol, a, b), IntType(0, 0))

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
        self.refuse(node, "type", f"this needs an integer, and is {self.words(value)}")

    def words(self, value: Value) -> str:
        """Describe *value* for an error message."""
        match value:
            case Dynamic(type=type_):
                return describe(type_)
            case Static(object=obj):
                return repr(obj)
            case Component(template=template):
                return f"the component {template.path or type(template).__name__}"
            case VersionPlace():
                return "a version"
            case Method(function=function):
                return f"the method {function.__name__}; call it with ()"
            case Tuple():
                return "a tuple"
        return "not a value"

    def _unary(self, node: ast.UnaryOp) -> Value:
        value = self.read(node.operand)
        if isinstance(node.op, ast.Not):
            if isinstance(value, Static):
                return Static(not value.object)
            return Dynamic(negated(self.truth(value, node)), BoolType())
        if isinstance(value, Static) and isinstance(value.object, int):
            return Static(_SIGN[type(node.op)](value.object))
        expr = self.integer(value, node)
        if isinstance(node.op, ast.UAdd):
            return Dynamic(expr, IntType(0, 0))
        return Dynamic(Unary("-" if isinstance(node.op, ast.USub) else "~", expr), IntType(0, 0))

    def truth(self, value: Value, node: ast.AST) -> Expr:
        """Return whether *value* is true, as Python's ``if`` would see it."""
        match value:
            case Static(object=obj):
                return ONE if obj else ZERO
            case Dynamic(expr=expr, type=BoolType()):
                return expr
            case Dynamic(expr=expr, type=IntType() | SetType() | TaskType() | RefType()):
                return Binary("!=", expr, ZERO)
            case Dynamic(type=NoneType()):
                return ZERO
            case Dynamic(type=EnumType()):
                self.refuse(
                    node, "enum-truth", "a member of an enum is always true",
                    "", "compare it: `if self.state == State.READY`",
                )  # fmt: skip
        self.refuse(node, "type", f"this is no condition: it is {self.words(value)}")

    def _bool(self, node: ast.BoolOp) -> Value:
        is_and = isinstance(node.op, ast.And)
        value = self.read(node.values[0])
        for operand in node.values[1:]:
            if isinstance(value, Static):
                # A constant operand decides or drops out; what it hides is not even read.
                if bool(value.object) != is_and:
                    return value
                value = self.read(operand)
                continue
            value = self._short_circuit(value, is_and, operand, node)
        return value

    def _short_circuit(self, left: Value, is_and: bool, operand: ast.expr, node: ast.AST) -> Value:
        before = self.ops
        self.ops = []
        try:
            right = self.read(operand)
            emitted = self.ops
        finally:
            self.ops = before
        op = "and" if is_and else "or"
        if not emitted and not isinstance(right, VersionPlace):
            a, b = self.truth(left, node), self.truth(right, operand)
            return Dynamic(Binary(op, a, b), BoolType())
        return self._guarded(self.truth(left, node), is_and, emitted, right, operand)

    def _guarded(
        self, left: Expr, is_and: bool, emitted: list[Op], right: Value, operand: ast.AST
    ) -> Value:
        """Emit the operations of the right operand so that they only happen where Python's would."""
        result = self.temporary(left, BoolType())
        end = Label()
        test: Expr = Local(result)
        self.emit(Branch(test if is_and else negated(test), end, **self.at))
        self.ops += emitted
        self.emit(SetLocal(result, self.truth(right, operand), **self.at))
        self.place_label(end)
        return Dynamic(Local(result), BoolType())

    def _if(self, node: ast.IfExp) -> Value:
        condition = self.read(node.test)
        if isinstance(condition, Static):
            return self.read(node.body if condition.object else node.orelse)
        test = self.truth(condition, node.test)
        count = len(self.ops)
        then, otherwise = self.read(node.body), self.read(node.orelse)
        if len(self.ops) != count:
            self.refuse(
                node, "conditional-call", "a call or marked access inside a conditional expression",
                "it would happen on both sides", "write an `if` statement",
            )  # fmt: skip
        type_ = self.common_type([then, otherwise], node)
        return Dynamic(
            IfElse(test, self.coerce(then, type_, node), self.coerce(otherwise, type_, node)), type_
        )

    # --- Comparisons --------------------------------------------------------------------------

    def _compare(self, node: ast.Compare) -> Value:
        values = self.read_in_order([node.left, *node.comparators])
        result: Value = Static(True)
        for left, op, right in zip(values, node.ops, values[1:], strict=False):
            one = self._compare_two(left, op, right, node)
            if isinstance(result, Static):
                result = one if result.object else result
            elif isinstance(one, Static):
                result = result if one.object else one
            else:
                assert isinstance(result, Dynamic) and isinstance(one, Dynamic)
                result = Dynamic(Binary("and", result.expr, one.expr), BoolType())
        return result

    def _compare_two(self, left: Value, op: ast.cmpop, right: Value, node: ast.AST) -> Value:
        if isinstance(op, ast.In | ast.NotIn):
            inside = self._contains(left, right, node)
            if isinstance(inside, Static):
                return Static(inside.object == isinstance(op, ast.In))
            expr = inside.expr if isinstance(op, ast.In) else negated(inside.expr)
            return Dynamic(expr, BoolType())
        symbol, fold = _COMPARISON[type(op)]
        if isinstance(left, Static) and isinstance(right, Static):
            return Static(bool(fold(left.object, right.object)))
        if isinstance(left, Component) and isinstance(right, Component):
            if not left.terms and not right.terms:
                return Static((left.template is right.template) == (symbol == "=="))
        if isinstance(left, VersionPlace) or isinstance(right, VersionPlace):
            return self._compare_version(left, symbol, right, node)
        if symbol in ("<", "<=", ">", ">="):
            return Dynamic(
                Binary(symbol, self.integer(left, node), self.integer(right, node)), BoolType()
            )
        type_ = self.common_type([left, right], node)
        if isinstance(type_, SnapshotType):
            self.refuse(
                node, "snapshots", "two snapshots of a version are compared",
                "each only says whether the version changed since, so the version itself must be one side",
                "compare the snapshot with the version, `self.seq != seen`",
            )  # fmt: skip
        a, b = self.coerce(left, type_, node), self.coerce(right, type_, node)
        return Dynamic(Binary(symbol, a, b), BoolType())

    def _compare_version(self, left: Value, symbol: str, right: Value, node: ast.AST) -> Value:
        version, holder = (left, right) if isinstance(left, VersionPlace) else (right, left)
        assert isinstance(version, VersionPlace)
        if symbol not in ("==", "!=") or not (
            isinstance(holder, Dynamic) and isinstance(holder.type, SnapshotType)
        ):
            self.refuse(
                node, "version-compare", "a version is compared with something else than a snapshot of it",
                "what is kept of it is whether it changed since a look at it",
                "seen = self.seq ... if self.seq != seen",
            )  # fmt: skip
        if holder.type.version not in (-1, version.version):
            self.refuse(node, "version-compare", "this is a snapshot of another version")
        marked = version.marked or self.atomic_depth > 0
        same: Expr = Binary("and", VersionRead(version.version, marked), holder.expr)
        if marked and not self.atomic_depth:
            same = Local(self.temporary(same, BoolType()))
        return Dynamic(same if symbol == "==" else negated(same), BoolType())

    def _contains(self, item: Value, container: Value, node: ast.AST) -> Static | Dynamic:
        match container:
            case Dynamic(expr=mask, type=SetType(of_tasks=of_tasks)):
                if of_tasks:
                    task = self.coerce(item, TaskType(), node, "a member of a TaskSet")
                    bit: Expr = Binary("-", task, ONE)
                else:
                    bit = self.integer(item, node)
                return Dynamic(Binary("bit", mask, bit), BoolType())
            case Tuple(items=items):
                return self._any_equal(item, items, node)
            case Static(object=tuple() as objects):
                if isinstance(item, Static):
                    return Static(item.object in objects)
                return self._any_equal(item, tuple(self.static(o) for o in objects), node)
        self.refuse(
            node, "in", "`in` is understood for Set and TaskSet variables and for tuples",
            help="x in (A, B)",
        )  # fmt: skip

    def _any_equal(self, item: Value, items: tuple[Value, ...], node: ast.AST) -> Static | Dynamic:
        result: Expr = ZERO
        for other in items:
            one = self._compare_two(item, ast.Eq(), other, node)
            expr = self.truth(one, node)
            result = expr if result == ZERO else Binary("or", result, expr)
        return Dynamic(result, BoolType())

    # --- Types --------------------------------------------------------------------------------

    def type_of(self, value: Value, node: ast.AST) -> Type:
        """Return the type that a variable needs to hold *value*."""
        match value:
            case Dynamic(type=type_):
                return type_
            case VersionPlace(version=version):
                return SnapshotType(version)
            case Static(object=None):
                return NoneType()
            case Static(object=bool()):
                return BoolType()
            case Static(object=int() as number):
                return IntType(number, number)
            case Static(object=enum.Enum() as member):
                return EnumType(tuple(type(member)))
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
                return RefType(self.layout.number(value[0]), len(value))
        return None

    def common_type(self, values: Sequence[Value], node: ast.AST) -> Type:
        """Return the type that covers all of *values*, or refuse."""
        result = self.type_of(values[0], node)
        for value in values[1:]:
            other = self.type_of(value, node)
            both = join(result, other)
            if both is None:
                self.refuse(
                    node, "type", f"{describe(result)} and {describe(other)} do not go together"
                )
            result = both
        return result

    def coerce(self, value: Value, type_: Type, node: ast.AST, what: str = "this") -> Expr:
        """Return the integer expression for *value* as a *type_*, or refuse."""
        match type_, value:
            case (IntType() | BoolType(), _):
                return self.integer(value, node)
            case (_, Dynamic(expr=expr, type=given)):
                if join(type_, given) is not None:
                    return expr
            case (TaskType() | RefType() | NoneType(), Static(object=None)):
                return ZERO
            case (EnumType(members=members), Static(object=enum.Enum() as member)):
                if member in members:
                    return Const(members.index(member))
            case (TaskType(), Component(template=Task() as task)):
                return self._index_plus_one(value, task.tid)
            case (RefType(), Component(template=template)):
                elements = self.layout.elements(type_)
                for index, element in enumerate(elements):
                    if element is template:
                        return self._index_plus_one(value, index)
            case (SnapshotType(), VersionPlace(version=version)):
                return VersionRead(version, value.marked or self.atomic_depth > 0)
        self.refuse(node, "type", f"{what} needs {describe(type_)}, and is {self.words(value)}")

    def _index_plus_one(self, component: Component, index: int) -> Expr:
        if not component.terms:
            return Const(index + 1)
        last = component.terms[-1].index
        if isinstance(last, Binary) and last.op == "-" and last.right == ONE:
            return last.left
        return Binary("+", last, ONE)

    def current(self) -> Dynamic:
        """Return the running task."""
        return Dynamic(Current(), TaskType())

    def set_method(self, place: Place, name: str) -> SetMethod | None:
        """Return the method *name* of a set variable, if there is one."""
        if isinstance(place.type, SetType) and name in ("add", "discard", "clear"):
            return SetMethod(name, place, place.type)
        return None


def negated(expr: Expr) -> Expr:
    """Return ``not expr``."""
    if isinstance(expr, Const):
        return Const(int(not expr.value))
    if isinstance(expr, Unary) and expr.op == "not":
        return expr.operand
    return Unary("not", expr)
