# SPDX-License-Identifier: Apache-2.0
"""Bugs in the memslot update. ``table.py`` says what each one does."""

from __future__ import annotations

from quiesce.kvm.memslots import INVALID, AddressSpace, Change
from quiesce.kvm.mmio import MmioSpte
from quiesce.kvm.vm import Kvm
from quiesce.primitives import Mutex
from quiesce.protocol import atomic


class NoMutex(Mutex):
    def lock(self) -> None:
        pass

    def unlock(self) -> None:
        pass


class SlotsLockNotTaken(Kvm):
    slots_lock = NoMutex("&kvm->slots_lock")


class GracePeriodSkipped(Kvm):
    def swap_active_memslots(self, space: AddressSpace) -> None:
        slots = space.get_inactive_memslots()
        self.gate.publish(space, slots)
        self.slots_arch_lock.unlock()
        self.update_at_once(space)

    @atomic(label="kvm_arch_memslots_updated")
    def update_at_once(self, space: AddressSpace) -> None:
        self.memslots_updated(space)


class ChangedInOneSwap(Kvm):
    def set_memslot(self, space: AddressSpace, change: Change, log_dirty: bool) -> None:
        self.replace_memslot(space, change, log_dirty)
        self.swap_active_memslots(space)
        self.flush_shadow_memslot(space)


class TranslationsNotFlushed(Kvm):
    def invalidate_memslot(self, space: AddressSpace) -> None:
        self.replace_by_invalid(space)
        self.swap_active_memslots(space)


class FlushedBeforeGracePeriod(Kvm):
    def invalidate_memslot(self, space: AddressSpace) -> None:
        self.replace_by_invalid(space)
        slots = space.get_inactive_memslots()
        self.gate.publish(space, slots)
        self.slots_arch_lock.unlock()
        self.flush_shadow_memslot(space)
        self.srcu.begin_grace_period()
        self.end_grace_period(space)


class ArchLockAcrossGracePeriod(Kvm):
    def swap_active_memslots(self, space: AddressSpace) -> None:
        slots = space.get_inactive_memslots()
        self.gate.publish(space, slots)
        self.srcu.begin_grace_period()
        self.end_grace_period(space)
        self.slots_arch_lock.unlock()


class ArchLockDroppedEarly(Kvm):
    @atomic(label="kvm_replace_memslot", queued=True)
    def replace_memslot(self, space: AddressSpace, change: Change, log_dirty: bool) -> None:
        self.slots_arch_lock.lock()
        self.prepare_memory_region(space, change, log_dirty)
        self.slots_arch_lock.unlock()

    def swap_active_memslots(self, space: AddressSpace) -> None:
        slots = space.get_inactive_memslots()
        self.gate.publish(space, slots)
        self.srcu.begin_grace_period()
        self.end_grace_period(space)

    @atomic(label="kvm_replace_memslot", queued=True)
    def replace_by_invalid(self, space: AddressSpace) -> None:
        self.slots_arch_lock.lock()
        new = space.get_inactive_memslots()
        self.copy_memslots(new, space.active)
        new.slot = INVALID
        self.slots_arch_lock.unlock()


class GenerationNotChanged(Kvm):
    def memslots_updated(self, space: AddressSpace) -> None:
        self.clear(space.get_inactive_memslots())
        space.update_in_progress = False


class GenerationChangedEarly(Kvm):
    def swap_active_memslots(self, space: AddressSpace) -> None:
        slots = space.get_inactive_memslots()
        self.gate.publish(space, slots)
        self.slots_arch_lock.unlock()
        self.srcu.begin_grace_period()
        self.change_generation(space)
        self.end_grace_period(space)

    @atomic(label="slots->generation")
    def change_generation(self, space: AddressSpace) -> None:
        space.generation += 1

    def memslots_updated(self, space: AddressSpace) -> None:
        self.clear(space.get_inactive_memslots())
        space.update_in_progress = False


class UpdateBitIgnored(MmioSpte):
    def check_mmio_spte(self) -> bool:
        return self.generation == self.spte.space.generation


class FlagsNotChanged(Kvm):
    @atomic(label="mutex_lock(&kvm->slots_arch_lock); kvm_replace_memslot()", queued=True)
    def replace_memslot(self, space: AddressSpace, change: Change, log_dirty: bool) -> None:
        self.slots_arch_lock.lock()
        self.prepare_memory_region(space, change, space.active.log_dirty)


class WriteAccessKept(Kvm):
    @atomic(label="kvm_arch_commit_memory_region")
    def commit_memory_region(self, space: AddressSpace, change: Change) -> None:
        assert self.dirty_log is not None
        if change != Change.MOVE and not space.active.log_dirty:
            self.dirty_log.destroy_dirty_bitmap(space)


class WriteProtectedBeforeSwap(WriteAccessKept):
    def set_memslot(self, space: AddressSpace, change: Change, log_dirty: bool) -> None:
        if change == Change.FLAGS_ONLY and log_dirty:
            self.write_protect(space)
        super().set_memslot(space, change, log_dirty)

    @atomic(label="kvm_mmu_slot_remove_write_access")
    def write_protect(self, space: AddressSpace) -> None:
        assert self.dirty_log is not None
        with self.mmu.mmu_lock:
            self.dirty_log.remove_write_access(space)
