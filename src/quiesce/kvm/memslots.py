# SPDX-License-Identifier: Apache-2.0
"""Memslots: which guest frames are backed by which host addresses (``struct kvm_memslots``).

An address space has two *sets* of memslots. One is active: vCPUs and MMU notifiers read it inside an
SRCU read section. An update changes the other one, publishes it with ``rcu_assign_pointer()``, and
waits for a grace period; then no reader has the old set any more, and it becomes the inactive one
(Linux commit a54d806688fe "KVM: Keep memslots in tree-based structures instead of array-based ones",
5.17; before it the old set was freed, which is the same for readers).

There is one slot that comes and goes. It backs ``pages`` guest frames with the host addresses (hvas)
0 to ``pages - 1``; the hva ``pages`` stands for the rest of the process. It can be in one of two
places of the guest's memory: place 0 begins at gfn 0, place 1 at gfn ``pages``.
"""

from __future__ import annotations

import enum

from quiesce.protocol import Bool, Enum, Int, Protocol, Ref, Version, atomic, shared


class Slot(enum.Enum):
    """What a set says of the slot."""

    NULL = "-"
    VALID = "valid"
    INVALID = "invalid"
    """``KVM_MEMSLOT_INVALID``: about to be deleted or moved. Faults must not use it; for the MMU
    notifier it is still there."""


NULL = Slot.NULL
VALID = Slot.VALID
INVALID = Slot.INVALID


class Change(enum.Enum):
    """``enum kvm_mr_change``"""

    CREATE = "create"
    DELETE = "delete"
    MOVE = "move"
    FLAGS_ONLY = "flags"


class Memslots(Protocol):
    """One set of memslots: ``struct kvm_memslots``, with the one ``struct kvm_memory_slot``.

    :param pages: how many pages the slot has.
    """

    slot = Enum(NULL)
    place = Int(0, high=1)
    """Where the guest sees the slot: its ``base_gfn`` is ``place * pages``."""
    log_dirty = Bool()
    """``KVM_MEM_LOG_DIRTY_PAGES``"""
    rmap = Bool()
    """``slot->arch.rmap`` is allocated: see ``shadow_roots.py``."""
    dead = Bool()
    """The grace period after its replacement is over: it may not be read."""

    def __init__(self, pages: int) -> None:
        self.pages = pages

    def overlaps(self, hva: int) -> bool:
        """Return whether a slot of this set backs guest memory with *hva*. An invalid one counts."""
        assert not self.dead, "memslots are read that are not in use any more"
        return self.slot != NULL and hva < self.pages

    def hva_to_gfn(self, hva: int) -> int:
        """Return where the guest sees *hva*, which the slot backs (``hva_to_gfn_memslot()``)."""
        return self.place * self.pages + hva


class AddressSpace(Protocol):
    """The memslots of one address space: ``kvm->__memslots[as_id]`` and ``kvm->memslots[as_id]``.

    :param as_id: 0 for the guest's normal memory, 1 for SMM.
    :param pages: how many pages the slot has.
    """

    generation = Version()
    """``slots->generation`` without its bit 63: changes with every update; caches compare it."""
    update_in_progress = Bool()
    """``KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS``, bit 63 of the active set's generation."""

    def __init__(self, as_id: int, pages: int) -> None:
        self.as_id = as_id
        self.sets = (Memslots(pages), Memslots(pages))
        self.active = shared(Ref(self.sets, 0))

    def get_inactive_memslots(self) -> Memslots:
        """Return the set that is not in use. For the updater, which holds ``slots_lock``."""
        return self.sets[1] if self.active is self.sets[0] else self.sets[0]

    @atomic(label="rcu_assign_pointer(kvm->memslots)")
    def rcu_assign_pointer(self, new: Memslots) -> None:
        """Publish *new*, whose generation has bit 63 set until the grace period is over."""
        self.active = new
        self.update_in_progress = True
