# SPDX-License-Identifier: Apache-2.0
"""What every lock has: a name, how it waits as lockdep sees it, and ``with lock:``."""

from __future__ import annotations

from typing import Literal

from quiesce.protocol import Protocol, current

MOST_NESTED = 7
"""How often one task may hold one lock for reading, or be in one read section, at a time."""

WaitType = Literal["INV", "FREE", "SPIN", "CONFIG", "SLEEP"]
"""``enum lockdep_wait_type``: not checked, never waits, always spins, spins or sleeps, sleeps."""


class Lock(Protocol):
    """Base of all locks.

    :param name: how reports call it, ``&kvm->mmu_lock``; empty: from the owner's class and the
        attribute, which is equivalent for ``class Kvm`` with an attribute ``mmu_lock``.
    """

    wait_type_inner: WaitType = "INV"
    """What may be taken inside: how a holder of this lock may wait."""
    wait_type_outer: WaitType = "INV"
    """Where it may be taken: how taking it waits. ``INV`` stands for the same as inside."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def lock(self) -> None:
        """Take the lock."""
        raise NotImplementedError

    def unlock(self) -> None:
        """Release the lock."""
        raise NotImplementedError

    def __enter__(self) -> None:
        self.lock()

    def __exit__(self, *exc: object) -> None:
        self.unlock()


def might_sleep() -> None:
    """Report a thread that may sleep here although it has promised not to (``might_sleep()``)."""
    assert current().non_block_count == 0, (
        "BUG: sleeping function called from invalid context (non_block)"
    )
