# SPDX-License-Identifier: Apache-2.0
"""Operators: arithmetic, comparisons, ``and``/``or``/``not``, the conditional expression.

Two ways of reading ``and`` and ``or``. As a condition, only the truth counts. As a value, ``x or 5`` is
``x`` itself where that is true, as in Python.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from quiesce.compiler.ir import (
    Binary,
    Branch,
    Const,
    Expr,
    IfElse,
    Jump,
    Label,
    Load,
    Local,
    Op,
    SetLocal,
    Unary,
    VersionRead,
)
from quiesce.compiler.read.frames import ONE, Mark
from quiesce.compiler.read.language import REFUSED
from quiesce.compiler.read.members import MemberReader
from quiesce.compiler.read.values import Component, Dynamic, Static, Tuple, Value, VersionPlace
from quiesce.compiler.types import BoolType, IntType, SetType, SnapshotType, TaskType, Type, join

ARITHMETIC: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
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

COMPARISON: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Is: ("==", operator.is_),
    ast.IsNot: ("!=", operator.is_not),
}

_LARGEST_SHIFT = 62


class OperatorReader(MemberReader):
    """Reads operators."""

    # --- Arithmetic -------------------------------------------------------------------------------

    def binary(self, node: ast.BinOp) -> Value:
        """Read ``left op right``."""
        left, right = self.read_in_order([node.left, node.right])
        return self.arithmetic(left, node.op, right, node)

    def arithmetic(self, left: Value, op: ast.operator, right: Value, node: ast.AST) -> Value:
        """Return ``left op right``."""
        if type(op) not in ARITHMETIC:
            refusal = REFUSED[type(op)]
            self.refuse(node, refusal.code, refusal.message, refusal.why, refusal.help)
        symbol, fold = ARITHMETIC[type(op)]
        if isinstance(left, Static) and isinstance(right, Static):
            return self._folded(left.object, symbol, fold, right.object, node)
        if isinstance(left, Dynamic) and isinstance(left.type, SetType) and symbol in "|&-":
            return self._set_operation(left.expr, left.type, symbol, right, node)
        a = self.integer(left, node)
        b = self.integer(right, node)
        # Ranges of intermediate results do not matter; those of variables are found later.
        truths = symbol in "|&^" and self._is_bool(left) and self._is_bool(right)
        return Dynamic(Binary(symbol, a, b), BoolType() if truths else IntType(0, 0))

    def _folded(
        self, left: Any, symbol: str, fold: Callable[[Any, Any], Any], right: Any, node: ast.AST
    ) -> Static:
        too_far = symbol == "<<" and isinstance(right, int) and right >= _LARGEST_SHIFT
        if too_far or (symbol == "*" and not (isinstance(left, int) and isinstance(right, int))):
            self.refuse(
                node, "constant", f"this cannot be computed: {left!r} {symbol} {right!r}",
                "a state holds integers of at most 62 bits", "a constant of the object",
            )  # fmt: skip
        try:
            return Static(fold(left, right))
        except Exception as error:  # the operands may be objects of the user's
            self.refuse(node, "constant", f"this cannot be computed: {error}")

    def _is_bool(self, value: Value) -> bool:
        if isinstance(value, Static):
            return isinstance(value.object, bool)
        return isinstance(value, Dynamic) and isinstance(value.type, BoolType)

    def _set_operation(
        self, left: Expr, type_: SetType, symbol: str, right: Value, node: ast.AST
    ) -> Dynamic:
        given = self.type_of(right, node)
        both = join(type_, given)
        if not isinstance(both, SetType) or not isinstance(right, Dynamic):
            self.refuse(
                node, "type", f"a set goes together with a set only, and this is {self.words(right)}",
                "a set is kept as a bit mask",
            )  # fmt: skip
        if symbol == "-":
            return Dynamic(Binary("&", left, Unary("~", right.expr)), type_)
        return Dynamic(Binary(symbol, left, right.expr), both)

    def unary(self, node: ast.UnaryOp) -> Value:
        """Read ``not x``, ``-x``, ``+x`` or ``~x``."""
        if isinstance(node.op, ast.Not):
            value = self.condition(node.operand)
            if isinstance(value, Static):
                return Static(not value.object)
            return Dynamic(negated(value.expr), BoolType())
        operand = self.read(node.operand)
        if isinstance(operand, Static) and isinstance(operand.object, int):
            return Static(_SIGN[type(node.op)](operand.object))
        expr = self.integer(operand, node)
        if isinstance(node.op, ast.UAdd):
            return Dynamic(expr, IntType(0, 0))
        return Dynamic(Unary("-" if isinstance(node.op, ast.USub) else "~", expr), IntType(0, 0))

    # --- and, or, if-else -------------------------------------------------------------------------

    def condition(self, node: ast.expr) -> Static | Dynamic:
        """Read *node* where only its truth counts: a boolean, constant if it is known now."""
        if isinstance(node, ast.BoolOp):
            return self._condition_of(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            value = self.unary(node)
        else:
            value = self.read(node)
        if isinstance(value, Static):
            return Static(bool(value.object))
        if isinstance(value, Component):
            return Static(True)
        return Dynamic(self.truth(value, node), BoolType())

    def _condition_of(self, node: ast.BoolOp) -> Static | Dynamic:
        is_and = isinstance(node.op, ast.And)
        result = self.condition(node.values[0])
        for operand in node.values[1:]:
            if isinstance(result, Static):
                # A constant operand decides or drops out; what it hides is not even read.
                if bool(result.object) != is_and:
                    return result
                result = self.condition(operand)
                continue
            right, emitted = self._apart(lambda operand=operand: self.condition(operand))  # type: ignore[misc]
            if emitted:
                result = self._guarded(result, is_and, emitted, right, BoolType(), operand)
            else:
                symbol = "and" if is_and else "or"
                expr = self.coerce(right, BoolType(), operand)
                result = Dynamic(Binary(symbol, result.expr, expr), BoolType())
        return result

    def boolean(self, node: ast.BoolOp) -> Value:
        """Read ``and``/``or`` for its value: that of the operand that decides."""
        is_and = isinstance(node.op, ast.And)
        value = self.read(node.values[0])
        for operand in node.values[1:]:
            if isinstance(value, Static | Component):
                known = bool(value.object) if isinstance(value, Static) else True
                if known != is_and:
                    return value
                value = self.read(operand)
                continue
            right, emitted = self._apart(lambda operand=operand: self.read(operand))  # type: ignore[misc]
            if isinstance(right, VersionPlace):
                right, emitted = self._apart(lambda right=right: self.look(right))  # type: ignore[misc]
            type_ = self.common_type([value, right], node)
            if emitted:
                value = self._guarded(value, is_and, emitted, right, type_, operand)
                continue
            test, a = self.truth(value, node), self.coerce(value, type_, node)
            b = self.coerce(right, type_, operand)
            if isinstance(type_, BoolType):
                value = Dynamic(Binary("and" if is_and else "or", a, b), type_)
            else:
                value = Dynamic(IfElse(test, b, a) if is_and else IfElse(test, a, b), type_)
        return value

    def _apart(self, read: Callable[[], Any]) -> tuple[Any, list[Op | Mark]]:
        """Do *read*; return its result, and what it emitted, which is held back."""
        outer, self.ops = self.ops, []
        try:
            result = read()
            return result, self.ops
        finally:
            self.ops = outer

    def _guarded(
        self,
        left: Value,
        is_and: bool,
        emitted: list[Op | Mark],
        right: Value,
        type_: Type,
        node: ast.AST,
    ) -> Dynamic:
        """Emit the operations of the right operand so that they only happen where Python's would."""
        result = self.temporary(self.coerce(left, type_, node), type_)
        end = Label()
        test = self.truth(Dynamic(Local(result), type_), node)
        self.emit(Branch(test if is_and else negated(test), end, **self.at))
        self.ops += emitted
        self.emit(SetLocal(result, self.coerce(right, type_, node), **self.at))
        self.place_label(end)
        return Dynamic(Local(result), type_)

    def conditional(self, node: ast.IfExp) -> Value:
        """Read ``a if condition else b``."""
        condition = self.condition(node.test)
        if isinstance(condition, Static):
            return self.read(node.body if condition.object else node.orelse)
        then, first = self._apart(lambda: self.read(node.body))
        otherwise, second = self._apart(lambda: self.read(node.orelse))
        type_ = self.common_type([then, otherwise], node)
        if not first and not second:
            return Dynamic(
                IfElse(
                    condition.expr,
                    self.coerce(then, type_, node.body),
                    self.coerce(otherwise, type_, node.orelse),
                ),
                type_,
            )
        result = self.new_slot("", type_)
        other, end = Label(), Label()
        self.emit(Branch(condition.expr, other, **self.at))
        self.ops += first
        self.emit(SetLocal(result, self.coerce(then, type_, node.body), **self.at))
        self.emit(Jump(end, **self.at))
        self.place_label(other)
        self.ops += second
        self.emit(SetLocal(result, self.coerce(otherwise, type_, node.orelse), **self.at))
        self.place_label(end)
        return Dynamic(Local(result), type_)

    # --- Comparisons --------------------------------------------------------------------------------

    def comparison(self, node: ast.Compare) -> Value:
        """Read a comparison, or a chain of them."""
        values = [self.read(node.left)]
        for number, comparator in enumerate(node.comparators):
            count = len(self.ops)
            values, value = self.before(
                values,
                lambda comparator=comparator: self.read(comparator),  # type: ignore[misc]
            )
            if number and len(self.ops) > count:
                self.refuse(
                    comparator, "comparison-chain", "a call or marked access inside a chain of comparisons",
                    "it would only happen where the comparison before it is true",
                    "`a < b and b < c`",
                )  # fmt: skip
            values.append(value)
        result: Static | Dynamic = Static(True)
        for left, op, right in zip(values, node.ops, values[1:], strict=False):
            one = self.compare_two(left, op, right, node)
            if isinstance(result, Static):
                result = one if result.object else result
            elif one != Static(True):
                # Even where the outcome is known, what comes first is evaluated, and may fail.
                expr = self.coerce(one, BoolType(), node)
                result = Dynamic(Binary("and", result.expr, expr), BoolType())
        return result

    def compare_two(
        self, left: Value, op: ast.cmpop, right: Value, node: ast.AST
    ) -> Static | Dynamic:
        """Return ``left op right``."""
        if isinstance(op, ast.In | ast.NotIn):
            inside = self._contains(left, right, node)
            if isinstance(inside, Static):
                return Static(inside.object == isinstance(op, ast.In))
            expr = inside.expr if isinstance(op, ast.In) else negated(inside.expr)
            return Dynamic(expr, BoolType())
        symbol, fold = COMPARISON[type(op)]
        if isinstance(left, Static) and isinstance(right, Static):
            try:
                return Static(bool(fold(left.object, right.object)))
            except Exception as error:  # the operands may be objects of the user's
                self.refuse(node, "constant", f"this cannot be computed: {error}")
        known = self._compare_components(left, symbol, right)
        if known is not None:
            return known
        if isinstance(left, VersionPlace) or isinstance(right, VersionPlace):
            return self._compare_version(left, symbol, right, node)
        if isinstance(op, ast.Is | ast.IsNot) and (self._is_int(left) or self._is_int(right)):
            self.refuse(
                node, "identity", "`is` compares integers as objects",
                "two equal integers may be two objects", "`==`",
            )  # fmt: skip
        if symbol in ("<", "<=", ">", ">="):
            a, b = self.integer(left, node), self.integer(right, node)
            return Dynamic(Binary(symbol, a, b), BoolType())
        type_ = self.common_type([left, right], node)
        if isinstance(type_, SnapshotType):
            self.refuse(
                node, "snapshots", "two snapshots of a version are compared",
                "each only says whether the version changed since, so the version itself must be one side",
                "compare the snapshot with the version, `self.seq != seen`",
            )  # fmt: skip
        a, b = self.coerce(left, type_, node), self.coerce(right, type_, node)
        return Dynamic(Binary(symbol, a, b), BoolType())

    def _is_int(self, value: Value) -> bool:
        if isinstance(value, Static):
            return isinstance(value.object, int) and not isinstance(value.object, bool)
        return isinstance(value, Dynamic) and isinstance(value.type, IntType)

    def _compare_components(self, left: Value, symbol: str, right: Value) -> Static | None:
        """Compare components that are known, with each other or with None."""
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Component) and other == Static(None):
                return Static(symbol == "!=")
        if not isinstance(left, Component) or not isinstance(right, Component):
            return None
        if left.terms or right.terms or symbol not in ("==", "!="):
            return None
        return Static((left.template is right.template) == (symbol == "=="))

    def _compare_version(self, left: Value, symbol: str, right: Value, node: ast.AST) -> Dynamic:
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
            self.refuse(
                node, "version-compare", "this is a snapshot of another version",
                "what is kept of a version is whether it changed since a look at it",
                "compare it with the version that it was taken of",
            )  # fmt: skip
        if holder.type.version == -1 and isinstance(holder.expr, Load):
            self.follow_version(holder.expr, version.version, node)
        marked = version.marked or self.atomic_depth > 0
        same: Expr = Binary("and", VersionRead(version.version, marked), holder.expr)
        if marked and not self.atomic_depth:
            same = Local(self.temporary(same, BoolType()))
        return Dynamic(same if symbol == "==" else negated(same), BoolType())

    def follow_version(self, cell: Load, version: int, node: ast.AST) -> None:
        """Note which version a Snapshot variable follows. See :mod:`quiesce.compiler.read.assignments`."""
        raise NotImplementedError

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
            "a state holds no other containers", "x in (A, B)",
        )  # fmt: skip

    def _any_equal(self, item: Value, items: tuple[Value, ...], node: ast.AST) -> Static | Dynamic:
        result: Static | Dynamic = Static(False)
        for other in items:
            one = self.compare_two(item, ast.Eq(), other, node)
            if isinstance(result, Static):
                result = result if result.object else one
            elif one != Static(False):
                expr = self.coerce(one, BoolType(), node)
                result = Dynamic(Binary("or", result.expr, expr), BoolType())
        return result


def negated(expr: Expr) -> Expr:
    """Return ``not expr``."""
    if isinstance(expr, Const):
        return Const(int(not expr.value))
    if isinstance(expr, Unary) and expr.op == "not":
        return expr.operand
    return Unary("not", expr)
