# SPDX-License-Identifier: Apache-2.0
"""Dirty logging: which pages of a slot the guest has written to (``KVM_MEM_LOG_DIRTY_PAGES``).

A flags-only update switches it on. The fault that maps a page for writing then marks it in the slot's
bitmap (``make_spte()`` calls ``mark_page_dirty_in_slot()``). Translations from before must fault again, so
they lose their write access when the update commits (``kvm_mmu_slot_apply_flags()`` calls
``kvm_mmu_slot_remove_write_access()``). That must come after the grace period, when each fault that
found the old flags has installed its translation. The rule is that a page is dirty in the bitmap or
write-protected (Linux commit edde99ce0529 "KVM: Write protect memory after slot swap").

The scenario has this component if its updaters change flags.
"""

from __future__ import annotations

from quiesce.kvm.memslots import AddressSpace, Change, Memslots
from quiesce.kvm.mmu import Spte, Sptes
from quiesce.protocol import Array, Bool, Protocol, always, atomic, shared


class DirtyLog(Protocol):
    """The bitmaps of the slots of all address spaces.

    :param sptes: the translations that the guest uses.
    :param spaces: how many address spaces there are.
    :param pages: how many pages the slot has.
    """

    def __init__(self, sptes: Sptes, spaces: int, pages: int) -> None:
        self.sptes = sptes
        self.pages = pages
        self.hvas = tuple(range(pages))
        self.write_protected = shared(Array(Bool(), len(sptes)))
        """Of each translation: a write faults."""
        self.dirty_bitmap = shared(Array(Bool(), spaces * pages))
        self.switched_on = shared(Array(Bool(), spaces))
        """What the VMM knows: a request to log this address space has returned, and none to stop."""

    @atomic(label="KVM_SET_USER_MEMORY_REGION")
    def request(self, space: AddressSpace, change: Change) -> bool:
        """Return ``KVM_MEM_LOG_DIRTY_PAGES`` of the VMM's request; without it, the log is over."""
        on = self.switched_on[space.as_id]
        if change == Change.FLAGS_ONLY:
            on = not on
        elif change != Change.MOVE:
            on = False
        if not on:
            self.switched_on[space.as_id] = False
        return on

    def faults(self, spte: Spte) -> bool:
        """Return whether a write through *spte*, which is present, faults."""
        return self.write_protected[spte.number]

    def make_spte(self, spte: Spte, slots: Memslots) -> None:
        """*spte* is installed, writable, by a fault that found *slots*. ``mmu_lock`` is held."""
        self.write_protected[spte.number] = False
        if slots.log_dirty:
            self.mark_page_dirty_in_slot(spte)

    def mark_page_dirty_in_slot(self, spte: Spte) -> None:
        """Set the bit of the page that *spte* maps."""
        self.dirty_bitmap[spte.space.as_id * self.pages + spte.pte.hva] = True

    def remove_write_access(self, space: AddressSpace) -> None:
        """Let the next write to each page of *space* fault. ``mmu_lock`` is held."""
        for spte in self.sptes:
            if spte.space is space:
                self.write_protected[spte.number] = spte.present

    def destroy_dirty_bitmap(self, space: AddressSpace) -> None:
        """Free the bitmap of *space*; the next one is empty."""
        for hva in self.hvas:
            self.dirty_bitmap[space.as_id * self.pages + hva] = False

    @always
    def writes_are_logged(self) -> bool:
        """While dirty logging is on, each page that the guest can write is in the bitmap."""
        for spte in self.sptes:
            if self.switched_on[spte.space.as_id] and spte.present:
                if not self.write_protected[spte.number]:
                    if not self.dirty_bitmap[spte.space.as_id * self.pages + spte.pte.hva]:
                        return False
        return True
