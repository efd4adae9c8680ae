# SPDX-License-Identifier: Apache-2.0
"""An expression of a protocol as a function of the state.

What is evaluated here happens in one step: calls and marked accesses were taken out by ``code``.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from oracle.declared import (
    Component,
    Declared,
    Elements,
    Look,
    Slot,
    Task,
    Unsupported,
    Value,
    join,
)


class Failed(Exception):
    """The step fails, and its run ends."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Blocked(Exception):
    """The step cannot be taken in this state."""


@dataclass
class Moment:
    """A state in the middle of a step of one task."""

    shared: list[Value]
    locals: dict[str, Value]
    task: Task
    decisions: list[int] = field(default_factory=list)
    """What ``choose`` answers, in order; beyond it, the first option."""
    options: list[int] = field(default_factory=list)
    """How many options each ``choose`` had."""
    plain: bool = False
    accesses: list[tuple[int, bool, bool]] = field(default_factory=list)
    """(slot, is it a write, is it plain)"""
    incremented: set[str] = field(default_factory=set)
    """The versions of which earlier looks are no longer the newest."""

    def choose(self, count: int) -> int:
        """Return the number of the option that is taken."""
        at = len(self.options)
        self.options.append(count)
        return self.decisions[at] if at < len(self.decisions) else 0


Expression = Callable[[Moment], Value]

CONSTANTS = ("TASK_RUNNING", "TASK_UNINTERRUPTIBLE")

_OPERATORS: dict[type[ast.AST], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Is: operator.eq, ast.IsNot: operator.ne,
    ast.In: lambda x, y: x in y, ast.NotIn: lambda x, y: x not in y,
}  # fmt: skip


@dataclass(frozen=True)
class Scope:
    """What names stand for in one inlined call.

    :param frame: put before the names of its local variables.
    :param component: the path of ``self``, if it is known; else ``self`` is a local variable.
    """

    declared: Declared
    frame: str
    component: str | None

    def local(self, name: str) -> str:
        """Return the name that a local variable of this call has in the state."""
        return name if name.startswith("%") else f"{self.frame}:{name}"

    def static_path(self, node: ast.expr) -> str | None:
        """Return the path of a member that is known without a state."""
        if isinstance(node, ast.Name) and node.id == "self":
            return self.component
        if isinstance(node, ast.Attribute):
            base = self.static_path(node.value)
            path = None if base is None else join(base, node.attr)
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            base = self.static_path(node.value)
            path = None if base is None else f"{base}.{node.slice.value!r}"
        else:
            return None
        return path if path in self.declared.members else None

    def touches_shared(self, node: ast.AST) -> bool:
        """Return whether evaluating *node* reads or writes a shared variable."""
        if isinstance(node, ast.Attribute | ast.Subscript):
            path = self.static_path(node)
            if path is None or isinstance(self.declared.members[path], Slot):
                return True
        return any(self.touches_shared(child) for child in ast.iter_child_nodes(node))

    def used(self, node: ast.AST, thread: int = -1) -> set[int]:
        """Return the slots that *node* may read or write when *thread* evaluates it.

        Of an array, these are all elements that a computed index may name; ``current()`` names one.
        """
        found: set[int] = set()
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute | ast.Subscript):
                found |= self.declared.slots(self._pattern(part, thread))
        return found

    def _pattern(self, node: ast.Attribute | ast.Subscript, thread: int) -> str:
        path = self.static_path(node)
        if path is not None:
            return re.escape(path)
        if isinstance(node, ast.Attribute):
            base = f"task\\.{thread}" if is_call(node.value, "current") else ".+"
            return rf"{base}\.{node.attr}"
        array = self.static_path(node.value)
        index = str(thread) if is_call(node.slice, "current") else r"\d+"
        return rf"{'.+' if array is None else re.escape(array)}\.{index}"

    def is_marked(self, node: ast.AST) -> bool:
        """Return whether *node* is a variable that was declared with ``marked=True``."""
        if isinstance(node, ast.Subscript):
            path = self.static_path(node.value)
            probe = None if path is None else self.declared.members.get(f"{path}.0")
        else:
            path = self.static_path(node) if isinstance(node, ast.expr) else None
            probe = None if path is None else self.declared.members.get(path)
        return isinstance(probe, Slot) and probe.marked


