"""Faults planted into our memslots, which ``quiesce kvm conform`` must find."""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace

from quiesce.kvm.memslots import Change
from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.conform_pair import OurMaker
from quiesce.kvm.real.conform_probe import Probed
from quiesce.kvm.real.conform_sides import Arena, OurSide
from quiesce.kvm.real.device import GUEST_MEMFD, LOG_DIRTY_PAGES
from quiesce.kvm.real.requests import Asked
from quiesce.kvm.real.requests_table import CHECKS, Check, Table
from quiesce.kvm.real.slots import MemoryRegions
from quiesce.kvm.real.slots_index import Slot


def without(name: str) -> Table:
    """Return the table without a check."""
    assert any(c.name == name for c in CHECKS)
    return Table(c for c in CHECKS if c.name != name)


def swapped(first: str, second: str) -> Table:
    """Return the table with two checks in each other's place."""
    by_name = {c.name: c for c in CHECKS}
    other = {first: by_name[second], second: by_name[first]}
    return Table(other.get(c.name, c) for c in CHECKS)


def altered(name: str, **changes: object) -> Table:
    """Return the table with one check changed."""
    assert any(c.name == name for c in CHECKS)
    return Table(_with(c, changes) if c.name == name else c for c in CHECKS)


def _with(check: Check, changes: dict[str, object]) -> Check:
    return replace(check, **changes)  # type: ignore[arg-type]


class DropsBitmapOnMove(MemoryRegions):
    def _prepare_bitmap(self, slot: Slot, old: Slot | None) -> None:
        moved = old is not None and old.base_gfn != slot.base_gfn
        super()._prepare_bitmap(slot, None if moved else old)


class KeepsBitmapWhenLogEnds(MemoryRegions):
    def _prepare_bitmap(self, slot: Slot, old: Slot | None) -> None:
        if slot.log_dirty or old is None:
            super()._prepare_bitmap(slot, old)


class NeverClearsLog(MemoryRegions):
    def get_dirty_log(self, slot: int) -> tuple[int, frozenset[int], frozenset[int]]:
        manual, self.manual_protect = self.manual_protect, True
        try:
            return super().get_dirty_log(slot)
        finally:
            self.manual_protect = manual


class MoveKeepsFlags(MemoryRegions):
    def _new_slot(self, asked: Asked) -> Slot:
        slot = super()._new_slot(asked)
        if asked.change == Change.MOVE and asked.old is not None:
            slot.flags = asked.old.flags
            self._prepare_bitmap(slot, asked.old)
        return slot


class DeleteKeepsFileRange(MemoryRegions):
    def _bind(self, asked: Asked, old: Slot | None, new: Slot | None) -> None:
        if new is not None:
            super()._bind(asked, old, new)


def _overlaps_less(asked: Asked) -> bool:
    """The last frame of the request is not looked at."""
    assert asked.index is not None
    end = asked.end_gfn - 1
    return any(s.id != asked.id for s in asked.index.overlapping(asked.base_gfn, end))


def _memfd_with_log(asked: Asked) -> bool:
    flags = asked.request.flags
    valid = asked.host.valid_flags(flags)
    return bool(flags & ~(valid | (LOG_DIRTY_PAGES if flags & GUEST_MEMFD else 0)))


def _one_page_less(asked: Asked) -> bool:
    return asked.request.hva + asked.request.size >= asked.host.hva_end


@dataclass(frozen=True)
class Mutant:
    """A planted fault.

    :param needs_memfd: it shows only where the host has guest_memfd.
    """

    name: str
    table: Table | None = None
    regions: type[MemoryRegions] = MemoryRegions
    needs_memfd: bool = False

    def ours(self, probed: Probed) -> OurMaker:
        """Return a maker of our side with the fault."""

        def make(setup: ops.Setup, arena: Arena) -> OurSide:
            return OurSide(
                probed.host,
                setup,
                arena,
                probed.reads_may_dirty,
                probed.internal,
                self.table,
                self.regions,
            )

        return make


def _never(asked: Asked) -> bool:
    return asked.id > asked.host.user_slots


MUTANTS = (
    Mutant("no overlap check", without("overlap")),
    Mutant("EEXIST after EBADF", swapped("overlap", "memfd open"), needs_memfd=True),
    Mutant("the last frame may overlap", altered("overlap", refuses=_overlaps_less)),
    Mutant("overlap is EINVAL", altered("overlap", errno=errno.EINVAL)),
    Mutant("overlap before immutable", swapped("overlap", "immutable")),
    Mutant("overlap only for creations", altered("overlap", changes=(Change.CREATE,))),
    Mutant("no flag filter in version 1", without("version 1 flags"), needs_memfd=True),
    Mutant("unreadable after the flags", swapped("unreadable", "version 1 flags")),
    Mutant("absent slots can be deleted", without("nothing to delete")),
    Mutant("slots can be resized and remapped", without("immutable")),
    Mutant("nothing changed before immutable", swapped("immutable", "no change")),
    Mutant("bound slots can be changed", without("bound slot"), needs_memfd=True),
    Mutant("reaching 2^64 is EEXIST", altered("gpa wraps", errno=errno.EEXIST)),
    Mutant("2^31 pages are EEXIST", altered("slot pages", errno=errno.EEXIST)),
    Mutant("any guest address", without("guest address width")),
    Mutant("unaligned host addresses", without("hva aligned")),
    Mutant("unaligned sizes", without("size aligned")),
    Mutant("one page less of user space", altered("hva of the process", refuses=_one_page_less)),
    Mutant("one id too many", altered("user id", refuses=_never)),
    Mutant("guest_memfd may log", altered("flags", refuses=_memfd_with_log), needs_memfd=True),
    Mutant("bound twice is EEXIST", altered("memfd bound", errno=errno.EEXIST), needs_memfd=True),
    Mutant("the bitmap is dropped on a move", regions=DropsBitmapOnMove),
    Mutant("the bitmap outlives the log", regions=KeepsBitmapWhenLogEnds),
    Mutant("reading a log does not clear it", regions=NeverClearsLog),
    Mutant("a move keeps the flags", regions=MoveKeepsFlags),
    Mutant("a deletion keeps the file's range", regions=DeleteKeepsFileRange, needs_memfd=True),
)
"""The faults; more than the twelve that are asked for."""
