# SPDX-License-Identifier: Apache-2.0
"""The MCS lock, step by step: waiters form a list, and each spins on a node of its own.

J. M. Mellor-Crummey and M. L. Scott, ACM TOCS 9(1), 1991; the kernel's is
``kernel/locking/mcs_spinlock.h``, which queues the waiters of qspinlock, mutex and rwsem.
:class:`SpinLock` is a lock as its users see it; this one is for questions about the lock itself. A
task's node is in the lock, so it can wait in several.
"""

from __future__ import annotations

from quiesce.primitives.base import Lock, WaitType
from quiesce.protocol import (
    Bool,
    PerTask,
    Task,
    TaskRef,
    acquires,
    atomic,
    current,
    releases,
    wait_until,
)


class McsLock(Lock):
    """A spinlock whose waiters queue in a list."""

    wait_type_inner: WaitType = "SPIN"
    tail = TaskRef()
    """The task that came last."""
    next = PerTask(TaskRef())
    """Of each task's node: the task behind it."""
    locked = PerTask(Bool())
    """Of each task's node: the task ahead has handed the lock over."""

    def lock(self) -> None:
        """Queue, and spin until the task ahead hands the lock over."""
        ahead = self._swap_tail()
        if ahead is not None:
            self._link(ahead)
            self._spin()

    @atomic(label="mcs_xchg_tail")
    def _swap_tail(self) -> Task | None:
        # The node is written before it can be reached: no task sees the difference.
        self.next[current()] = None
        self.locked[current()] = False
        ahead = self.tail
        self.tail = current()
        if ahead is None:
            acquires(self)
        return ahead

    @atomic(label="mcs_link")
    def _link(self, ahead: Task) -> None:
        self.next[ahead] = current()

    @atomic(label="mcs_spin_lock")
    def _spin(self) -> None:
        acquires(self)
        wait_until(self.locked[current()])

    def unlock(self) -> None:
        """Hand the lock to the task behind; if there is none, leave the lock free."""
        if not self._has_next() and self._swap_out():
            return
        self._hand_over()

    @atomic(label="mcs_next")
    def _has_next(self) -> bool:
        return self.next[current()] is not None

    @atomic(label="mcs_cmpxchg_tail")
    def _swap_out(self) -> bool:
        if self.tail is not current():
            return False
        releases(self)
        self.tail = None
        return True

    @atomic(label="mcs_spin_unlock")
    def _hand_over(self) -> None:
        # A task that has queued and not linked itself yet is about to.
        behind = self.next[current()]
        wait_until(behind is not None)
        releases(self)
        if behind is not None:
            self.locked[behind] = True
