# SPDX-License-Identifier: Apache-2.0
"""A bounded queue, first in, first out (``queue.Queue``, a Go channel with room): each operation is one step.

To model how a queue is *built* out of a lock and two condition variables, write that; this is the queue
that such code should be.
"""

from __future__ import annotations

from quiesce.primitives.base import might_sleep
from quiesce.protocol import Array, Int, Protocol, atomic, wait_until


class Queue(Protocol):
    """Whole numbers in the order in which they were put.

    :param size: how many there is room for, at least 1.
    :param low: the least number.
    :param high: the greatest number.
    """

    length: int

    def __init__(self, size: int, low: int = 0, high: int = 255) -> None:
        self.size, self.low = size, low
        self.items = Array(Int(low, low=low, high=high), size)
        # Read and written, a declared variable is the integer that it holds.
        self.length = Int(0, high=size)  # type: ignore[assignment]

    @atomic(label="queue_put")
    def put(self, item: int) -> None:
        """Sleep until there is room, and append *item*."""
        might_sleep()
        wait_until(self.length < self.size)
        self.items[self.length] = item
        self.length += 1

    @atomic(label="queue_try_put")
    def try_put(self, item: int) -> bool:
        """Append *item* if there is room; return whether there was."""
        if self.length == self.size:
            return False
        self.items[self.length] = item
        self.length += 1
        return True

    @atomic(label="queue_get")
    def get(self) -> int:
        """Sleep until the queue is not empty; remove the first number and return it."""
        might_sleep()
        wait_until(self.length > 0)
        return self._take()

    @atomic(label="queue_take")
    def _take(self) -> int:
        item = self.items[0]
        # Moving up, and clearing what is free, keeps equal queues equal states.
        for i in range(self.size - 1):
            self.items[i] = self.items[i + 1]
        self.items[self.size - 1] = self.low
        self.length -= 1
        return item

    @atomic(label="queue_length")
    def qsize(self) -> int:
        """Return how many numbers are in the queue now."""
        return self.length
