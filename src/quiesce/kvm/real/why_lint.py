# SPDX-License-Identifier: Apache-2.0
"""Look a log of requests through: ids that leak, holes in guest RAM, refused requests, limits."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from quiesce.kvm.real.device import PAGE
from quiesce.kvm.real.requests import MEM_MAX_NR_PAGES, Host
from quiesce.kvm.real.requests_log import Logged, RequestLog
from quiesce.kvm.real.slots import MemoryRegions
from quiesce.kvm.real.slots_index import Slot, SlotIndex, SortedDict
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
    gaps = [_Gaps() for _ in history.regions.spaces]
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
        space = logged.request.as_id
        if before is not None and not before.readonly:
            gaps[space].take_away(before, logged, history.regions.spaces[space])
        if after is not None:
            found.holes += gaps[space].put_back(after, logged)
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
        self.new: Counter[int] = Counter()
        """For each address space, how many creations took an id that was never used before."""
        self.free: dict[tuple[int, int], int] = {}
        """For each id that is free again: ``new`` when it was freed."""

    def changed(self, as_id: int, id: int, before: Slot | None, after: Slot | None) -> None:
        if before is None:
            if (as_id, id) not in self.used:
                self.new[as_id] += 1
            self.used.add((as_id, id))
            self.free.pop((as_id, id), None)
        elif after is None:
            self.free[as_id, id] = self.new[as_id]

    def left_behind(self) -> list[int]:
        return sorted(id for (as_id, id), new in self.free.items() if self.new[as_id] > new)


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

    first: int
    end: int
    deleted: Logged


class _Gaps:
    """The ranges of frames of an address space that had memory and have none now; no two overlap."""

    def __init__(self) -> None:
        self.by_first: SortedDict[int, _Absent] = SortedDict()

    def take_away(self, slot: Slot, logged: Logged, index: SlotIndex) -> None:
        """Note that the frames of *slot* are absent, but for those that other slots of *index* have."""
        first = slot.base_gfn
        for other in index.overlapping(slot.base_gfn, slot.end_gfn):
            self._add(first, other.base_gfn, logged)
            first = max(first, other.end_gfn)
        self._add(first, slot.end_gfn, logged)

    def _add(self, first: int, end: int, logged: Logged) -> None:
        if first < end:
            self.by_first[first] = _Absent(first, end, logged)

    def put_back(self, slot: Slot, logged: Logged) -> list[Hole]:
        """Return the holes that *slot* fills, and keep what it does not fill."""
        holes = []
        for gap in self._meeting(slot.base_gfn, slot.end_gfn):
            del self.by_first[gap.first]
            first, end = max(gap.first, slot.base_gfn), min(gap.end, slot.end_gfn)
            if gap.deleted is not logged:
                seconds = _between(gap.deleted, logged)
                holes.append(Hole(first * PAGE, (end - first) * PAGE, gap.deleted, logged, seconds))
            self._add(gap.first, first, gap.deleted)
            self._add(end, gap.end, gap.deleted)
        return holes

    def _meeting(self, first: int, end: int) -> list[_Absent]:
        before = next(self.by_first.irange(None, first, reverse=True), None)
        starts = [] if before is None else [before]
        starts += self.by_first.irange(first + 1, end - 1)
        gaps = (self.by_first[start] for start in starts)
        return [gap for gap in gaps if gap.end > first]


def _between(deleted: Logged, created: Logged) -> float | None:
    """Return the time from the return of *deleted* to the return of *created*."""
    if deleted.time is None or created.time is None:
        return None
    return created.time + (created.seconds or 0.0) - deleted.time - (deleted.seconds or 0.0)
