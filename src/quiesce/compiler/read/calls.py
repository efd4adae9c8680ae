# SPDX-License-Identifier: Apache-2.0
"""Calls: everything that is not an action of the language is inlined where it stands."""

from __future__ import annotations

import ast
import enum
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from quiesce.compiler.ir import Address, Begin, Const, End, Load, Local
from quiesce.compiler.names import display_name
from quiesce.compiler.read.frames import Frame, Refused, component_address
from quiesce.compiler.read.language import REFUSED
from quiesce.compiler.read.language_actions import PRIMITIVES, ActionReader
from quiesce.compiler.read.source import function_node
from quiesce.compiler.read.values import (
    Component,
    Dynamic,
    Method,
    Place,
    SetMethod,
    Static,
    Tuple,
    Value,
    VersionPlace,
)
from quiesce.compiler.types import SetType, Type
from quiesce.errors import Diagnostic, Loc, UsageError
from quiesce.protocol import Protocol, actions

_DEEPEST = 60
"""Calls within calls, before they are taken for endless."""


class CallReader(ActionReader):
    """Reads calls; the bodies of inlined functions are left to :class:`statements.Reader`."""

    def call(self, node: ast.Call) -> Value:
        """Read a call: one of the language's actions, a set's method, or a function to inline."""
        function = self._callee(node)
        if isinstance(function, SetMethod):
            return self.set_call(function, node)
        if isinstance(function, Static):
            action = self.action(function.object)
            if action is not None:
                return action(node)
            if not _is_inlined(function.object):
                return self._constant_call(function.object, node)
            function = Method(function.object, _NOBODY, object)
        if not isinstance(function, Method):
            self.refuse(
                node, "call", f"this cannot be called: it is {self.words(function)}",
                "what is called is a method or a function that is known when the scenario is built",
            )  # fmt: skip
        (method,), (args, kwargs) = self.before([function], lambda: self.arguments(node))
        assert isinstance(method, Method)
        return self.inline(method, args, kwargs, node)

    def _callee(self, node: ast.Call) -> Value:
        """Read what is called; of a set variable, the method instead of the set's value."""
        if not isinstance(node.func, ast.Attribute):
            return self.read(node.func)
        base = self.place(node.func.value)
        if isinstance(base, Place):
            method = self.set_method(base, node.func.attr)
            if method is not None:
                return method
            base = self.load(base)
        return self.attribute(base, node.func.attr, node.func)

    def _constant_call(self, function: Any, node: ast.Call) -> Value:
        """Call a builtin on constants: ``abs(self.n)``, ``sum(self.sizes)``."""
        if any(function is known for known in _FOLDABLE):
            args, kwargs = self.arguments(node)
            if not kwargs and all(isinstance(a, Static) for a in args):
                return self.constant(function, args, node)
        self.refuse(
            node, "call", f"{self.words(Static(function))} is outside the language",
            "only components' methods, functions written in Python and the language's actions are understood",
            "write it out",
        )  # fmt: skip

    # --- Inlining -----------------------------------------------------------------------------

    def inline(
        self, method: Method, args: list[Value], kwargs: dict[str, Value], node: ast.AST
    ) -> Value:
        """Read the body of *method* in place, its parameters bound to *args* and *kwargs*."""
        receiver = None
        if method.receiver is not _NOBODY:
            # The receiver is looked up once, though what led to it may change under way.
            settled = self.settled(method.receiver)
            assert isinstance(settled, Component)
            receiver = settled
        self._refuse_recursion(method, receiver, node)
        callee = self.frame_of(method, node)
        callee.receiver = receiver
        self.bind(callee, args, kwargs, node)
        mark = atomic_mark(method)
        saved = self.statement, self.loc
        self.call_sites.append(self.where(node))
        try:
            if mark is not None and not self.atomic_depth:
                # Calls of primitives are statements of their own: the trace names them.
                self.begin_statement(node)
                self.loc = self._user_place()
            result = self._body(callee, mark)
        finally:
            self.statement, self.loc = saved
            self.call_sites.pop()
        if callee.refused:
            raise Refused
        return result

    def _refuse_recursion(self, method: Method, receiver: Component | None, node: ast.AST) -> None:
        function = inspect.unwrap(method.function)
        for frame in self.frames:
            if inspect.unwrap(frame.function) is not function:
                continue
            same = frame.receiver == receiver
            if receiver is not None and frame.receiver is not None and receiver.terms:
                # Which element it is may differ each time, and for ever.
                same = same or frame.receiver.template is receiver.template
            if same:
                self.refuse(
                    node, "recursion", f"`{function.__name__}` calls itself",
                    "calls are inlined, and this would never end", "a loop",
                )  # fmt: skip
        if len(self.frames) > _DEEPEST:
            self.refuse(
                node, "recursion", f"calls are nested more than {_DEEPEST} deep here",
                "calls are inlined, and this may never end", "a loop",
            )  # fmt: skip

    def frame_of(self, method: Method, node: ast.AST | None) -> Frame:
        """Return the frame for a call of *method*, or refuse.

        :param node: the call; None for a thread or a property, which nobody calls.
        """
        function: Any = method.function
        while hasattr(function, "__wrapped__"):
            if getattr(function, "__code__", None) is not _ATOMIC_CODE:
                self._refuse_function(
                    method, node, "decorator", "this decorator is outside the language",
                    "the function would be inlined without what the decorator does",
                    "@atomic, @property, @staticmethod, or a call written out",
                )  # fmt: skip
            function = function.__wrapped__
        try:
            tree = function_node(function)
        except UsageError as error:
            self._refuse_function(method, node, "no-source", error.what, "", error.cure)
        if isinstance(tree, ast.AsyncFunctionDef):
            why = REFUSED[ast.AsyncFunctionDef]
            self._refuse_function(method, node, why.code, why.message, why.why, why.help)
        receiver = None if method.receiver is _NOBODY else method.receiver
        file = function.__code__.co_filename
        return Frame(method.function, tree, file, method.defining, receiver)

    def _refuse_function(
        self, method: Method, node: ast.AST | None, code: str, message: str, why: str, help: str
    ) -> NoReturn:
        if node is not None:
            self.refuse(node, code, message, why, help)
        function: Any = inspect.unwrap(method.function)
        place = getattr(function, "__code__", None)
        name = getattr(function, "__name__", "")
        loc = Loc(place.co_filename, place.co_firstlineno, function=name) if place else Loc("", 0)
        self.diagnostics.add(Diagnostic(loc, code, message, why, help))
        raise Refused

    def _user_place(self) -> Loc:
        """Return the place outside the primitives that the call being read comes from.

        A trace shows `with self.lock:`, not the line in the lock's ``__enter__``.
        """
        place = self.call_sites[-1]
        for depth in range(len(self.frames) - 1, 0, -1):
            frame = self.frames[depth]
            module = getattr(frame.function, "__module__", "")
            if frame.name not in ("__enter__", "__exit__") and not module.startswith(PRIMITIVES):
                break
            place = self.call_sites[depth - 1]
        return place

    def _body(self, callee: Frame, mark: tuple[str, bool] | None) -> Value:
        outermost = mark is not None and not self.atomic_depth
        if mark is not None:
            if outermost:
                self.begin_region(callee, mark)
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

    def begin_region(self, callee: Frame, mark: tuple[str, bool]) -> None:
        """Let the atomic region of *callee* begin here."""
        receiver = callee.receiver
        address = component_address(self.layout, receiver) if receiver else None
        self.emit(Begin(self._label(mark[0], callee), mark[1], address, **self.at))

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

    # --- Parameters -------------------------------------------------------------------------------

    def bind(
        self, callee: Frame, args: list[Value], kwargs: dict[str, Value], node: ast.AST
    ) -> None:
        """Let the parameters of *callee* stand for the arguments."""
        parameters = callee.node.args
        if parameters.kwarg or (parameters.vararg and callee.name != "__exit__"):
            self.refuse(
                node, "parameters", f"`{callee.name}` takes `*args` or `**kwargs`",
                "a state holds no sequences of any length", "name the parameters",
            )  # fmt: skip
        names = [a.arg for a in (*parameters.posonlyargs, *parameters.args)]
        callee.stores = count_stores(callee.node.body)
        if callee.receiver is not None:
            if not names:
                self.refuse(
                    node, "arguments", f"`{callee.name}` has no parameter `self`",
                    "a method is called with its component first", f"def {callee.name}(self):",
                )  # fmt: skip
            self._bind_one(callee, names.pop(0), callee.receiver)
        keyword_only = [a.arg for a in parameters.kwonlyargs]
        if parameters.vararg:
            args = args[: len(names)]
        given = self._given(callee, names, keyword_only, args, kwargs, node)
        for name in names + keyword_only:
            self._bind_one(callee, name, self._passed(callee, name, given[name], node))

    def _bind_one(self, callee: Frame, name: str, value: Value) -> None:
        callee.env[name] = value
        callee.stores[name] = callee.stores.get(name, 0) + 1
        callee.assigned.add(name)

    def _given(
        self,
        callee: Frame,
        names: list[str],
        keyword_only: list[str],
        args: list[Value],
        kwargs: dict[str, Value],
        node: ast.AST,
    ) -> dict[str, Value]:
        """Return the argument of each parameter, defaults included."""
        why = "Python would refuse the call, too"
        if len(args) > len(names):
            message = f"`{callee.name}` takes {len(names)} arguments, not {len(args)}"
            self.refuse(node, "arguments", message, why)
        given = dict(zip(names, args, strict=False))
        positional_only = {a.arg for a in callee.node.args.posonlyargs}
        for name, value in kwargs.items():
            if name not in names + keyword_only or name in given or name in positional_only:
                message = f"`{callee.name}` has no parameter `{name}` left"
                self.refuse(node, "arguments", message, why)
            given[name] = value
        defaults = self._defaults(callee)
        for name in names + keyword_only:
            if name not in given:
                if name not in defaults:
                    message = f"`{callee.name}` needs an argument for `{name}`"
                    self.refuse(node, "arguments", message, why)
                given[name] = self.static(defaults[name])
        return given

    def _passed(self, callee: Frame, name: str, value: Value, node: ast.AST) -> Value:
        """Return what a parameter stands for: the argument, evaluated once."""
        assigned = callee.stores.get(name, 0)
        if isinstance(value, Tuple):
            return Tuple(tuple(self._passed(callee, name, v, node) for v in value.items))
        if isinstance(value, Dynamic) and isinstance(value.type, SetType):
            return self._passed_set(value, name)
        if isinstance(value, Dynamic) and (assigned or not isinstance(value.expr, Local | Const)):
            slot = self.temporary(value.expr, value.type, name)
        elif isinstance(value, Static | Component) and assigned and self._fits_slot(value):
            type_ = self.type_of(value, node)
            slot = self.temporary(self.coerce(value, type_, node), type_, name)
        elif isinstance(value, VersionPlace):
            look = self.look(value)
            assert isinstance(look.expr, Local)
            slot = look.expr.slot
        else:
            return self.settled(value)
        if assigned:
            callee.slots[name] = slot
            self.reassigned.add(slot)
        type_of_slot: Type = self.slots[slot].type  # type: ignore[assignment]
        return Dynamic(Local(slot), type_of_slot)

    def _fits_slot(self, value: Static | Component) -> bool:
        if isinstance(value, Component):
            return self.array_of(value) is not None
        return value.object is None or isinstance(value.object, int | enum.Enum)

    def _passed_set(self, value: Dynamic, name: str) -> Value:
        """A set is passed as Python passes it: the parameter stands for the variable itself."""
        if isinstance(value.expr, Load):
            place = Place(value.expr.address, value.type, 0, 0, value.expr.marked)
            settled = self.settled(place)
            assert isinstance(settled, Place)
            address: Address = settled.address
            return Dynamic(Load(address, value.expr.marked), value.type)
        return Dynamic(Local(self.temporary(value.expr, value.type, name)), value.type)

    def _defaults(self, callee: Frame) -> dict[str, Any]:
        signature = inspect.signature(inspect.unwrap(callee.function))
        return {
            name: parameter.default
            for name, parameter in signature.parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }


_NOBODY = Component(Protocol())
_FOLDABLE: tuple[Callable[..., Any], ...] = (abs, sum, divmod, any, all)
_ATOMIC_CODE = actions.atomic(lambda: None).__code__


def atomic_mark(method: Method) -> tuple[str, bool] | None:
    """Return what ``@atomic`` says of *method*: its label, and whether waiters queue; None without it."""
    mark: tuple[str, bool] | None = getattr(method.function, "__quiesce_atomic__", None)
    return mark


def _is_inlined(function: object) -> bool:
    """Whether calls of *function* are read: it is written in Python, and no part of Python itself."""
    if not inspect.isfunction(function):
        return callable(function) and hasattr(function, "__wrapped__")
    return function.__module__.partition(".")[0] not in sys.stdlib_module_names


def count_stores(body: Sequence[ast.AST]) -> dict[str, int]:
    """Return how often each local name is assigned in *body*; in a loop or by ``+=``, twice."""
    counts: dict[str, int] = {}

    def visit(n: ast.AST, weight: int) -> None:
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
            counts[n.id] = counts.get(n.id, 0) + weight
        if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name):
            counts[n.target.id] = counts.get(n.target.id, 0) + 1
        inner = 2 if isinstance(n, ast.For | ast.While) else weight
        for child in ast.iter_child_nodes(n):
            visit(child, inner)

    for statement in body:
        visit(statement, 1)
    return counts
