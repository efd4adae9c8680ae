# SPDX-License-Identifier: Apache-2.0
"""What is checked: notifiers, memslot updaters and vCPUs, and what must be true of every run.

All threads loop forever, so that starvation can be told from slowness. The default is the smallest
scenario in which every design comes out as it should and every planted bug is found.
"""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.errors import UsageError
from quiesce.kvm.gates import GATES, Gate
from quiesce.kvm.memslots import NULL, AddressSpace, Change
from quiesce.kvm.mm import Mm, Operation
from quiesce.kvm.mmio import MmioCache, MmioSpte
from quiesce.kvm.mmu import Mmu, spte_array
from quiesce.kvm.mmu_notifier import MOST_NESTED, MmuNotifier
from quiesce.kvm.vm import Kvm
from quiesce.primitives import configure_preempt_rt
from quiesce.protocol import (
    Scenario,
    always,
    atomic,
    choose,
    eventually,
    known_as,
    sometimes,
    thread,
)

OPERATIONS = tuple(operation.value for operation in Operation)
CHANGES = ("delete", "move", "flags")


@dataclass(frozen=True)
class Parts:
    """The classes that a scenario is built of."""

    gate: type[Gate]
    kvm: type[Kvm] = Kvm
    mmu: type[Mmu] = Mmu
    mmio_spte: type[MmioSpte] = MmioSpte
    mm: type[Mm] = Mm
    mmu_notifier: type[MmuNotifier] = MmuNotifier


