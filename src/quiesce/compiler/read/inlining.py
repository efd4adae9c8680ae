# SPDX-License-Identifier: Apache-2.0
"""A function is read in place of its call."""

from __future__ import annotations

import ast
import enum
import inspect
from typing import Any, NoReturn

from quiesce.compiler.ir import Address, Begin, End, Shown, touches_memory
from quiesce.compiler.names import display_name
from quiesce.compiler.read.builder import Builder, Refused
from quiesce.compiler.read.evaluation import settled
from quiesce.compiler.read.inlined_call import InlinedCall
from quiesce.compiler.read.language import REFUSED
from quiesce.compiler.read.parameters import bind
from quiesce.compiler.read.returns import function_body
from quiesce.compiler.read.source import function_node
from quiesce.compiler.read.values import Component, Dynamic, Method, Static, Tuple, Value
from quiesce.errors import Diagnostic, Loc, UsageError
from quiesce.protocol import actions

_DEEPEST = 60
"""Calls within calls, before they are treated as endless."""

_ATOMIC_CODE = actions.atomic(lambda: None).__code__


def inline(
    b: Builder, method: Method, args: list[Value], kwargs: dict[str, Value], node: ast.AST
) -> Value:
    """Read the body of *method* in place, its parameters bound to *args* and *kwargs*."""
    receiver = None
    if method.receiver is not None:
        # The receiver is looked up once, though what led to it may change under way.
        fixed = settled(b, method.receiver)
        assert isinstance(fixed, Component)
        receiver = fixed
    _refuse_recursion(b, method, receiver, node)
    callee = frame_of(b, method, node)
    callee.receiver = receiver
    bind(b, callee, args, kwargs, node)
    mark = atomic_mark(method)
    saved = b.statement, b.loc
    b.call_sites.append(b.where(node))
    try:
        if mark is not None and not b.atomic_depth:
            # Calls of primitives are statements of their own: the trace names them.
            b.begin_statement(node)
            b.loc = _user_place(b)
        result = _body(b, callee, mark)
    finally:
        b.statement, b.loc = saved
        b.call_sites.pop()
    if callee.refused:
        raise Refused
    return result


def _refuse_recursion(
    b: Builder, method: Method, receiver: Component | None, node: ast.AST
) -> None:
    """Refuse a call of a function that is being read, or one nested too deep."""
    function = inspect.unwrap(method.function)
    for frame in b.frames:
        if inspect.unwrap(frame.function) is not function:
            continue
        same = frame.receiver == receiver
        if receiver is not None and frame.receiver is not None and receiver.terms:
            # Which element it is may differ each time, and forever.
            same = same or frame.receiver.template is receiver.template
        if same:
            b.refuse(
                node, "recursion", f"`{function.__name__}` calls itself",
                "calls are inlined, and this would never end", "a loop",
            )  # fmt: skip
    if len(b.frames) > _DEEPEST:
        b.refuse(
            node, "recursion", f"calls are nested more than {_DEEPEST} deep here",
            "calls are inlined, and this may never end", "a loop",
        )  # fmt: skip


def atomic_mark(method: Method) -> tuple[str, bool] | None:
    """Return what ``@atomic`` says of *method*: its label, and whether waiters queue; None without it."""
    mark: tuple[str, bool] | None = getattr(method.function, "__quiesce_atomic__", None)
    return mark


def frame_of(b: Builder, method: Method, node: ast.AST | None) -> InlinedCall:
    """Return the frame for a call of *method*, or refuse.

    :param node: the call; None for a thread or a property, which no code calls.
    """
    function: Any = method.function
    while hasattr(function, "__wrapped__"):
        if getattr(function, "__code__", None) is not _ATOMIC_CODE:
            _refuse_function(b,
                method, node, "decorator", "this decorator is outside the language",
                "the function would be inlined without what the decorator does",
                "@atomic, @property, @staticmethod, or a call written out",
            )  # fmt: skip
        function = function.__wrapped__
    try:
        tree = function_node(function)
    except UsageError as error:
        _refuse_function(b, method, node, "no-source", error.what, "", error.cure)
    if isinstance(tree, ast.AsyncFunctionDef):
        why = REFUSED[ast.AsyncFunctionDef]
        _refuse_function(b, method, node, why.code, why.message, why.why, why.help)
    file = function.__code__.co_filename
    return InlinedCall(method.function, tree, file, method.defining, method.receiver)


