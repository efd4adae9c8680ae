# SPDX-License-Identifier: Apache-2.0
"""The two sides that are compared: a VM on ``/dev/kvm``, and our memslots. Both do the same operations."""

from __future__ import annotations

import contextlib
import errno
import functools
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from quiesce.errors import UsageError
from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.device import (
    CAP_MANUAL_DIRTY_LOG_PROTECT2,
    LARGEST_SAFE_SLOT,
    PAGE,
    Device,
    PlacedMemory,
    Vm,
)
from quiesce.kvm.real.guest import DATA, MMIO, RealModeGuest, Seen
from quiesce.kvm.real.requests import MEM_MAX_NR_PAGES, GuestMemfd, Host, Request
from quiesce.kvm.real.requests_table import Table
from quiesce.kvm.real.slots import MemoryRegions

_PROT_NONE = 0

UNBACKED = "no memory"
"""What our side says of an access to a slot whose host address has no memory, or none to write to."""

NO_PROGRAM = "no program"
"""What our side says of an access while the slot with the guest's program is not there."""

NO_PROGRAM_EXITS = ("INTERNAL_ERROR", "SHUTDOWN")
"""What a kernel does then."""

UNBACKED_EXITS = (MMIO, "EFAULT", "MEMORY_FAULT")
"""What a kernel may do then; it depends on the hardware."""


@dataclass(frozen=True)
class Area:
    """Host addresses that slots may point to.

    :param memory: what is there; None: nothing that can be read.
    """

    start: int
    size: int
    memory: PlacedMemory | None = None
    writable: bool = False


class Arena:
    """The memory of this process that slots point to, each byte with a value that tells where it is.

    :param blocks: ``(address, size)`` of further memory; its bytes are 0.
    :raises UsageError: it cannot be had.
    """

    def __init__(self, blocks: Sequence[tuple[int, int]] = ()) -> None:
        with contextlib.ExitStack() as opened:
            try:
                self._map(opened, blocks)
            except OSError as error:
                raise UsageError(
                    f"memory for the slots cannot be mapped: {error.strerror}",
                    "try again with more memory",
                ) from None
            self._opened = opened.pop_all()
        self.reset()

    def _map(self, opened: contextlib.ExitStack, blocks: Sequence[tuple[int, int]]) -> None:
        size = ops.AREA_PAGES * PAGE
        self.marks = _marks()
        self.main = opened.enter_context(PlacedMemory(ops.ARENA, ops.ARENA_PAGES * PAGE))
        read_only = opened.enter_context(PlacedMemory(ops.READ_ONLY, size))
        no_access = opened.enter_context(PlacedMemory(ops.NO_ACCESS, size))
        read_only.map[:] = self.marks[:size]
        read_only.protect(mmap.PROT_READ)
        no_access.protect(_PROT_NONE)
        self.areas = [
            Area(ops.ARENA, self.main.size, self.main, writable=True),
            Area(ops.READ_ONLY, size, read_only),
            Area(ops.NO_ACCESS, size),
            Area(ops.UNMAPPED, 1 << 30),
            Area(0, size),
        ]
        for address, length in blocks:
            memory = opened.enter_context(PlacedMemory(address, length))
            self.areas.append(Area(address, length, memory, writable=True))

    def reset(self) -> None:
        """Write the marks again."""
        self.main.map[:] = self.marks

    def area(self, hva: int) -> Area | None:
        """Return the area that has *hva*; None: it is not for guests."""
        for area in self.areas:
            if area.start <= hva < area.start + area.size:
                return area
        return None

    def byte(self, hva: int) -> int | None:
        """Return the byte at *hva*; None: there is no memory that can be read."""
        area = self.area(hva)
        if area is None or area.memory is None:
            return None
        return int(area.memory.map[hva - area.start])

    def is_writable(self, hva: int) -> bool:
        """Return whether *hva* can be written."""
        area = self.area(hva)
        return area is not None and area.writable

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._opened.close()


