# SPDX-License-Identifier: Apache-2.0
"""The MMU notifier: how secondary MMUs hear of invalidations (``mm/mmu_notifier.c``).

Two things here make the story of the series.

*The pseudo-lock.* ``mmu_notifier_invalidate_range_start`` is a lockdep map. It is taken around the start
callbacks and again around the end callbacks, and never between (Linux commit 23b68395c7c7 "mm/mmu_notifiers:
add a lockdep map for invalidate_range_start/end"). It is an annotation, and no task ever waits for it. A
lock that is acquired in start and released in end is acquired inside the map, and the map is then entered
with the lock held: the cycle that lockdep reported for the rwsem. ``pseudo_lock_waits`` turns the map
into a mutex, to see what the report would mean if it were one.

*Failing.* A start that may not block can fail, and then its caller neither changes page tables nor
calls end. All subscribers are called even after one failed, so for those that succeeded the core
itself calls end (commit c2655835fd8c "mm/mmu_notifiers: ensure range_end() is paired with range_start()").
KVM never fails; another subscriber of the same process may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quiesce.primitives import Lock, LockdepMap, Mutex, non_block_end, non_block_start
from quiesce.protocol import Protocol, choose, known_as

if TYPE_CHECKING:
    from quiesce.kvm.vm import Kvm

MOST_NESTED = 2
"""How many invalidations one task has under way at most: it splits a huge page while it zaps."""


class MmuNotifier(Protocol):
    """The subscriptions of one process: KVM, and perhaps another driver.

    :param pseudo_lock_waits: make the pseudo-lock a real one.
    :param other_may_fail: another subscriber may refuse a non-blockable start.
    """

    invalidate_range_start_map: Lock
    kvm: Kvm

    def __init__(self, pseudo_lock_waits: bool = False, other_may_fail: bool = False) -> None:
        name = "mmu_notifier_invalidate_range_start"
        self.invalidate_range_start_map = Mutex(name) if pseudo_lock_waits else LockdepMap(name)
        self.other_may_fail = other_may_fail

    @known_as("__mmu_notifier_invalidate_range_start")
    def invalidate_range_start(self, hva: int) -> int:
        """Notify the subscribers that *hva* is about to change, and wait until they are ready.

        Returns KVM's ticket for the matching end.
        """
        with self.invalidate_range_start_map:
            return self.kvm.invalidate_range_start(hva, True)

    @known_as("__mmu_notifier_invalidate_range_end")
    def invalidate_range_end(self, hva: int, ticket: int) -> None:
        """Tell the subscribers that *hva* has changed."""
        with self.invalidate_range_start_map:
            self.kvm.invalidate_range_end(hva, True, ticket)

    @known_as("__mmu_notifier_invalidate_range_start")
    def invalidate_range_start_nonblock(self, hva: int) -> tuple[bool, int]:
        """The same without waiting; the first value tells whether it succeeded."""
        with self.invalidate_range_start_map:
            non_block_start()
            ticket = self.kvm.invalidate_range_start(hva, False)
            non_block_end()
            ok = choose(True, False) if self.other_may_fail else True
            if not ok:
                self.undo_start(hva, ticket)
        return ok, ticket

    def undo_start(self, hva: int, ticket: int) -> None:
        """Another subscriber failed: call end for those that did not."""
        self.kvm.invalidate_range_end(hva, False, ticket)

    @known_as("__mmu_notifier_invalidate_range_end")
    def invalidate_range_end_nonblock(self, hva: int, ticket: int) -> None:
        """The end that belongs to a non-blockable start."""
        with self.invalidate_range_start_map:
            non_block_start()
            self.kvm.invalidate_range_end(hva, False, ticket)
            non_block_end()
