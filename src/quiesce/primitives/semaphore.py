# SPDX-License-Identifier: Apache-2.0
"""struct semaphore: so many holders at a time; any task may release (``kernel/locking/semaphore.c``).

``up()`` hands the semaphore to the first task that waits, hence ``queued``. A semaphore has no owner,
so lockdep does not track it: what waits for what is seen only by exploring.
"""

from __future__ import annotations

from quiesce.primitives.base import might_sleep
from quiesce.protocol import Int, Protocol, atomic, wait_until

MOST_HOLDERS = 63
"""The greatest count that a semaphore can reach; the kernel's is that of an unsigned int."""


class Semaphore(Protocol):
    """A counting semaphore. ``with semaphore:`` holds it.

    :param count: how many tasks may hold it, 0 to ``MOST_HOLDERS``.
    """

    count: int

    def __init__(self, count: int = 1) -> None:
        # Read and written, a declared variable is the integer that it holds.
        self.count = Int(count, high=MOST_HOLDERS)  # type: ignore[assignment]

    @atomic(label="down", queued=True)
    def down(self) -> None:
        """Sleep until the semaphore can be taken, and take it."""
        might_sleep()
        wait_until(self.count > 0)
        self.count -= 1

    @atomic(label="down_trylock")
    def down_trylock(self) -> bool:
        """Take the semaphore if that is possible now; return whether it was. (The kernel returns 0 then.)"""
        if self.count == 0:
            return False
        self.count -= 1
        return True

    @atomic(label="up")
    def up(self) -> None:
        """Release the semaphore."""
        self.count += 1

    def __enter__(self) -> None:
        self.down()

    def __exit__(self, *exc: object) -> None:
        self.up()
