# SPDX-License-Identifier: Apache-2.0
"""Where each shared variable lives: an elaborated scenario laid out as one vector of cells.

Components are numbered in preorder and their variables placed one after the other, so that the
elements of an array of components lie at a constant stride, in cells and in component numbers. A
dynamic index is then a term ``index * stride`` of an address, whatever is nested in what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quiesce.compiler.types import (
    BoolType,
    EnumType,
    IntType,
    RefType,
    SetType,
    SnapshotType,
    TaskType,
    Type,
)
from quiesce.protocol import (
    Array,
    Bool,
    Enum,
    Int,
    PerTask,
    Protocol,
    Ref,
    Scenario,
    Set,
    Snapshot,
    TaskRef,
    TaskSet,
    Version,
)
from quiesce.protocol.variables import Variable, _Threads


@dataclass(slots=True)
class Cell:
    """One shared integer.

    :param name: ``kvm.gate.mn_active_invalidate_count``
    :param initial: its value at the start.
    :param task: the number of the thread that it belongs to (a task's field, an element of a
        ``PerTask``), or -1; such cells are renamed with the threads.
    """

    name: str
    type: Type
    low: int
    high: int
    initial: int
    marked: bool
    task: int = -1


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a declared variable lies: its first cell, and how many elements it has (None: no array)."""

    base: int
    length: int | None
    per_task: bool
    type: Type
    marked: bool


@dataclass(frozen=True, slots=True)
class PlacedVersion:
    """A declared version: it has a number and no cell."""

    version: int
    marked: bool


class Layout:
    """The cells of an elaborated scenario.

    :param scenario: after ``start()``.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.threads = len(scenario.tasks)
        self.cells: list[Cell] = []
        self.versions: list[str] = []
        self.components: list[Protocol] = []
        self._numbers: dict[int, int] = {}
        self._first_cell: dict[int, int] = {}
        self._placed: dict[tuple[int, str], Placed | PlacedVersion] = {}
        for component in scenario.tree():
            self._numbers[id(component)] = len(self.components)
            self.components.append(component)
        for component in self.components:
            self._place(component)

    def number(self, component: Protocol) -> int:
        """Return the number of *component*; KeyError if it is not part of the scenario."""
        return self._numbers[id(component)]

    def contains(self, component: Protocol) -> bool:
        """Whether *component* is part of the scenario."""
        return id(component) in self._numbers

    def placed(self, component: Protocol, name: str) -> Placed | PlacedVersion:
        """Return where the variable *name* of *component* lies."""
        return self._placed[id(component), name]

    def strides(self, elements: tuple[Protocol, ...]) -> tuple[int, int]:
        """Return the cells and the components from one element of an array to the next."""
        if len(elements) < 2:
            return 0, 0
        cells = self._first_cell[id(elements[1])] - self._first_cell[id(elements[0])]
        return cells, self.number(elements[1]) - self.number(elements[0])

    def ref_type(self, component: Protocol, ref: Ref[Any]) -> RefType:
        """Return the type of references declared by *ref* on *component*."""
        elements = component.pointees(ref)
        return RefType(self.number(elements[0]), len(elements))

    def elements(self, ref: RefType) -> tuple[Protocol, ...]:
        """Return the components that a reference of this type may point to."""
        _, stride = 0, self._array_stride(ref)
        return tuple(self.components[ref.first + i * stride] for i in range(ref.length))

    def _array_stride(self, ref: RefType) -> int:
        first = self.components[ref.first]
        return sum(1 for _ in first.tree())

    def _place(self, component: Protocol) -> None:
        self._first_cell[id(component)] = len(self.cells)
        owner = self._owning_task(component)
        for name, declaration in component.declarations().items():
            if isinstance(declaration, Array | PerTask):
                if isinstance(declaration.element, Protocol):
                    continue
                self._place_array(component, name, declaration, owner)
            elif isinstance(declaration, Version):
                placed = PlacedVersion(len(self.versions), declaration.marked)
                self.versions.append(f"{component.path}.{name}".lstrip("."))
                self._placed[id(component), name] = placed
            else:
                type_ = self._type(component, declaration)
                self._placed[id(component), name] = Placed(
                    len(self.cells), None, False, type_, declaration.marked
                )
                value = encode(component.__dict__[name], type_, self)
                self._add(component, name, type_, declaration, value, owner)

    def _place_array(
        self, component: Protocol, name: str, declaration: Array[Any] | PerTask[Any], owner: int
    ) -> None:
        element = declaration.element
        assert isinstance(element, Variable)
        type_ = self._type(component, element)
        per_task = isinstance(declaration, PerTask)
        if isinstance(declaration, PerTask) or isinstance(declaration.size, _Threads):
            size = self.threads
        else:
            size = declaration.size
        self._placed[id(component), name] = Placed(
            len(self.cells), size, per_task, type_, element.marked
        )
        for i, value in enumerate(component.__dict__[name]):
            index = self.scenario.tasks[i].name if per_task else i
            task = i if per_task else owner
            self._add(
                component, f"{name}[{index}]", type_, element, encode(value, type_, self), task
            )

    def _add(
        self,
        component: Protocol,
        name: str,
        type_: Type,
        declaration: Variable[Any],
        value: int,
        task: int,
    ) -> None:
        from quiesce.compiler.types import bounds

        low, high = bounds(type_, self.threads)
        path = f"{component.path}.{name}".lstrip(".")
        self.cells.append(Cell(path, type_, low, high, value, declaration.marked, task))

    def _owning_task(self, component: Protocol) -> int:
        for task in self.scenario.tasks:
            if task is component:
                return task.tid
        return -1

    def _type(self, component: Protocol, declaration: Variable[Any]) -> Type:
        match declaration:
            case Int():
                return IntType(*declaration.bounds(self.threads))
            case Bool():
                return BoolType()
            case Enum():
                return EnumType(declaration.members)
            case TaskRef():
                return TaskType()
            case Ref():
                return self.ref_type(component, declaration)
            case Set():
                return SetType(declaration.size, False)
            case TaskSet():
                return SetType(self.threads, True)
            case Snapshot():
                return SnapshotType(-1)
        raise TypeError(f"{component.path}: {type(declaration).__name__} is not a kind of variable")


def encode(value: Any, type_: Type, layout: Layout) -> int:
    """Return the integer that stands for the run-time *value* of a variable of *type_*."""
    if value is None:
        return 0
    match type_:
        case EnumType(members=members):
            return members.index(value)
        case TaskType():
            return int(value.tid) + 1
        case RefType():
            return next(i for i, e in enumerate(layout.elements(type_), 1) if e is value)
        case SetType(of_tasks=of_tasks):
            return sum(1 << (item.tid if of_tasks else item) for item in value)
        case SnapshotType():
            return 0
    return int(value)
