# SPDX-License-Identifier: Apache-2.0
"""A VMM's log of requests, done again on ``/dev/kvm`` and on our memslots, and compared with both."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from quiesce.errors import UsageError
from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.conform_pair import Bench, Difference, Pair
from quiesce.kvm.real.conform_probe import Probed, probe
from quiesce.kvm.real.conform_sides import Arena, difference
from quiesce.kvm.real.conform_source import Follower
from quiesce.kvm.real.device import LARGEST_SAFE_SLOT, PAGE, Device
from quiesce.kvm.real.requests import MEM_MAX_NR_PAGES, Request
from quiesce.kvm.real.requests_log import BLOCKS_AT, Logged, RequestLog

_GAP = 1 << 30


@dataclass
class Replayed:
    """What came of a log.

    :param disagreements: the differences, each with the line of the log.
    """

    log: RequestLog
    probed: Probed
    operations: int = 0
    accesses: int = 0
    disagreements: list[tuple[int, Difference]] = field(default_factory=list)

    def not_compared(self) -> list[str]:
        """What the host lacks, and what the log has besides requests."""
        others = [
            f"{count} of {name}: the log does not say of which slot"
            if "dirty_log" in name
            else f"{count} of {name}"
            for name, count in sorted(self.log.other.items())
        ]
        return [*self.probed.not_compared, *others]


def replay(log: RequestLog) -> Replayed:
    """Do the requests of *log* again.

    :raises UsageError: there is no usable ``/dev/kvm``, or a slot is too large to be tried.
    """
    requests, blocks = rebased(log.requests)
    _require_small(log, requests)
    with Device() as device, Arena(blocks) as arena:
        probed = probe(device, arena)
        result = Replayed(log, probed)
        setup = _room_for_code(requests, probed.host.user_slots)
        bench = Bench(device, arena, probed.ours, probed.host.guest_memfd)
        with bench.pair(setup) as pair:
            follower = Follower(random.Random(0))
            for logged, request in zip(log.requests, requests, strict=True):
                for found in _do(pair, follower, request, logged, result):
                    result.disagreements.append((logged.line, found))
        return result


def _do(
    pair: Pair, follower: Follower, request: Request, logged: Logged, result: Replayed
) -> Iterator[Difference]:
    """Do one request and access what it changed; yield what differs."""
    for operation in follower.around(pair, request):
        found = pair.do(operation)
        if isinstance(operation, ops.Access):
            result.accesses += len(operation.addresses)
        elif isinstance(operation, ops.SetRegion):
            result.operations += 1
            if logged.errno is not None and logged.errno != pair.last.errno and found is None:
                recorded = replace(pair.last, errno=logged.errno)
                what = difference(operation, pair.last, recorded, pair.arena)
                yield Difference(pair.setup, tuple(pair.done), f"{what} in the log")
        if found is not None:
            yield found


def _require_small(log: RequestLog, requests: list[Request]) -> None:
    for logged, request in zip(log.requests, requests, strict=True):
        if LARGEST_SAFE_SLOT < request.size and request.size // PAGE <= MEM_MAX_NR_PAGES:
            raise UsageError(
                f"{log.name}:{logged.line}: a slot of {request.size >> 20} MiB is not tried: the kernel "
                "allocates 8 bytes and more for each page of a slot",
                "record a VM with slots of at most 1 GiB",
            )


def rebased(logged: list[Logged]) -> tuple[list[Request], list[tuple[int, int]]]:
    """Return the requests with host addresses that are free in this process, and the memory that they need.

    Host addresses of the log that overlap stay together, so that aliases stay aliases.
    """
    ranges = sorted(
        (entry.request.hva, entry.request.hva + entry.request.size)
        for entry in logged
        if entry.request.hva % PAGE == 0
        and entry.request.size % PAGE == 0
        and 0 < entry.request.size <= LARGEST_SAFE_SLOT
        and entry.request.hva + entry.request.size < 1 << 56
    )
    merged: list[list[int]] = []
    for start, end in ranges:
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    bases, at = [], BLOCKS_AT
    for start, end in merged:
        bases.append(at)
        at += end - start + _GAP
    moved = []
    for entry in logged:
        request = entry.request
        for (start, end), base in zip(merged, bases, strict=True):
            if start <= request.hva < end:
                request = replace(request, hva=base + request.hva - start)
                break
        moved.append(request)
    blocks = [(base, end - start) for (start, end), base in zip(merged, bases, strict=True)]
    return moved, blocks


def _room_for_code(requests: list[Request], user_slots: int) -> ops.Setup:
    """Return a setup whose program is where *requests* have nothing.

    :raises UsageError: they leave no room.
    """
    ids = {request.id for request in requests}
    slot = next((n for n in range(user_slots - 1, -1, -1) if n not in ids), None)
    used = [(r.gpa, r.gpa + r.size) for r in requests]
    places = (ops.CODE_GPA, *range(0xD000_0000, 0xE000_0000, 1 << 20), *range(PAGE, 1 << 20, PAGE))
    for gpa in places:
        if slot is not None and not any(a <= gpa + PAGE and gpa <= b for a, b in used):
            return ops.Setup(0, slot, gpa)
    raise UsageError(
        "the log leaves no page below 4 GiB for the guest's program", "replay a part of it"
    )
