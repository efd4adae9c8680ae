# SPDX-License-Identifier: Apache-2.0
"""A condition variable, as POSIX and Python have it: release a mutex and sleep, in one step.

::

    mutex.lock()
    while not condition:
        changed.wait(mutex)
    ...
    mutex.unlock()

``signal()`` wakes one of the tasks that sleep at that time, and no task that comes later; which one,
the environment decides. A task that is woken must still acquire the mutex, and another may come first:
hence the ``while``.
"""

from __future__ import annotations

from quiesce.primitives.base import Lock, might_sleep
from quiesce.protocol import Protocol, TaskSet, atomic, choose, current, wait_until


class CondVar(Protocol):
    """The tasks that sleep until a condition may have changed.

    :param spurious: a wait may also return without a wakeup, as POSIX allows: finds an ``if`` that must be a
        ``while``.
    """

    sleepers = TaskSet()

    def __init__(self, spurious: bool = False) -> None:
        self.spurious = spurious

    def wait(self, mutex: Lock) -> None:
        """Release *mutex* and sleep until woken; return with *mutex* held again."""
        self._release_and_sleep(mutex)
        self._wake()
        mutex.lock()

    @atomic(label="cond_wait")
    def _release_and_sleep(self, mutex: Lock) -> None:
        might_sleep()
        if not self.spurious or choose(False, True):
            self.sleepers.add(current())
        mutex.unlock()

    @atomic(label="cond_wait_woken")
    def _wake(self) -> None:
        wait_until(current() not in self.sleepers)

    @atomic(label="cond_signal")
    def signal(self) -> None:
        """Wake one of the tasks that sleep; nothing if none does."""
        if self.sleepers:
            self.sleepers.discard(choose(self.sleepers))

    @atomic(label="cond_broadcast")
    def broadcast(self) -> None:
        """Wake every task that sleeps."""
        self.sleepers.clear()
