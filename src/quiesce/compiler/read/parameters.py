# SPDX-License-Identifier: Apache-2.0
"""The parameters of an inlined function stand for the arguments of its call."""

from __future__ import annotations

import ast
import enum
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from quiesce.compiler.ir import Const, Load, Local
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.evaluation import look, settled
from quiesce.compiler.read.inlined_call import InlinedCall
from quiesce.compiler.read.local_names import count_stores
from quiesce.compiler.read.python_objects import static
from quiesce.compiler.read.typing_rules import array_of, coerce, type_of
from quiesce.compiler.read.values import (
    Component,
    Dynamic,
    Static,
    Tuple,
    Value,
    VariablePlace,
    VersionPlace,
)
from quiesce.compiler.types import SetType


def bind(
    b: Builder, callee: InlinedCall, args: list[Value], kwargs: dict[str, Value], node: ast.AST
) -> None:
    """Let the parameters of *callee* stand for the arguments."""
    parameters = callee.node.args
    if parameters.kwarg or (parameters.vararg and callee.name != "__exit__"):
        b.refuse(
            node, "parameters", f"`{callee.name}` takes `*args` or `**kwargs`",
            "a state holds no sequences of any length", "name the parameters",
        )  # fmt: skip
    names = [a.arg for a in (*parameters.posonlyargs, *parameters.args)]
    callee.stores = dict(_stores_of(callee.node))
    if callee.receiver is not None:
        if not names:
            b.refuse(
                node, "arguments", f"`{callee.name}` has no parameter `self`",
                "a method is called with its component first", f"def {callee.name}(self):",
            )  # fmt: skip
        _bind_one(callee, names.pop(0), callee.receiver)
    keyword_only = [a.arg for a in parameters.kwonlyargs]
    if parameters.vararg:
        args = args[: len(names)]
    given = _given(b, callee, names, keyword_only, args, kwargs, node)
    for name in names + keyword_only:
        _bind_one(callee, name, _passed(b, callee, name, given[name], node))


def _bind_one(callee: InlinedCall, name: str, value: Value) -> None:
    callee.env[name] = value
    callee.stores[name] = callee.stores.get(name, 0) + 1
    callee.assigned.add(name)


def _given(
    b: Builder,
    callee: InlinedCall,
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
        b.refuse(node, "arguments", message, why)
    given = dict(zip(names, args, strict=False))
    positional_only = {a.arg for a in callee.node.args.posonlyargs}
    for name, value in kwargs.items():
        if name not in names + keyword_only or name in given or name in positional_only:
            message = f"`{callee.name}` has no parameter `{name}` left"
            b.refuse(node, "arguments", message, why)
        given[name] = value
    defaults = _defaults_of(callee.function)
    for name in names + keyword_only:
        if name not in given:
            if name not in defaults:
                message = f"`{callee.name}` needs an argument for `{name}`"
                b.refuse(node, "arguments", message, why)
            given[name] = static(b, defaults[name])
    return given


def _passed(b: Builder, callee: InlinedCall, name: str, value: Value, node: ast.AST) -> Value:
    """Return what a parameter stands for: the argument, evaluated once."""
    assigned = callee.stores.get(name, 0)
    if isinstance(value, Tuple):
        return Tuple(tuple(_passed(b, callee, name, v, node) for v in value.items))
    if isinstance(value, Dynamic) and isinstance(value.type, SetType):
        return _passed_set(b, value, name)
    if isinstance(value, Dynamic) and (assigned or not isinstance(value.expr, Local | Const)):
        slot = b.temporary(value.expr, value.type, name)
    elif isinstance(value, Static | Component) and assigned and _fits_slot(b, value):
        type_ = type_of(b, value, node)
        slot = b.temporary(coerce(b, value, type_, node), type_, name)
    elif isinstance(value, VersionPlace):
        snapshot = look(b, value)
        assert isinstance(snapshot.expr, Local)
        slot = snapshot.expr.slot
    else:
        return settled(b, value)
    if assigned:
        callee.slots[name] = slot
        b.reassigned.add(slot)
    return Dynamic(Local(slot), b.slots[slot].type)


def _fits_slot(b: Builder, value: Static | Component) -> bool:
    if isinstance(value, Component):
        return array_of(b, value) is not None
    return value.object is None or isinstance(value.object, int | enum.Enum)


def _passed_set(b: Builder, value: Dynamic, name: str) -> Value:
    """Return what the parameter stands for: the set variable itself, as in Python."""
    if isinstance(value.expr, Load):
        place = VariablePlace(value.expr.address, value.type, 0, 0, value.expr.marked)
        fixed = settled(b, place)
        assert isinstance(fixed, VariablePlace)
        return Dynamic(Load(fixed.address, value.expr.marked), value.type)
    return Dynamic(Local(b.temporary(value.expr, value.type, name)), value.type)


@lru_cache(maxsize=4096)
def _stores_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, int]:
    """Return what :func:`count_stores` says of a function, which is read once for each call of it."""
    return count_stores(node.body)


@lru_cache(maxsize=1024)
def _defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the default values of the parameters of *function*."""
    signature = inspect.signature(inspect.unwrap(function))
    return {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
