# SPDX-License-Identifier: Apache-2.0
"""Memslots: which guest frames are backed by which host addresses (``struct kvm_memslots``).

An address space has two *sets* of memslots. One is active: vCPUs and MMU notifiers read it inside an
SRCU read section. An update changes the other one, publishes it with ``rcu_assign_pointer()``, and
waits for a grace period; then nobody reads the old set any more, and it becomes the inactive one
(Linux commit a54d806688fe "KVM: Keep memslots in tree-based structures instead of array-based ones";
before it the old set was freed, which comes to the same for readers).

There is one slot that comes and goes. It backs ``pages`` guest frames with the host addresses (hvas)
0 to ``pages - 1``; the hva ``pages`` stands for the rest of the process.
"""

from __future__ import annotations

import enum

from quiesce.protocol import (
    WRITE_ONCE,
    Array,
    Bool,
    Enum,
    Int,
    Protocol,
    Ref,
    Version,
)


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


class MemslotSet(Protocol):
    """One set of memslots: ``struct kvm_memslots``."""

    slot = Enum(NULL)
    base_gfn = Int(0, high=1)
    """Where the guest sees the slot: one of two places."""
    dirty_log = Bool()
    """``KVM_MEM_LOG_DIRTY_PAGES``"""
    dead = Bool()
    """The grace period after its replacement is over: nobody may read it."""

    def covers(self, hva: int, pages: int) -> bool:
        """Whether a slot of this set backs guest memory with *hva*; an invalid one counts."""
        assert not self.dead, "memslots are read that are not in use any more"
        return self.slot != NULL and hva < pages


class AddressSpace(Protocol):
    """The memslots of one address space: ``kvm->__memslots[as_id]`` and ``kvm->memslots[as_id]``.

    :param as_id: 0 for the guest's normal memory, 1 for SMM.
    """

    sets = Array[MemslotSet](MemslotSet(), 2)
    active = Ref(sets, 0)
    generation = Version()
    """``slots->generation``: changes with every update; caches of what is *not* there compare it."""
    update_in_progress = Bool()
    """``KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS``, bit 63 of the generation."""

    def __init__(self, as_id: int = 0) -> None:
        self.as_id = as_id

    def inactive(self) -> MemslotSet:
        """Return the set that is not in use. For the updater, who holds ``slots_lock``."""
        return self.sets[1] if self.active is self.sets[0] else self.sets[0]

    def rcu_assign_pointer(self, new: MemslotSet) -> None:
        """Publish *new*: ``rcu_assign_pointer(kvm->memslots[as_id], new)``."""
        WRITE_ONCE(self).active = new
