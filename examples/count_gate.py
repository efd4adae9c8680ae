# SPDX-License-Identifier: Apache-2.0
"""The merged design, without the rest of KVM: `quiesce check examples/count_gate.py --all`.

A count of invalidations under a spinlock, and an updater that sleeps until it is zero (Linux commit
52ac8b358b0c). No deadlock; but new invalidations can keep the count from ever being zero when the
updater looks, and that is found, too. With `--set rounds=1` every notifier comes once and it holds.
"""

from quiesce.primitives import RcuWait, SpinLock, schedule, set_current_state
from quiesce.protocol import (
    TASK_UNINTERRUPTIBLE,
    THREADS,
    Bool,
    Int,
    Protocol,
    Scenario,
    always,
    eventually,
    thread,
)


class Kvm(Protocol):
    """The fields of ``struct kvm`` that the patch added, and its three functions."""

    mn_invalidate_lock = SpinLock()
    mn_active_invalidate_count = Int(0, high=THREADS)
    mn_memslots_update_rcuwait = RcuWait()
    installing = Bool()

    def invalidate_range_start(self) -> None:
        with self.mn_invalidate_lock:
            self.mn_active_invalidate_count += 1

    def invalidate_range_end(self) -> None:
        with self.mn_invalidate_lock:
            self.mn_active_invalidate_count -= 1
            wake = self.mn_active_invalidate_count == 0
        if wake:
            self.mn_memslots_update_rcuwait.wake_up()

    def install_new_memslots(self) -> None:
        with self.mn_invalidate_lock:
            self.mn_memslots_update_rcuwait.prepare_to_rcuwait()
            while self.mn_active_invalidate_count:
                set_current_state(TASK_UNINTERRUPTIBLE)
                self.mn_invalidate_lock.unlock()
                schedule()
                self.mn_invalidate_lock.lock()
            self.mn_memslots_update_rcuwait.finish_rcuwait()
            self.installing = True
            self.installing = False


class Updates(Scenario):
    """Some notifiers, each forever or for some rounds, and one updater."""

    kvm = Kvm()

    def __init__(self, notifiers: int = 2, rounds: int = 0) -> None:
        self.notifiers = notifiers
        self.rounds = rounds

    @thread("notifiers")
    def notifier(self) -> None:
        if self.rounds == 0:
            while True:
                self.invalidate()
        for _ in range(self.rounds):
            self.invalidate()

    def invalidate(self) -> None:
        self.kvm.invalidate_range_start()
        self.kvm.invalidate_range_end()

    @thread()
    def updater(self) -> None:
        self.kvm.install_new_memslots()

    @always
    def nobody_is_inside(self) -> bool:
        """While the new memslots are installed, no invalidation is between start and end."""
        return not self.kvm.installing or self.kvm.mn_active_invalidate_count == 0

    @eventually()
    def update_finishes(self) -> bool:
        return self.updater_is_done()

    def updater_is_done(self) -> bool:
        return self.kvm.mn_memslots_update_rcuwait.task is None
