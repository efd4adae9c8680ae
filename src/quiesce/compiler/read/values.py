# SPDX-License-Identifier: Apache-2.0
"""What a Python expression may stand for while its function is being read.

The reader is a partial evaluator: what the finished scenario object fixes is a Python object
(:class:`Static`) or a component (:class:`Component`); the rest is an expression with a type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quiesce.compiler.ir import Address, Expr, Term
from quiesce.compiler.types import SetType, Type
from quiesce.protocol import Protocol


@dataclass(frozen=True, slots=True)
class Static:
    """A Python object that is known now: a number, a string, None, a function, a class, a module."""

    object: Any


@dataclass(frozen=True, slots=True)
class Dynamic:
    """A value known only when the protocol runs."""

    expr: Expr
    type: Type


@dataclass(frozen=True, slots=True)
class Component:
    """A component; with *terms*, an element of an array chosen when the protocol runs.

    :param template: the component itself, or the array's element 0.
    """

    template: Protocol
    terms: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class ComponentArray:
    """An array of components, before it is indexed."""

    elements: tuple[Protocol, ...]
    terms: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class VariableArray:
    """An array of variables, before it is indexed."""

    address: Address
    length: int
    per_task: bool
    type: Type
    marked: bool
    bounds: tuple[int, int]


@dataclass(frozen=True, slots=True)
class VariablePlace:
    """A shared variable that can be read and written."""

    address: Address
    type: Type
    low: int
    high: int
    marked: bool


@dataclass(frozen=True, slots=True)
class VersionPlace:
    """A shared version."""

    version: int
    marked: bool


@dataclass(frozen=True, slots=True)
class Tuple:
    """Several values at once: a tuple display, or what a function returned."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """A function bound to its component; *receiver* is None for a function of a module."""

    function: Callable[..., Any]
    receiver: Component | None
    defining: type


@dataclass(frozen=True, slots=True)
class SetMethod:
    """``add``, ``discard`` or ``clear`` of a set variable."""

    name: str
    place: VariablePlace
    type: SetType


@dataclass(frozen=True, slots=True)
class Super:
    """``super()`` in a method of *defining*."""

    receiver: Component
    defining: type


@dataclass(frozen=True, slots=True)
class Marked:
    """What ``WRITE_ONCE(component)`` gives: its variables, for one marked write."""

    base: Component | VariableArray


@dataclass(frozen=True, slots=True)
class Range:
    """``range(...)``, before it is iterated."""

    start: Value
    stop: Value
    step: int


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """What a name stands for where two ways come together on which it stands for different things."""


@dataclass(frozen=True, slots=True)
class Poison:
    """The value of what was refused already, so that one mistake gives one message."""


Value = (
    Static
    | Dynamic
    | Component
    | ComponentArray
    | VariableArray
    | VariablePlace
    | VersionPlace
    | Tuple
    | Method
    | SetMethod
    | Super
    | Marked
    | Range
    | Ambiguous
    | Poison
)
