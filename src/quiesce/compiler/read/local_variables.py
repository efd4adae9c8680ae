# SPDX-License-Identifier: Apache-2.0
"""Assignments to local names.

A local name stands for one of three things. A value that a state can hold gets a *slot*. A value that is
known now, and assigned once, stays what it is: a constant. A component or a function is an *alias*, for the
same thing throughout.
"""

from __future__ import annotations

import ast
import enum
from typing import NoReturn

from quiesce.compiler.ir import Expr, Local, SetLocal
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.evaluation import frozen
from quiesce.compiler.read.typing_rules import array_of, coerce, type_of
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Dynamic,
    Marked,
    Method,
    Poison,
    Range,
    SetMethod,
    Static,
    Super,
    Tuple,
    Value,
    VariableArray,
)
from quiesce.compiler.types import BoolType, RefType, SetType, Type, describe, join
from quiesce.protocol import Task


def assign_local(b: Builder, target: ast.Name, value: Value) -> None:
    """Assign *value* to a local name."""
    frame, name = b.frame, target.id
    once = frame.stores.get(name, 0) == 1 and name not in frame.slots
    match value:
        case Static(object=obj) if not isinstance(obj, int | enum.Enum | None):
            _alias(b, target, value)
        case Static() if once:
            frame.env[name] = value
        case Component() if not has_type(b, value) or once:
            _alias(b, target, frozen(b, value))
        case ComponentArray() | VariableArray() | Method() | SetMethod() | Super():
            _alias(b, target, frozen(b, value))
        case Range() | Marked():
            _alias(b, target, frozen(b, value))
        case Tuple():
            _assign_tuple(b, target, value, once)
        case Poison():
            frame.env[name] = value
        case _:
            _assign_slot(b, target, value)
    frame.assigned.add(name)


def has_type(b: Builder, value: Component) -> bool:
    """Return whether a variable can hold *value*: a task, or an element of an array."""
    return isinstance(value.template, Task) or array_of(b, value) is not None


def _assign_slot(b: Builder, target: ast.Name, value: Value) -> None:
    frame, name = b.frame, target.id
    slot = frame.slots.get(name)
    if slot is not None and _other_array(b, slot, value, target):
        # The name now stands for an element of another array.
        slot = None
    if slot is not None:
        join_slot(b, slot, value, target, f"`{name}`")
        shown = b.slots[slot].type
    else:
        shown = type_of(b, value, target)
        (slot,) = _slots_of_name(b, name, (shown,))
        frame.slots[name] = slot
        if not isinstance(shown, BoolType):
            shown = b.slots[slot].type
    if isinstance(b.slots[slot].type, SetType):
        b.refuse(
            target, "set-local", "a set cannot be kept in a local variable",
            "in Python the name would stand for the variable itself, not for its value now",
            "use the variable where it is needed, or copy it into another Set variable",
        )  # fmt: skip
    b.emit(SetLocal(slot, for_slot(b, slot, value, target), **b.at))
    frame.env[name] = Dynamic(Local(slot), shown)


def _slots_of_name(b: Builder, name: str, types: tuple[Type, ...]) -> tuple[int, ...]:
    """Return slots for *name* to hold values of *types*: those that it has on another path, or new ones.

    The types of the former grow.
    """
    frame = b.frame
    for slots in frame.homes.get(name, ()):
        joined = [join(b.slots[s].type, t) for s, t in zip(slots, types, strict=False)]
        both = [t for t in joined if t is not None]
        if len(slots) == len(types) == len(both):
            for slot, type_ in zip(slots, both, strict=True):
                b.slots[slot].type = type_
            return slots
    slots = tuple(b.new_slot(name, t) for t in types)
    if frame.stores.get(name, 0) > 1 or name in frame.rebound:
        b.reassigned.update(slots)
    frame.homes.setdefault(name, []).append(slots)
    return slots


def _other_array(b: Builder, slot: int, value: Value, node: ast.AST) -> bool:
    old, new = b.slots[slot].type, type_of(b, value, node)
    return isinstance(old, RefType) and isinstance(new, RefType) and old != new


def _assign_tuple(b: Builder, target: ast.Name, value: Tuple, once: bool) -> None:
    """Keep the items of a tuple: under one name, or each in a slot if the name is assigned again."""
    frame = b.frame
    value = Tuple(tuple(frozen(b, v) for v in value.items))
    if once:
        frame.env[target.id] = value
        return
    old = frame.env.get(target.id)
    slots: tuple[int, ...] = ()
    if old is None:
        types = tuple(type_of(b, v, target) for v in value.items)
        slots = _slots_of_name(b, target.id, types)
    elif isinstance(old, Tuple) and len(old.items) == len(value.items):
        slots = tuple(
            v.expr.slot for v in old.items if isinstance(v, Dynamic) and isinstance(v.expr, Local)
        )
    if len(slots) != len(value.items):
        _refuse_alias(b, target)
    for slot, item in zip(slots, value.items, strict=True):
        join_slot(b, slot, item, target, f"`{target.id}`")
        b.emit(SetLocal(slot, for_slot(b, slot, item, target), **b.at))
    frame.env[target.id] = Tuple(tuple(Dynamic(Local(s), b.slots[s].type) for s in slots))


def _alias(b: Builder, target: ast.Name, value: Value) -> None:
    if target.id in b.frame.slots:
        _refuse_alias(b, target)
    b.frame.env[target.id] = value


def _refuse_alias(b: Builder, target: ast.Name) -> NoReturn:
    b.refuse(
        target, "alias", f"`{target.id}` stands for two different things",
        "a name has a value of one type, or stands for a component or a constant",
        "use another name",
    )  # fmt: skip


def join_slot(b: Builder, slot: int, value: Value, node: ast.AST, what: str) -> None:
    """Let *slot* hold *value* too, or refuse."""
    old, new = b.slots[slot].type, type_of(b, value, node)
    both = join(old, new)
    if both is None:
        b.refuse(
            node, "type", f"{what} would hold {describe(old)} and {describe(new)}",
            "a variable has one type throughout", "use another name",
        )  # fmt: skip
    b.slots[slot].type = both


def for_slot(b: Builder, slot: int, value: Value, node: ast.AST) -> Expr:
    """Return *value* as *slot* keeps it."""
    return coerce(b, value, b.slots[slot].type, node)
