# SPDX-License-Identifier: Apache-2.0
"""Declarations of shared variables: what a protocol's state is made of.

A declaration is written as a class attribute and read and written like a plain one::

    class Counter(Protocol):
        users = Int(0, high=4)

        def enter(self) -> None:
            self.users += 1

Every variable has a finite range. Leaving it is a violation, never a silent wrap; the one exception
is :class:`Version`, whose whole meaning is "has it changed since this holder looked".

The descriptors' ``__get__``/``__set__`` exist for the type checker. At run time a component keeps
the value in its instance dictionary and checks each store (see ``component.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from quiesce.errors import UsageError
from quiesce.protocol.scalars import Int, Variable
from quiesce.protocol.thread_count import ThreadCount

if TYPE_CHECKING:
    from quiesce.protocol.component import Protocol, Task

V = TypeVar("V")
C = TypeVar("C", bound="Protocol")


LARGEST_ARRAY = 10_000

LARGEST_SET = 62
"""Members of a Set: as many bits as an integer of the explorers has to spare."""


class TaskRef(Variable["Task | None"]):
    """A task (a thread of the scenario) or None: an owner, a waiter to wake."""

    def __init__(self, *, marked: bool = False) -> None:
        super().__init__(None, marked=marked)

    def admits(self, value: object, threads: int) -> bool:
        from quiesce.protocol.component import Task

        return value is None or isinstance(value, Task)


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


class Version(Variable[int]):
    """A counter that is only ever incremented and compared with an earlier look at itself.

    Sequence counts and generations are of this kind. It never wraps and never grows the state
    space: what is stored is one bit for each holder of a snapshot, "unchanged since I looked". A
    small wrapping integer instead gives false matches.

    Allowed: ``self.seq += 1``, ``seen = self.seq``, ``self.seq == seen``, ``self.seq != seen``.
    """

    def __init__(self, *, marked: bool = False) -> None:
        super().__init__(0, marked=marked)

    def admits(self, value: object, threads: int) -> bool:
        return isinstance(value, int)


class Snapshot(Variable["int | None"]):
    """A shared place that keeps an earlier look at a :class:`Version`, or None: no look."""

    def __init__(self, *, marked: bool = False) -> None:
        super().__init__(None, marked=marked)

    def admits(self, value: object, threads: int) -> bool:
        return value is None or isinstance(value, int)


class SetValue(set[V]):
    """The run-time value of a set variable, which owns it: it is never shared.

    :param name: of the variable, once it has one; its members are then checked as they are added.
    """

    def __init__(self, items: Iterable[V] = (), name: str = "", size: int | None = None) -> None:
        super().__init__(items)
        self._name = name
        self._size = size

    def __hash__(self) -> int:  # type: ignore[override]
        raise TypeError("a Set variable cannot be kept elsewhere; copy it with an assignment")

    def add(self, item: V) -> None:
        """Add *item*, which has to be in range."""
        low_enough = self._size is None or (isinstance(item, int) and 0 <= item < self._size)
        if self._name and (item is None or not low_enough):
            raise RangeViolation(f"{self._name}.add({item!r}): out of range")
        super().add(item)


class Set(Variable[SetValue[int]]):
    """A set of integers from 0 to ``size - 1``, kept as a bit mask (*size* up to 62).

    Allowed: ``x in s``, ``s.add(x)``, ``s.discard(x)``, ``s.clear()``, ``len(s)``, ``if s``, and
    assignment from another set, ``|``, ``&`` or ``-`` of two.
    """

    if TYPE_CHECKING:

        def __set__(self, obj: object, value: set[int]) -> None: ...

    def __init__(self, size: int, initial: tuple[int, ...] = (), *, marked: bool = False) -> None:
        if not isinstance(size, int) or not 1 <= size <= LARGEST_SET:
            raise ValueError(f"Set: the size {size!r} is not in 1..{LARGEST_SET}")
        super().__init__(SetValue(initial), marked=marked)
        self.size = size
        if not self.admits(self.initial, 0):
            raise ValueError(f"Set: {initial!r} are not all in 0..{size - 1}")

    def admits(self, value: object, threads: int) -> bool:
        return isinstance(value, set) and all(
            isinstance(item, int) and 0 <= item < self.size for item in value
        )


class TaskSet(Variable[SetValue["Task"]]):
    """A set of tasks. The same operations as :class:`Set`."""

    if TYPE_CHECKING:

        def __set__(self, obj: object, value: set[Task]) -> None: ...

    def __init__(self, *, marked: bool = False) -> None:
        super().__init__(SetValue(), marked=marked)

    def admits(self, value: object, threads: int) -> bool:
        return isinstance(value, set)


class Array(Generic[V]):
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


class PerTask(Generic[V]):
    """One variable for each task, indexed by the task: ``self.waiting[current()]``.

    Arrays of this kind are renamed with the threads when symmetry exchanges identical threads.
    """

    def __init__(self, element: Variable[V]) -> None:
        _require_element("PerTask", element, component=False)
        self.element = element

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
    from quiesce.protocol.component import Protocol

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


class RangeViolation(AssertionError):
    """A variable left its declared range, or an index its array. A finding, not an error of use."""


def initial_value(declaration: Variable[Any], name: str = "") -> Any:
    """Return a value of its own for a new variable; references are resolved by the component."""
    value = declaration.initial
    if isinstance(value, set):
        return SetValue(value, name, getattr(declaration, "size", None))
    return value


def put_members(held: set[Any], value: Any) -> None:
    """Let the set variable *held* have the members of *value*: sets are values here, not objects."""
    members = list(value)
    held.clear()
    held.update(members)


def store_check(name: str, declaration: Variable[Any], value: object, threads: int) -> None:
    """Raise :class:`RangeViolation` unless *value* may be stored in the variable *name*."""
    if not declaration.admits(value, threads):
        kind = type(declaration).__name__
        extent = ""
        if isinstance(declaration, Int):
            extent = " from {} to {}".format(*declaration.bounds(threads))
        raise RangeViolation(
            f"{name} = {value!r}: not {'an' if kind in _AN else 'a'} {kind}{extent}"
        )


_AN = {"Int", "Enum"}
