# SPDX-License-Identifier: Apache-2.0
"""The interrupt checks: may a lock used in interrupts wait for one that is not safe there?

Three findings, by what came last. The same class on both sides: *inconsistent state*. A new usage
of one class, with a dependency to another already known: *irq inversion*. A new dependency between
two known usages: *safe -> unsafe order*. The functions only look; :class:`Validator` reports.
"""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.lockdep.classes import LockClass, LockType
from quiesce.lockdep.held import HeldLock
from quiesce.lockdep.search import PathNode, PathSearch, linux_search
from quiesce.lockdep.usage import (
    DIRECTION,
    ENABLED_ALL,
    READ,
    USED_IN_ALL,
    WRITE_ALL,
    exclusive_bit,
    exclusive_mask,
    exclusive_pair,
    original_mask,
    strong_usage,
)


def conflicting_bit(usage: int, new_bit: int) -> int | None:
    """Return the bit of *usage* that the same class must not have together with *new_bit*.

    A new reader's bit is fine with the other direction's reader's bit; a new writer's is not.
    """
    excluded = exclusive_bit(new_bit)
    if usage >> excluded & 1:
        return excluded
    if not new_bit & READ and usage >> (excluded + READ) & 1:
        return excluded + READ
    return None


def transparent(cls: LockClass) -> bool:
    """Tell whether inversions stop at *cls*: a local_lock or an annotation is no lock to others."""
    return cls.lock_type is not LockType.NORMAL


def _usage_of(node: PathNode, search: PathSearch) -> int:
    """Return the usage of a class that matters at the end of this path.

    A reader's usage does not where the path can only come in as a recursive reader, unless a waiting
    writer blocks that reader, which Linux does not remember.
    """
    usage = node.cls.usage
    if not node.only_xr:
        return usage
    return usage & WRITE_ALL if search is linux_search else strong_usage(usage)


@dataclass(frozen=True)
class Inversion:
    """A class whose new usage contradicts that of another, which dependencies connect to it.

    :ivar forwards: the class became safe and the other is unsafe; else the reverse.
    :ivar other: the other class; its path leads back to the class itself.
    :ivar bit: the usage of the other.
    """

    forwards: bool
    other: PathNode
    bit: int


def find_inversion(search: PathSearch, hlock: HeldLock, new_bit: int) -> Inversion | None:
    """Look for an irq inversion that *new_bit*, just given to the class of *hlock*, makes.

    A class that may now be interrupted is searched backwards: no class that waits for it may be taken in
    that interrupt. A class now used in an interrupt is searched forwards.
    """
    bit = exclusive_bit(new_bit)
    mask = 1 << bit | 1 << (bit + READ)
    backwards = bool(new_bit & DIRECTION)
    other = search(
        hlock.cls,
        hlock.read != 0 if backwards else hlock.read == 2,
        lambda node: bool(_usage_of(node, search) & mask),
        backwards=backwards,
        skip=transparent,
    )
    if other is None:
        return None
    return Inversion(not backwards, other, bit if other.cls.usage >> bit & 1 else bit + READ)


@dataclass(frozen=True)
class BadOrder:
    """A new dependency that leads from an irq-safe class to an irq-unsafe one.

    :ivar safe: a class before the dependency; its path leads to the lock held.
    :ivar unsafe: a class after it; its path leads to the lock to be acquired.
    """

    safe: PathNode
    unsafe: PathNode
    safe_bit: int
    unsafe_bit: int


def find_bad_order(search: PathSearch, prev: HeldLock, next_lock: HeldLock) -> BadOrder | None:
    """Look for a safe -> unsafe order that the dependency *prev* -> *next_lock* makes."""
    gathered = 0

    def gather(node: PathNode) -> bool:
        nonlocal gathered
        gathered |= _usage_of(node, search)
        return False

    held_as_reader = prev.read != 0
    search(prev.cls, held_as_reader, gather, backwards=True, skip=transparent)
    gathered &= USED_IN_ALL
    if not gathered:
        return None

    forbidden = exclusive_mask(gathered)
    unsafe = search(
        next_lock.cls,
        next_lock.read == 2,
        lambda node: bool(_usage_of(node, search) & forbidden),
        skip=transparent,
    )
    if unsafe is None:
        return None

    # Only what may be interrupted: the unsafe class can itself be used in some other interrupt.
    wanted = original_mask(unsafe.cls.usage & ENABLED_ALL)
    safe = search(
        prev.cls,
        held_as_reader,
        lambda node: bool(_usage_of(node, search) & wanted),
        backwards=True,
        skip=transparent,
    )
    if safe is None:
        return None
    pair = exclusive_pair(safe.cls.usage, unsafe.cls.usage)
    if pair is None:
        return None
    return BadOrder(safe, unsafe, *pair)
