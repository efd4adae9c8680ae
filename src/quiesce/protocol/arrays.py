# SPDX-License-Identifier: Apache-2.0
"""Declarations that know of components and tasks: arrays, references, one variable for each task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from quiesce.errors import UsageError
from quiesce.protocol.component import Protocol
from quiesce.protocol.declarations import (
    Declaration,
    RangeViolation,
    SetValue,
    V,
    Variable,
    initial_value,
    put_members,
    store_check,
)
from quiesce.protocol.task import Task
from quiesce.protocol.thread_count import ThreadCount
from quiesce.protocol.variables import Version

C = TypeVar("C", bound=Protocol)

LARGEST_ARRAY = 10_000


class TaskRef(Variable["Task | None"]):
    """A task (a thread of the scenario) or None: an owner, a waiter to wake."""

    def __init__(self, *, marked: bool = False) -> None:
        super().__init__(None, marked=marked)

    def admits(self, value: object, threads: int) -> bool:
        return value is None or isinstance(value, Task)


class TaskSet(Variable[SetValue["Task"]]):
    """A set of tasks. The same operations as :class:`Set`."""

    if TYPE_CHECKING:

        def __set__(self, obj: object, value: set[Task]) -> None: ...

    def __init__(self, *, marked: bool = False) -> None:
        super().__init__(SetValue(), marked=marked)

    def admits(self, value: object, threads: int) -> bool:
        return isinstance(value, set)


class Ref(Variable["C | None"]):
    """A reference to one of the components of an :class:`Array`, or None: a pointer.

    :param array: the array pointed into.
    :param initial: index of the element pointed to at the start; None for a null pointer.
    """

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, owner: type[object]) -> Ref[C]: ...
        @overload
        def __get__(self, obj: object, owner: type[object]) -> C: ...
        def __get__(self, obj: object | None, owner: type[object]) -> Ref[C] | C: ...

    def __init__(
        self, array: tuple[C, ...] | Array[C], initial: int | None = None, *, marked: bool = False
    ) -> None:
        super().__init__(None, marked=marked)
        self.array = array
        self.initial_index = initial

    def admits(self, value: object, threads: int) -> bool:
        if value is None:
            return True
        if isinstance(self.array, tuple):
            return any(value is element for element in self.array)
        # The declaration knows the elements' class only: which array is theirs is the owner's to say.
        return isinstance(value, type(self.array.element))

    def new_value(
        self, owner: Protocol, where: str, given: tuple[Any, ...], threads: int
    ) -> Protocol | None:
        elements = owner.pointees(self.array)
        index = self.initial_index
        if index is not None and not 0 <= index < len(elements):
            raise UsageError(
                f"{where}: a Ref to element {index} of {len(elements)}",
                f"an index from 0 to {len(elements) - 1}, or None",
            )
        return None if index is None else elements[index]


class Array(Declaration, Generic[V]):
    """A fixed array of variables or of components.

    ``Array(Int(0), 3)`` is three integers, indexed from 0. ``Array(Slot(), 2)`` is two components,
    each with variables of its own. An index out of range is a violation.

    :param element: a declaration, or a component that serves as the pattern for each element.
    :param size: number of elements, at least 1; or :data:`THREADS`.
    """

    @overload
    def __init__(self, element: Variable[V], size: int | ThreadCount) -> None: ...
    @overload
    def __init__(self, element: V, size: int | ThreadCount) -> None: ...
    def __init__(self, element: object, size: int | ThreadCount) -> None:
        _require_element("Array", element, component=True)
        known = isinstance(size, int) and 1 <= size <= LARGEST_ARRAY
        if not isinstance(size, ThreadCount) and not known:
            raise ValueError(f"Array: the size {size!r} is not in 1..{LARGEST_ARRAY}")
        self.element = element
        self.size = size

    def count(self, threads: int) -> int:
        """Return the number of elements, in a scenario of *threads* threads."""
        return self.size.of(threads) if isinstance(self.size, ThreadCount) else self.size

    @property
    def of_components(self) -> bool:
        return isinstance(self.element, Protocol)

    def new_components(self, threads: int) -> tuple[Protocol, ...]:
        if not isinstance(self.element, Protocol):
            return ()
        return Elements(self.element.fresh() for _ in range(self.count(threads)))

    def new_value(
        self, owner: Protocol, where: str, given: tuple[Any, ...], threads: int
    ) -> ArrayValue[V]:
        assert isinstance(self.element, Variable)
        return ArrayValue(where, self.element, self.count(threads), threads)

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, owner: type[object]) -> Array[V]: ...
        @overload
        def __get__(self, obj: object, owner: type[object]) -> ArrayValue[V]: ...
        def __get__(self, obj: object | None, owner: type[object]) -> Array[V] | ArrayValue[V]: ...

        # An array that is assigned in `__init__` has this type on the object, too.
        def __getitem__(self, index: int) -> V: ...
        def __setitem__(self, index: int, value: V) -> None: ...
        def __iter__(self) -> Iterator[V]: ...


class PerTask(Declaration, Generic[V]):
    """One variable for each task, indexed by the task: ``self.waiting[current()]``.

    Arrays of this kind are renamed with the threads when symmetry exchanges identical threads.
    """

    def __init__(self, element: Variable[V]) -> None:
        _require_element("PerTask", element, component=False)
        self.element = element

    def new_value(
        self, owner: Protocol, where: str, given: tuple[Any, ...], threads: int
    ) -> PerTaskValue[V]:
        return PerTaskValue(where, self.element, threads)

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, owner: type[object]) -> PerTask[V]: ...
        @overload
        def __get__(self, obj: object, owner: type[object]) -> PerTaskValue[V]: ...
        def __get__(
            self, obj: object | None, owner: type[object]
        ) -> PerTask[V] | PerTaskValue[V]: ...


@overload
def shared(declaration: Ref[C]) -> C: ...
@overload
def shared(declaration: Variable[V]) -> V: ...
@overload
def shared(declaration: Array[V]) -> ArrayValue[V]: ...
@overload
def shared(declaration: PerTask[V]) -> PerTaskValue[V]: ...
def shared(declaration: Any) -> Any:
    """Declare a variable in a constructor: ``self.hole = shared(Int(0, high=places))``.

    It returns its argument. Without it the declaration works just as well, but a type checker takes the
    attribute for the declaration instead of for its values.
    """
    return declaration


class ArrayValue(Generic[V]):
    """The run-time value of an :class:`Array` of variables: a list that checks each store."""

    def __init__(self, name: str, element: Variable[Any], size: int, threads: int) -> None:
        self._name = name
        self._element = element
        self._threads = threads
        self._items: list[V] = [initial_value(element, f"{name}[{i}]") for i in range(size)]
        if element.initials is not None:
            if len(element.initials) != size:
                raise UsageError(
                    f"{name}: {len(element.initials)} initial values for {size} elements",
                    "as many initial values as elements",
                )
            self._items = list(element.initials)

    def __getitem__(self, index: int) -> V:
        return self._items[self._checked(index)]

    def __setitem__(self, index: int, value: V) -> None:
        store_check(f"{self._name}[{index}]", self._element, value, self._threads)
        held = self._items[self._checked(index)]
        if isinstance(held, set):
            put_members(held, value)
        else:
            self._items[index] = value

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[V]:
        return iter(self._items)

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self._items):
            raise RangeViolation(f"{self._name}[{index}]: the index is not in 0..{len(self) - 1}")
        return index


class Elements(tuple[C, ...]):
    """The run-time value of an :class:`Array` of components: a tuple that is not indexed from the end."""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and not 0 <= index < len(self):
            raise RangeViolation(f"the index {index} is not in 0..{len(self) - 1}")
        return super().__getitem__(index)


class PerTaskValue(Generic[V]):
    """The run-time value of a :class:`PerTask`."""

    def __init__(self, name: str, element: Variable[Any], threads: int) -> None:
        self._values: ArrayValue[V] = ArrayValue(name, element, threads, threads)

    def __getitem__(self, task: Task) -> V:
        return self._values[task.tid]

    def __setitem__(self, task: Task, value: V) -> None:
        self._values[task.tid] = value

    def __iter__(self) -> Iterator[V]:
        return iter(self._values)


def _require_element(kind: str, element: object, *, component: bool) -> None:
    """Refuse what cannot be the element of an array."""
    if isinstance(element, Version):
        raise TypeError(f"{kind}: a Version is one counter, and cannot be an element")
    if isinstance(element, Variable) or (component and isinstance(element, Protocol)):
        return
    if isinstance(element, type):
        raise TypeError(
            f"{kind}: {element.__name__} is a class; give an instance, {element.__name__}()"
        )
    raise TypeError(
        f"{kind}: {element!r} is no declaration of a variable" + " or component" * component
    )
