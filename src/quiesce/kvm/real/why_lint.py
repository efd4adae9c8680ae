# SPDX-License-Identifier: Apache-2.0
"""Look a log of requests through: ids that leak, holes in guest RAM, refused requests, limits."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from quiesce.kvm.real.device import PAGE
from quiesce.kvm.real.requests import MEM_MAX_NR_PAGES, Host
from quiesce.kvm.real.requests_log import Logged, RequestLog
from quiesce.kvm.real.slots import MemoryRegions
from quiesce.kvm.real.slots_index import Slot
from quiesce.kvm.real.why import Contradiction, History, host_of

FEWEST_LEAKED = 3
"""So many ids must be left behind before that is called a leak."""


@dataclass(frozen=True)
class Hole:
    """Guest RAM that was absent for a while.

    :param start: its first guest physical address.
    :param size: in bytes.
    :param deleted: the request that took it away.
    :param created: the request that put it back.
    :param seconds: how long it was absent at least; None: the log has no times.
    """

    start: int
    size: int
    deleted: Logged
    created: Logged
    seconds: float | None


@dataclass
class Findings:
    """What was found in a log.

    :param freed: ids that were freed and not used again, though later creations took new ids.
    :param copies: slots that map the same host memory as an older slot that is still there.
    :param refused: requests that failed.
    :param most_slots: the most slots at a time.
    :param largest: the pages of the largest slot.
    """

    log: RequestLog
    host: Host
    holes: list[Hole] = field(default_factory=list)
    freed: list[int] = field(default_factory=list)
    copies: list[list[Slot]] = field(default_factory=list)
    refused: list[Logged] = field(default_factory=list)
    contradictions: list[Contradiction] = field(default_factory=list)
    slots: int = 0
    most_slots: int = 0
    highest_id: int = -1
    largest: int = 0
    changes: Counter[str] = field(default_factory=Counter)

    @property
    def ids_leak(self) -> bool:
        """Whether so many ids were left behind that it is no accident."""
        return len(self.freed) >= FEWEST_LEAKED

    @property
    def slots_leak(self) -> bool:
        """Whether the same host memory is mapped again and again, and older mappings stay."""
        return any(len(copies) > FEWEST_LEAKED for copies in self.copies)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to report."""
        return not (
            self.holes or self.ids_leak or self.slots_leak or self.refused or self.contradictions
        )

    def limits(self) -> list[tuple[str, int, int]]:
        """Return ``(what, reached, limit)``."""
        return [
            ("slots at a time", self.most_slots, self.host.user_slots),
            ("highest id", self.highest_id, self.host.user_slots - 1),
            ("pages of the largest slot", self.largest, MEM_MAX_NR_PAGES),
        ]


def lint(log: RequestLog, host: Host | None = None) -> Findings:
    """Look *log* through."""
    used = host_of(log.requests, host)
    history = History(MemoryRegions(used))
    found = Findings(log, used)
    absent: list[_Absent] = []
    ids = _Ids()
    for logged in log.requests:
        if logged.errno:
            found.refused.append(logged)
        before, after = history.add(logged)
        if before is after:
            found.changes["none"] += 1
            continue
        found.changes[_kind(before, after)] += 1
        ids.changed(logged.request.as_id, logged.request.id, before, after)
        if before is not None and not before.readonly:
            _take_away(absent, before, logged, history)
        if after is not None:
            found.holes += _put_back(absent, after, logged)
        _measure(found, history)
    found.contradictions = history.contradictions
    found.freed = ids.left_behind()
    found.copies = _copies(history)
    return found


def _kind(before: Slot | None, after: Slot | None) -> str:
    if before is None:
        return "create"
    if after is None:
        return "delete"
    return "move" if before.base_gfn != after.base_gfn else "flags"


def _measure(found: Findings, history: History) -> None:
    spaces = history.regions.spaces
    found.slots = sum(map(len, spaces))
    found.most_slots = max(found.most_slots, found.slots)
    newest = history.made[history.regions.requests].request
    found.highest_id = max(found.highest_id, newest.id)
    found.largest = max(found.largest, newest.size // PAGE)


# --- Ids ----------------------------------------------------------------------------------------------


class _Ids:
    """Which ids are used, freed and used again."""

    def __init__(self) -> None:
        self.used: set[tuple[int, int]] = set()
        self.free: dict[tuple[int, int], bool] = {}
        """For each id that is free again: whether a later creation took a new id."""

    def changed(self, as_id: int, id: int, before: Slot | None, after: Slot | None) -> None:
        if before is None:
            if (as_id, id) not in self.used:
                for key in self.free:
                    if key[0] == as_id:
                        self.free[key] = True
            self.used.add((as_id, id))
            self.free.pop((as_id, id), None)
        elif after is None:
            self.free[as_id, id] = False

    def left_behind(self) -> list[int]:
        return sorted(id for (_, id), passed_over in self.free.items() if passed_over)


def _copies(history: History) -> list[list[Slot]]:
    """Return the slots that map the same host memory, where there is more than one."""
    by_memory: dict[tuple[int, int, int], list[Slot]] = defaultdict(list)
    for space in history.regions.spaces:
        for slot in space:
            by_memory[slot.as_id, slot.hva, slot.npages].append(slot)
    return [
        sorted(slots, key=lambda slot: slot.made_by)
        for slots in by_memory.values()
        if len(slots) > 1
    ]


# --- Holes --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Absent:
    """A range of frames that has no memory since *deleted*."""

    as_id: int
    first: int
    end: int
    deleted: Logged


def _take_away(absent: list[_Absent], slot: Slot, logged: Logged, history: History) -> None:
    """Note that the frames of *slot* are absent, but for those that are there again at once."""
    parts = [(slot.base_gfn, slot.end_gfn)]
    for other in history.regions.spaces[slot.as_id].overlapping(slot.base_gfn, slot.end_gfn):
        parts = [
            part
            for first, end in parts
            for part in ((first, min(end, other.base_gfn)), (max(first, other.end_gfn), end))
            if part[0] < part[1]
        ]
    absent += [_Absent(slot.as_id, first, end, logged) for first, end in parts]


def _put_back(absent: list[_Absent], slot: Slot, logged: Logged) -> list[Hole]:
    """Return the holes that *slot* fills, and leave in *absent* what it does not fill."""
    holes, left = [], []
    for gap in absent:
        first, end = max(gap.first, slot.base_gfn), min(gap.end, slot.end_gfn)
        if gap.as_id != slot.as_id or first >= end:
            left.append(gap)
            continue
        if gap.deleted is not logged:
            seconds = _between(gap.deleted, logged)
            holes.append(Hole(first * PAGE, (end - first) * PAGE, gap.deleted, logged, seconds))
        for part in ((gap.first, first), (end, gap.end)):
            if part[0] < part[1]:
                left.append(_Absent(gap.as_id, *part, gap.deleted))
    absent[:] = left
    return holes


def _between(deleted: Logged, created: Logged) -> float | None:
    """Return the time from the return of *deleted* to the return of *created*."""
    if deleted.time is None or created.time is None:
        return None
    return created.time + (created.seconds or 0.0) - deleted.time - (deleted.seconds or 0.0)