def _refuse_function(
    b: Builder, method: Method, node: ast.AST | None, code: str, message: str, why: str, help: str
) -> NoReturn:
    """Refuse the function that a call, a thread or a property leads to."""
    if node is not None:
        b.refuse(node, code, message, why, help)
    function: Any = inspect.unwrap(method.function)
    place = getattr(function, "__code__", None)
    name = getattr(function, "__name__", "")
    loc = Loc(place.co_filename, place.co_firstlineno, function=name) if place else Loc("", 0)
    b.diagnostics.add(Diagnostic(loc, code, message, why, help))
    raise Refused


def _user_place(b: Builder) -> Loc:
    """Return the place outside the primitives that the call being read comes from.

    A trace shows `with self.lock:`, not the line in the lock's ``__enter__``.
    """
    place = b.call_sites[-1]
    for depth in range(len(b.frames) - 1, 0, -1):
        frame = b.frames[depth]
        if not frame.is_with_method and not frame.in_primitives:
            break
        place = b.call_sites[depth - 1]
    return place


def _body(b: Builder, callee: InlinedCall, mark: tuple[str, bool] | None) -> Value:
    """Read the body of *callee*, as an atomic region if *mark* says so and none is open."""
    outermost = mark is not None and not b.atomic_depth
    if mark is not None:
        if outermost:
            begin_region(b, callee, mark)
        b.atomic_depth += 1
    b.frames.append(callee)
    try:
        result = function_body(b, callee, settle=outermost)
    finally:
        b.frames.pop()
        if mark is not None:
            b.atomic_depth -= 1
    if outermost and mark is not None:
        # What a private part of a primitive returns, "must queue", means nothing to its user.
        is_private = callee.in_primitives and callee.name.startswith("_")
        b.emit(End(() if is_private or _is_complete(mark[0]) else _results(b, result), **b.at))
    return result


def begin_region(b: Builder, callee: InlinedCall, mark: tuple[str, bool]) -> None:
    """Let the atomic region of *callee* begin here."""
    receiver = callee.receiver
    address = b.layout.component_address(receiver.template, receiver.terms) if receiver else None
    passed = list(callee.env.values())[receiver is not None :]
    arguments = None
    if not _is_complete(mark[0]):
        arguments = tuple(a for a in (shown(b, value) for value in passed) if a is not None)
    b.emit(Begin(_label(mark[0], callee), mark[1], address, arguments, **b.at))


def shown(b: Builder, value: Value) -> Shown | Address | str | None:
    """Return what a trace shows of *value*; None if it would have to be read again for that."""
    match value:
        case Static(object=enum.Enum() as member):
            return member.name
        case Static(object=None | bool() | int() as constant):
            return str(constant)
        case Component(template=template, terms=terms):
            address = b.layout.component_address(template, terms)
            known = not any(touches_memory(term.index) for term in terms)
            return address if known else None
        case Dynamic(expr=expr, type=type_) if not touches_memory(expr):
            return Shown(expr, type_)
    return None


def _results(b: Builder, value: Value) -> tuple[Shown | str, ...]:
    """Return what a trace shows of the *value* that a region returns; nothing for None."""
    items = value.items if isinstance(value, Tuple) else (value,)
    if items == (Static(None),):
        return ()
    found = [shown(b, item) for item in items]
    return tuple(f for f in found if isinstance(f, Shown | str)) if None not in found else ()


def _is_complete(label: str) -> bool:
    """Return True if a label is shown as it is: ``mutex_lock(&kvm->slots_lock)``."""
    return "(" in label


def _label(label: str, callee: InlinedCall) -> str:
    """Return how a trace names a primitive: ``spin_lock(&kvm->mmu_lock)``."""
    if _is_complete(label):
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
