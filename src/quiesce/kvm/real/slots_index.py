# SPDX-License-Identifier: Apache-2.0
"""A slot, and the three ways to find slots: by id, by guest frame, by host address.

The kernel has a hash, a red-black tree and an interval tree (``struct kvm_memslots``, Linux commit
a54d806688fe). Here it is a dict, a sorted dict, and for host addresses, which may be shared, a dict of
*blocks*: a slot's range of pages is cut into blocks of 2^k pages that begin at multiples of 2^k. An
address lies in one block of each size, so that 53 look-ups find all slots that have it, of however many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from quiesce.errors import UsageError
from quiesce.kvm.real.device import GUEST_MEMFD, LOG_DIRTY_PAGES, PAGE, READONLY

try:
    from sortedcontainers import SortedDict as SortedDict
    from sortedcontainers import SortedList
except ImportError:
    raise UsageError(
        "memslots as KVM has them need the package `sortedcontainers`",
        "install quiesce with its extra: pip install 'quiesce[kvm]'",
    ) from None

_LARGEST_BLOCK = 52
"""A host address has 64 bits, its page number 52."""


@dataclass(slots=True, eq=False)
class Slot:
    """``struct kvm_memory_slot``: guest frames that host addresses back.

    :param npages: how many, from 1 to 2^31 - 1.
    :param hva: the host address of the first page.
    :param dirty: the pages that are marked in its dirty bitmap; None: it has none.
    :param may_be_dirty: pages that the kernel may mark because the guest has read them.
    :param memfd: the guest_memfd that it is bound to, as the request named it; None: to none.
    :param made_by: the number of the request that created it, from 1; 0: the kernel itself.
    :param changed_by: the number of the request that last moved it or changed its flags.
    """

    as_id: int
    id: int
    base_gfn: int
    npages: int
    hva: int
    flags: int = 0
    dirty: set[int] | None = None
    may_be_dirty: set[int] = field(default_factory=set)
    memfd: int | None = None
    offset: int = 0
    made_by: int = 0
    changed_by: int = 0

    @property
    def end_gfn(self) -> int:
        """The first frame behind it."""
        return self.base_gfn + self.npages

    @property
    def readonly(self) -> bool:
        """The guest must not write to it."""
        return bool(self.flags & READONLY)

    @property
    def log_dirty(self) -> bool:
        """Writes are logged."""
        return bool(self.flags & LOG_DIRTY_PAGES)

    @property
    def private(self) -> bool:
        """It is bound to a guest_memfd."""
        return bool(self.flags & GUEST_MEMFD)

    def gfn_to_hva(self, gfn: int) -> int:
        """Return the host address of the frame *gfn*, which is in the slot."""
        return self.hva + (gfn - self.base_gfn) * PAGE

    def hva_to_gfn(self, hva: int) -> int:
        """Return the frame that *hva* backs, which is in the slot (``hva_to_gfn_memslot()``)."""
        return self.base_gfn + (hva - self.hva) // PAGE

    def with_changes(self, **changes: int) -> Slot:
        """Return a copy that differs in *changes* and shares the dirty bitmap."""
        return replace(self, **changes)  # type: ignore[arg-type]


class SlotIndex:
    """The slots of one address space: ``struct kvm_memslots`` while no update is under way."""

    def __init__(self) -> None:
        self.by_id: dict[int, Slot] = {}
        self.by_gfn: SortedDict[int, Slot] = SortedDict()
        self._starts: SortedList[tuple[int, int]] = SortedList()
        self._blocks: dict[tuple[int, int], dict[int, Slot]] = {}

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self) -> Iterator[Slot]:
        """Yield the slots in the order of their frames."""
        return iter(self.by_gfn.values())

    def add(self, slot: Slot) -> None:
        """Add *slot*, whose id and frames are free."""
        self.by_id[slot.id] = slot
        self.by_gfn[slot.base_gfn] = slot
        self._starts.add((slot.hva // PAGE, slot.id))
        for block in _blocks(slot):
            self._blocks.setdefault(block, {})[slot.id] = slot

    def remove(self, slot: Slot) -> None:
        """Remove *slot*, which is one of them."""
        del self.by_id[slot.id]
        del self.by_gfn[slot.base_gfn]
        self._starts.remove((slot.hva // PAGE, slot.id))
        for block in _blocks(slot):
            here = self._blocks[block]
            del here[slot.id]
            if not here:
                del self._blocks[block]

    def at_gfn(self, gfn: int) -> Slot | None:
        """Return the slot that has the frame *gfn* (``gfn_to_memslot()``)."""
        for base in self.by_gfn.irange(None, gfn, reverse=True):
            slot: Slot = self.by_gfn[base]
            return slot if gfn < slot.end_gfn else None
        return None

    def overlapping(self, gfn: int, end: int) -> Iterator[Slot]:
        """Yield the slots with frames in ``[gfn, end)``, the lowest first."""
        if end <= gfn:
            return
        first = self.at_gfn(gfn)
        if first is not None:
            yield first
        for base in self.by_gfn.irange(gfn + 1, end - 1):
            yield self.by_gfn[base]

    def at_hva(self, hva: int, end: int | None = None) -> list[Slot]:
        """Return the slots that *hva* backs, or any address of ``[hva, end)``, by their first address.

        These are the slots that an MMU notifier's range meets (``kvm_for_each_memslot_in_hva_range()``).
        """
        page = hva // PAGE
        found: dict[int, Slot] = {}
        for size in range(_LARGEST_BLOCK + 1):
            found |= self._blocks.get((size, page >> size), {})
        if end is not None:
            last = (end - 1) // PAGE
            for _, number in self._starts.irange((page + 1, -1), (last, 1 << 16)):
                found[number] = self.by_id[number]
        return sorted(found.values(), key=lambda slot: (slot.hva, slot.id))


def _blocks(slot: Slot) -> Iterator[tuple[int, int]]:
    """Yield the blocks that *slot*'s host pages consist of, at most two of each size."""
    page, left = slot.hva // PAGE, slot.npages
    while left:
        size = left.bit_length() - 1
        if page:
            size = min(size, (page & -page).bit_length() - 1)
        yield size, page >> size
        page += 1 << size
        left -= 1 << size
