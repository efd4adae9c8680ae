# SPDX-License-Identifier: Apache-2.0
"""Bugs in the vCPU's page fault. ``table.py`` says what each one does."""

from __future__ import annotations

from quiesce.kvm.memslots import NULL, Memslots
from quiesce.kvm.mmu import Mmu, Spte
from quiesce.kvm.vm import Kvm
from quiesce.protocol import READ_ONCE, atomic


class FaultWithoutRetry(Mmu):
    def is_page_fault_stale(self, gfn: int, seq: int) -> bool:
        return False


class FaultIgnoresInProgress(Mmu):
    def is_page_fault_stale(self, gfn: int, seq: int) -> bool:
        return self.mmu_invalidate_seq != seq


class RangeIgnored(Mmu):
    def is_page_fault_stale(self, gfn: int, seq: int) -> bool:
        return self.mmu_invalidate_in_progress > 0 or self.mmu_invalidate_seq != seq


class SeqLookedAtLate(Kvm):
    def page_fault(self, spte: Spte) -> None:
        slots, srcu_index = self.enter_fault(spte)
        page = self.mm.get_user_pages_fast(spte.pte)
        seq = READ_ONCE(self.mmu.mmu_invalidate_seq)
        self.map(spte, slots, srcu_index, seq, page)


class SlotsLockInReadSection(Kvm):
    def page_fault(self, spte: Spte) -> None:
        slots, srcu_index = self.enter_fault(spte)
        self.slots_lock.lock()
        self.slots_lock.unlock()
        seq = READ_ONCE(self.mmu.mmu_invalidate_seq)
        page = self.mm.get_user_pages_fast(spte.pte)
        self.map(spte, slots, srcu_index, seq, page)


class InvalidSlotUsed(Kvm):
    def is_usable(self, slots: Memslots, spte: Spte) -> bool:
        return slots.slot != NULL and slots.place == spte.place


class WriteNotLogged(Kvm):
    @atomic(label="kvm_tdp_mmu_map")
    def map(self, spte: Spte, slots: Memslots, srcu_index: int, seq: int, page: int) -> None:
        with self.mmu.mmu_lock:
            if not self.mmu.is_page_fault_stale(spte.gfn, seq):
                spte.present = True
                spte.page = page
                assert self.dirty_log is not None
                self.dirty_log.write_protected[spte.number] = False
        self.srcu.srcu_read_unlock(srcu_index)
