# SPDX-License-Identifier: Apache-2.0
"""Cached MMIO: what is *not* there is remembered, too, and the generation says until when.

An access that no memslot covers is emulated. KVM keeps that in the translation itself, with the
generation of the memslots (``mark_mmio_spte()``; Linux commit f8f559422b6c "KVM: MMU: fast invalidate
all mmio sptes"), and takes the next access for MMIO without a look at the memslots if the generation
is still the same (``check_mmio_spte()``). The generation changes after the grace period, when no
fault is left that found the old memslots. Until then bit 63 of the active set's generation says that an
update is in progress, and no cached MMIO is used (361209e054a2 "KVM: Explicitly define the "memslot
update in-progress" bit").

The scenario has this component with ``mmio=True``.
"""

from __future__ import annotations

from quiesce.kvm.mmu import Spte, Sptes
from quiesce.protocol import Protocol, Snapshot, always


class MmioSpte(Protocol):
    """What a translation remembers of an access that no memslot covered.

    :param spte: the translation.
    """

    generation = Snapshot()

    def __init__(self, spte: Spte) -> None:
        self.spte = spte

    def mark_mmio_spte(self) -> None:
        """Remember that no memslot covers the frame. ``mmu_lock`` is held."""
        self.generation = self.spte.space.generation

    def check_mmio_spte(self) -> bool:
        """Return whether the next access is treated as MMIO without a look at the memslots."""
        if self.spte.space.update_in_progress:
            return False
        return self.generation == self.spte.space.generation


class MmioCache(Protocol):
    """One :class:`MmioSpte` for each translation.

    :param sptes: the translations that the guest uses.
    """

    def __init__(self, sptes: Sptes, mmio_spte: type[MmioSpte] = MmioSpte) -> None:
        self.mmio_sptes = tuple(mmio_spte(spte) for spte in sptes)

    def forget(self, spte: Spte) -> None:
        """*spte* is overwritten. ``mmu_lock`` is held."""
        for cached in self.mmio_sptes:
            if cached.spte is spte:
                cached.generation = None

    @always
    def no_stale_mmio(self) -> bool:
        """No access is treated as MMIO where an active memslot covers the frame."""
        for cached in self.mmio_sptes:
            if cached.check_mmio_spte() and cached.spte.has_memslot():
                return False
        return True
