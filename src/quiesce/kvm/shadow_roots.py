# SPDX-License-Identifier: Apache-2.0
"""Shadow paging: the first shadow root makes a vCPU change the memslots, inside its read section.

With two-dimensional paging the reverse maps of a slot (``slot->arch.rmap``) are allocated only once a
guest needs shadow page tables, that is when it runs a guest of its own
(``mmu_first_shadow_root_alloc()``). The vCPU does so inside its SRCU read section, for the slots that it
finds. From then on an update allocates them for the slots that it makes. ``slots_arch_lock`` keeps the
two apart: an update holds it from where it looks until it has published. It must drop it before it waits
for the grace period, since that waits for the vCPU (Linux commit b10a038e84d1 "KVM: mmu: Add
slots_arch_lock for memslot arch fields").

The scenario has this component with ``shadow_roots=True``.
"""

from __future__ import annotations

from quiesce.kvm.memslots import NULL, AddressSpace
from quiesce.primitives import Mutex
from quiesce.protocol import READ_ONCE, Bool, Protocol, always, atomic


class ShadowRoots(Protocol):
    """Whether reverse maps are needed, and that every slot has them then.

    :param spaces: the address spaces.
    :param slots_arch_lock: ``kvm->slots_arch_lock``
    """

    allocated = Bool(marked=True)
    """``kvm->arch.shadow_root_allocated``"""

    def __init__(self, spaces: tuple[AddressSpace, ...], slots_arch_lock: Mutex) -> None:
        self.spaces = spaces
        self.slots_arch_lock = slots_arch_lock

    def mmu_first_shadow_root_alloc(self) -> None:
        """Allocate the reverse maps of all slots, if that is still to be done."""
        if READ_ONCE(self.allocated):
            return
        self.slots_arch_lock.lock()
        self.memslot_rmap_alloc()
        self.slots_arch_lock.unlock()

    @atomic(label="memslot_rmap_alloc")
    def memslot_rmap_alloc(self) -> None:
        """``memslot_rmap_alloc()`` for each slot, and say that it is done."""
        for space in self.spaces:
            space.active.rmap = space.active.slot != NULL
        self.allocated = True

    @always
    def slots_have_rmaps(self) -> bool:
        """Once a shadow root was allocated, every active slot has its reverse maps."""
        for space in self.spaces:
            slots = space.active
            if self.allocated and slots.slot != NULL and not slots.rmap:
                return False
        return True
