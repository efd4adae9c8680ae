# SPDX-License-Identifier: Apache-2.0
"""What is done to a VM: requests, and after each that changed something the places that show it."""

from __future__ import annotations

import random
from collections.abc import Iterator

from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.conform_pair import Pair
from quiesce.kvm.real.device import PAGE
from quiesce.kvm.real.guest import REACH
from quiesce.kvm.real.requests import Request
from quiesce.kvm.real.slots import MemoryRegions
from quiesce.kvm.real.slots_index import Slot

ONE_PLACE_IN = 10
"""A random place is accessed after one request in so many."""

ONE_LOG_IN = 8
"""A dirty log is read or cleared after one request in so many."""


class Follower:
    """Yields the operations that look at what a request has done.

    :param random: chooses places.
    """

    def __init__(self, random: random.Random) -> None:
        self.random = random

    def around(self, pair: Pair, request: Request) -> Iterator[ops.Operation]:
        """Yield *request*, and then what shows its effect. Each must be done before the next is asked for."""
        regions = pair.ours.regions
        before = slot_of(regions, request)
        yield ops.SetRegion(request)
        after = slot_of(regions, request)
        places = self._places(before, after)
        if places:
            if after is not None and after.dirty is not None and self.random.random() < 0.5:
                yield ops.GetDirtyLog(request.slot, after.npages)
            yield from self._accesses(pair, places)
        if self.random.randrange(ONE_PLACE_IN) == 0:
            page = self.random.randrange(ops.WINDOW_PAGES + 2) - 1
            yield from self._accesses(
                pair, [ops.WINDOW + page * PAGE + self.random.randrange(PAGE)]
            )
        if self.random.randrange(ONE_LOG_IN) == 0:
            yield self._log(regions)

    def _places(self, before: Slot | None, after: Slot | None) -> list[int]:
        """Return the edges of what has changed; none if nothing has."""
        if before is after:
            return []
        edges: list[int] = []
        for slot in (before, after):
            if slot is not None:
                first, end = slot.base_gfn * PAGE, slot.end_gfn * PAGE
                edges += [first - 1, first, end - 1, end]
        return edges

    def _accesses(self, pair: Pair, places: list[int]) -> Iterator[ops.Operation]:
        usable = tuple(dict.fromkeys(p for p in places if may_access(pair, p)))
        if usable:
            yield ops.Access(usable)
            yield ops.Access(usable, self.random.randbytes(len(usable)))

    def _log(self, regions: MemoryRegions) -> ops.Operation:
        """Return a request for a dirty log: mostly of a slot that has one."""
        pick = self.random
        logging = [s for s in regions.spaces[0].by_id.values() if s.dirty is not None]
        if logging and pick.random() < 0.9:
            slot = pick.choice(logging)
            number, pages = slot.id, slot.npages
        else:
            number = pick.choice((0, 5, 40000, 1 << 16))
            slot_there = regions.spaces[0].by_id.get(number)
            pages = 8 if slot_there is None else slot_there.npages
        if pick.random() < 0.6 or pages > 64:
            return ops.GetDirtyLog(number, pages)
        first = pick.choice((0, 0, 0, 0, 0, 1, 64))
        count = pick.choice((pages, pages, pages, pages - 1, pages + 1, 64))
        bits = tuple(b for b in range(max(count, 0)) if pick.random() < 0.5)
        return ops.ClearDirtyLog(number, first, max(count, 0), bits)


def slot_of(regions: MemoryRegions, request: Request) -> Slot | None:
    """Return the slot that *request* names."""
    as_id = request.slot >> 16
    if as_id >= len(regions.spaces):
        return None
    return regions.spaces[as_id].by_id.get(request.slot & 0xFFFF)


def may_access(pair: Pair, gpa: int) -> bool:
    """Return whether the guest can reach *gpa*, and may: nothing else of this process is behind it."""
    if not 0 <= gpa < REACH or pair.setup.in_code(gpa):
        return False
    slot = pair.ours.regions.at_gpa(gpa)
    return slot is None or pair.arena.area(slot.gfn_to_hva(gpa // PAGE)) is not None
