# SPDX-License-Identifier: Apache-2.0
"""Bugs in the MMU notifier and its callers, and in KVM's callbacks. See ``table.py``."""

from __future__ import annotations

from quiesce.kvm.gates import PhasedGate
from quiesce.kvm.memslots import VALID, AddressSpace
from quiesce.kvm.mm import Mm
from quiesce.kvm.mmu import Mmu
from quiesce.kvm.mmu_notifier import MmuNotifier
from quiesce.kvm.vm import Kvm
from quiesce.protocol import atomic, choose


class EndWithoutStart(MmuNotifier):
    def invalidate_range_start_nonblock(self, hva: int) -> tuple[bool, int]:
        with self.invalidate_range_start_map:
            # The other subscriber comes first and fails, and KVM's start is skipped.
            if choose(False, True):
                self.undo_start(hva, 0)
                return False, 0
            ticket = self.kvm.invalidate_range_start(hva, False)
        return True, ticket


class FailedStartNotUndone(MmuNotifier):
    def undo_start(self, hva: int, ticket: int) -> None:
        pass


class EndAfterFailedStart(Mm):
    def reap(self, hva: int) -> None:
        if not self.mmap_lock.down_read_trylock():
            return
        _, ticket = self.mmu_notifier.invalidate_range_start_nonblock(hva)
        self.set_pte(hva)
        self.mmu_notifier.invalidate_range_end_nonblock(hva, ticket)
        self.mmap_lock.up_read()


class CountedAfterOverlapTest(Kvm):
    def invalidate_range_start(self, hva: int, blockable: bool) -> int:
        self.handle_hva_range_begin(hva, 0, blockable)
        return self.gate.enter(blockable)


class LeftBeforeOverlapTest(Kvm):
    def invalidate_range_end(self, hva: int, blockable: bool, ticket: int) -> None:
        self.gate.leave(ticket, blockable)
        self.handle_hva_range_end(hva, ticket, blockable)


class PhaseOfNow(Kvm):
    gate: PhasedGate

    def invalidate_range_end(self, hva: int, blockable: bool, ticket: int) -> None:
        with self.gate.mn_invalidate_lock:
            now = self.gate.phase
        self.handle_hva_range_end(hva, now, blockable)
        self.gate.leave(ticket, blockable)


class ElisionDecidedAtStart(Kvm):
    @atomic(label="__kvm_handle_hva_range(kvm_mmu_invalidate_end)")
    def handle_hva_range_end(self, hva: int, ticket: int, blockable: bool) -> None:
        self.lock_and_end()
        self.ledger.end(hva, True)


class FirstSpaceOnly(Kvm):
    def takes_mmu_lock(self, hva: int, ticket: int, blockable: bool) -> bool:
        return self.gate.memslots(self.spaces[0], ticket).overlaps(hva)


class InvalidSlotIgnored(Kvm):
    def takes_mmu_lock(self, hva: int, ticket: int, blockable: bool) -> bool:
        for space in self.spaces:
            slots = self.gate.memslots(space, ticket)
            if slots.overlaps(hva) and slots.slot == VALID:
                return True
        return False


class KnownGfnsOnly(Kvm):
    def lock_and_begin(self, hva: int, ticket: int, blockable: bool) -> None:
        with self.mmu.mmu_lock:
            self.mmu.invalidate_begin()
            for space in self.spaces:
                slots = self.gate.memslots(space, ticket)
                if slots.overlaps(hva):
                    self.mmu.unmap_gfn_range(space, slots.hva_to_gfn(hva))


class SeqRaisedLast(Kvm):
    def handle_hva_range_end(self, hva: int, ticket: int, blockable: bool) -> None:
        if self.lower_in_progress(hva, ticket, blockable):
            self.raise_seq()

    @atomic(label="mmu_invalidate_in_progress--")
    def lower_in_progress(self, hva: int, ticket: int, blockable: bool) -> bool:
        locked = self.takes_mmu_lock(hva, ticket, blockable)
        if locked:
            with self.mmu.mmu_lock:
                self.mmu.mmu_invalidate_in_progress -= 1
        self.ledger.end(hva, locked)
        return locked

    @atomic(label="mmu_invalidate_seq++")
    def raise_seq(self) -> None:
        with self.mmu.mmu_lock:
            self.mmu.mmu_invalidate_seq += 1


class SeqNeverRaised(Mmu):
    def invalidate_end(self) -> None:
        self.mmu_invalidate_in_progress -= 1


class TranslationKept(Mmu):
    def unmap_gfn_range(self, space: AddressSpace, gfn: int) -> None:
        self.invalidate_range_add(gfn, gfn + 1)


class RangeOverwritten(Mmu):
    def invalidate_range_add(self, start: int, end: int) -> None:
        self.mmu_invalidate_range_start = start
        self.mmu_invalidate_range_end = end
