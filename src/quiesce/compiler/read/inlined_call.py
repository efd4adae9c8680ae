# SPDX-License-Identifier: Apache-2.0
"""What is known about each inlined call while its function is read."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from quiesce.compiler.ir import Label
from quiesce.compiler.read.values import Component, Value

_PRIMITIVES = "quiesce.primitives"


@dataclass(slots=True)
class Known:
    """What is known of some local names at one place: see :class:`InlinedCall`."""

    assigned: set[str]
    env: dict[str, Value]


@dataclass(slots=True)
class Loop:
    """A loop being read: where ``break`` and ``continue`` go.

    :param cleanups: the number of ``with`` blocks that were open where it begins.
    :param names: the local names that it assigns.
    :param at_break: what is known of the local names at each ``break``.
    :param at_next: the same for each ``continue``.
    """

    start: Label
    end: Label
    cleanups: int
    names: set[str]
    at_break: list[Known] = field(default_factory=list)
    at_next: list[Known] = field(default_factory=list)


@dataclass(slots=True)
class InlinedCall:
    """One inlined call.

    :param env: what each local name stands for; a name with a slot stands for ``Dynamic(Local(slot))``.
    :param stores: how often each name is assigned; a parameter's argument counts as once.
    :param assigned: the names that have a value on every way to the place being read.
    :param homes: the slots that each name has had, on this way or on others; a tuple has several. A
        name that is assigned on two ways has one slot, so that it has one value where they meet.
    :param rebound: the names that more than one round of an unrolled loop assigns.
    :param cleanups: the components of the ``with`` blocks that are open, to be left on ``return``.
    :param returns: the slots that the returned value goes to, once the first ``return`` was read.
    """

    function: Callable[..., Any]
    node: ast.FunctionDef
    file: str
    defining: type | None
    receiver: Component | None
    env: dict[str, Value] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    stores: dict[str, int] = field(default_factory=dict)
    assigned: set[str] = field(default_factory=set)
    homes: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    rebound: set[str] = field(default_factory=set)
    cleanups: list[tuple[Component, ast.AST]] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    end: Label = field(default_factory=Label)
    returned: Value | None = None
    single_return: bool = False
    returns_value: bool = False
    refused: bool = False

    @property
    def name(self) -> str:
        """The function's name, as errors show it."""
        return self.node.name

    @property
    def is_with_method(self) -> bool:
        """True if the function serves ``with``."""
        return self.node.name in ("__enter__", "__exit__")

    @property
    def in_primitives(self) -> bool:
        """True if the function is part of one of our primitives."""
        return getattr(self.function, "__module__", "").startswith(_PRIMITIVES)

    def global_value(self, name: str) -> tuple[bool, Any]:
        """Look *name* up in the function's closure, module and builtins."""
        function = inspect.unwrap(self.function)
        code = function.__code__
        if name in code.co_freevars:
            cell = (function.__closure__ or ())[code.co_freevars.index(name)]
            try:
                return True, cell.cell_contents
            except ValueError:  # not assigned yet
                return False, None
        if name in function.__globals__:
            return True, function.__globals__[name]
        return hasattr(builtins, name), getattr(builtins, name, None)

    def attribute_name(self, name: str) -> str:
        """Return *name* as Python knows it: ``__x`` in a class ``C`` is ``_C__x``."""
        if name.startswith("__") and not name.endswith("__") and self.defining is not None:
            return f"_{self.defining.__name__.lstrip('_')}{name}"
        return name
