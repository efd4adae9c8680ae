# SPDX-License-Identifier: Apache-2.0
"""spinlock_t and raw_spinlock_t.

The kernel's spinlocks queue their waiters (``kernel/locking/qspinlock.c``), hence ``queued``: a waiter
that finds the lock free again and again gets it.

With ``CONFIG_PREEMPT_RT`` a spinlock_t is a sleeping lock on top of an rt_mutex, while a
raw_spinlock_t still spins. Two things change here. Taking it in a section that must not sleep is an
error (``rt_spin_lock()`` calls ``rtlock_might_resched()``). And a holder can be preempted, which
changes nothing in a model where any thread can be slow anyway. What does *not* change: the task state
is saved across the wait (``current_save_and_set_rtlock_wait_state()``), so
``set_current_state(); spin_unlock(); schedule()`` stays right; here waiting for a lock never touches
``current().state`` in the first place.
"""

from __future__ import annotations

from quiesce.primitives.base import Lock, WaitType, might_sleep
from quiesce.protocol import Protocol, TaskRef, acquires, atomic, current, releases, wait_until


class RawSpinLock(Lock):
    """raw_spinlock_t: spins, whatever the configuration."""

    wait_type_inner: WaitType = "SPIN"
    owner = TaskRef()

    @atomic(label="raw_spin_lock", queued=True)
    def lock(self) -> None:
        """Spin until the lock is ours."""
        acquires(self)
        wait_until(self.owner is None)
        self.owner = current()

    @atomic(label="raw_spin_trylock")
    def trylock(self) -> bool:
        """Take the lock if it is free; return whether it was."""
        if self.owner is not None:
            return False
        acquires(self, trylock=True)
        self.owner = current()
        return True

    @atomic(label="raw_spin_unlock")
    def unlock(self) -> None:
        """Release the lock."""
        assert self.owner is current(), "bad unlock: the lock is not held by this thread"
        releases(self)
        self.owner = None


class SpinLock(Lock):
    """spinlock_t: spins, or sleeps with PREEMPT_RT.

    :param name: see :class:`Lock`.
    :param rt: as built with ``CONFIG_PREEMPT_RT``; see :func:`configure_preempt_rt`.
    """

    wait_type_inner: WaitType = "CONFIG"
    owner = TaskRef()

    def __init__(self, name: str = "", rt: bool = False) -> None:
        super().__init__(name)
        self.rt = rt

    @atomic(label="spin_lock", queued=True)
    def lock(self) -> None:
        """Wait until the lock is ours."""
        if self.rt:
            might_sleep()
        acquires(self)
        wait_until(self.owner is None)
        self.owner = current()

    @atomic(label="spin_trylock")
    def trylock(self) -> bool:
        """Take the lock if it is free; return whether it was."""
        if self.owner is not None:
            return False
        acquires(self, trylock=True)
        self.owner = current()
        return True

    @atomic(label="spin_unlock")
    def unlock(self) -> None:
        """Release the lock."""
        assert self.owner is current(), "bad unlock: the lock is not held by this thread"
        releases(self)
        self.owner = None


def configure_preempt_rt(component: Protocol) -> None:
    """Build *component* and all that it refers to with ``CONFIG_PREEMPT_RT``: their spinlock_t and
    rwlock_t sleep.

    Call it at the end of a scenario's constructor. Components in an ``Array`` are built later, so
    their locks are given ``rt=True`` where they are declared.
    """
    seen: set[int] = set()
    todo = [component]
    while todo:
        part = todo.pop()
        if id(part) not in seen:
            seen.add(id(part))
            if hasattr(part, "rt"):
                object.__setattr__(part, "rt", True)
            todo += [child for _, child in part.referred()]
