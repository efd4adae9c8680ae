# SPDX-License-Identifier: Apache-2.0
"""KVM's MMU: the guest's page tables, and the fault that races with an invalidation.

A vCPU that misses a translation asks the primary MMU for the page without holding ``mmu_lock``, and
installs it later under ``mmu_lock``. In between the page may have been taken away. So an invalidation
leaves two traces under ``mmu_lock``: while it is under way, ``mmu_invalidate_in_progress`` is raised;
once it has ended, ``mmu_invalidate_seq`` has changed. The fault looks at the sequence before it asks, and
at both before it installs (``mmu_invalidate_retry_hva()``; Linux commits e930bffe95e1 "KVM: Synchronize
guest physical memory map to host virtual memory map", 4a42d848db95 "KVM: x86/mmu: Consider the hva in
mmu_notifier retry").

Every section under ``mmu_lock`` is one step here. All that it touches is only ever touched under
``mmu_lock``, except the sequence, which a fault reads without it once; so nobody can tell.
"""

from __future__ import annotations

from quiesce.kvm.memslots import NULL, AddressSpace, MemslotSet
from quiesce.kvm.mm import Pte
from quiesce.primitives import SpinLock
from quiesce.protocol import (
    Bool,
    Int,
    Protocol,
    Snapshot,
    Version,
    atomic,
    eventually,
    shared,
)


class Spte(Protocol):
    """The guest's translation of one frame, shared by all vCPUs.

    :param space: the address space that it belongs to.
    :param place: which of the slot's two places in the guest's memory it belongs to.
    :param pte: the primary MMU's entry for the same page.
    """

    present = Bool()
    page = Snapshot()
    """The physical page that it leads to: what the primary MMU mapped at the time of the fault."""
    number = 0
    """Its place in :attr:`Mmu.sptes`."""

    def __init__(self, space: AddressSpace, place: int, pte: Pte) -> None:
        self.space = space
        self.place = place
        self.pte = pte

    def has_memslot(self) -> bool:
        """Whether an active memslot backs this frame."""
        slots = self.space.active
        return slots.slot != NULL and slots.base_gfn == self.place

    @eventually(informational=True)
    def faults_finish(self) -> bool:
        """The guest gets this page in the end; its faults are not retried for ever."""
        return self.present


class Mmu(Protocol):
    """The part of ``struct kvm`` that ``mmu_lock`` protects.

    :param sptes: the translations that the guest uses.
    :param invalidations: how many can be under way at most.
    """

    name = "kvm"
    mmu_lock = SpinLock("&kvm->mmu_lock")
    mmu_invalidate_seq = Version()
    mmu_invalidate_range_start = Int(0, high=15)
    mmu_invalidate_range_end = Int(0, high=15)
    """The hvas that are being invalidated: from start up to, and not including, end."""

    def __init__(self, sptes: tuple[Spte, ...], invalidations: int) -> None:
        self.sptes = sptes
        self.mmu_invalidate_in_progress = shared(Int(0, low=-1, high=invalidations))
        """Below 0 KVM_BUG_ON() fires in the kernel. Here the run goes on, so that what follows is seen,
        until the count leaves its range."""
        self.expected_in_progress = shared(Int(0, high=invalidations))
        """How many invalidations took notice in start and have not ended. For the properties only."""

    @atomic(label="kvm_mmu_invalidate_begin")
    def invalidate_begin(self, hva: int) -> None:
        """Note that *hva* is being invalidated, and drop its translations."""
        with self.mmu_lock:
            self.mmu_invalidate_in_progress += 1
            self.expected_in_progress += 1
            self.note_range(hva)
            for spte in self.sptes:
                if spte.pte.hva == hva:
                    self.drop(spte)

    def note_range(self, hva: int) -> None:
        """Add *hva* to the range that is being invalidated; only grow it while something is."""
        if self.mmu_invalidate_in_progress == 1:
            self.mmu_invalidate_range_start = hva
            self.mmu_invalidate_range_end = hva + 1
        else:
            self.mmu_invalidate_range_start = min(self.mmu_invalidate_range_start, hva)
            self.mmu_invalidate_range_end = max(self.mmu_invalidate_range_end, hva + 1)

    @atomic(label="kvm_mmu_invalidate_end")
    def invalidate_end(self, locked: bool) -> None:
        """Note that an invalidation has ended.

        :param locked: whether its start took notice, as it should have.
        """
        with self.mmu_lock:
            # The order matters to whoever looks without mmu_lock: first the sequence.
            self.mmu_invalidate_seq += 1
            self.mmu_invalidate_in_progress -= 1
            if locked:
                self.expected_in_progress -= 1
            self._forget_range()

    def _forget_range(self) -> None:
        """Nobody looks at the range unless something is in progress; keep the states few."""
        if self.mmu_invalidate_in_progress == 0:
            self.mmu_invalidate_range_start = 0
            self.mmu_invalidate_range_end = 0

    @atomic(label="kvm_mmu_map")
    def map(self, spte: Spte, slots: MemslotSet, seq: int, page: int) -> bool:
        """Install a translation, unless an invalidation came in between; return whether it did not.

        :param slots: where the fault has found the slot.
        :param seq: ``mmu_invalidate_seq`` from before *page* was looked up.
        :param page: what the primary MMU mapped then.
        """
        with self.mmu_lock:
            assert not slots.dead, "memslots are read that are not in use any more"
            if self.is_page_fault_stale(spte.pte.hva, seq):
                return False
            spte.present = True
            spte.page = page
            return True

    def is_page_fault_stale(self, hva: int, seq: int) -> bool:
        """Whether a page looked up at *seq* must not be used (``mmu_invalidate_retry_hva()``)."""
        if self.mmu_invalidate_in_progress > 0:
            if self.mmu_invalidate_range_start <= hva < self.mmu_invalidate_range_end:
                return True
        return self.mmu_invalidate_seq != seq

    @atomic(label="kvm_arch_flush_shadow_memslot")
    def flush_shadow_memslot(self, space: AddressSpace) -> None:
        """Drop every translation of the slot of *space*, which is invalid by now."""
        with self.mmu_lock:
            for spte in self.sptes:
                if spte.space is space:
                    self.drop(spte)

    def drop(self, spte: Spte) -> None:
        """Zap one translation."""
        spte.present = False
        spte.page = None
