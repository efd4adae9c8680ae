# SPDX-License-Identifier: Apache-2.0
"""KVM's MMU: the guest's page tables, and the fault that races with an invalidation.

A vCPU that misses a translation asks the primary MMU for the page without holding ``mmu_lock``, and
installs it later under ``mmu_lock``. Meanwhile the page may have been taken away. So an invalidation
leaves two traces under ``mmu_lock``: while it is under way, ``mmu_invalidate_in_progress`` is raised and
its gfns are in a range; once it has ended, ``mmu_invalidate_seq`` has changed. The fault reads the
sequence before it asks for the page, and both before it installs it (Linux commits e930bffe95e1 "KVM:
Synchronize guest physical memory map to host virtual memory map", 4a42d848db95 "KVM: x86/mmu: Consider
the hva in mmu_notifier retry", 8569992d64b8 "KVM: Use gfn instead of hva for mmu_notifier_retry", 6.8).

Up to 6.0 the names were ``mmu_notifier_count`` and ``mmu_notifier_seq``, ``kvm_inc_notifier_count()`` and
``kvm_dec_notifier_count()`` (20ec3ebd707c "KVM: Rename mmu_notifier_* to mmu_invalidate_*").

Every section under ``mmu_lock`` is one step here. All that it touches is only ever touched under
``mmu_lock``, except the sequence, which a fault reads without it once; so no thread can tell.
"""

from __future__ import annotations

from quiesce.kvm.memslots import NULL, AddressSpace
from quiesce.kvm.mm import Pte
from quiesce.primitives import SpinLock
from quiesce.protocol import Bool, Int, Protocol, Snapshot, Version, eventually, shared


class Spte(Protocol):
    """The guest's translation of one frame, shared by all vCPUs.

    :param number: its index in :attr:`Mmu.sptes`.
    :param space: the address space that it belongs to.
    :param place: which of the slot's two places in the guest's memory it belongs to.
    :param pte: the primary MMU's entry for the same page.
    :param gfn: the frame.
    """

    present = Bool()
    page = Snapshot()
    """The physical page that it leads to: what the primary MMU mapped at the time of the fault."""

    def __init__(self, number: int, space: AddressSpace, place: int, pte: Pte, gfn: int) -> None:
        self.number = number
        self.space = space
        self.place = place
        self.pte = pte
        self.gfn = gfn

    def has_memslot(self) -> bool:
        """Return whether an active memslot backs this frame."""
        slots = self.space.active
        return slots.slot != NULL and slots.place == self.place

    @eventually(informational=True)
    def faults_finish(self) -> bool:
        """The guest gets this page in the end; its faults are not retried forever."""
        return self.present


def spte_array(spaces: tuple[AddressSpace, ...], places: int, ptes: tuple[Pte, ...]) -> Sptes:
    """Return a translation for each page of the slot, in each place and address space."""
    sptes: list[Spte] = []
    for space in spaces:
        for place in range(places):
            for pte in ptes:
                gfn = place * len(ptes) + pte.hva
                sptes.append(Spte(len(sptes), space, place, pte, gfn))
    return tuple(sptes)


Sptes = tuple[Spte, ...]


class Mmu(Protocol):
    """The part of ``struct kvm`` that ``mmu_lock`` protects.

    Its methods are called with ``mmu_lock`` held.

    :param sptes: the translations that the guest uses.
    :param invalidations: how many can be under way at most.
    """

    name = "kvm"
    mmu_lock = SpinLock("&kvm->mmu_lock")
    mmu_invalidate_seq = Version()

    def __init__(self, sptes: Sptes, invalidations: int) -> None:
        self.sptes = sptes
        self.gfns = 1 + max(spte.gfn for spte in sptes)
        self.mmu_invalidate_in_progress = shared(Int(0, low=-1, high=invalidations))
        """Below 0 KVM_BUG_ON() fires in the kernel. Here the run continues, so that what follows is seen,
        until the count leaves its range."""
        self.mmu_invalidate_range_start = shared(Int(0, high=self.gfns))
        self.mmu_invalidate_range_end = shared(Int(0, high=self.gfns))
        """The gfns that are being invalidated: from start up to, and not including, end. Both are 0
        while there are none (``INVALID_GPA``)."""

    def invalidate_begin(self) -> None:
        """``kvm_mmu_invalidate_begin()``: an invalidation is under way."""
        self.mmu_invalidate_in_progress += 1

    def invalidate_range_add(self, start: int, end: int) -> None:
        """``kvm_mmu_invalidate_range_add()``: the range only grows while anything is in progress."""
        if self.mmu_invalidate_range_end == 0:
            self.mmu_invalidate_range_start = start
            self.mmu_invalidate_range_end = end
        else:
            self.mmu_invalidate_range_start = min(self.mmu_invalidate_range_start, start)
            self.mmu_invalidate_range_end = max(self.mmu_invalidate_range_end, end)

    def unmap_gfn_range(self, space: AddressSpace, gfn: int) -> None:
        """``kvm_mmu_unmap_gfn_range()``: note that *gfn* is being invalidated, drop its translation."""
        self.invalidate_range_add(gfn, gfn + 1)
        for spte in self.sptes:
            if spte.space is space and spte.gfn == gfn:
                self.drop_spte(spte)

    def invalidate_end(self) -> None:
        """``kvm_mmu_invalidate_end()``: an invalidation has ended."""
        # Update the sequence first: readers without mmu_lock depend on the order.
        self.mmu_invalidate_seq += 1
        self.mmu_invalidate_in_progress -= 1
        if self.mmu_invalidate_in_progress == 0:
            # The next begin resets the range. No fault reads it before; so keep the states few.
            self.mmu_invalidate_range_start = 0
            self.mmu_invalidate_range_end = 0

    def is_page_fault_stale(self, gfn: int, seq: int) -> bool:
        """Return whether a page looked up at *seq* must not be used (``mmu_invalidate_retry_gfn()``)."""
        if self.mmu_invalidate_in_progress > 0:
            if self.mmu_invalidate_range_start <= gfn < self.mmu_invalidate_range_end:
                return True
        return self.mmu_invalidate_seq != seq

    def flush_shadow_memslot(self, space: AddressSpace) -> None:
        """``kvm_arch_flush_shadow_memslot()``: drop every translation of the slot of *space*."""
        for spte in self.sptes:
            if spte.space is space:
                self.drop_spte(spte)

    def drop_spte(self, spte: Spte) -> None:
        """Zap one translation."""
        spte.present = False
        spte.page = None