@functools.cache
def _marks() -> bytes:
    """Return a value for each byte of the main memory."""
    page = bytes((at * 11 + at // 251) & 0xFF for at in range(PAGE))
    step = bytes((value + 37) & 0xFF for value in range(256))
    pages = [page]
    while len(pages) < ops.ARENA_PAGES:
        pages.append(pages[-1].translate(step))
    return b"".join(pages)


@dataclass(slots=True)
class Observed:
    """What an operation led to.

    :param errno: of the ioctl.
    :param seen: of each address that the guest accessed.
    :param dirty: the pages whose bits are set.
    :param may_be_dirty: on our side: those that may be set as well.
    :param memory: host addresses and the bytes there after the operation.
    """

    errno: int = 0
    seen: list[Seen] = field(default_factory=list)
    dirty: frozenset[int] = frozenset()
    may_be_dirty: frozenset[int] = frozenset()
    memory: dict[int, int] = field(default_factory=dict)


class OurSide:
    """Our memslots.

    :param internal: the gpa and the pages of the internal slot for the TSS, if this host makes one.
    :param regions: what to use in place of ``MemoryRegions``: for planted faults.
    """

    def __init__(
        self,
        host: Host,
        setup: ops.Setup,
        arena: Arena,
        reads_may_dirty: bool = False,
        internal: bool = False,
        table: Table | None = None,
        regions: type[MemoryRegions] = MemoryRegions,
    ) -> None:
        self.regions = regions(host, table, setup.protect != 0, setup.protect == 3)
        self.arena = arena
        self.reads_may_dirty = reads_may_dirty
        self.setup = setup
        self.decided: set[str] = set()
        """The checks that have decided a request."""
        size = ops.Files.PAGES * PAGE
        if host.guest_memfd:
            for number in ops.Files.GUEST_MEMFDS:
                self.regions.memfds[number] = GuestMemfd(size)
            for number in (ops.Files.OF_ANOTHER_VM, ops.Files.NOT_A_MEMFD):
                self.regions.memfds[number] = GuestMemfd(size, usable=False)
        if internal:
            self.regions.set_internal(host.user_slots, ops.TSS, ops.TSS_PAGES * PAGE, ops.UNMAPPED)
        code = Request(setup.code_slot, 0, setup.code_gpa, PAGE, ops.UNMAPPED)
        self.regions.set_user_memory_region(code)

    def do(self, operation: ops.Operation) -> Observed:
        """Return what *operation* should lead to."""
        regions = self.regions
        match operation:
            case ops.SetRegion(request):
                answer = regions.set_user_memory_region(request)
                if answer.check is not None:
                    self.decided.add(answer.check.name)
                return Observed(answer.errno)
            case ops.GetDirtyLog(slot):
                failed, dirty, may_be = regions.get_dirty_log(slot)
                return Observed(failed, dirty=dirty, may_be_dirty=may_be)
            case ops.ClearDirtyLog(slot, first, pages, bits):
                return Observed(regions.clear_dirty_log(slot, first, pages, bits))
            case ops.Access():
                return self._access(operation)

    def _access(self, access: ops.Access) -> Observed:
        observed = Observed()
        if self.regions.at_gpa(self.setup.code_gpa) is None:
            observed.seen = [Seen(NO_PROGRAM)] * len(access.addresses)
            return observed
        for at, gpa in enumerate(access.addresses):
            value = access.values[at] if access.values else None
            observed.seen.append(self._access_one(gpa, value, observed.memory))
        return observed

    def _access_one(self, gpa: int, value: int | None, memory: dict[int, int]) -> Seen:
        """Return what the guest sees, and note in *memory* what must be at the host address then."""
        slot = self.regions.at_gpa(gpa)
        if slot is None:
            return Seen(MMIO)
        hva = slot.gfn_to_hva(gpa // PAGE) + gpa % PAGE
        now = memory.get(hva, self.arena.byte(hva))
        if value is None:
            if self.reads_may_dirty:
                self.regions.has_read(gpa)
            return Seen(UNBACKED) if now is None else Seen(DATA, now)
        if slot.readonly:
            if now is not None:
                memory[hva] = now
            return Seen(MMIO)
        if now is None or not self.arena.is_writable(hva):
            return Seen(UNBACKED)
        memory[hva] = value
        self.regions.wrote(gpa)
        return Seen(DATA)


class RealSide:
    """A VM on ``/dev/kvm`` with one vCPU.

    :raises UsageError: there is no usable ``/dev/kvm``, or it refuses what every VM needs.
    """

    def __init__(self, device: Device, setup: ops.Setup, arena: Arena, memfds: bool) -> None:
        self.arena = arena
        arena.reset()
        with contextlib.ExitStack() as opened:
            self.vm = opened.enter_context(device.create_vm())
            self.vm.set_tss_addr(ops.TSS)
            if setup.protect:
                self.vm.enable_cap(CAP_MANUAL_DIRTY_LOG_PROTECT2, setup.protect)
            try:
                self.files = self._open_files(device, opened) if memfds else {}
                self.guest = opened.enter_context(
                    RealModeGuest(self.vm, setup.code_slot, setup.code_gpa)
                )
            except OSError as error:
                raise UsageError(
                    f"/dev/kvm refuses a VM with a vCPU: {error.strerror}",
                    "try again as root, or on another host",
                ) from None
            self._opened = opened.pop_all()

    def _open_files(self, device: Device, opened: contextlib.ExitStack) -> dict[int, int]:
        """Open what requests may name; the other VM is closed again, its guest_memfd stays open."""
        size = ops.Files.PAGES * PAGE
        files = {}
        for number in ops.Files.GUEST_MEMFDS:
            files[number] = self.vm.create_guest_memfd(size)
            opened.callback(os.close, files[number])
        with device.create_vm() as other:
            files[ops.Files.OF_ANOTHER_VM] = other.create_guest_memfd(size)
        opened.callback(os.close, files[ops.Files.OF_ANOTHER_VM])
        files[ops.Files.NOT_A_MEMFD] = os.memfd_create("quiesce")
        opened.callback(os.close, files[ops.Files.NOT_A_MEMFD])
        os.truncate(files[ops.Files.NOT_A_MEMFD], size)
        return files

    def close(self) -> None:
        """Close the VM and all that belongs to it."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def do(self, operation: ops.Operation) -> Observed:
        """Do *operation*; return what it leads to."""
        match operation:
            case ops.SetRegion(request):
                return Observed(set_region(self.vm, request, self.files))
            case ops.GetDirtyLog(slot, pages):
                failed, bitmap = self.vm.get_dirty_log(slot, pages)
                return Observed(failed, dirty=bits_of(bitmap))
            case ops.ClearDirtyLog(slot, first, pages, bits):
                return Observed(self.vm.clear_dirty_log(slot, first, pages, bitmap_of(bits)))
            case ops.Access(addresses, values):
                if values:
                    return Observed(seen=self.guest.write(addresses, values))
                return Observed(seen=self.guest.read(addresses))


def set_region(vm: Vm, request: Request, files: dict[int, int]) -> int:
    """Make *request* of *vm*; return 0 or the errno.

    :param files: for each number that stands for a file, its descriptor.
    :raises UsageError: the slot could lock the machine up.
    """
    pages = request.size // PAGE
    if LARGEST_SAFE_SLOT < request.size and pages <= MEM_MAX_NR_PAGES:
        raise UsageError(
            f"a slot of {pages} pages is not tried: it takes the kernel 8 bytes a page and more",
            "ask for at most 1 GiB, or for 2^31 pages, which are refused",
        )
    if not request.readable:
        return vm.set_from_bad_address(request.version)
    if request.from_child:
        return _in_a_child(vm, replace(request, from_child=False), files)
    r = request
    if r.version == 1:
        return vm.set_user_memory_region(r.slot, r.flags, r.gpa, r.size, r.hva)
    memfd = files.get(r.memfd, -1)
    return vm.set_user_memory_region2(r.slot, r.flags, r.gpa, r.size, r.hva, r.offset, memfd)


def _in_a_child(vm: Vm, request: Request, files: dict[int, int]) -> int:
    """Make *request* in a forked process; return 0 or the errno."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            code = set_region(vm, request, files)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def bits_of(bitmap: bytes) -> frozenset[int]:
    """Return the numbers of the bits that are set in *bitmap*."""
    value = int.from_bytes(bitmap, "little")
    found = set()
    while value:
        low = value & -value
        found.add(low.bit_length() - 1)
        value ^= low
    return frozenset(found)


def bitmap_of(bits: tuple[int, ...]) -> bytes:
    """Return a bitmap with *bits* set."""
    value = sum(1 << bit for bit in set(bits))
    return value.to_bytes((value.bit_length() + 7) // 8, "little")


def difference(operation: ops.Operation, ours: Observed, real: Observed, arena: Arena) -> str:
    """Return in which the two sides differ, as ``ours | the kernel's``; empty: in nothing."""
    if ours.errno != real.errno:
        return f"errno {_error(ours.errno)} | {_error(real.errno)}"
    if not ours.dirty <= real.dirty <= ours.dirty | ours.may_be_dirty:
        return f"dirty pages {sorted(ours.dirty)} | {sorted(real.dirty)}"
    if isinstance(operation, ops.Access):
        for gpa, expected, seen in zip(operation.addresses, ours.seen, real.seen, strict=True):
            if expected.kind == UNBACKED and seen.kind in UNBACKED_EXITS:
                continue
            if expected.kind == NO_PROGRAM and seen.kind in NO_PROGRAM_EXITS:
                continue
            if expected != seen:
                return f"at {gpa:#x}: {expected} | {seen}"
        for hva, value in ours.memory.items():
            if arena.byte(hva) != value:
                return f"memory at {hva:#x}: {value:#04x} | {arena.byte(hva):#04x}"
    return ""


def _error(number: int) -> str:
    return errno.errorcode.get(number, str(number)) if number else "0"
