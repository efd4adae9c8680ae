# SPDX-License-Identifier: Apache-2.0
"""The language's own actions and the few builtins that it has: calls that are not inlined."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any

from quiesce.compiler.ir import (
    Await,
    Begin,
    Binary,
    Choose,
    Const,
    Current,
    End,
    Expr,
    IfElse,
    Load,
    Local,
    LockEvent,
    Store,
    Unary,
)
from quiesce.compiler.read.expressions import ExpressionReader
from quiesce.compiler.read.frames import ONE, ZERO, component_address
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Dynamic,
    Marked,
    Place,
    Range,
    SetMethod,
    Static,
    Super,
    Tuple,
    Value,
    VariableArray,
    VersionPlace,
)
from quiesce.compiler.types import IntType, RefType, SetType, TaskType
from quiesce.protocol import Mode, actions

PRIMITIVES = "quiesce.primitives"

_MOST_OPTIONS = 1_000
"""Values that `*range(...)` may stand for."""


class ActionReader(ExpressionReader):
    """Reads ``wait_until``, ``choose``, ``READ_ONCE``, ``range``, ``len`` and the like."""

    def action(self, function: object) -> Callable[[ast.Call], Value] | None:
        """Return what reads calls of *function*, if it is one of the language's actions."""
        table: list[tuple[object, Callable[[ast.Call], Value]]] = [
            (actions.wait_until, self._wait_until),
            (actions.choose, self._choose),
            (actions.current, self._current),
            (actions.READ_ONCE, self._read_once),
            (actions.WRITE_ONCE, self._write_once),
            (actions.acquires, lambda node: self._lock_event(node, "acquire")),
            (actions.releases, lambda node: self._lock_event(node, "release")),
            (range, self._range),
            (len, self._len),
            (super, self._super),
            (bool, self._to_bool),
            (int, self._to_int),
            (min, lambda node: self._least(node, min, "<=")),
            (max, lambda node: self._least(node, max, ">=")),
        ]
        return next((handler for known, handler in table if known is function), None)

    # --- Arguments ------------------------------------------------------------------------------------

    def arguments(self, node: ast.Call) -> tuple[list[Value], dict[str, Value]]:
        """Read the arguments of a call: the positional ones, and those by name."""
        nodes: list[ast.expr] = []
        for arg in node.args:
            nodes.append(arg.value if isinstance(arg, ast.Starred) else arg)
        for keyword in node.keywords:
            if keyword.arg is None:
                self.refuse(
                    keyword.value, "starred", "`**` in a call is outside the language",
                    "a state holds no dictionaries", "write the arguments out",
                )  # fmt: skip
            nodes.append(keyword.value)
        values = self.read_in_order(nodes)
        positional: list[Value] = []
        for arg, value in zip(node.args, values, strict=False):
            positional += self._spread(value, arg) if isinstance(arg, ast.Starred) else [value]
        names = [k.arg for k in node.keywords if k.arg is not None]
        return positional, dict(zip(names, values[len(node.args) :], strict=True))

    def _spread(self, value: Value, node: ast.Starred) -> list[Value]:
        match value:
            case Range(
                start=Static(object=int() as a), stop=Static(object=int() as b), step=step
            ) if len(range(a, b, step)) <= _MOST_OPTIONS:
                return [Static(i) for i in range(a, b, step)]
            case Tuple(items=items):
                return list(items)
            case ComponentArray(elements=elements, terms=terms):
                return [Component(e, terms) for e in elements]
            case Static(object=tuple() as objects):
                return [self.static(o) for o in objects]
        self.refuse(
            node, "starred", "`*` needs something of a length known when the scenario is built",
            "each value is an argument of its own", "a tuple, or a range of constants",
        )  # fmt: skip

    def exactly(self, node: ast.Call, count: int) -> list[ast.expr]:
        """Return the *count* positional arguments of a call, or refuse."""
        if len(node.args) != count or node.keywords:
            self.refuse(
                node, "arguments", f"this takes {count} argument{'s' * (count != 1)}",
                "Python would refuse the call, too",
            )  # fmt: skip
        return node.args

    # --- Waiting and choosing -------------------------------------------------------------------------

    def refuse_in_property(self, node: ast.AST, what: str) -> None:
        """Refuse *node* if a property is being read."""
        if self.in_property:
            self.refuse(
                node, "property", f"a property cannot {what}",
                "it is evaluated between steps, and only looks", "return what is to be true",
            )  # fmt: skip

    def _current(self, node: ast.Call) -> Value:
        self.exactly(node, 0)
        self.refuse_in_property(node, "have a running task")
        return Dynamic(Current(), TaskType())

    def _wait_until(self, node: ast.Call) -> Value:
        (argument,) = self.exactly(node, 1)
        self.refuse_in_property(node, "wait")
        if isinstance(argument, ast.Lambda):
            if argument.args.args or argument.args.vararg or argument.args.kwonlyargs:
                self.refuse(
                    argument, "arguments", "the lambda of wait_until takes no arguments",
                    "it is called without any", "wait_until(lambda: condition)",
                )  # fmt: skip
            if not self.atomic_depth:
                return self._wait_outside_atomic(argument, node)
            argument = argument.body
        elif not self.atomic_depth:
            self.refuse(
                node, "wait-outside-atomic", "this `wait_until` could only look once",
                "outside an @atomic method its argument is evaluated before the call",
                "wait_until(lambda: condition)",
            )  # fmt: skip
        self._await(argument)
        return Static(None)

    def _wait_outside_atomic(self, function: ast.Lambda, node: ast.Call) -> Value:
        self.emit(Begin(ast.unparse(node), False, None, **self.at))
        self.atomic_depth += 1
        try:
            self._await(function.body)
        finally:
            self.atomic_depth -= 1
        self.emit(End(**self.at))
        return Static(None)

    def _await(self, node: ast.expr) -> None:
        condition = self.condition(node)
        expr = (
            Const(int(bool(condition.object))) if isinstance(condition, Static) else condition.expr
        )
        self.emit(Await(expr, self._again(), **self.at))

    def _again(self) -> Expr | None:
        """Return the condition of the innermost ``while`` around this place, in this call or above."""
        for frame in reversed(self.frames):
            for loop in reversed(frame.loops):
                return loop.condition
        return None

    def _choose(self, node: ast.Call) -> Value:
        self.refuse_in_property(node, "choose")
        options, named = self.arguments(node)
        if not options or named:
            self.refuse(
                node, "choose", "choose() needs something to choose from",
                "each positional argument is an option", "choose(True, False)",
            )  # fmt: skip
        if len(options) == 1:
            return options[0]
        type_ = self.common_type(options, node)
        slot = self.new_slot("choice", type_)
        exprs = tuple(self.coerce(o, type_, node) for o in options)
        self.emit(Choose(slot, exprs, **self.at))
        return Dynamic(Local(slot), type_)

    # --- Marked accesses ------------------------------------------------------------------------------

    def _read_once(self, node: ast.Call) -> Value:
        (argument,) = self.exactly(node, 1)
        place = self.place(argument)
        if isinstance(place, VersionPlace):
            return VersionPlace(place.version, True)
        if not isinstance(place, Place):
            self.refuse(
                argument, "marked", "READ_ONCE is for a shared variable",
                "it is one access of one variable", "READ_ONCE(self.count)",
            )  # fmt: skip
        expr = Load(place.address, True)
        return Dynamic(Local(self.temporary(expr, place.type)), place.type)

    def _write_once(self, node: ast.Call) -> Value:
        (argument,) = self.exactly(node, 1)
        base = self.read(argument)
        if isinstance(base, Dynamic) and isinstance(base.type, RefType | TaskType):
            base = self.pointee(base.expr, base.type)
        if isinstance(base, Component | VariableArray):
            return Marked(base)
        self.refuse(
            argument, "marked", "WRITE_ONCE is for a component or an Array of variables",
            "a Python function cannot write to its argument",
            "WRITE_ONCE(self).count = 1",
        )  # fmt: skip

    # --- Locks ----------------------------------------------------------------------------------------

    def _lock_event(self, node: ast.Call, action: str) -> Value:
        self.refuse_in_property(node, "take or release a lock")
        args, kwargs = self.arguments(node)
        lock = args[0] if args else None
        if isinstance(lock, Dynamic) and isinstance(lock.type, RefType):
            lock = self.pointee(lock.expr, lock.type)
        mode = args[1] if len(args) > 1 else kwargs.get("mode", Static(Mode.EXCLUSIVE))
        trylock = kwargs.get("trylock", Static(False))
        if not isinstance(lock, Component):
            self.refuse(
                node, "lock", f"{action}s() needs the component that is the lock",
                "reports name it", f"{action}s(self)",
            )  # fmt: skip
        if (
            not isinstance(mode, Static)
            or not isinstance(mode.object, Mode)
            or not isinstance(trylock, Static)
            or len(args) > 2
            or kwargs.keys() - {"mode", "trylock"}
        ):
            self.refuse(
                node, "lock", "how a lock is taken must be known when the scenario is built",
                "lockdep keeps one kind of acquisition for each place",
                "acquires(self, SHARED), or acquires(self, trylock=True)",
            )  # fmt: skip
        address = component_address(self.layout, lock)
        read: int = mode.object.value
        self.emit(LockEvent(action, address, read, bool(trylock.object), self._stack(), **self.at))
        return Static(None)

    def _stack(self) -> tuple[str, ...]:
        """Return the names of the functions around this place, innermost first.

        What only serves `with`, and what a primitive is made of, is left out: `spin_lock`, then the
        function that has the `with` statement.
        """
        codes: list[CodeType] = []
        for frame in reversed(self.frames):
            module = getattr(frame.function, "__module__", "")
            inner = frame.name in ("__enter__", "__exit__") or module.startswith(PRIMITIVES)
            if not inner or getattr(frame.function, "__quiesce_atomic__", None) is not None:
                codes.append(inspect.unwrap(frame.function).__code__)
        return tuple(actions.kernel_stack(codes))

    # --- Builtins -------------------------------------------------------------------------------------

    def _range(self, node: ast.Call) -> Value:
        args, named = self.arguments(node)
        if not 1 <= len(args) <= 3 or named:
            self.refuse(
                node, "range", "range() takes 1 to 3 arguments", "Python would refuse the call, too"
            )
        start, stop = (Static(0), args[0]) if len(args) == 1 else (args[0], args[1])
        step = args[2] if len(args) == 3 else Static(1)
        for bound in (start, stop):
            self.integer(bound, node)
        if not isinstance(step, Static) or not isinstance(step.object, int) or step.object == 0:
            self.refuse(
                node, "range", "the step of a range must be a constant other than 0",
                "which way it goes must be known", "range(n - 1, -1, -1)",
            )  # fmt: skip
        return Range(self.settled(start), self.settled(stop), int(step.object))

    def _len(self, node: ast.Call) -> Value:
        (argument,) = self.exactly(node, 1)
        value = self.read(argument)
        match value:
            case Dynamic(expr=expr, type=SetType()):
                return Dynamic(Unary("count", expr), IntType(0, 0))
            case Tuple(items=items):
                return Static(len(items))
            case ComponentArray(elements=elements):
                return Static(len(elements))
            case VariableArray(length=length):
                return Static(length)
            case Static(object=str() | tuple() | list() | dict() | set() | frozenset() as obj):
                return Static(len(obj))
        self.refuse(
            node, "len", "len() is understood for sets, arrays and tuples",
            f"this is {self.words(value)}", "len(self.members)",
        )  # fmt: skip

    def _super(self, node: ast.Call) -> Value:
        frame = self.frame
        if frame.receiver is None or node.args or node.keywords:
            self.refuse(
                node, "super", "super() is understood in methods only, without arguments",
                "it stands for the next class of the component", "super().enter()",
            )  # fmt: skip
        return Super(frame.receiver, frame.defining or object)

    def _to_bool(self, node: ast.Call) -> Value:
        (argument,) = self.exactly(node, 1)
        return self.condition(argument)

    def _to_int(self, node: ast.Call) -> Value:
        (argument,) = self.exactly(node, 1)
        value = self.read(argument)
        if isinstance(value, Static) and not isinstance(value.object, int):
            return self.constant(int, [value], node)
        if isinstance(value, Static):
            return Static(int(value.object))
        return Dynamic(self.integer(value, argument), IntType(0, 0))

    def constant(self, function: Callable[..., Any], args: list[Value], node: ast.AST) -> Static:
        """Call a builtin on constants, now."""
        try:
            return Static(function(*(a.object for a in args if isinstance(a, Static))))
        except Exception as error:  # the arguments may be objects of the user's
            self.refuse(node, "constant", f"this cannot be computed: {error}")

    def _least(self, node: ast.Call, function: Callable[..., Any], symbol: str) -> Value:
        """Read ``min`` or ``max``: folded where its arguments are constants."""
        args, named = self.arguments(node)
        if all(isinstance(a, Static) for a in args) and not named:
            return self.constant(function, args, node)
        if len(args) < 2 or named:
            self.refuse(
                node, "arguments", f"{function.__name__}() is understood for two or more integers",
                "a state holds no other sequences", f"{function.__name__}(a, b)",
            )  # fmt: skip
        result = self.integer(args[0], node)
        for arg in args[1:]:
            other = self.integer(arg, node)
            result = IfElse(Binary(symbol, result, other), result, other)
        return Dynamic(result, IntType(0, 0))

    # --- Sets -----------------------------------------------------------------------------------------

    def set_call(self, method: SetMethod, node: ast.Call) -> Value:
        """Read ``s.add(x)``, ``s.discard(x)`` or ``s.clear()``."""
        self.refuse_in_property(node, "change a variable")
        place = method.place
        if method.name == "clear":
            self.exactly(node, 0)
            self._store_set(place, ZERO)
            return Static(None)
        (argument,) = self.exactly(node, 1)
        (place_,), item = self.before([place], lambda: self.settled(self.read(argument)))
        assert isinstance(place_, Place)
        if method.type.of_tasks:
            task = self.coerce(item, TaskType(), argument, "a member")
            bit: Expr = Const(task.value - 1) if isinstance(task, Const) else Binary("-", task, ONE)
        else:
            bit = self.integer(item, argument)
        marked = place_.marked or self.atomic_depth > 0
        old: Expr = Load(place_.address, marked)
        if marked and not self.atomic_depth:
            settled = self.settled(place_)
            assert isinstance(settled, Place)
            place_ = settled
            old = Local(self.temporary(Load(place_.address, marked), place_.type))
        if method.name == "add":
            self._store_set(place_, Binary("|", old, Binary("<<", ONE, bit)))
        else:
            self._store_set(place_, _without(old, bit, method.type))
        return Static(None)

    def _store_set(self, place: Place, value: Expr) -> None:
        marked = place.marked or self.atomic_depth > 0
        self.emit(Store(place.address, value, place.low, place.high, marked, **self.at))


def _without(mask: Expr, bit: Expr, type_: SetType) -> Expr:
    """Return *mask* without *bit*; a bit that no member can have takes nothing away."""
    cleared = Binary("&", mask, Unary("~", Binary("<<", ONE, bit)))
    if isinstance(bit, Const) and not 0 <= bit.value < type_.size:
        return mask
    if isinstance(bit, Const) or bit == Binary("-", Current(), ONE):
        return cleared
    inside = Binary("and", Binary(">=", bit, ZERO), Binary("<", bit, Const(type_.size)))
    return IfElse(inside, cleared, mask)
