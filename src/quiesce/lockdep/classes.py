# SPDX-License-Identifier: Apache-2.0
"""Lock classes, the instances that belong to them, and the dependencies between them.

lockdep reasons about classes, not about locks: every ``mutex_init(&kvm->slots_lock)`` of the kernel
shares the class of that line of code. A lock *instance* (``struct lockdep_map``) finds its class by
its key and the subclass it is taken with.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum

from quiesce.lockdep.frames import Frame
from quiesce.lockdep.usage import USED_READ

MAX_SUBCLASSES = 8

STATIC_OBJECTS = 0xFFFFFFFF82000000
HEAP_OBJECTS = 0xFFFF888000000000


class WaitType(Enum):
    """How a lock waits; the order is that of strictness (``enum lockdep_wait_type``)."""

    INV = "INV"
    """Not checked: lock maps, SRCU, sequence counts."""
    FREE = "FREE"
    """Never waits: RCU."""
    SPIN = "SPIN"
    """Always spins: raw_spinlock_t."""
    CONFIG = "CONFIG"
    """Spins, except on PREEMPT_RT, where it sleeps: spinlock_t, rwlock_t, local_lock_t."""
    SLEEP = "SLEEP"
    """Sleeps: mutex, rwsem."""
    MAX = "MAX"
    """No lock: what a plain task may take."""


def wait_numbers(raw_nesting: bool) -> dict[WaitType, int]:
    """Return the numbers that reports print.

    :param raw_nesting: CONFIG_PROVE_RAW_LOCK_NESTING, the default since 6.13; without it SPIN and
        CONFIG are one, so that a spinlock_t may be taken under a raw_spinlock_t.
    """
    order = [WaitType.INV, WaitType.FREE, WaitType.SPIN, WaitType.SLEEP, WaitType.MAX]
    if raw_nesting:
        order.insert(3, WaitType.CONFIG)
    numbers = {wait_type: number for number, wait_type in enumerate(order)}
    numbers.setdefault(WaitType.CONFIG, numbers[WaitType.SPIN])
    return numbers


class LockType(Enum):
    """What a class is to the interrupt and wait checks (``enum lockdep_lock_type``)."""

    NORMAL = "NORMAL"
    PERCPU = "PERCPU"
    """local_lock_t: protects against its own CPU only, so interrupt inversions stop at it."""
    WAIT_OVERRIDE = "WAIT_OVERRIDE"
    """An annotation that replaces the wait context instead of narrowing it."""


@dataclass(frozen=True, eq=False)
class LockClassKey:
    """``struct lock_class_key``: stands for one class by its identity.

    :param symbol: what reports print as the key's own symbol, for example ``__key.42``.
    """

    symbol: str = "__key.0"


LOCKDEP_NO_VALIDATE = LockClassKey("__lockdep_no_validate__")
"""Locks with this key are held but never checked."""
LOCKDEP_NO_TRACK = LockClassKey("__lockdep_no_track__")
"""Locks with this key are ignored altogether."""


class LockClass:
    """One class: its usage, its dependencies, and what is reachable from it."""

    __slots__ = (
        "after",
        "ancestors",
        "before",
        "bit",
        "cmp_fn",
        "index",
        "key",
        "linux_after",
        "linux_before",
        "lock_type",
        "name",
        "name_version",
        "print_fn",
        "reach",
        "subclass",
        "usage",
        "usage_traces",
        "wait_inner",
        "wait_outer",
    )

    def __init__(self, index: int, lock: LockdepMap, subclass: int, name_version: int) -> None:
        self.index = index
        self.bit = 1 << index
        self.key = lock.key
        self.subclass = subclass
        self.name = lock.name
        self.name_version = name_version
        self.wait_inner = lock.wait_inner
        self.wait_outer = lock.wait_outer
        self.lock_type = lock.lock_type
        self.cmp_fn: Callable[[LockdepMap, LockdepMap], int] | None = None
        self.print_fn: Callable[[LockdepMap], str] | None = None
        self.usage = 0
        self.usage_traces: list[tuple[Frame, ...]] = [()] * (USED_READ + 1)
        # Every dependency, by the class at its far end; and those that Linux has recorded, in the
        # order in which it did, which decides the path that its search finds first.
        self.after: dict[LockClass, Dependency] = {}
        self.before: dict[LockClass, Dependency] = {}
        self.linux_after: list[Dependency] = []
        self.linux_before: list[Dependency] = []
        # Bit sets of class indices: classes that some path leads to, and that lead here.
        self.reach = 0
        self.ancestors = 0

    def __repr__(self) -> str:
        return f"<LockClass {self.short_name}>"

    @property
    def short_name(self) -> str:
        """The name with its version (from the second of that name on) and its subclass."""
        version = f"#{self.name_version}" if self.name_version > 1 else ""
        return self.name + version + (f"/{self.subclass}" if self.subclass else "")


class LockdepMap:
    """One lock (``struct lockdep_map``). Made by :meth:`Validator.lock`."""

    __slots__ = (
        "address",
        "class_cache",
        "key",
        "lock_type",
        "name",
        "wait_inner",
        "wait_outer",
    )

    def __init__(
        self,
        key: Hashable | None,
        name: str,
        wait_inner: int,
        wait_outer: int,
        lock_type: LockType,
        address: int,
    ) -> None:
        self.key = key
        self.name = name
        self.wait_inner = wait_inner
        self.wait_outer = wait_outer
        self.lock_type = lock_type
        self.address = address
        self.class_cache: list[LockClass | None] = [None] * MAX_SUBCLASSES

    def __repr__(self) -> str:
        return f"<LockdepMap {self.name}>"


class Dependency:
    """``near -> far``: *far* was waited for with *near* held (``struct lock_list``).

    :ivar dep: kinds seen, a mask of SR, ER, SN, EN (see :mod:`quiesce.lockdep.search`).
    :ivar linux_dep: the part of *dep* that Linux has recorded too.
    :ivar trace: where the second lock was taken.
    """

    __slots__ = ("dep", "far", "linux_dep", "near", "trace")

    def __init__(self, near: LockClass, far: LockClass, trace: tuple[Frame, ...]) -> None:
        self.near = near
        self.far = far
        self.trace = trace
        self.dep = 0
        self.linux_dep = 0
