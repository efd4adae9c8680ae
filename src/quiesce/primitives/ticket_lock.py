# SPDX-License-Identifier: Apache-2.0
"""A ticket lock, step by step: take a number, and wait until it is called.

The kernel's spinlock until 4.2 on x86 (``arch/x86/include/asm/spinlock.h``), and still
``include/asm-generic/spinlock.h``. :class:`SpinLock` is a lock as its users see it; this one is for
questions about the lock itself.
"""

from __future__ import annotations

from quiesce.primitives.base import Lock, WaitType
from quiesce.protocol import Int, TaskRef, acquires, atomic, current, releases, wait_until


class TicketLock(Lock):
    """A spinlock that serves its waiters in the order in which they came.

    :param tickets: how many numbers there are before they begin again at 0. With fewer than there are tasks,
        two tasks hold the same number, and with it the lock.
    """

    wait_type_inner: WaitType = "SPIN"
    next: int
    now_serving: int
    holder = TaskRef()

    def __init__(self, tickets: int = 8, name: str = "") -> None:
        super().__init__(name)
        self.tickets = tickets
        # Read and written, a declared variable is the integer that it holds.
        self.next = Int(0, high=tickets - 1)  # type: ignore[assignment]
        self.now_serving = Int(0, high=tickets - 1)  # type: ignore[assignment]

    def lock(self) -> None:
        """Take a ticket, and spin until it is its turn."""
        self._spin(self._take_ticket())

    @atomic(label="ticket_take")
    def _take_ticket(self) -> int:
        ticket = self.next
        self.next = (self.next + 1) % self.tickets
        return ticket

    @atomic(label="ticket_lock")
    def _spin(self, ticket: int) -> None:
        acquires(self)
        wait_until(self.now_serving == ticket)
        self.holder = current()

    @atomic(label="ticket_trylock")
    def trylock(self) -> bool:
        """Take a ticket only if it would be its turn at once; return whether it was."""
        if self.next != self.now_serving:
            return False
        acquires(self, trylock=True)
        self.next = (self.next + 1) % self.tickets
        self.holder = current()
        return True

    @atomic(label="ticket_unlock")
    def unlock(self) -> None:
        """Call the next ticket."""
        assert self.holder is current(), "bad unlock: the lock is not held by this thread"
        releases(self)
        self.holder = None
        self.now_serving = (self.now_serving + 1) % self.tickets
