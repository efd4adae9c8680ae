# SPDX-License-Identifier: Apache-2.0
"""Declarations of single values: integers, booleans, members of enums. ``variables.py`` has the others."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, TypeVar, overload

from quiesce.protocol.declarations import Variable
from quiesce.protocol.thread_count import ThreadCount

E = TypeVar("E", bound=enum.Enum)

DEFAULT_HIGH = 255
"""The greatest value of an ``Int`` that says nothing else."""


def _each(kind: str, initial: Any) -> tuple[Any, ...] | None:
    """Return the initial values of an array's elements; None if *initial* is one value for all.

    :raises ValueError: there are none.
    """
    if not isinstance(initial, list | tuple):
        return None
    if not initial:
        raise ValueError(f"{kind}: a list of initial values must have one for each element")
    return tuple(initial)


class Int(Variable[int]):
    """An integer from *low* to *high*, both included (0 to 255 by default)."""

    begins_as_assigned = True

    def __init__(
        self,
        initial: int | Sequence[int] = 0,
        low: int = 0,
        high: int | ThreadCount = DEFAULT_HIGH,
        *,
        marked: bool = False,
    ) -> None:
        initials = _each("Int", initial)
        values: Sequence[Any] = [initial] if initials is None else initials
        for bound in (*values, low, *([] if isinstance(high, ThreadCount) else [high])):
            if not isinstance(bound, int):
                raise TypeError(f"Int: {bound!r} is not an integer")
        for value in values:
            if not isinstance(high, ThreadCount) and not low <= value <= high:
                raise ValueError(f"Int: the initial value {value} is not in {low}..{high}")
        super().__init__(values[0], marked=marked, initials=initials)
        self.low = low
        self.high = high

    def bounds(self, threads: int) -> tuple[int, int]:
        """Return (low, high), both included."""
        return self.low, self.high.of(threads) if isinstance(self.high, ThreadCount) else self.high

    def extent(self, threads: int) -> str:
        return " from {} to {}".format(*self.bounds(threads))

    def admits(self, value: object, threads: int) -> bool:
        low, high = self.bounds(threads)
        return isinstance(value, int) and low <= value <= high


class Bool(Variable[bool]):
    """True or False."""

    begins_as_assigned = True

    def __init__(self, initial: bool | Sequence[bool] = False, *, marked: bool = False) -> None:
        initials = _each("Bool", initial)
        values: Sequence[Any] = [initial] if initials is None else initials
        for value in values:
            if not isinstance(value, bool):
                raise TypeError(f"Bool: {value!r} is neither True nor False")
        super().__init__(values[0], marked=marked, initials=initials)

    def admits(self, value: object, threads: int) -> bool:
        return isinstance(value, bool)


class Enum(Variable[E]):
    """A member of a Python :class:`enum.Enum`, the class of *initial*."""

    begins_as_assigned = True

    @overload
    def __init__(self, initial: E, *, marked: bool = False) -> None: ...
    @overload
    def __init__(self, initial: list[E], *, marked: bool = False) -> None: ...
    def __init__(self, initial: Any, *, marked: bool = False) -> None:
        initials = _each("Enum", initial)
        values: Sequence[Any] = [initial] if initials is None else initials
        for value in values:
            if not isinstance(value, enum.Enum) or type(value) is not type(values[0]):
                raise TypeError(
                    f"Enum: {value!r} is not a member; give the initial one, State.IDLE"
                )
        super().__init__(values[0], marked=marked, initials=initials)
        kind: Any = type(values[0])
        self.members: tuple[E, ...] = tuple(kind)

    def admits(self, value: object, threads: int) -> bool:
        return value in self.members