def is_call(node: ast.AST, *names: str) -> bool:
    """Return whether *node* calls one of the functions with these names."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def expression(node: ast.expr, scope: Scope) -> Expression:
    """Return *node* as a function of the moment."""
    match node:
        case ast.Constant(value=value):
            return lambda m: value
        case ast.Name(id="self") if scope.component is not None:
            return _always(Component(scope.component))
        case ast.Name(id=name) if name in CONSTANTS:
            return _always(name)
        case ast.Name(id=name):
            key = scope.local(name)
            return lambda m: m.locals[key]
        case ast.Attribute() | ast.Subscript():
            return _read(location(node, scope), scope)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = expression(operand, scope)
            return lambda m: not inner(m)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = expression(operand, scope)
            return lambda m: -inner(m)
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(type(op), expression(left, scope), expression(right, scope))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _binary(type(op), expression(left, scope), expression(right, scope))
        case ast.BoolOp(op=op, values=values):
            return _shortcut(isinstance(op, ast.And), [expression(v, scope) for v in values])
        case ast.IfExp(test=test, body=body, orelse=orelse):
            t, a, b = expression(test, scope), expression(body, scope), expression(orelse, scope)
            return lambda m: a(m) if t(m) else b(m)
        case ast.Tuple(elts=elements):
            parts = [expression(e, scope) for e in elements]
            return lambda m: tuple(p(m) for p in parts)
        case ast.Call():
            return _built_in(node, scope)
    raise Unsupported(ast.unparse(node))


def _always(value: Value) -> Expression:
    return lambda m: value


def _binary(op: type[ast.AST], left: Expression, right: Expression) -> Expression:
    function = _OPERATORS[op]

    def run(m: Moment) -> Value:
        x = left(m)
        y = right(m)
        try:
            return function(x, y)
        except ZeroDivisionError:
            raise Failed("out of range") from None

    return run


def _shortcut(conjunction: bool, parts: list[Expression]) -> Expression:
    def run(m: Moment) -> Value:
        value: Value = None
        for part in parts:
            value = part(m)
            if bool(value) != conjunction:
                break
        return value

    return run


def _built_in(node: ast.Call, scope: Scope) -> Expression:
    if is_call(node, "current"):
        return lambda m: m.task
    if is_call(node, "READ_ONCE"):
        return expression(node.args[0], scope)
    arguments = [expression(a, scope) for a in node.args]
    if is_call(node, "choose"):

        def chosen(m: Moment) -> Value:
            values = [a(m) for a in arguments]
            return values[m.choose(len(values))]

        return chosen
    functions: dict[str, Callable[..., Value]] = {"len": len, "min": min, "max": max}
    for name, function in functions.items():
        if is_call(node, name):
            return lambda m, f=function: f(*(a(m) for a in arguments))  # type: ignore[misc]
    raise Unsupported(ast.unparse(node))


# --- Places ---------------------------------------------------------------------------------------------

Location = Callable[[Moment], str]


def location(node: ast.expr, scope: Scope) -> Location:
    """Return a function that finds the path of the member that *node* names."""
    static = scope.static_path(node)
    if static is not None:
        return lambda m: static
    if isinstance(node, ast.Attribute):
        base, name = expression(node.value, scope), node.attr

        def attribute(m: Moment) -> str:
            owner = base(m)
            if owner is None:
                raise Failed("out of range")
            return (
                f"task.{owner.index}.{name}" if isinstance(owner, Task) else join(owner.path, name)
            )

        return attribute
    if isinstance(node, ast.Subscript):
        array, index = expression(node.value, scope), expression(node.slice, scope)

        def element(m: Moment) -> str:
            elements, i = array(m), index(m)
            if elements.by_task:
                if i is None:
                    raise Failed("out of range")
                i = i.index
            if not 0 <= i < elements.size:
                raise Failed("out of range")
            return f"{elements.path}.{i}"

        return element
    raise Unsupported(ast.unparse(node))


def _read(where: Location, scope: Scope) -> Expression:
    members = scope.declared.members

    def run(m: Moment) -> Value:
        member = members[where(m)]
        if isinstance(member, Slot):
            m.accesses.append((member.index, False, m.plain and not member.marked))
            return m.shared[member.index]
        assert isinstance(member, Component | Elements)
        return member

    return run


def write(where: Location, value: Expression, scope: Scope) -> Expression:
    """Return a function that evaluates *value* and then stores it."""
    members = scope.declared.members

    def run(m: Moment) -> Value:
        new = value(m)
        slot = members[where(m)]
        assert isinstance(slot, Slot)
        m.accesses.append((slot.index, True, m.plain and not slot.marked))
        old = m.shared[slot.index]
        if isinstance(old, Look) and old.version == slot.path:
            m.incremented.add(slot.path)
            m.shared[:] = [outdated(v, slot.path) for v in m.shared]
            m.locals.update({k: outdated(v, slot.path) for k, v in m.locals.items()})
            m.shared[slot.index] = old
            return None
        if slot.high is not None and not (slot.low or 0) <= new <= slot.high:
            raise Failed("out of range")
        m.shared[slot.index] = new
        return None

    return run


def outdated(value: Value, version: str) -> Value:
    """Return *value* after *version* was incremented: a look at it is then an old one."""
    if isinstance(value, Look) and value.version == version:
        return Look(version, False)
    return value


def augmented(node: ast.AugAssign, scope: Scope) -> Expression:
    """Return ``place op= value``: the place is found and read, then the value, then it is stored."""
    assert not isinstance(node.target, ast.Name)
    where = location(node.target, scope)
    found: list[str] = []

    def once(m: Moment) -> str:
        found[:] = [where(m)]
        return found[0]

    old = _read(once, scope)
    value = expression(node.value, scope)
    if isinstance(node.op, ast.Add):
        # A version is incremented, not added to.
        total = _binary(ast.Add, lambda m: _number(old(m)), value)
    else:
        total = _binary(type(node.op), old, value)
    return write(lambda m: found[0], total, scope)


def _number(value: Value) -> Value:
    return 0 if isinstance(value, Look) else value


def change_set(node: ast.Call, scope: Scope) -> Expression:
    """Return ``place.add(x)``, ``place.discard(x)`` or ``place.clear()``."""
    assert isinstance(node.func, ast.Attribute)
    where, kind = location(node.func.value, scope), node.func.attr
    old = _read(where, scope)
    argument = expression(node.args[0], scope) if node.args else None
    slot_of = scope.declared.members

    def new(m: Moment) -> Value:
        if kind == "clear" or argument is None:
            return frozenset()
        before, x = old(m), argument(m)
        slot = slot_of[where(m)]
        assert isinstance(slot, Slot)
        if slot.low is not None and kind == "add" and not 0 <= x < slot.low:
            raise Failed("out of range")
        return before | {x} if kind == "add" else before - {x}

    return write(where, new, scope)
