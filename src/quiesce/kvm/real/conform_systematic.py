# SPDX-License-Identifier: Apache-2.0
"""Systematic requests: around a VM with known slots, every field at its edges, alone and in pairs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.device import GUEST_MEMFD, LOG_DIRTY_PAGES, PAGE, READONLY
from quiesce.kvm.real.requests import MEM_MAX_NR_PAGES, U64, Host, Request
from quiesce.kvm.real.slots_index import Slot

_SLOT_PAGES = 3
_AT = ops.WINDOW + 16 * PAGE


def standing_slots(host: Host) -> list[Request]:
    """Return the requests that create the known slots: plain, logging, read-only, bound to a file."""
    size = _SLOT_PAGES * PAGE
    made = [
        Request(1, 0, _AT, size, ops.ARENA),
        Request(2, LOG_DIRTY_PAGES, _AT + size, size, ops.ARENA + size),
    ]
    if host.readonly:
        made.append(Request(3, READONLY, _AT + 3 * size, size, ops.ARENA))
    if host.guest_memfd:
        made.append(Request(4, GUEST_MEMFD, _AT + 5 * size, size, ops.ARENA, PAGE, 0, version=2))
    return made


def _starting_points(host: Host) -> list[Request]:
    """Return requests that succeed: one of each kind. The systematic ones deviate from these."""
    standing = standing_slots(host)
    size = _SLOT_PAGES * PAGE
    created = Request(9, 0, ops.WINDOW, size, ops.ARENA + 32 * PAGE)
    points = [created, *standing]
    points += [replace(r, size=0) for r in standing]
    points += [replace(r, gpa=r.gpa + PAGE) for r in standing[-2:]]
    points.append(replace(standing[0], flags=LOG_DIRTY_PAGES))
    if host.version2:
        points.append(replace(created, version=2))
    if host.guest_memfd:
        points.append(replace(created, version=2, flags=GUEST_MEMFD, memfd=1))
    return points


def _edges(host: Host, point: Request) -> dict[str, tuple[int, ...]]:
    """Return the values to try for each field of *point*."""
    size, most = _SLOT_PAGES * PAGE, (MEM_MAX_NR_PAGES + 1) * PAGE
    ids = (0, 1, 2, 4, host.user_slots - 1, host.user_slots, host.slots_num, 0xFFFF)
    near = (_AT - size, _AT - PAGE, _AT, _AT + PAGE, _AT + size, _AT + 2 * size, _AT + 1)
    far = (host.gpa_end - size, host.gpa_end - PAGE, U64 - size, U64 - PAGE)
    memory = (0, ops.ARENA, ops.ARENA + PAGE, ops.ARENA + 1, ops.READ_ONLY, ops.NO_ACCESS)
    last = (host.hva_end - size, host.hva_end - PAGE, host.hva_end, 1 << 63, U64 - PAGE)
    edges: dict[str, tuple[int, ...]] = {
        "slot": (*ids, 1 << 16 | 1, 0xFFFF << 16),
        "flags": (0, LOG_DIRTY_PAGES, READONLY, 3, GUEST_MEMFD, 5, 6, 8, 1 << 16, 1 << 31),
        "gpa": (0, *near, *far),
        "size": (0, PAGE, size, size + PAGE, size + 1, most, 1 << 63, U64 - PAGE),
        "hva": (*memory, *last),
    }
    if point.version == 2:
        file = ops.Files.PAGES * PAGE
        edges["offset"] = (0, PAGE, 2048, 4 * PAGE, file - size, file - PAGE, U64 - size)
        edges["memfd"] = (0, 1, 2, 3, -1)
    return edges


def systematic_requests(host: Host) -> Iterator[Request]:
    """Yield requests that deviate from one that succeeds in no field, in one, and in two.

    Those that deviate in one field come first, for all starting points.
    """
    points = _starting_points(host)
    yield from points
    for point in points:
        for flags in (point.flags, GUEST_MEMFD, 1 << 31):
            yield replace(point, flags=flags, readable=False)
    for fields in (1, 2):
        for point in points:
            edges = _edges(host, point)
            for names in itertools.combinations(edges, fields):
                for values in itertools.product(*(edges[name] for name in names)):
                    request = replace(point, **dict(zip(names, values, strict=True)))  # type: ignore[arg-type]
                    if _is_harmless(request):
                        yield request


def _is_harmless(request: Request) -> bool:
    return request.size <= 1 << 30 or request.size // PAGE > MEM_MAX_NR_PAGES


def restore(host: Host, live: Iterable[Slot]) -> list[Request]:
    """Return the requests after which the known slots are there again, and no others.

    :param live: the slots that are there now, but for those that must stay.
    """
    missing = {request.slot: request for request in standing_slots(host)}
    deletions = []
    for slot in live:
        standing = missing.get(slot.id) if slot.as_id == 0 else None
        if standing is not None and _is(slot, standing):
            del missing[slot.id]
        else:
            deletions.append(Request(slot.as_id << 16 | slot.id, 0, 0, 0, 0))
    return [*deletions, *missing.values()]


def _is(slot: Slot, request: Request) -> bool:
    """Return whether *slot* is as *request* created it."""
    return (slot.base_gfn * PAGE, slot.npages * PAGE, slot.hva, slot.flags) == (
        request.gpa,
        request.size,
        request.hva,
        request.flags,
    ) and (slot.memfd is None or (slot.memfd, slot.offset) == (request.memfd, request.offset))
