# SPDX-License-Identifier: Apache-2.0
"""A futex: an atomic word of user space, and the tasks that sleep until it changes (``futex(2)``).

``wait(expected)`` compares the word and goes to sleep in one step: that is all that the kernel
promises, and what makes it possible to build locks (Drepper, *Futexes Are Tricky*, 2011). Which
sleepers ``wake()`` wakes, the environment decides; among tasks of one priority the kernel wakes the one
that came first.
"""

from __future__ import annotations

from quiesce.primitives.atomic import Atomic
from quiesce.primitives.base import might_sleep
from quiesce.protocol import TaskSet, atomic, choose, current, wait_until


class Futex(Atomic):
    """A word with the operations of :class:`Atomic`, and its sleepers.

    :param initial: its value at the start.
    :param low: its least value.
    :param high: its greatest value.
    """

    sleepers = TaskSet()

    def wait(self, expected: int) -> bool:
        """Sleep if the word is *expected*, until woken; return whether it was (``EAGAIN`` otherwise)."""
        if not self._sleep(expected):
            return False
        self._wake_up()
        return True

    @atomic(label="futex_wait")
    def _sleep(self, expected: int) -> bool:
        might_sleep()
        if self.counter != expected:
            return False
        self.sleepers.add(current())
        return True

    @atomic(label="futex_wait_woken")
    def _wake_up(self) -> None:
        wait_until(current() not in self.sleepers)

    @atomic(label="futex_wake")
    def wake(self, count: int = 1) -> None:
        """Wake up to *count* of the tasks that sleep."""
        for _ in range(count):
            if self.sleepers:
                self.sleepers.discard(choose(self.sleepers))

    @atomic(label="futex_wake_all")
    def wake_all(self) -> None:
        """Wake every task that sleeps."""
        self.sleepers.clear()
