# SPDX-License-Identifier: Apache-2.0
"""struct mutex: one owner, waiters sleep in a queue (``kernel/locking/mutex.c``).

A waiter at the head of the queue is handed the lock once it was passed over
(``MUTEX_FLAG_HANDOFF``), hence ``queued``.
"""

from __future__ import annotations

from quiesce.primitives.base import Lock, WaitType, might_sleep
from quiesce.protocol import TaskRef, acquires, atomic, current, releases, wait_until


class Mutex(Lock):
    """A sleeping lock with one owner; only the owner may release it."""

    wait_type_inner: WaitType = "SLEEP"
    owner = TaskRef()

    @atomic(label="mutex_lock", queued=True)
    def lock(self) -> None:
        """Sleep until the mutex is ours."""
        might_sleep()
        acquires(self)
        wait_until(self.owner is None)
        self.owner = current()

    @atomic(label="mutex_trylock")
    def trylock(self) -> bool:
        """Take the mutex if it is free; return whether it was."""
        if self.owner is not None:
            return False
        acquires(self, trylock=True)
        self.owner = current()
        return True

    @atomic(label="mutex_unlock")
    def unlock(self) -> None:
        """Release the mutex."""
        assert self.owner is current(), "bad unlock: the mutex is not held by this thread"
        releases(self)
        self.owner = None
