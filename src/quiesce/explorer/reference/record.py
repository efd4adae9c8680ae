# SPDX-License-Identifier: Apache-2.0
"""What a recorded step did: for race checks, for lockdep, and for traces."""

from __future__ import annotations

from dataclasses import dataclass, field

from quiesce.compiler.ir import Op


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """One access to shared memory: *cell* (a version is -1 minus its number)."""

    cell: int
    write: bool
    marked: bool
    op: Op


@dataclass(frozen=True, slots=True)
class LockCall:
    """What lockdep was told in a step: *component* is the lock's number."""

    action: str
    component: int
    read: int
    trylock: bool
    op: Op


@dataclass(frozen=True, slots=True)
class Seen:
    """A value in a recorded step.

    :param at: the number of the operation in the record.
    :param cell: the cell that was read or written; None: it is one of the values that traces show of the
        operation (``Begin.arguments``, ``End.results``), number *index*.
    :param old: the value that was there, or that was read.
    :param new: the value that was written; None for a read.
    """

    at: int
    cell: int | None
    old: int
    new: int | None = None
    index: int = 0


@dataclass(slots=True)
class Record:
    """What a recorded step did: its accesses, lock events and operations, in order.

    :param values: the values, too, which takes time; None: they are not kept.
    """

    accesses: list[Access] = field(default_factory=list)
    locks: list[LockCall] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    values: list[Seen] | None = None

    def copy(self) -> Record:
        """Return a record of the same things, to be kept."""
        values = None if self.values is None else list(self.values)
        return Record(list(self.accesses), list(self.locks), list(self.ops), values)

    def resume(self, earlier: Record | None) -> None:
        """Go on recording after *earlier*, or from nothing."""
        fresh = Record() if earlier is None else earlier.copy()
        self.accesses[:], self.locks[:], self.ops[:] = fresh.accesses, fresh.locks, fresh.ops
        if self.values is not None:
            self.values[:] = fresh.values or []
