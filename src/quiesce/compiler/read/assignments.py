# SPDX-License-Identifier: Apache-2.0
"""Assignments: to shared variables, to local variables, and to names that stand for something.

A local name stands for one of three things. A value that a state can hold gets a *slot*. A value that
is known now, and assigned once, stays what it is: a constant. A component or a function is an *alias*,
for the same thing throughout.
"""

from __future__ import annotations

import ast
import enum
from typing import NoReturn

from quiesce.compiler.ir import Bump, Expr, Load, Local, SetLocal, Store
from quiesce.compiler.read.calls import CallReader
from quiesce.compiler.read.frames import ZERO
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Dynamic,
    Marked,
    Method,
    Place,
    Poison,
    Range,
    SetMethod,
    Static,
    Super,
    Tuple,
    Value,
    VariableArray,
    VersionPlace,
)
from quiesce.compiler.types import BoolType, RefType, SetType, SnapshotType, Type, describe, join
from quiesce.protocol import Task


class AssignmentReader(CallReader):
    """Reads assignments."""

    def assign(self, node: ast.Assign) -> None:
        """Read ``a = b = value``: the value first, then the targets from left to right."""
        value = self.read(node.value)
        if len(node.targets) > 1:
            value = self.frozen(value)
        for target in node.targets:
            self.assign_one(target, value)

    def assign_one(self, target: ast.expr, value: Value) -> None:
        """Assign *value* to *target*."""
        if isinstance(target, ast.Tuple | ast.List):
            items = self._unpacked(target, value)
            for inner, item in zip(target.elts, items, strict=True):
                self.assign_one(inner, item)
        elif isinstance(target, ast.Name):
            self._assign_local(target, value)
        else:
            (value,), place = self.before([value], lambda: self.place(target))
            self._store(place, value, target)

    def _unpacked(self, target: ast.Tuple | ast.List, value: Value) -> list[Value]:
        if isinstance(value, Static) and isinstance(value.object, tuple):
            value = Tuple(tuple(self.static(o) for o in value.object))
        if isinstance(value, ComponentArray):
            value = Tuple(tuple(Component(e, value.terms) for e in value.elements))
        if not isinstance(value, Tuple) or len(value.items) != len(target.elts):
            self.refuse(
                target, "unpack", f"this needs {len(target.elts)} values, and is {self.words(value)}",
                "how many values there are must be known when the scenario is built",
                "return or write that many, `a, b = 1, 2`",
            )  # fmt: skip
        return [self.frozen(v) for v in value.items]

    # --- Shared variables ---------------------------------------------------------------------------

    def _store(self, place: Place | Value, value: Value, node: ast.AST) -> None:
        self.refuse_in_property(node, "change a variable")
        if isinstance(place, VersionPlace):
            self.refuse(
                node, "version-store", "a Version is only incremented",
                "what is kept of it is whether it changed since a look at it", "self.seq += 1",
            )  # fmt: skip
        if not isinstance(place, Place):
            self._refuse_store(place, node)
        expr: Expr
        if isinstance(place.type, SnapshotType):
            expr = self._snapshot(place, value, node)
        else:
            expr = self.coerce(value, place.type, node, "the variable")
        marked = place.marked or self.atomic_depth > 0
        self.emit(Store(place.address, expr, place.low, place.high, marked, **self.at))

    def _refuse_store(self, place: Value, node: ast.AST) -> NoReturn:
        if isinstance(place, VariableArray | ComponentArray):
            self.refuse(
                node, "store", "an array is not assigned as a whole",
                "each element is a variable of its own", "self.items[i] = 0",
            )  # fmt: skip
        self.refuse(
            node, "store", "this is no shared variable",
            "attributes that are not declared are constants of the scenario",
            "declare it on the class: `name = Int(0)`, or `Bool()`, `TaskRef()`, ...",
        )  # fmt: skip

    def _snapshot(self, place: Place, value: Value, node: ast.AST) -> Expr:
        """Return what is stored in a Snapshot variable; note which version it follows: only one."""
        if value == Static(None):
            return ZERO  # no look: like one that is out of date
        given = self.type_of(value, node)
        if not isinstance(given, SnapshotType):
            self.refuse(
                node, "snapshot", f"a Snapshot keeps a look at a Version, not {describe(given)}",
                "what is kept is whether the version changed since", "self.seen = self.seq",
            )  # fmt: skip
        self.follow_version(Load(place.address, place.marked), given.version, node)
        return self.coerce(value, given, node, "the variable")

    def follow_version(self, cell: Load, version: int, node: ast.AST) -> None:
        """Note that the Snapshot variables which *cell* may name follow *version*."""
        cells = {cell.address.base}
        for term in cell.address.terms:
            cells = {base + i * term.stride for base in cells for i in range(term.length)}
        for number in cells:
            both = join(self.layout.cells[number].type, SnapshotType(version))
            if both is None:
                self.refuse(
                    node, "snapshot", "this Snapshot already follows another Version",
                    "one bit is kept: whether that version changed", "declare a Snapshot for each",
                )  # fmt: skip
            self.layout.cells[number].type = both

    # --- Local variables ------------------------------------------------------------------------------

    def _assign_local(self, target: ast.Name, value: Value) -> None:
        frame, name = self.frame, target.id
        once = frame.stores.get(name, 0) == 1 and name not in frame.slots
        match value:
            case Static(object=obj) if not isinstance(obj, int | enum.Enum | None):
                self._alias(target, value)
            case Static() if once:
                frame.env[name] = value
            case Component() if not self._has_type(value) or once:
                self._alias(target, self.frozen(value))
            case ComponentArray() | VariableArray() | Method() | SetMethod() | Super():
                self._alias(target, self.frozen(value))
            case Range() | Marked():
                self._alias(target, self.frozen(value))
            case Tuple():
                self._assign_tuple(target, value, once)
            case Poison():
                frame.env[name] = value
            case _:
                self._assign_slot(target, value)
        frame.assigned.add(name)

    def _has_type(self, value: Component) -> bool:
        return isinstance(value.template, Task) or self.array_of(value) is not None

    def _assign_slot(self, target: ast.Name, value: Value) -> None:
        frame, name = self.frame, target.id
        slot = frame.slots.get(name)
        if slot is not None and self._other_array(slot, value, target):
            # The name now stands for an element of another array.
            slot = None
        if slot is not None:
            self.join_slot(slot, value, target, f"`{name}`")
            shown = self.slot_type(slot)
        else:
            shown = self.type_of(value, target)
            (slot,) = self._slots_of_name(name, (shown,))
            frame.slots[name] = slot
            if not isinstance(shown, BoolType):
                shown = self.slot_type(slot)
        if isinstance(self.slot_type(slot), SetType):
            self.refuse(
                target, "set-local", "a set cannot be kept in a local variable",
                "in Python the name would stand for the variable itself, not for its value now",
                "use the variable where it is needed, or copy it into another Set variable",
            )  # fmt: skip
        self.emit(SetLocal(slot, self.for_slot(slot, value, target), **self.at))
        frame.env[name] = Dynamic(Local(slot), shown)

    def _slots_of_name(self, name: str, types: tuple[Type, ...]) -> tuple[int, ...]:
        """Return slots for *name* to hold values of *types*: those that it has on another way, or new ones.

        The types of the former grow.
        """
        frame = self.frame
        for slots in frame.homes.get(name, ()):
            both = [join(self.slot_type(s), t) for s, t in zip(slots, types, strict=False)]
            if len(slots) == len(types) and None not in both:
                for slot, type_ in zip(slots, both, strict=True):
                    self.slots[slot].type = type_
                return slots
        slots = tuple(self.new_slot(name, t) for t in types)
        if frame.stores.get(name, 0) > 1 or name in frame.rebound:
            self.reassigned.update(slots)
        frame.homes.setdefault(name, []).append(slots)
        return slots

    def _other_array(self, slot: int, value: Value, node: ast.AST) -> bool:
        old, new = self.slot_type(slot), self.type_of(value, node)
        return isinstance(old, RefType) and isinstance(new, RefType) and old != new

    def _assign_tuple(self, target: ast.Name, value: Tuple, once: bool) -> None:
        """Keep the items of a tuple: under one name, or each in a slot if the name is assigned again."""
        frame = self.frame
        value = Tuple(tuple(self.frozen(v) for v in value.items))
        if once:
            frame.env[target.id] = value
            return
        old = frame.env.get(target.id)
        slots: tuple[int, ...] = ()
        if old is None:
            types = tuple(self.type_of(v, target) for v in value.items)
            slots = self._slots_of_name(target.id, types)
        elif isinstance(old, Tuple) and len(old.items) == len(value.items):
            slots = tuple(
                v.expr.slot
                for v in old.items
                if isinstance(v, Dynamic) and isinstance(v.expr, Local)
            )
        if len(slots) != len(value.items):
            self._refuse_alias(target)
        for slot, item in zip(slots, value.items, strict=True):
            self.join_slot(slot, item, target, f"`{target.id}`")
            self.emit(SetLocal(slot, self.for_slot(slot, item, target), **self.at))
        frame.env[target.id] = Tuple(tuple(Dynamic(Local(s), self.slot_type(s)) for s in slots))

    def _alias(self, target: ast.Name, value: Value) -> None:
        if target.id in self.frame.slots:
            self._refuse_alias(target)
        self.frame.env[target.id] = value

    def _refuse_alias(self, target: ast.Name) -> NoReturn:
        self.refuse(
            target, "alias", f"`{target.id}` stands for two different things",
            "a name has a value of one type, or stands for a component or a constant",
            "use another name",
        )  # fmt: skip

    def slot_type(self, slot: int) -> Type:
        """Return the type of local variable *slot*."""
        type_: Type = self.slots[slot].type  # type: ignore[assignment]
        return type_

    def join_slot(self, slot: int, value: Value, node: ast.AST, what: str) -> None:
        """Let *slot* hold *value* too, or refuse."""
        old, new = self.slot_type(slot), self.type_of(value, node)
        both = join(old, new)
        if both is None:
            self.refuse(
                node, "type", f"{what} would hold {describe(old)} and {describe(new)}",
                "a variable has one type throughout", "use another name",
            )  # fmt: skip
        self.slots[slot].type = both

    def for_slot(self, slot: int, value: Value, node: ast.AST) -> Expr:
        """Return *value* as *slot* keeps it."""
        return self.coerce(value, self.slot_type(slot), node)

    # --- Augmented assignment -------------------------------------------------------------------------

    def augmented(self, node: ast.AugAssign) -> None:
        """Read ``target += value``: the old value is read before the right side is evaluated."""
        if isinstance(node.target, ast.Name):
            left = self.read(ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target))
            right = self.read(node.value)
            self._assign_local(node.target, self.arithmetic(left, node.op, right, node))
            return
        place = self.place(node.target)
        if isinstance(place, VersionPlace):
            self._bump(place, node)
            return
        if not isinstance(place, Place):
            self._refuse_store(place, node.target)
        if place.marked and not self.atomic_depth:
            # Two steps, but one index.
            settled = self.settled(place)
            assert isinstance(settled, Place)
            place = settled
        left = self.load(place)
        (left_, place_), right = self.before([left, place], lambda: self.read(node.value))
        result = self.arithmetic(left_, node.op, right, node)
        self._store(place_, result, node.target)

    def _bump(self, place: VersionPlace, node: ast.AugAssign) -> None:
        self.refuse_in_property(node, "change a variable")
        amount = self.read(node.value)
        grows = isinstance(amount, Static) and isinstance(amount.object, int) and amount.object > 0
        if not isinstance(node.op, ast.Add) or not grows:
            self.refuse(
                node, "version-store", "a Version is only incremented",
                "what is kept of it is whether it changed since a look at it", "self.seq += 1",
            )  # fmt: skip
        marked = place.marked or self.atomic_depth > 0
        self.emit(Bump(place.version, marked, **self.at))
