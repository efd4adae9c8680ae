# SPDX-License-Identifier: Apache-2.0
"""struct lockdep_map on its own: an annotation that looks like a lock, and that no task waits for.

``mmu_notifier_invalidate_range_start`` is one: it tells lockdep that "an invalidation callback is
running" is a context which locks depend on. No state belongs to it, so it costs no step either.
"""

from __future__ import annotations

from quiesce.primitives.base import Lock
from quiesce.protocol import acquires, atomic, releases


class LockdepMap(Lock):
    """Declares what lockdep is to be told, and does nothing else.

    :param name: the name of the class in reports.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)

    @atomic(label="lock_map_acquire")
    def lock(self) -> None:
        """Tell lockdep that the map is entered (``lock_map_acquire()``)."""
        acquires(self)

    @atomic(label="lock_map_release")
    def unlock(self) -> None:
        """Tell lockdep that the map is left (``lock_map_release()``)."""
        releases(self)
