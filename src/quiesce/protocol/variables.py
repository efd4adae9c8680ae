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
the value in its instance dictionary and checks each store (see ``component.py``). Declarations that know
of components or tasks are in ``arrays.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quiesce.protocol.declarations import SetValue, Variable

LARGEST_SET = 62
"""Members of a Set: as many bits as an integer of the explorers has to spare."""


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
