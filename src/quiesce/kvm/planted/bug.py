# SPDX-License-Identifier: Apache-2.0
"""What is said of a planted bug."""

from __future__ import annotations

from dataclasses import dataclass, field

from quiesce.kvm.gates import Gate
from quiesce.kvm.mm import Mm
from quiesce.kvm.mmio import MmioSpte
from quiesce.kvm.mmu import Mmu
from quiesce.kvm.mmu_notifier import MmuNotifier
from quiesce.kvm.vm import Kvm

Settings = dict[str, str | int | bool]


@dataclass(frozen=True)
class Bug:
    """A planted bug.

    :param what: one sentence on what is wrong.
    :param finds: the kinds of finding that it may be caught by.
    :param caught_by: the properties that may be found violated first.
    :param settings: the parameters of the scenario in which it shows.
    :param twin: what is different in the twin; nothing but the bug by default.
    :param gate: the class that has the bug, in place of the design's. So are the others.
    """

    what: str
    finds: tuple[str, ...]
    caught_by: tuple[str, ...]
    settings: Settings = field(default_factory=dict)
    twin: Settings = field(default_factory=dict)
    gate: type[Gate] | None = None
    kvm: type[Kvm] = Kvm
    mmu: type[Mmu] = Mmu
    mmio_spte: type[MmioSpte] = MmioSpte
    mm: type[Mm] = Mm
    mmu_notifier: type[MmuNotifier] = MmuNotifier
