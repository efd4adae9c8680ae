# SPDX-License-Identifier: Apache-2.0
"""Blocking memslot updates with a fair rwsem, in forty lines: `quiesce check examples/rwsem_gate.py`.

The second version of the KVM patch: start takes the semaphore for reading, end releases it, an update
takes it for writing. A task whose invalidation nests another one takes it twice.
"""

from quiesce.primitives import RwSem
from quiesce.protocol import Protocol, Scenario, choose, sometimes, thread


class Kvm(Protocol):
    """What start, end and an update do."""

    mmu_notifier_slots_lock = RwSem()

    def invalidate_range_start(self) -> None:
        self.mmu_notifier_slots_lock.down_read()

    def invalidate_range_end(self) -> None:
        self.mmu_notifier_slots_lock.up_read()

    def install_new_memslots(self) -> None:
        self.mmu_notifier_slots_lock.down_write()
        self.mmu_notifier_slots_lock.up_write()


class NestedInvalidations(Scenario):
    """One task whose invalidations may nest, and one that updates memslots."""

    kvm = Kvm()

    @thread()
    def notifier(self) -> None:
        while True:
            self.kvm.invalidate_range_start()
            if choose(True, False):
                self.kvm.invalidate_range_start()
                self.kvm.invalidate_range_end()
            self.kvm.invalidate_range_end()

    @thread()
    def updater(self) -> None:
        while True:
            self.kvm.install_new_memslots()

    @sometimes
    def nests(self) -> bool:
        return self.kvm.mmu_notifier_slots_lock.readers == 2
