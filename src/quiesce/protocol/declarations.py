# SPDX-License-Identifier: Apache-2.0
"""What a component knows of the variables that are declared on it.

A component keeps the value of each in its instance dictionary and checks each store. Its declaration says how
the value begins and what it may be, so that :mod:`~quiesce.protocol.component` knows no kind of variable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from quiesce.errors import UsageError

V = TypeVar("V")


class Declaration(ABC):
    """A declaration on a component: of a variable, of an array, of one variable for each task.

    :cvar begins_as_assigned: True if the constructor may assign the value that it begins with.
    """

    begins_as_assigned: ClassVar[bool] = False

    @property
    def of_components(self) -> bool:
        """True if it declares components, which have variables of their own."""
        return False

    def new_components(self, threads: int) -> tuple[Any, ...]:
        """Return the components that it declares, for a scenario of *threads* threads."""
        return ()

    @abstractmethod
    def new_value(self, owner: Any, where: str, given: tuple[Any, ...], threads: int) -> Any:
        """Return the value at the start.

        :param owner: the component that it is declared on.
        :param where: the path of the variable, for errors.
        :param given: the value that the constructor assigned, if it did.
        :raises UsageError: there is no such value.
        """


class Variable(Declaration, Generic[V]):
    """Base of the declarations of one variable each.

    :param marked: every access is marked (``READ_ONCE``/``WRITE_ONCE``, ``atomic_t``): it is never
        one half of a data race and always a step of its own.
    """

    def __init__(
        self, initial: V, *, marked: bool = False, initials: tuple[V, ...] | None = None
    ) -> None:
        self.initial = initial
        self.marked = marked
        self.initials = initials
        """For the elements of an array, the initial value of each; None: they all begin alike."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, owner: type[object]) -> Variable[V]: ...
        @overload
        def __get__(self, obj: object, owner: type[object]) -> V: ...
        def __get__(self, obj: object | None, owner: type[object]) -> Variable[V] | V: ...
        def __set__(self, obj: object, value: V) -> None: ...

    @abstractmethod
    def admits(self, value: object, threads: int) -> bool:
        """Whether *value* is in range, for a scenario of *threads* threads."""

    def extent(self, threads: int) -> str:
        """Return the words for the range of values, with a space in front; empty if there is none."""
        return ""

    def new_value(self, owner: Any, where: str, given: tuple[Any, ...], threads: int) -> Any:
        if self.initials is not None:
            raise UsageError(
                f"{where}: {len(self.initials)} initial values for one variable",
                f"Array({type(self).__name__}([...]), {len(self.initials)})",
            )
        (value,) = given or (initial_value(self, where),)
        try:
            store_check(where, self, value, threads)
        except RangeViolation as error:
            raise UsageError(str(error), "an initial value that is in range") from error
        return value


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
        extent = declaration.extent(threads)
        raise RangeViolation(
            f"{name} = {value!r}: not {'an' if kind in _AN else 'a'} {kind}{extent}"
        )


_AN = {"Int", "Enum"}
