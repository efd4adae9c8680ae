# SPDX-License-Identifier: Apache-2.0
"""Calls: everything that is not an action of the language is inlined where it stands."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from quiesce.compiler.read.accesses import load
from quiesce.compiler.read.advice import about_call
from quiesce.compiler.read.arguments import arguments
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.evaluation import before
from quiesce.compiler.read.inlining import inline
from quiesce.compiler.read.language_actions import reader_of
from quiesce.compiler.read.members import attribute
from quiesce.compiler.read.python_objects import constant
from quiesce.compiler.read.sets import read_set_call, set_method
from quiesce.compiler.read.values import Method, SetMethod, Static, Value, VariablePlace
from quiesce.compiler.read.words import words

_FOLDABLE: tuple[Callable[..., Any], ...] = (abs, sum, divmod, any, all)


def read_call(b: Builder, node: ast.Call) -> Value:
    """Read a call: one of the language's actions, a set's method, or a function to inline."""
    function = _callee(b, node)
    if isinstance(function, SetMethod):
        return read_set_call(b, function, node)
    if isinstance(function, Static):
        reader = reader_of(function.object)
        if reader is not None:
            return reader(b, node)
        if not _is_inlined(function.object):
            return _constant_call(b, function.object, node)
        function = Method(function.object, None, object)
    if not isinstance(function, Method):
        b.refuse(
            node, "call", f"this cannot be called: it is {words(function)}",
            "what is called is a method or a function that is known when the scenario is built",
        )  # fmt: skip
    (method,), (args, kwargs) = before(b, [function], partial(arguments, b, node))
    assert isinstance(method, Method)
    return inline(b, method, args, kwargs, node)


def _callee(b: Builder, node: ast.Call) -> Value:
    """Read what is called; of a set variable, the method instead of the set's value."""
    if not isinstance(node.func, ast.Attribute):
        return b.read(node.func)
    base = b.place(node.func.value)
    if isinstance(base, VariablePlace):
        method = set_method(b, base, node.func.attr)
        if method is not None:
            return method
        base = load(b, base)
    return attribute(b, base, node.func.attr, node.func)


def _constant_call(b: Builder, function: Any, node: ast.Call) -> Value:
    """Call a builtin on constants: ``abs(self.n)``, ``sum(self.sizes)``."""
    if any(function is known for known in _FOLDABLE):
        args, kwargs = arguments(b, node)
        if not kwargs and all(isinstance(a, Static) for a in args):
            return constant(b, function, args, node)
    b.refuse(
        node, "call", f"{words(Static(function))} is outside the language",
        "only components' methods, functions written in Python and the language's actions are understood",
        about_call(function),
    )  # fmt: skip


def _is_inlined(function: object) -> bool:
    """True if calls of *function* are read: it is written in Python, and not part of Python itself."""
    if not inspect.isfunction(function):
        return callable(function) and hasattr(function, "__wrapped__")
    return function.__module__.partition(".")[0] not in sys.stdlib_module_names
