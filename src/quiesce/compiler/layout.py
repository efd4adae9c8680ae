# SPDX-License-Identifier: Apache-2.0
"""Where each shared variable lives: an elaborated scenario laid out as one vector of cells.

Components are numbered in preorder and their variables placed one after the other, so that the
elements of an array of components lie at a constant stride, in cells and in component numbers. A
dynamic index is then a term ``index * stride`` of an address, whatever is nested in what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quiesce.compiler.ir import Address, Term
from quiesce.compiler.types import (
    BoolType,
    EnumType,
    IntType,
    RefType,
    SetType,
    SnapshotType,
    TaskType,
    Type,
    bounds,
)
from quiesce.errors import UsageError
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
from quiesce.protocol.declarations import Variable
from quiesce.protocol.thread_count import ThreadCount
from quiesce.protocol.variables import LARGEST_SET


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
        self._pointees: dict[RefType, tuple[Protocol, ...]] = {}
        for component in scenario.tree():
            self._numbers[id(component)] = len(self.components)
            self.components.append(component)
        for component in self.components:
            self._place(component)
        for component in self.components:
            self._check_pointees(component)

    def _check_pointees(self, component: Protocol) -> None:
        """Refuse a Ref into components that are built differently."""
        for name, declaration in component.declarations().items():
            ref: object = declaration
            if isinstance(declaration, Array | PerTask):
                ref = declaration.element
            if isinstance(ref, Ref) and not self.is_uniform(component.pointees(ref.array)):
                raise UsageError(
                    f"{component.path}.{name}: a Ref points into components of one class, built alike",
                    "declare `Array(Component(), n)`, and `Ref` that array",
                )

    def number(self, component: Protocol) -> int:
        """Return the number of *component*; KeyError if it is not part of the scenario."""
        return self._numbers[id(component)]

    def contains(self, component: Protocol) -> bool:
        """Whether *component* is part of the scenario."""
        return id(component) in self._numbers

    def is_placed(self, component: Protocol, name: str) -> bool:
        """Whether the variable *name* of *component* has a place; an array of components has none."""
        return (id(component), name) in self._placed

    def placed(self, component: Protocol, name: str) -> Placed | PlacedVersion:
        """Return where the variable *name* of *component* lies."""
        return self._placed[id(component), name]

    def strides(self, elements: tuple[Protocol, ...]) -> tuple[int, int]:
        """Return the cells and the components from one element of an array to the next."""
        if len(elements) < 2:
            return 0, 0
        cells = self._first_cell[id(elements[1])] - self._first_cell[id(elements[0])]
        return cells, self.number(elements[1]) - self.number(elements[0])

    def is_uniform(self, elements: tuple[object, ...]) -> bool:
        """Return whether a dynamic index can choose one of *elements*: built alike, and evenly spaced."""
        if not all(isinstance(e, Protocol) and self.contains(e) for e in elements):
            return False
        components = tuple(e for e in elements if isinstance(e, Protocol))
        if len({self._shape(c) for c in components}) > 1:
            return False
        cells, numbers = self.strides(components)
        first, number = self._first_cell[id(components[0])], self.number(components[0])
        return all(
            self._first_cell[id(c)] == first + i * cells and self.number(c) == number + i * numbers
            for i, c in enumerate(components)
        )

    def _shape(self, component: Protocol) -> tuple[object, ...]:
        """Return what has to agree for two components to be elements of one array."""
        found: list[object] = []
        start = self._first_cell[id(component)]
        for part in component.tree():
            found.append(type(part))
            for name in part.declarations():
                placed = self._placed.get((id(part), name))
                if isinstance(placed, Placed):
                    limits = bounds(placed.type, self.threads)
                    found.append((name, placed.base - start, placed.length, placed.marked, limits))
        return tuple(found)

    def chosen(self, component: Protocol, terms: tuple[Term, ...]) -> list[Protocol]:
        """Return every component that *component* with *terms* may stand for, the last index fastest."""
        numbers = [self.number(component)]
        for term in terms:
            numbers = [n + i * term.component_stride for n in numbers for i in range(term.length)]
        return [self.components[n] for n in numbers]

    def component_address(self, component: Protocol, terms: tuple[Term, ...]) -> Address:
        """Return the number of *component* with *terms* as an address in the space of components."""
        renumbered = tuple(
            Term(t.index, t.length, t.component_stride, t.component_stride, t.deref) for t in terms
        )
        return Address(self.number(component), renumbered)

    def first_cell(self, component: Protocol) -> int:
        """Return the number of the first cell of *component*."""
        return self._first_cell[id(component)]

    def ref_type(self, component: Protocol, ref: Ref[Any]) -> RefType:
        """Return the type of references declared by *ref* on *component*."""
        elements = component.pointees(ref.array)
        if not elements or not all(self.contains(e) for e in elements):
            raise UsageError(
                f"a Ref of {component.path or type(component).__name__} points to components that are not "
                "part of the scenario",
                "make them an `Array(Component(), n)`, or a tuple in an attribute, of a component in it",
            )
        return self.array_type(elements)

    def array_type(self, elements: tuple[Protocol, ...]) -> RefType:
        """Return the type of references to *elements*."""
        type_ = RefType(self.number(elements[0]), len(elements))
        self._pointees[type_] = elements
        return type_

    def elements(self, ref: RefType) -> tuple[Protocol, ...]:
        """Return the components that a reference of this type may point to."""
        return self._pointees[ref]

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
            elif isinstance(declaration, Variable):
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
        if isinstance(declaration, PerTask):
            size = self.threads
        elif isinstance(declaration.size, ThreadCount):
            size = declaration.size.of(self.threads)
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
                if self.threads > LARGEST_SET:
                    raise UsageError(
                        f"{component.path or type(component).__name__}: a TaskSet has room for {LARGEST_SET} "
                        f"tasks, and the scenario has {self.threads} threads",
                        "fewer threads",
                    )
                return SetType(self.threads, True)
            case Snapshot():
                return SnapshotType(-1)
        raise UsageError(
            f"{component.path or type(component).__name__}: {type(declaration).__name__} is not a kind of "
            "variable, or cannot be an element",
            "Int, Bool, Enum, TaskRef, Ref, Set, TaskSet, Snapshot",
        )


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
