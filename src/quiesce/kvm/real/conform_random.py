# SPDX-License-Identifier: Apache-2.0
"""Random operations: half of the requests near a slot that is there, many of them wrong in one field."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.device import GUEST_MEMFD, LOG_DIRTY_PAGES, PAGE, READONLY
from quiesce.kvm.real.requests import MEM_MAX_NR_PAGES, U64, Host, Request
from quiesce.kvm.real.slots import MemoryRegions
from quiesce.kvm.real.slots_index import Slot

MOST_SLOTS = 60
"""Live slots from which on requests only delete: the kernel's memory stays small."""

_IDS = 12
_FLAGS = (0, 0, 0, LOG_DIRTY_PAGES, LOG_DIRTY_PAGES, READONLY, LOG_DIRTY_PAGES | READONLY)


class RandomOperations:
    """A source of operations that is the same for the same seed.

    :param host: the limits, whose neighbourhood is tried.
    """

    def __init__(self, seed: str, host: Host) -> None:
        self.random = random.Random(seed)
        self.host = host
        self._spoilers: tuple[Callable[[Request], Request], ...] = (
            self._spoil_flags,
            self._spoil_alignment,
            self._spoil_size,
            self._spoil_gpa,
            self._spoil_hva,
            self._spoil_slot,
            self._spoil_memfd,
            lambda r: replace(r, readable=False),
        )

    def request(self, regions: MemoryRegions) -> Request:
        """Return the next request for a VM with *regions*."""
        pick = self.random
        slots = [s for s in regions.spaces[0].by_id.values() if s.id < ops.CODE_SLOT]
        if len(slots) >= MOST_SLOTS:
            return self._delete(pick.choice(slots))
        if slots and pick.random() < 0.55:
            request = self._near(pick.choice(slots))
        else:
            request = self._anywhere()
        if pick.random() < 0.2:
            request = pick.choice(self._spoilers)(request)
            if pick.random() < 0.25:
                request = pick.choice(self._spoilers)(request)
        return self._harmless(request)

    @staticmethod
    def _harmless(request: Request) -> Request:
        """Keep off the program's slot and off sizes that could lock the machine up."""
        if request.slot & 0xFFFF == ops.CODE_SLOT:
            request = replace(request, slot=request.slot + 1)
        if (1 << 30) < request.size and request.size // PAGE <= MEM_MAX_NR_PAGES:
            request = replace(request, size=PAGE)
        return request

    # --- Requests that may be right -------------------------------------------------------------

    def _anywhere(self) -> Request:
        pick = self.random
        pages = pick.choice((1, 1, 2, 3, 4, 8))
        flags = pick.choice(_FLAGS)
        version = 2 if self.host.version2 and pick.random() < 0.4 else 1
        request = Request(
            pick.randrange(_IDS),
            flags,
            self._gpa(),
            pages * PAGE,
            self._hva(pages),
            version=version,
        )
        if version == 2 and pick.random() < 0.4:
            request = replace(
                request,
                flags=GUEST_MEMFD if pick.random() < 0.9 else GUEST_MEMFD | flags,
                offset=pick.randrange(ops.Files.PAGES) * PAGE,
                memfd=pick.choice((0, 0, 0, 0, 1, 1, 2, 3, -1)),
            )
        if pick.random() < 0.1:
            request = replace(request, size=0)
        elif pick.random() < 0.003:
            size = pick.choice((2 << 20, 2 << 20, 2 << 20, 16 << 20, 1 << 30))
            gpa = pick.choice((1 << 32, 1 << 36, 1 << 40))
            request = replace(request, flags=0, size=size, gpa=gpa, hva=ops.UNMAPPED)
        return request

    def _gpa(self) -> int:
        pick = self.random
        if pick.random() < 0.9:
            return ops.WINDOW + pick.randrange(ops.WINDOW_PAGES) * PAGE
        return pick.choice(
            (0, ops.CODE_GPA - PAGE, ops.CODE_GPA, ops.CODE_GPA + PAGE, ops.TSS, (1 << 32) - PAGE)
        )

    def _hva(self, pages: int) -> int:
        pick = self.random
        if pages > ops.AREA_PAGES // 2:
            return ops.UNMAPPED
        if pick.random() < 0.85:
            return ops.ARENA + pick.randrange(ops.ARENA_PAGES - pages + 1) * PAGE
        area = pick.choice((ops.READ_ONLY, ops.NO_ACCESS, ops.UNMAPPED, 0))
        return area + pick.randrange(4) * PAGE

    def _near(self, slot: Slot) -> Request:
        """Return a request that has to do with *slot*."""
        pick = self.random
        version = 2 if self.host.version2 and pick.random() < 0.3 else 1
        same = Request(
            slot.id,
            slot.flags & ~(GUEST_MEMFD if version == 1 else 0),
            slot.base_gfn * PAGE,
            slot.npages * PAGE,
            slot.hva,
            slot.offset,
            -1 if slot.memfd is None else slot.memfd,
            version,
        )
        other = replace(same, slot=pick.randrange(_IDS), hva=self._hva(slot.npages))
        kind = pick.randrange(12)
        if kind <= 2:
            return self._delete(slot, version)
        if kind == 3:
            return replace(same, gpa=self._gpa())
        if kind == 4:
            return replace(same, gpa=max(same.gpa + pick.choice((-2, -1, 1, 2)) * PAGE, 0))
        if kind == 5:
            return replace(same, flags=same.flags ^ LOG_DIRTY_PAGES)
        if kind == 6:
            moved = replace(same, gpa=self._gpa())
            return replace(moved, flags=same.flags ^ pick.choice((LOG_DIRTY_PAGES, READONLY)))
        if kind == 7:
            return replace(same, flags=pick.choice(_FLAGS))
        if kind == 8:
            return replace(same, size=same.size + pick.choice((-1, 1)) * PAGE)
        if kind == 9:
            return replace(same, hva=self._hva(slot.npages)) if pick.random() < 0.5 else same
        if kind == 10:
            edge = pick.choice((-same.size, -PAGE, 0, same.size - PAGE, same.size))
            return replace(other, gpa=max(same.gpa + edge, 0))
        return replace(other, hva=same.hva, gpa=self._gpa())

    def _delete(self, slot: Slot, version: int = 1) -> Request:
        """Return the request that deletes *slot*; the fields that do not count are right or not."""
        pick = self.random
        if pick.random() < 0.7:
            return Request(slot.id, 0, slot.base_gfn * PAGE, 0, slot.hva, version=version)
        return Request(slot.id, pick.choice(_FLAGS), self._gpa(), 0, self._hva(1), version=version)

    # --- Requests that are wrong ------------------------------------------------------------------

    def _spoil_flags(self, r: Request) -> Request:
        pick = self.random
        flag = pick.choice((READONLY, GUEST_MEMFD, 1 << 3, 1 << 16, 1 << 17, 1 << 31))
        return replace(r, flags=r.flags ^ flag)

    def _spoil_alignment(self, r: Request) -> Request:
        pick = self.random
        by = pick.choice((1, 16, 512, 2048, PAGE - 1))
        name = pick.choice(("gpa", "size", "hva", "offset"))
        return replace(r, **{name: getattr(r, name) + by})

    def _spoil_size(self, r: Request) -> Request:
        most = (MEM_MAX_NR_PAGES + 1) * PAGE
        return replace(r, size=self.random.choice((most, most + PAGE, 1 << 63, U64 - PAGE)))

    def _spoil_gpa(self, r: Request) -> Request:
        end = self.host.gpa_end
        gpa = self.random.choice((end - r.size, end - r.size + PAGE, end, U64 - r.size, U64 - PAGE))
        return replace(r, gpa=gpa % U64)

    def _spoil_hva(self, r: Request) -> Request:
        end = self.host.hva_end
        hva = self.random.choice(
            (
                end - r.size,
                end - r.size + PAGE,
                end,
                1 << 47,
                1 << 62,
                (1 << 63) | r.hva,
                U64 - PAGE,
            )
        )
        return replace(r, hva=hva % U64)

    def _spoil_slot(self, r: Request) -> Request:
        host = self.host
        ids = (host.user_slots - 1, host.user_slots, host.slots_num - 1, host.slots_num, 0xFFFF)
        as_id = self.random.choice((0, 0, 1, 2, 0xFFFF))
        return replace(r, slot=self.random.choice((*ids, r.slot & 0xFFFF)) | as_id << 16)

    def _spoil_memfd(self, r: Request) -> Request:
        pick = self.random
        if not self.host.version2:
            return self._spoil_flags(r)
        size = ops.Files.PAGES * PAGE
        offset = pick.choice((0, size - PAGE, size, U64 - PAGE, U64 - r.size % U64, 2048))
        memfd = pick.choice((0, 1, 2, 3, -1))
        return replace(r, version=2, flags=GUEST_MEMFD, offset=offset % U64, memfd=memfd)
