# SPDX-License-Identifier: Apache-2.0
"""Which invalidations are under way, as the properties need to know it. The protocol never reads this."""

from __future__ import annotations

from quiesce.kvm.mmu_notifier import MOST_NESTED
from quiesce.protocol import THREADS, Array, Bool, Int, PerTask, Protocol, current, shared


class Ledger(Protocol):
    """Every start and every end of KVM's notifier is entered here.

    :param hvas: how many hvas can be invalidated.
    """

    took_lock = Int(0, high=MOST_NESTED * THREADS)
    """How many of the invalidations under way have taken ``mmu_lock`` in start."""
    decisions_agree = Bool(True)
    """Every end so far has decided on ``mmu_lock`` as its start did."""
    starts = PerTask(Int(0, high=2**MOST_NESTED - 1))
    """What the starts of each task have decided, a bit for each, the latest start lowest."""

    def __init__(self, hvas: int) -> None:
        self.under_way = shared(Array(Int(0, high=MOST_NESTED * THREADS), hvas))

    def start(self, hva: int, locked: bool) -> None:
        """The running task's start has decided on ``mmu_lock``."""
        self.under_way[hva] += 1
        self.starts[current()] = 2 * self.starts[current()] + (1 if locked else 0)
        if locked:
            self.took_lock += 1

    def end(self, hva: int, locked: bool) -> None:
        """The end that belongs to the running task's latest start has decided."""
        assert self.under_way[hva] > 0, "an invalidation ends that has not started"
        self.under_way[hva] -= 1
        started_locked = self.starts[current()] % 2 == 1
        self.starts[current()] = self.starts[current()] // 2
        if started_locked:
            self.took_lock -= 1
        if started_locked != locked:
            self.decisions_agree = False
