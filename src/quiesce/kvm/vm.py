# SPDX-License-Identifier: Apache-2.0
"""struct kvm: the MMU-notifier handlers, the memslot update and the vCPU's page fault, put together.

The shape is that of Linux 5.15, for which the series was made, with the two sets of memslots that
came in 5.17: ``virt/kvm/kvm_main.c``, and ``arch/x86/kvm/mmu/mmu.c`` for the fault.
"""

from __future__ import annotations

from quiesce.kvm.gates import Gate
from quiesce.kvm.memslots import (
    INVALID,
    NULL,
    VALID,
    AddressSpace,
    Change,
    MemslotSet,
    Slot,
)
from quiesce.kvm.mm import Mm
from quiesce.kvm.mmu import Mmu, Spte
from quiesce.primitives import Mutex, Srcu
from quiesce.protocol import (
    READ_ONCE,
    SHARED_RECURSIVE,
    Bool,
    Protocol,
    acquires,
    atomic,
    known_as,
    releases,
    wait_until,
)


class Kvm(Protocol):
    """One virtual machine.

    :param mm: the process that it belongs to.
    :param gate: how memslot updates are kept away from invalidations under way.
    :param invalidations: how many can be under way at most.
    :param places: in how many places the slot can be in the guest's memory; 2 if it is moved.
    :param spaces: number of address spaces.
    """

    name = "kvm"
    slots_lock = Mutex("&kvm->slots_lock")
    slots_arch_lock = Mutex("&kvm->slots_arch_lock")
    srcu = Srcu("&kvm->srcu")
    gate: Gate
    mmu_class: type[Mmu] = Mmu

    decisions_agree = Bool(True)
    """Every end so far has decided on mmu_lock as its start did. For the properties only."""

    def __init__(
        self, mm: Mm, gate: Gate, invalidations: int, places: int = 1, spaces: int = 1
    ) -> None:
        self.mm = mm
        self.gate = gate
        self.pages = len(mm.ptes)
        self.spaces = tuple(AddressSpace(i) for i in range(spaces))
        sptes = tuple(
            Spte(space, place, pte)
            for space in self.spaces
            for place in range(places)
            for pte in mm.ptes
        )
        for number, spte in enumerate(sptes):
            spte.number = number
        self.mmu = self.mmu_class(sptes, invalidations)

    # --- The MMU notifier's callbacks -------------------------------------------------------------

    @known_as("kvm_mmu_notifier_invalidate_range_start")
    def invalidate_range_start(self, hva: int, blockable: bool) -> tuple[int, bool]:
        """``kvm_mmu_notifier_invalidate_range_start()``: *hva* is about to change.

        Returns the gate's ticket, and whether ``mmu_lock`` was taken. KVM never fails.
        """
        ticket = self.gate.enter(blockable)
        locked = self.handle_start(hva, ticket, blockable)
        return ticket, locked

    @known_as("kvm_mmu_notifier_invalidate_range_end")
    def invalidate_range_end(self, hva: int, blockable: bool, ticket: int, locked: bool) -> None:
        """``kvm_mmu_notifier_invalidate_range_end()``: *hva* has changed.

        :param ticket: what the gate gave to start.
        :param locked: what start decided. Only the properties may know it: end decides for itself.
        """
        self.handle_end(hva, ticket, blockable, locked)
        self.gate.leave(ticket, blockable)

    @atomic(label="__kvm_handle_hva_range(kvm_mmu_invalidate_begin)")
    def handle_start(self, hva: int, ticket: int, blockable: bool) -> bool:
        """Take ``mmu_lock`` if a memslot covers *hva*, and note the invalidation; return whether one does.

        This and :meth:`handle_end` are one step each: neither the memslots that they see, inside
        an SRCU read section, nor what they touch under ``mmu_lock`` can be changed by others meanwhile.
        """
        # The read section ends with the step, so it is not counted; only lockdep hears of it.
        acquires(self.srcu, SHARED_RECURSIVE)
        found = self.must_take_notice(hva, ticket, blockable)
        if found:
            self.mmu.invalidate_begin(hva)
        releases(self.srcu)
        return found

    @atomic(label="__kvm_handle_hva_range(kvm_mmu_invalidate_end)")
    def handle_end(self, hva: int, ticket: int, blockable: bool, locked: bool) -> None:
        """Take ``mmu_lock`` if a memslot covers *hva*, and note the end of the invalidation."""
        acquires(self.srcu, SHARED_RECURSIVE)
        found = self.must_take_notice(hva, ticket, blockable)
        if found:
            self.mmu.invalidate_end(locked)
        releases(self.srcu)
        if found != locked:
            self.decisions_agree = False

    def must_take_notice(self, hva: int, ticket: int, blockable: bool) -> bool:
        """Whether ``mmu_lock`` is to be taken for *hva*."""
        covered = self.gate.covers(self, ticket, hva)
        return covered or self.gate.must_lock(blockable)

    def any_slot(self, new: MemslotSet) -> bool:
        """Whether there is a slot in *new* or in an active set."""
        if new.slot != NULL:
            return True
        for other in self.spaces:
            if other.active.slot != NULL:
                return True
        return False

    def any_memslot_covers(self, hva: int) -> bool:
        """Whether an active memslot of any address space backs guest memory with *hva*."""
        for space in self.spaces:
            if space.active.covers(hva, self.pages):
                return True
        return False

    # --- Memslot updates --------------------------------------------------------------------------

    @atomic(label="mutex_lock(&kvm->slots_lock)", queued=True)
    def lock_slots(self, space: AddressSpace) -> bool:
        """Take ``slots_lock``; return whether *space* has the slot."""
        self.slots_lock.lock()
        return space.active.slot != NULL

    @known_as("kvm_set_memslot")
    def set_memslot(self, space: AddressSpace, change: Change) -> None:
        """``kvm_set_memslot()``: create, delete or move the slot, or change its flags.

        Called with ``slots_lock`` held. Deleting and moving take two swaps: the slot is first made
        invalid, so that no fault uses it, and its translations are dropped; then it goes.
        """
        if change == Change.DELETE or change == Change.MOVE:
            self.swap_active_memslots(space, self.prepare(space, change, INVALID))
            self.mmu.flush_shadow_memslot(space)
        slot = NULL if change == Change.DELETE else VALID
        self.swap_active_memslots(space, self.prepare(space, change, slot))

    @atomic(label="mutex_lock(&kvm->slots_arch_lock); kvm_replace_memslot()", queued=True)
    def prepare(self, space: AddressSpace, change: Change, slot: Slot) -> MemslotSet:
        """Take ``slots_arch_lock`` and build the new set in the inactive one, which nobody reads."""
        self.slots_arch_lock.lock()
        new, old = space.inactive(), space.active
        new.slot = slot
        new.base_gfn = old.base_gfn
        new.dirty_log = old.dirty_log
        if slot != INVALID and change == Change.MOVE:
            new.base_gfn = 1 - old.base_gfn
        if change == Change.FLAGS_ONLY:
            new.dirty_log = not old.dirty_log
        new.dead = False
        space.update_in_progress = True
        return new

    @known_as("kvm_swap_active_memslots")
    def swap_active_memslots(self, space: AddressSpace, new: MemslotSet) -> None:
        """``kvm_swap_active_memslots()``: publish *new* and wait until nobody reads the old set."""
        old = space.active
        self.gate.publish(self, space, new)
        # Before the grace period: vCPUs take slots_arch_lock inside read sections (Linux commit
        # b10a038e84d1 "KVM: mmu: Add slots_arch_lock for memslot arch fields").
        self.slots_arch_lock.unlock()
        self.srcu.begin_grace_period()
        self.retire(space, old)

    @atomic(label="synchronize_srcu(&kvm->srcu)")
    def retire(self, space: AddressSpace, old: MemslotSet) -> None:
        """Wait for the readers of the old set; then it may be changed."""
        self.srcu.end_grace_period()
        self.bury(space, old)

    @atomic(label="kvm_arch_memslots_updated")
    def bury(self, space: AddressSpace, old: MemslotSet) -> None:
        """Mark the old set as not to be read any more, and complete the new generation."""
        old.dead = True
        old.slot = NULL
        old.base_gfn = 0
        old.dirty_log = False
        space.generation += 1
        space.update_in_progress = False

    # --- The vCPU's page fault --------------------------------------------------------------------

    @known_as("kvm_mmu_page_fault")
    def page_fault(self, spte: Spte) -> None:
        """The guest uses *spte*; without a translation it faults, and KVM maps the page.

        A fault that has to be retried returns to the guest, which comes here again.
        """
        slots, srcu_index = self.enter_fault(spte)
        seq = READ_ONCE(self.mmu.mmu_invalidate_seq)
        page = self.mm.get_user_pages_fast(spte.pte)
        self.finish_fault(spte, slots, srcu_index, seq, page)

    @atomic(label="kvm_mmu_page_fault")
    def enter_fault(self, spte: Spte) -> tuple[MemslotSet, int]:
        """Wait for an access that faults on a memslot, and enter an SRCU read section.

        Accesses that leave KVM's state as it is are left out: the guest has a translation, or there
        is no memslot (the access is emulated), or it is being deleted (the guest tries again).
        """
        slots = spte.space.active
        assert not slots.dead, "memslots are read that are not in use any more"
        wait_until(not spte.present and slots.slot == VALID and slots.base_gfn == spte.place)
        return slots, self.srcu.srcu_read_lock()

    @atomic(label="kvm_mmu_map")
    def finish_fault(
        self, spte: Spte, slots: MemslotSet, srcu_index: int, seq: int, page: int
    ) -> None:
        """Install the translation if it is not stale, leave the read section, return to the guest."""
        self.mmu.map(spte, slots, seq, page)
        self.srcu.srcu_read_unlock(srcu_index)
