# SPDX-License-Identifier: Apache-2.0
"""refcount_t: an atomic counter of references that must not come back from 0 (``include/linux/refcount.h``).

Where the kernel warns and saturates (addition on 0, underflow), the assertion fails here.
"""

from __future__ import annotations

from quiesce.primitives.base import Lock
from quiesce.protocol import Int, Protocol, atomic

MOST_REFERENCES = 63
"""References that can be held at a time; the kernel saturates at ``INT_MAX``."""


class Refcount(Protocol):
    """A number of references.

    :param initial: how many there are at the start.
    """

    refs: int

    def __init__(self, initial: int = 1) -> None:
        # Read and written, a declared variable is the integer that it holds.
        self.refs = Int(initial, high=MOST_REFERENCES)  # type: ignore[assignment]

    @atomic(label="refcount_read")
    def read(self) -> int:
        """Return the number."""
        return self.refs

    @atomic(label="refcount_set")
    def set(self, number: int) -> None:
        """Store *number*: for an object that no other task can reach yet."""
        self.refs = number

    @atomic(label="refcount_inc")
    def inc(self) -> None:
        """Take a reference; the caller must hold one already."""
        assert self.refs > 0, "refcount_t: addition on 0; use-after-free"
        self.refs += 1

    @atomic(label="refcount_inc_not_zero")
    def inc_not_zero(self) -> bool:
        """Take a reference unless there is none left; return whether it was taken."""
        if self.refs == 0:
            return False
        self.refs += 1
        return True

    @atomic(label="refcount_dec_and_test")
    def dec_and_test(self) -> bool:
        """Drop a reference; return True if it was the last."""
        assert self.refs > 0, "refcount_t: underflow; use-after-free"
        self.refs -= 1
        return self.refs == 0

    @atomic(label="refcount_dec_not_one")
    def dec_not_one(self) -> bool:
        """Drop a reference unless it is the last; return whether it was dropped."""
        if self.refs == 1:
            return False
        assert self.refs > 0, "refcount_t: underflow; use-after-free"
        self.refs -= 1
        return True

    def dec_and_lock(self, lock: Lock) -> bool:
        """Drop a reference; if it is the last, return True with *lock* held (``refcount_dec_and_lock()``)."""
        if self.dec_not_one():
            return False
        lock.lock()
        if self.dec_and_test():
            return True
        lock.unlock()
        return False
