# SPDX-License-Identifier: Apache-2.0
"""atomic_t: an integer whose every operation is one step (``include/linux/atomic/``).

Names are the kernel's without their prefix: ``self.users.inc_not_zero()`` is ``atomic_inc_not_zero()``.
An operation that would leave the declared range is a violation, as for any variable.
"""

from __future__ import annotations

from quiesce.protocol import Int, Protocol, atomic


class Atomic(Protocol):
    """An atomic counter or flag.

    :param initial: its value at the start.
    :param low: its least value.
    :param high: its greatest value.
    """

    counter: int

    def __init__(self, initial: int = 0, low: int = 0, high: int = 255) -> None:
        # Read and written, a declared variable is the integer that it holds.
        self.counter = Int(initial, low=low, high=high)  # type: ignore[assignment]

    @atomic(label="atomic_read")
    def read(self) -> int:
        """Return the value."""
        return self.counter

    @atomic(label="atomic_set")
    def set(self, new: int) -> None:
        """Store *new*."""
        self.counter = new

    @atomic(label="atomic_xchg")
    def xchg(self, new: int) -> int:
        """Store *new*; return what was there."""
        old = self.counter
        self.counter = new
        return old

    @atomic(label="atomic_cmpxchg")
    def cmpxchg(self, old: int, new: int) -> int:
        """Store *new* if the value is *old*; return what was there, which tells whether it was."""
        seen = self.counter
        if seen == old:
            self.counter = new
        return seen

    @atomic(label="atomic_fetch_add")
    def fetch_add(self, amount: int) -> int:
        """Add *amount*; return what was there before."""
        old = self.counter
        self.counter += amount
        return old

    @atomic(label="atomic_inc")
    def inc(self) -> None:
        """Add one."""
        self.counter += 1

    @atomic(label="atomic_dec")
    def dec(self) -> None:
        """Subtract one."""
        self.counter -= 1

    @atomic(label="atomic_inc_not_zero")
    def inc_not_zero(self) -> bool:
        """Add one unless the value is 0; return True if it was not."""
        if self.counter == 0:
            return False
        self.counter += 1
        return True

    @atomic(label="atomic_dec_and_test")
    def dec_and_test(self) -> bool:
        """Subtract one; return True if that leaves 0."""
        self.counter -= 1
        return self.counter == 0
