# SPDX-License-Identifier: Apache-2.0
"""struct kvm: the MMU-notifier handlers, the memslot update and the vCPU's page fault, put together.

As in Linux 6.12: ``virt/kvm/kvm_main.c``, and ``arch/x86/kvm/mmu/mmu.c`` for the fault. Methods have the
names of the functions there without ``kvm_``; ``docs/kvm.md`` has the table, and what is left out.
"""

from __future__ import annotations

from quiesce.kvm.dirty_log import DirtyLog
from quiesce.kvm.gates import Gate
from quiesce.kvm.ledger import Ledger
from quiesce.kvm.memslots import (
    INVALID,
    NULL,
    VALID,
    AddressSpace,
    Change,
    Memslots,
)
from quiesce.kvm.mm import Mm
from quiesce.kvm.mmio import MmioCache, MmioSpte
from quiesce.kvm.mmu import Mmu, Spte
from quiesce.kvm.shadow_roots import ShadowRoots
from quiesce.primitives import Mutex, Srcu
from quiesce.protocol import (
    READ_ONCE,
    SHARED_RECURSIVE,
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
    :param spaces: its address spaces.
    :param mmu: its MMU.
    :param log_dirty: updates change the flags of the slot.
    :param mmio: vCPUs use frames that no memslot covers.
    :param shadow_roots: the guest needs shadow page tables.
    """

    name = "kvm"
    slots_lock = Mutex("&kvm->slots_lock")
    slots_arch_lock = Mutex("&kvm->slots_arch_lock")
    srcu = Srcu("&kvm->srcu")

    def __init__(
        self,
        mm: Mm,
        gate: Gate,
        spaces: tuple[AddressSpace, ...],
        mmu: Mmu,
        *,
        log_dirty: bool = False,
        mmio: MmioCache | None = None,
        shadow_roots: bool = False,
    ) -> None:
        self.mm = mm
        self.gate = gate
        self.spaces = spaces
        self.mmu = mmu
        self.pages = len(mm.ptes)
        gate.attach(spaces)
        self.ledger = Ledger(self.pages + 1)
        self.dirty_log = DirtyLog(mmu.sptes, len(spaces), self.pages) if log_dirty else None
        self.mmio = mmio
        self.shadow_roots = ShadowRoots(spaces, self.slots_arch_lock) if shadow_roots else None

    # --- The MMU notifier's callbacks -------------------------------------------------------------

    @known_as("kvm_mmu_notifier_invalidate_range_start")
    def invalidate_range_start(self, hva: int, blockable: bool) -> int:
        """``kvm_mmu_notifier_invalidate_range_start()``: *hva* is about to change.

        Return the gate's ticket. KVM never fails.
        """
        ticket = self.gate.enter(blockable)
        self.handle_hva_range_begin(hva, ticket, blockable)
        return ticket

    @known_as("kvm_mmu_notifier_invalidate_range_end")
    def invalidate_range_end(self, hva: int, blockable: bool, ticket: int) -> None:
        """``kvm_mmu_notifier_invalidate_range_end()``: *hva* has changed.

        :param ticket: what the gate gave to start.
        """
        self.handle_hva_range_end(hva, ticket, blockable)
        self.gate.leave(ticket, blockable)

    @atomic(label="__kvm_handle_hva_range(kvm_mmu_invalidate_begin)")
    def handle_hva_range_begin(self, hva: int, ticket: int, blockable: bool) -> None:
        """``__kvm_handle_hva_range()`` for start: take ``mmu_lock`` if a memslot overlaps *hva*.

        This and :meth:`handle_hva_range_end` are one step each: neither the memslots that they see, in
        an SRCU read section, nor what they touch under ``mmu_lock`` can be changed meanwhile.
        """
        # The read section ends with the step, so it is not counted; only lockdep hears of it.
        acquires(self.srcu, SHARED_RECURSIVE)
        locked = self.takes_mmu_lock(hva, ticket, blockable)
        if locked:
            self.lock_and_begin(hva, ticket, blockable)
        releases(self.srcu)
        self.ledger.start(hva, locked)

    @atomic(label="__kvm_handle_hva_range(kvm_mmu_invalidate_end)")
    def handle_hva_range_end(self, hva: int, ticket: int, blockable: bool) -> None:
        """``__kvm_handle_hva_range()`` for end: take ``mmu_lock`` if a memslot overlaps *hva*."""
        acquires(self.srcu, SHARED_RECURSIVE)
        locked = self.takes_mmu_lock(hva, ticket, blockable)
        if locked:
            self.lock_and_end()
        releases(self.srcu)
        self.ledger.end(hva, locked)

    def takes_mmu_lock(self, hva: int, ticket: int, blockable: bool) -> bool:
        """Return whether a memslot overlaps *hva* (``kvm_for_each_memslot_in_hva_range()``)."""
        for space in self.spaces:
            if self.gate.memslots(space, ticket).overlaps(hva):
                return True
        return self.gate.must_lock(blockable)

    def lock_and_begin(self, hva: int, ticket: int, blockable: bool) -> None:
        """What start does under ``mmu_lock``: ``on_lock``, and the handler for each slot."""
        with self.mmu.mmu_lock:
            self.mmu.invalidate_begin()
            if self.gate.must_lock(blockable):
                # A memslot may come before the end, and its gfn is not known: so all gfns.
                self.mmu.invalidate_range_add(0, self.mmu.gfns)
            for space in self.spaces:
                slots = self.gate.memslots(space, ticket)
                if slots.overlaps(hva):
                    self.mmu.unmap_gfn_range(space, slots.hva_to_gfn(hva))

    def lock_and_end(self) -> None:
        """What end does under ``mmu_lock``: ``on_lock`` alone."""
        with self.mmu.mmu_lock:
            self.mmu.invalidate_end()

    # --- Memslot updates --------------------------------------------------------------------------

    @known_as("kvm_set_memslot")
    def set_memslot(self, space: AddressSpace, change: Change, log_dirty: bool) -> None:
        """``kvm_set_memslot()``: create, delete or move the slot, or change its flags.

        Called with ``slots_lock`` held. Deleting and moving take two swaps (Linux commit bc6678a33d9b
        "KVM: introduce kvm->srcu and convert kvm_set_memory_region to SRCU update").

        :param log_dirty: the new ``KVM_MEM_LOG_DIRTY_PAGES``.
        """
        if change == Change.DELETE or change == Change.MOVE:
            self.invalidate_memslot(space)
        self.replace_memslot(space, change, log_dirty)
        self.swap_active_memslots(space)
        if self.dirty_log is not None:
            self.commit_memory_region(space, change)

    def invalidate_memslot(self, space: AddressSpace) -> None:
        """``kvm_invalidate_memslot()``: let no fault use the slot any more, then drop its translations."""
        self.replace_by_invalid(space)
        self.swap_active_memslots(space)
        self.flush_shadow_memslot(space)

    @atomic(label="mutex_lock(&kvm->slots_arch_lock); kvm_replace_memslot()", queued=True)
    def replace_by_invalid(self, space: AddressSpace) -> None:
        """Take ``slots_arch_lock``, and put a copy of the slot into the inactive set, marked invalid."""
        self.slots_arch_lock.lock()
        new = space.get_inactive_memslots()
        self.copy_memslots(new, space.active)
        new.slot = INVALID

    @atomic(label="mutex_lock(&kvm->slots_arch_lock); kvm_replace_memslot()", queued=True)
    def replace_memslot(self, space: AddressSpace, change: Change, log_dirty: bool) -> None:
        """Take ``slots_arch_lock``, and put the new slot into the inactive set, which no thread reads."""
        self.slots_arch_lock.lock()
        self.prepare_memory_region(space, change, log_dirty)

    def prepare_memory_region(self, space: AddressSpace, change: Change, log_dirty: bool) -> None:
        """``kvm_prepare_memory_region()`` and ``kvm_replace_memslot()``. ``slots_arch_lock`` is held.

        The kernel keeps the inactive set in step (``kvm_activate_memslot()`` replaces the slot there,
        too). Here it is made from the active one when it is needed, which is the same.
        """
        new, old = space.get_inactive_memslots(), space.active
        self.copy_memslots(new, old)
        new.slot = NULL if change == Change.DELETE else VALID
        new.log_dirty = log_dirty
        if change == Change.MOVE:
            new.place = 1 - old.place
        if self.shadow_roots is not None:
            if change != Change.FLAGS_ONLY:
                new.rmap = self.shadow_roots.allocated and change != Change.DELETE

    def copy_memslots(self, new: Memslots, old: Memslots) -> None:
        """Let *new*, which is not active, say what *old* says."""
        new.slot = old.slot
        new.place = old.place
        new.log_dirty = old.log_dirty
        new.rmap = old.rmap
        new.dead = False

    @known_as("kvm_swap_active_memslots")
    def swap_active_memslots(self, space: AddressSpace) -> None:
        """``kvm_swap_active_memslots()``: publish the new set, wait until no thread reads the old one.

        Up to 5.16 this was ``install_new_memslots()``, which took the new set as an argument and returned
        the old one.
        """
        slots = space.get_inactive_memslots()
        self.gate.publish(space, slots)
        # Before the grace period: see shadow_roots.py.
        self.slots_arch_lock.unlock()
        self.srcu.begin_grace_period()
        self.end_grace_period(space)

    @atomic(label="synchronize_srcu(&kvm->srcu)")
    def end_grace_period(self, space: AddressSpace) -> None:
        """Wait for the readers of the old set; then it may be changed, and the update is complete."""
        self.srcu.end_grace_period()
        self.memslots_updated(space)

    def memslots_updated(self, space: AddressSpace) -> None:
        """``kvm_arch_memslots_updated()`` and what follows: the new generation is complete."""
        self.clear(space.get_inactive_memslots())
        space.generation += 1
        space.update_in_progress = False

    def clear(self, old: Memslots) -> None:
        """Let no thread read *old* any more. What it says does not matter, so keep the states few."""
        old.dead = True
        old.slot = NULL
        old.place = 0
        old.log_dirty = False
        old.rmap = False

    @atomic(label="kvm_arch_flush_shadow_memslot")
    def flush_shadow_memslot(self, space: AddressSpace) -> None:
        """``kvm_arch_flush_shadow_memslot()``, for a slot that is invalid by now."""
        with self.mmu.mmu_lock:
            self.mmu.flush_shadow_memslot(space)

    @atomic(label="kvm_arch_commit_memory_region")
    def commit_memory_region(self, space: AddressSpace, change: Change) -> None:
        """``kvm_commit_memory_region()``: what follows from changed flags."""
        assert self.dirty_log is not None
        if change == Change.FLAGS_ONLY and space.active.log_dirty:
            with self.mmu.mmu_lock:
                self.dirty_log.remove_write_access(space)
        elif change != Change.MOVE:
            self.dirty_log.destroy_dirty_bitmap(space)

    # --- The vCPU's page fault --------------------------------------------------------------------

    @known_as("kvm_mmu_page_fault")
    def page_fault(self, spte: Spte) -> None:
        """``kvm_tdp_mmu_page_fault()``: the guest writes through *spte*, and KVM maps the page.

        A fault that has to be retried returns to the guest, which comes here again.
        """
        slots, srcu_index = self.enter_fault(spte)
        if self.shadow_roots is not None:
            self.shadow_roots.mmu_first_shadow_root_alloc()
        # kvm_faultin_pfn()
        seq = READ_ONCE(self.mmu.mmu_invalidate_seq)
        page = self.mm.get_user_pages_fast(spte.pte)
        self.map(spte, slots, srcu_index, seq, page)

    @atomic(label="kvm_mmu_page_fault")
    def enter_fault(self, spte: Spte) -> tuple[Memslots, int]:
        """Wait for an access that faults on a memslot, and enter an SRCU read section.

        Accesses that leave KVM's state as it is are left out: the guest has a translation, or there
        is no memslot (the access is emulated), or it is being deleted (the guest tries again).
        """
        slots = spte.space.active
        assert not slots.dead, "memslots are read that are not in use any more"
        wait_until(self.faults(spte) and self.is_usable(slots, spte))
        return slots, self.srcu.srcu_read_lock()

    def faults(self, spte: Spte) -> bool:
        """Return whether a write through *spte* faults."""
        if self.dirty_log is not None:
            return not spte.present or self.dirty_log.faults(spte)
        return not spte.present

    def is_usable(self, slots: Memslots, spte: Spte) -> bool:
        """Return whether a fault may map *spte* by *slots*: not by an invalid one."""
        return slots.slot == VALID and slots.place == spte.place

    @atomic(label="kvm_tdp_mmu_map")
    def map(self, spte: Spte, slots: Memslots, srcu_index: int, seq: int, page: int) -> None:
        """Install the translation if it is not stale, leave the read section, return to the guest.

        :param slots: where the fault has found the slot.
        :param seq: ``mmu_invalidate_seq`` from before *page* was looked up.
        :param page: what the primary MMU mapped then.
        """
        assert not slots.dead, "memslots are read that are not in use any more"
        with self.mmu.mmu_lock:
            if not self.mmu.is_page_fault_stale(spte.gfn, seq):
                spte.present = True
                spte.page = page
                if self.dirty_log is not None:
                    self.dirty_log.make_spte(spte, slots)
                if self.mmio is not None:
                    self.mmio.forget(spte)
        self.srcu.srcu_read_unlock(srcu_index)

    # --- The vCPU's access to a frame that no memslot covers ----------------------------------------

    @known_as("handle_mmio_page_fault")
    def mmio_access(self, cached: MmioSpte) -> None:
        """The guest uses a frame without a memslot: emulate the access, and remember it."""
        srcu_index = self.enter_mmio(cached)
        self.cache_mmio(cached, srcu_index)

    @atomic(label="kvm_handle_noslot_fault")
    def enter_mmio(self, cached: MmioSpte) -> int:
        """Wait for an access that no memslot covers and no cached MMIO answers."""
        spte = cached.spte
        slots = spte.space.active
        assert not slots.dead, "memslots are read that are not in use any more"
        wait_until(not cached.check_mmio_spte() and not spte.has_memslot())
        return self.srcu.srcu_read_lock()

    @atomic(label="mark_mmio_spte")
    def cache_mmio(self, cached: MmioSpte, srcu_index: int) -> None:
        """Remember the access, with the generation of the memslots that are active now."""
        with self.mmu.mmu_lock:
            cached.mark_mmio_spte()
        self.srcu.srcu_read_unlock(srcu_index)
