# SPDX-License-Identifier: Apache-2.0
"""Calls: the language's own actions, and everything else inlined where it stands."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any

from quiesce.compiler.expressions import ExpressionReader
from quiesce.compiler.frames import ONE, ZERO, Frame, component_address
from quiesce.compiler.ir import (
    Await,
    Begin,
    Binary,
    Choose,
    Const,
    End,
    Expr,
    IfElse,
    Load,
    Local,
    LockEvent,
    Store,
    Unary,
)
from quiesce.compiler.names import display_name
from quiesce.compiler.source import function_node
from quiesce.compiler.types import IntType, SetType, TaskType
from quiesce.compiler.values import (
    Component,
    Dynamic,
    Marked,
    Method,
    Place,
    Range,
    SetMethod,
    Static,
    Super,
    Tuple,
    Value,
    VersionPlace,
)
from quiesce.errors import Loc
from quiesce.protocol import Mode, Protocol, actions


class CallReader(ExpressionReader):
    """Reads calls; the bodies of inlined functions are left to :class:`statements.Reader`."""

    def call(self, node: ast.Call) -> Value:
        """Read a call: one of the language's actions, a set's method, or a function to inline."""
        function = self._callee(node)
        if isinstance(function, SetMethod):
            return self._set_method(function, node)
        if isinstance(function, Method):
            return self.inline(function, *self._arguments(node), node)
        if isinstance(function, Static):
            action = self._actions().get(_key(function.object))
            if action is not None:
                return action(node)
            if inspect.isfunction(function.object):
                method = Method(function.object, _NOBODY, object)
                return self.inline(method, *self._arguments(node), node)
            return self._constant_call(function.object, node)
        self.refuse(node, "call", f"this cannot be called: it is {self.words(function)}")

    def _callee(self, node: ast.Call) -> Value:
        """Read what is called; of a set variable, the method instead of the set's value."""
        if isinstance(node.func, ast.Attribute):
            if node.func.attr in ("add", "discard", "clear"):
                place = self.place(node.func.value)
                if isinstance(place, Place):
                    method = self.set_method(place, node.func.attr)
                    if method is not None:
                        return method
            return self.attribute(self.read(node.func.value), node.func.attr, node.func)
        return self.read(node.func)

    def place(self, node: ast.expr) -> Place | Value:
        """Read *node* as something that can be written: a shared variable stays a place."""
        match node:
            case ast.Attribute():
                return self.member(self.read(node.value), node.attr, node)
            case ast.Subscript():
                base, index = self.read_in_order([node.value, node.slice])
                return self.element(base, index, node)
        return self.read(node)

    def _arguments(self, node: ast.Call) -> tuple[list[Value], dict[str, Value]]:
        positional: list[ast.expr] = []
        spread: list[Value] = []
        for arg in node.args:
            if isinstance(arg, ast.Starred):
                spread += self._spread(arg)
            elif spread:
                self.refuse(arg, "starred", "an argument after `*` is outside the language")
            else:
                positional.append(arg)
        if any(k.arg is None for k in node.keywords):
            self.refuse(node, "starred", "`**` in a call is outside the language")
        values = self.read_in_order([*positional, *(k.value for k in node.keywords)])
        count = len(positional)
        names = [k.arg for k in node.keywords if k.arg is not None]
        return values[:count] + spread, dict(zip(names, values[count:], strict=True))

    def _spread(self, node: ast.Starred) -> list[Value]:
        value = self.read(node.value)
        match value:
            case Range(start=Static(object=int() as a), stop=Static(object=int() as b), step=step):
                return [Static(i) for i in range(a, b, step)]
            case Tuple(items=items):
                return list(items)
            case Static(object=tuple() as objects):
                return [self.static(o) for o in objects]
        self.refuse(
            node, "starred", "`*` needs something of a length known when the scenario is built"
        )

    def _constant_call(self, function: Any, node: ast.Call) -> Value:
        """Call a builtin on constants: ``min(2, self.n)``, ``abs(-1)``, ``len(self.items)``."""
        if function in _FOLDABLE:
            args, kwargs = self._arguments(node)
            if not kwargs and all(isinstance(a, Static) for a in args):
                return Static(function(*(a.object for a in args if isinstance(a, Static))))
            if function in (min, max) and len(args) == 2:
                a, b = (self.integer(v, node) for v in args)
                test = Binary("<=" if function is min else ">=", a, b)
                return Dynamic(IfElse(test, a, b), IntType(0, 0))
        name = getattr(function, "__name__", repr(function))
        self.refuse(
            node, "call", f"`{name}` is outside the language",
            "only components' methods, functions written in Python and the language's actions are understood",
            "write it out",
        )  # fmt: skip

    # --- Inlining -----------------------------------------------------------------------------

    def inline(
        self, method: Method, args: list[Value], kwargs: dict[str, Value], node: ast.AST
    ) -> Value:
        """Read the body of *method* in place, its parameters bound to *args* and *kwargs*."""
        function = inspect.unwrap(method.function)
        receiver = None if method.receiver is _NOBODY else method.receiver
        for frame in self.frames:
            if inspect.unwrap(frame.function) is function and frame.receiver == receiver:
                self.refuse(
                    node, "recursion", f"`{function.__name__}` calls itself",
                    "calls are inlined, and this would never end", "a loop",
                )  # fmt: skip
        callee = Frame(
            method.function, function_node(function), function.__code__.co_filename,
            method.defining, receiver,
        )  # fmt: skip
        self._bind(callee, args, kwargs, node)
        mark = getattr(method.function, "__quiesce_atomic__", None)
        self.call_sites.append(self.where(node))
        saved = self.statement, self.loc
        if mark is not None and not self.atomic_depth:
            # Calls of primitives are statements of their own: the trace names them.
            self.begin_statement(node)
            self.loc = self._user_place()
        result = self._body(callee, mark)
        self.statement, self.loc = saved
        self.call_sites.pop()
        return result

    def _user_place(self) -> Loc:
        """Return the place outside the primitives that the call being read comes from.

        A trace shows `with self.lock:`, not the line in the lock's ``__enter__``.
        """
        place = self.call_sites[-1]
        for depth in range(len(self.frames) - 1, 0, -1):
            frame = self.frames[depth]
            module = getattr(frame.function, "__module__", "")
            if frame.name not in ("__enter__", "__exit__") and not module.startswith(_PRIMITIVES):
                break
            place = self.call_sites[depth - 1]
        return place

    def _body(self, callee: Frame, mark: tuple[str, bool] | None) -> Value:
        outermost = mark is not None and not self.atomic_depth
        if mark is not None:
            if outermost:
                receiver = callee.receiver
                address = component_address(self.layout, receiver) if receiver else None
                self.emit(Begin(self._label(mark[0], callee), mark[1], address, **self.at))
            self.atomic_depth += 1
        self.frames.append(callee)
        try:
            result = self.function_body(callee, settle=outermost)
        finally:
            self.frames.pop()
            if mark is not None:
                self.atomic_depth -= 1
        if outermost:
            self.emit(End(**self.at))
        return result

    def function_body(self, callee: Frame, settle: bool) -> Value:
        """Read the statements of *callee*; with *settle*, leave no shared access to its result."""
        raise NotImplementedError

    def _label(self, label: str, callee: Frame) -> str:
        """Return how a trace names a primitive: ``spin_lock(&kvm->mmu_lock)``."""
        if "(" in label:
            return label
        if callee.receiver is not None:
            return f"{label}({display_name(callee.receiver.template)})"
        shown = []
        for value in callee.env.values():
            if isinstance(value, Static):
                shown.append(getattr(value.object, "name", None) or str(value.object))
            elif isinstance(value, Component):
                shown.append(display_name(value.template))
        return f"{label}({', '.join(shown)})"

    def _bind(
        self, callee: Frame, args: list[Value], kwargs: dict[str, Value], node: ast.AST
    ) -> None:
        parameters = callee.node.args
        if parameters.kwarg or (parameters.vararg and callee.name != "__exit__"):
            self.refuse(node, "parameters", f"`{callee.name}` takes `*args` or `**kwargs`")
        names = [a.arg for a in (*parameters.posonlyargs, *parameters.args)]
        if callee.receiver is not None:
            callee.env[names[0]] = callee.receiver
            names = names[1:]
        keyword_only = [a.arg for a in parameters.kwonlyargs]
        if parameters.vararg:
            args = args[: len(names)]
        if len(args) > len(names):
            self.refuse(
                node, "arguments", f"`{callee.name}` takes {len(names)} arguments, not {len(args)}"
            )
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names + keyword_only or name in given:
                self.refuse(node, "arguments", f"`{callee.name}` has no parameter `{name}` left")
            given[name] = value
        defaults = self._defaults(callee)
        for name in names + keyword_only:
            if name not in given:
                if name not in defaults:
                    self.refuse(
                        node, "arguments", f"`{callee.name}` needs an argument for `{name}`"
                    )
                given[name] = self.static(defaults[name])
        for name in names + keyword_only:
            callee.env[name] = self._passed(callee, name, given[name], node)

    def _passed(self, callee: Frame, name: str, value: Value, node: ast.AST) -> Value:
        """Return what a parameter stands for: the argument, evaluated once."""
        assigned = count_stores(callee.node).get(name, 0)
        if isinstance(value, VersionPlace):
            return self.look(value)
        if isinstance(value, Component):
            return Component(value.template, self.settled_terms(value.terms))
        if isinstance(value, Tuple):
            return Tuple(tuple(self._passed(callee, name, v, node) for v in value.items))
        if isinstance(value, Dynamic) and (assigned or not isinstance(value.expr, Local | Const)):
            slot = self.temporary(value.expr, value.type, name)
        elif isinstance(value, Static) and assigned and isinstance(value.object, int | None):
            type_ = self.type_of(value, node)
            slot = self.temporary(self.coerce(value, type_, node), type_, name)
        else:
            return value
        if assigned:
            callee.slots[name] = slot
        return Dynamic(Local(slot), self.slots[slot].type)  # type: ignore[arg-type]

    def _defaults(self, callee: Frame) -> dict[str, Any]:
        signature = inspect.signature(inspect.unwrap(callee.function))
        return {
            name: parameter.default
            for name, parameter in signature.parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }

    # --- The language's actions -----------------------------------------------------------------

    def _actions(self) -> dict[int, Callable[[ast.Call], Value]]:
        table: dict[Any, Callable[[ast.Call], Value]] = {
            actions.wait_until: self._wait_until,
            actions.choose: self._choose,
            actions.current: lambda node: self.current(),
            actions.READ_ONCE: self._read_once,
            actions.WRITE_ONCE: self._write_once,
            actions.acquires: lambda node: self._lock_event(node, "acquire"),
            actions.releases: lambda node: self._lock_event(node, "release"),
            range: self._range,
            len: self._len,
            super: self._super,
            bool: self._to_bool,
            int: self._to_int,
        }
        return {_key(function): handler for function, handler in table.items()}

    def _wait_until(self, node: ast.Call) -> Value:
        (argument,) = self._exactly(node, 1)
        if isinstance(argument, ast.Lambda):
            if not self.atomic_depth:
                return self._wait_until_lambda(argument, node)
            argument = argument.body
        elif not self.atomic_depth:
            self.refuse(
                node, "wait-outside-atomic", "this `wait_until` could only look once",
                "outside an @atomic method its argument is evaluated before the call",
                "wait_until(lambda: condition)",
            )  # fmt: skip
        condition = self.truth(self.read(argument), argument)
        self.emit(Await(condition, self._again(), **self.at))
        return Static(None)

    def _wait_until_lambda(self, function: ast.Lambda, node: ast.Call) -> Value:
        self.emit(Begin(ast.unparse(node), False, None, **self.at))
        self.atomic_depth += 1
        try:
            condition = self.truth(self.read(function.body), function.body)
            self.emit(Await(condition, self._again(), **self.at))
        finally:
            self.atomic_depth -= 1
        self.emit(End(**self.at))
        return Static(None)

    def _again(self) -> Expr | None:
        """Return the condition of the innermost ``while`` around this place, in this call or above."""
        for frame in reversed(self.frames):
            for loop in reversed(frame.loops):
                return loop.condition
        return None

    def _choose(self, node: ast.Call) -> Value:
        options, _ = self._arguments(node)
        if not options:
            self.refuse(node, "choose", "choose() needs something to choose from")
        if len(options) == 1:
            return options[0]
        type_ = self.common_type(options, node)
        slot = self.new_slot("choice", type_)
        exprs = tuple(self.coerce(o, type_, node) for o in options)
        self.emit(Choose(slot, exprs, **self.at))
        return Dynamic(Local(slot), type_)

    def _read_once(self, node: ast.Call) -> Value:
        (argument,) = self._exactly(node, 1)
        place = self.place(argument)
        if isinstance(place, VersionPlace):
            return VersionPlace(place.version, True)
        if not isinstance(place, Place):
            self.refuse(
                argument, "marked", "READ_ONCE is for a shared variable",
                help="READ_ONCE(self.count)",
            )  # fmt: skip
        expr = Load(place.address, True)
        return Dynamic(Local(self.temporary(expr, place.type)), place.type)

    def _write_once(self, node: ast.Call) -> Value:
        (argument,) = self._exactly(node, 1)
        base = self.read(argument)
        if isinstance(base, Dynamic) and not isinstance(base.type, IntType):
            base = self.pointee(base.expr, base.type)  # type: ignore[arg-type]
        if isinstance(base, Component):
            return Marked(base)
        from quiesce.compiler.values import VariableArray

        if isinstance(base, VariableArray):
            return Marked(base)
        self.refuse(
            argument, "marked", "WRITE_ONCE is for a component or an Array of variables",
            "a Python function cannot write to its argument",
            "WRITE_ONCE(self).count = 1",
        )  # fmt: skip

    def _lock_event(self, node: ast.Call, action: str) -> Value:
        args, kwargs = self._arguments(node)
        if not args or not isinstance(args[0], Component):
            self.refuse(node, "lock", f"{action}s() needs the component that is the lock")
        mode = args[1] if len(args) > 1 else kwargs.get("mode", Static(Mode.EXCLUSIVE))
        trylock = kwargs.get("trylock", Static(False))
        if not isinstance(mode, Static) or not isinstance(trylock, Static):
            self.refuse(
                node, "lock", "how a lock is taken must be known when the scenario is built"
            )
        lock = component_address(self.layout, args[0])
        read = mode.object.value
        self.emit(
            LockEvent(action, lock, read, bool(trylock.object), self._stack(), **self.at)
        )
        return Static(None)

    def _stack(self) -> tuple[str, ...]:
        """Return the names of the functions around this place, innermost first.

        A primitive goes by its label, a lockdep map has none, and what only serves `with` is left out:
        `spin_lock`, then the function that has the `with` statement.
        """
        primitive: list[str] = []
        codes = []
        for frame in reversed(self.frames):
            mark = getattr(frame.function, "__quiesce_atomic__", None)
            module = getattr(frame.function, "__module__", "")
            if mark is not None and not codes:
                primitive = [] if mark[0].startswith("lock_map_") else [mark[0]]
            elif frame.name not in ("__enter__", "__exit__") and not module.startswith(_PRIMITIVES):
                codes.append(inspect.unwrap(frame.function).__code__)
        return (*primitive, *actions.kernel_stack(codes))

    def _range(self, node: ast.Call) -> Value:
        args, _ = self._arguments(node)
        if not 1 <= len(args) <= 3:
            self.refuse(node, "range", "range() takes 1 to 3 arguments")
        start, stop = (Static(0), args[0]) if len(args) == 1 else (args[0], args[1])
        step = args[2] if len(args) == 3 else Static(1)
        if not isinstance(step, Static) or not isinstance(step.object, int) or step.object == 0:
            self.refuse(node, "range", "the step of a range must be a constant other than 0")
        return Range(self.settled(start), self.settled(stop), step.object)

    def _len(self, node: ast.Call) -> Value:
        (argument,) = self._exactly(node, 1)
        value = self.read(argument)
        match value:
            case Dynamic(expr=expr, type=SetType()):
                return Dynamic(Unary("count", expr), IntType(0, 0))
            case Tuple(items=items):
                return Static(len(items))
            case Static(object=obj) if hasattr(obj, "__len__"):
                return Static(len(obj))
        length = getattr(value, "length", None) or len(getattr(value, "elements", ()))
        if not length:
            self.refuse(node, "len", "len() is understood for sets, arrays and tuples")
        return Static(length)

    def _super(self, node: ast.Call) -> Value:
        frame = self.frame
        if frame.receiver is None or frame.defining is None:
            self.refuse(node, "super", "super() is understood in methods only")
        return Super(frame.receiver, frame.defining)

    def _to_bool(self, node: ast.Call) -> Value:
        from quiesce.compiler.types import BoolType

        (argument,) = self._exactly(node, 1)
        value = self.read(argument)
        if isinstance(value, Static):
            return Static(bool(value.object))
        return Dynamic(self.truth(value, argument), BoolType())

    def _to_int(self, node: ast.Call) -> Value:
        (argument,) = self._exactly(node, 1)
        value = self.read(argument)
        if isinstance(value, Static):
            return Static(int(value.object))
        return Dynamic(self.integer(value, argument), IntType(0, 0))

    def _exactly(self, node: ast.Call, count: int) -> list[ast.expr]:
        if len(node.args) != count or node.keywords:
            self.refuse(node, "arguments", f"this takes {count} argument{'s' * (count != 1)}")
        return node.args

    # --- Sets -----------------------------------------------------------------------------------

    def _set_method(self, method: SetMethod, node: ast.Call) -> Value:
        place = method.place
        marked = place.marked or self.atomic_depth > 0
        if method.name == "clear":
            value: Expr = ZERO
        else:
            (argument,) = self._exactly(node, 1)
            item = self.read(argument)
            if method.type.of_tasks:
                bit: Expr = Binary("-", self.coerce(item, TaskType(), argument, "a member"), ONE)
            else:
                bit = self.integer(item, argument)
            mask: Expr = Binary("<<", ONE, bit)
            old: Expr = Load(place.address, marked)
            if marked and not self.atomic_depth:
                old = Local(self.temporary(old, place.type))
            if method.name == "add":
                value = Binary("|", old, mask)
            else:
                value = Binary("&", old, Unary("~", mask))
        self.emit(Store(place.address, value, place.low, place.high, marked, **self.at))
        return Static(None)


_PRIMITIVES = "quiesce.primitives"
_NOBODY = Component(Protocol())
_FOLDABLE = (min, max, abs, len, sum, divmod)


def _key(function: Any) -> int:
    return id(function)


def count_stores(node: ast.FunctionDef) -> dict[str, int]:
    """Return how often each local name of a function is assigned; in a loop or by ``+=``, twice."""
    counts: dict[str, int] = {}

    def visit(n: ast.AST, weight: int) -> None:
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
            counts[n.id] = counts.get(n.id, 0) + weight
        if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name):
            counts[n.target.id] = counts.get(n.target.id, 0) + 1
        inner = 2 if isinstance(n, ast.For | ast.While) else weight
        for child in ast.iter_child_nodes(n):
            visit(child, inner)

    for statement in node.body:
        visit(statement, 1)
    return counts