class MemslotUpdates(Scenario):
    """Memslot updates against MMU notifiers.

    :param design: the gate, one of ``GATES``.
    :param rounds: how many invalidations each notifier makes; 0: it never stops.
    :param notifiers: tasks of the process that invalidate pages.
    :param updaters: tasks that change memslots.
    :param vcpus: vCPUs that use the slot's pages.
    :param pages: how many pages the slot has.
    :param spaces: address spaces, 1 or 2.
    :param operations: what notifiers do to pages of the slot, of ``OPERATIONS``, with commas.
    :param unrelated: what they do to a page that no slot covers; may be empty.
    :param changes: what updaters do to the slot where there is one, of ``CHANGES``, with commas;
        where there is none they create it. Where they change flags, they switch dirty logging.
    :param pseudo_lock_waits: treat the notifier's lockdep map as a lock.
    :param other_may_fail: another subscriber refuses non-blockable starts now and then.
    :param rt: a kernel built with PREEMPT_RT: spinlock_t sleeps.
    :param mmio: vCPUs use frames that no memslot covers, too, and KVM caches that.
    :param shadow_roots: the guest needs shadow page tables.
    """

    comm = "qemu-system-x86"
    """What lockdep's reports call the tasks: all are threads of one VMM."""

    def __init__(
        self,
        design: str = "count",
        notifiers: int = 2,
        updaters: int = 1,
        vcpus: int = 1,
        pages: int = 1,
        spaces: int = 1,
        operations: str = "zap",
        unrelated: str = "",
        changes: str = "delete",
        pseudo_lock_waits: bool = False,
        other_may_fail: bool = False,
        rt: bool = False,
        rounds: int = 0,
        mmio: bool = False,
        shadow_roots: bool = False,
    ) -> None:
        if design not in GATES:
            raise UsageError(f"there is no design `{design}`", f"one of {', '.join(GATES)}")
        _require(notifiers >= 1, f"notifiers={notifiers}", "1 or more")
        _require(updaters >= 1, f"updaters={updaters}", "1 or more")
        _require(vcpus >= 0, f"vcpus={vcpus}", "0 or more")
        _require(1 <= pages <= 8, f"pages={pages}", "from 1 to 8")
        _require(1 <= spaces <= 2, f"spaces={spaces}", "1 or 2")
        _require(rounds >= 0, f"rounds={rounds}", "0 or more")
        _require(
            bool(operations or unrelated),
            "operations= and unrelated= are both empty",
            "name operations in one of them",
        )
        _require(bool(changes), "changes= is empty", f"one or more of {', '.join(CHANGES)}")
        self.rounds = rounds
        self.notifiers = notifiers
        self.updaters = updaters
        self.vcpus = vcpus
        self.related = tuple(Operation(o) for o in _chosen(operations, OPERATIONS))
        self.unrelated = tuple(Operation(o) for o in _chosen(unrelated, OPERATIONS))
        self.changes = tuple(Change(c) for c in _chosen(changes, CHANGES))
        self.mmio = mmio
        self.shadow_roots = shadow_roots
        self._build(self.parts(design), pages, spaces, pseudo_lock_waits, other_may_fail)
        if rt:
            configure_preempt_rt(self)
        self.hvas = tuple(range(pages)) if self.related else ()
        if self.unrelated:
            self.hvas += (pages,)
        self.used = tuple(spte.number for spte in self.kvm.mmu.sptes)
        self.as_ids = tuple(range(spaces))

    def parts(self, design: str) -> Parts:
        """Return the classes to build the scenario of."""
        return Parts(gate=GATES[design])

    def _build(
        self, parts: Parts, pages: int, spaces: int, pseudo_lock_waits: bool, other_may_fail: bool
    ) -> None:
        self.mm = parts.mm(pages, parts.mmu_notifier(pseudo_lock_waits, other_may_fail))
        address_spaces = tuple(AddressSpace(as_id, pages) for as_id in range(spaces))
        places = 2 if Change.MOVE in self.changes else 1
        sptes = spte_array(address_spaces, places, self.mm.ptes)
        self.kvm = parts.kvm(
            self.mm,
            parts.gate(),
            address_spaces,
            parts.mmu(sptes, MOST_NESTED * self.notifiers),
            log_dirty=Change.FLAGS_ONLY in self.changes,
            mmio=MmioCache(sptes, parts.mmio_spte) if self.mmio else None,
            shadow_roots=self.shadow_roots,
        )
        self.mm.mmu_notifier.kvm = self.kvm

    # --- Threads ----------------------------------------------------------------------------------

    @thread("notifiers")
    def notifier(self) -> None:
        """A task of the process: it changes pages, each time with a start and an end."""
        if self.rounds:
            for _ in range(self.rounds):
                self.change_a_page()
        else:
            while True:
                self.change_a_page()

    def change_a_page(self) -> None:
        """Do one operation to one page."""
        hva = choose(*self.hvas)
        if self.unrelated and hva == self.kvm.pages:
            self.operate(self.unrelated, self.kvm.pages)
        else:
            self.operate(self.related, hva)

    def operate(self, operations: tuple[Operation, ...], hva: int) -> None:
        """Do one of *operations* to the page *hva*."""
        chosen = choose(*operations)
        for operation in operations:
            if chosen == operation:
                if operation == Operation.COPY_ON_WRITE:
                    self.mm.copy_on_write(hva)
                elif operation == Operation.ZAP:
                    self.mm.zap(hva)
                elif operation == Operation.REMAP:
                    self.mm.remap(hva)
                elif operation == Operation.MIGRATE:
                    self.mm.migrate(hva)
                elif operation == Operation.PROTECT_HUGETLB:
                    self.mm.protect_hugetlb(hva)
                elif operation == Operation.REAP:
                    self.mm.reap(hva)

    @thread("updaters")
    def updater(self) -> None:
        """The VMM: it creates the slot if there is none, else deletes, moves or changes it."""
        while True:
            as_id = choose(*self.as_ids)
            change = choose(*self.changes)
            for space in self.kvm.spaces:
                if space.as_id == as_id:
                    self.update(space, change)

    @known_as("kvm_vm_ioctl_set_memory_region")
    def update(self, space: AddressSpace, wanted: Change) -> None:
        """``ioctl(KVM_SET_USER_MEMORY_REGION)``"""
        if self.id_to_memslot(space):
            for change in self.changes:
                if wanted == change:
                    self.request(space, change)
        else:
            self.request(space, Change.CREATE)

    @atomic(label="mutex_lock(&kvm->slots_lock)", queued=True)
    def id_to_memslot(self, space: AddressSpace) -> bool:
        """Take ``slots_lock``, and return whether *space* has the slot: only the holder changes that."""
        self.kvm.slots_lock.lock()
        return space.active.slot != NULL

    def request(self, space: AddressSpace, change: Change) -> None:
        """Make one change and return to the VMM."""
        if self.kvm.dirty_log is None:
            self.kvm.set_memslot(space, change, False)
            self.kvm.slots_lock.unlock()
        else:
            on = self.kvm.dirty_log.request(space, change)
            self.kvm.set_memslot(space, change, on)
            self.return_to_vmm(space, on)

    @atomic(label="mutex_unlock(&kvm->slots_lock)")
    def return_to_vmm(self, space: AddressSpace, on: bool) -> None:
        """Release ``slots_lock``. The VMM relies on the log from now on, if it has asked for it."""
        assert self.kvm.dirty_log is not None
        self.kvm.dirty_log.switched_on[space.as_id] = on
        self.kvm.slots_lock.unlock()

    @thread("vcpus", daemon=True)
    def vcpu(self) -> None:
        """A vCPU: its guest uses a page, and faults where there is no translation."""
        while True:
            number = choose(*self.used)
            for spte in self.kvm.mmu.sptes:
                if spte.number == number:
                    if self.kvm.mmio is not None and choose(False, True):
                        self.kvm.mmio_access(self.kvm.mmio.mmio_sptes[spte.number])
                    else:
                        self.kvm.page_fault(spte)

    # --- Properties -------------------------------------------------------------------------------

    @always
    def balanced(self) -> bool:
        """mmu_invalidate_in_progress is what the invalidations under way have raised it to."""
        return self.kvm.mmu.mmu_invalidate_in_progress == self.kvm.ledger.took_lock

    @always
    def start_and_end_agree(self) -> bool:
        """An end takes mmu_lock exactly if its start did."""
        return self.kvm.ledger.decisions_agree

    @always
    def no_stale_translation(self) -> bool:
        """No vCPU keeps a translation of a page that was taken away, once that invalidation has ended."""
        for spte in self.kvm.mmu.sptes:
            if spte.present and spte.pte.page != spte.page:
                if self.kvm.ledger.under_way[spte.pte.hva] == 0:
                    return False
        return True

    @always
    def no_translation_without_memslot(self) -> bool:
        """No translation outlives its memslot."""
        for spte in self.kvm.mmu.sptes:
            if spte.present and not spte.has_memslot():
                return False
        return True

    @sometimes
    def update_meets_invalidation(self) -> bool:
        """A memslot update is under way during an invalidation of guest memory."""
        for space in self.kvm.spaces:
            if space.update_in_progress and self.kvm.mmu.mmu_invalidate_in_progress > 0:
                return True
        return False

    @sometimes
    def fault_maps_page(self) -> bool:
        """A fault installs a translation (if there is a vCPU that could)."""
        if self.vcpus == 0:
            return True
        for spte in self.kvm.mmu.sptes:
            if spte.present:
                return True
        return False

    @eventually()
    def updates_finish(self) -> bool:
        """Every memslot update ends; slots_lock is held for as long as it takes."""
        return self.kvm.slots_lock.owner is None


def _require(condition: bool, what: str, accepted: str) -> None:
    if not condition:
        raise UsageError(f"invalid value: {what}", f"must be {accepted}")


def _chosen(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of a comma-separated list.

    :raises UsageError: one of them is not known.
    """
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    for word in words:
        if word not in known:
            raise UsageError(f"`{word}` is not known here", f"one or more of {', '.join(known)}")
    return words
