# SPDX-License-Identifier: Apache-2.0
"""The scenario of a planted bug, and of its twin."""

from __future__ import annotations

from quiesce.errors import UsageError
from quiesce.kvm.gates import GATES
from quiesce.kvm.planted.table import PLANTED
from quiesce.kvm.scenarios import MemslotUpdates, Parts
from quiesce.protocol import always

_ELIDING = ("elide_unguarded", "count", "phased")


class Planted(MemslotUpdates):
    """Memslot updates against MMU notifiers, with a planted bug.

    It also watches what only saves work, which no design needs in order to be safe.

    :param bug: one of ``PLANTED``.
    :param fixed: leave the bug out.
    """

    def __init__(self, bug: str = "wake_up_dropped", fixed: bool = False) -> None:
        if bug not in PLANTED:
            raise UsageError(f"there is no planted bug `{bug}`", f"one of {', '.join(PLANTED)}")
        self.bug = bug
        self.fixed = fixed
        entry = PLANTED[bug]
        settings = {**entry.settings, **entry.twin} if fixed else entry.settings
        self.elides = settings.get("design", "count") in _ELIDING
        super().__init__(**settings)  # type: ignore[arg-type]
        self.related_hvas = tuple(range(self.kvm.pages))

    def parts(self, design: str) -> Parts:
        """Return the real classes, with the bug in one of them unless it is fixed."""
        if self.fixed:
            return super().parts(design)
        entry = PLANTED[self.bug]
        return Parts(
            gate=entry.gate or GATES[design],
            kvm=entry.kvm,
            mmu=entry.mmu,
            mmio_spte=entry.mmio_spte,
            mm=entry.mm,
            mmu_notifier=entry.mmu_notifier,
        )

    @always
    def unrelated_invalidations_elide(self) -> bool:
        """No invalidation that no memslot covers takes ``mmu_lock``, if the design elides it."""
        if not self.elides:
            return True
        related = 0
        for hva in self.related_hvas:
            related += self.kvm.ledger.under_way[hva]
        return self.kvm.ledger.took_lock <= related

    @always
    def retries_are_needed(self) -> bool:
        """A fault is not retried for another page, as long as one invalidation is under way."""
        if not self.elides or self.notifiers > 1:
            return True
        for spte in self.kvm.mmu.sptes:
            if self.kvm.mmu.is_page_fault_stale(spte.gfn, self.kvm.mmu.mmu_invalidate_seq):
                if self.kvm.ledger.under_way[spte.pte.hva] == 0:
                    return False
        return True


def planted(name: str) -> Planted:
    """Return the scenario with the planted bug *name*."""
    return Planted(name)


def twin(name: str) -> Planted:
    """Return the scenario of the bug *name* without it: everything in it holds."""
    return Planted(name, fixed=True)
