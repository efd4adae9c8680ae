# SPDX-License-Identifier: Apache-2.0
"""A request of ``KVM_SET_USER_MEMORY_REGION``, the limits of the host, and what the checks ask about.

The checks themselves are in ``requests_table.py``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from quiesce.kvm.memslots import Change
from quiesce.kvm.real.device import GUEST_MEMFD, LOG_DIRTY_PAGES, PAGE, READONLY
from quiesce.kvm.real.slots_index import Slot, SlotIndex

U64 = 1 << 64

MEM_MAX_NR_PAGES = (1 << 31) - 1
"""``KVM_MEM_MAX_NR_PAGES``: the most pages of one slot."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a VMM asks for: ``struct kvm_userspace_memory_region``, and version 2 of it.

    :param slot: the id in bits 0 to 15, the address space in bits 16 to 31.
    :param flags: ``LOG_DIRTY_PAGES``, ``READONLY``, ``GUEST_MEMFD``.
    :param gpa: where the guest sees it, in bytes.
    :param size: in bytes; 0 deletes the slot.
    :param hva: the host address of its memory.
    :param offset: where in the guest_memfd it begins, in bytes (version 2).
    :param memfd: the guest_memfd's file descriptor (version 2).
    :param version: of the ioctl, 1 or 2.
    :param readable: the kernel can read the structure.
    :param from_child: the process that asks is not the one that created the VM.
    """

    slot: int
    flags: int
    gpa: int
    size: int
    hva: int
    offset: int = 0
    memfd: int = -1
    version: int = 1
    readable: bool = True
    from_child: bool = False

    @property
    def as_id(self) -> int:
        """The address space."""
        return self.slot >> 16

    @property
    def id(self) -> int:
        """The slot's id in it."""
        return self.slot & 0xFFFF


@dataclass(frozen=True)
class Host:
    """What the requests of a VM on this host may ask for. The defaults are those of x86-64 without SMM.

    :param user_slots: ``KVM_USER_MEM_SLOTS``: ids from 0 to one less are the VMM's.
    :param slots_num: ``KVM_MEM_SLOTS_NUM``: the ids behind those are the kernel's own.
    :param address_spaces: 2 with SMM, else 1.
    :param step: by how much a published update raises the generation (``kvm_arch_nr_memslot_as_ids()``).
    :param hva_end: the first address that is not the process's.
    :param gpa_end: the first guest physical address that no slot may have.
    :param version2: the kernel has ``KVM_SET_USER_MEMORY_REGION2``.
    :param page_track: something in the kernel tracks pages by frame, and refuses moves (KVMGT).
    """

    user_slots: int = 32764
    slots_num: int = 32767
    address_spaces: int = 1
    step: int = 1
    readonly: bool = True
    guest_memfd: bool = True
    version2: bool = True
    hva_end: int = 0x7FFF_FFFF_F000
    gpa_end: int = 1 << 52
    page_track: bool = False

    def valid_flags(self, flags: int) -> int:
        """Return the flags that a request with *flags* may have (``check_memory_region_flags()``)."""
        if flags & GUEST_MEMFD and self.guest_memfd:
            return GUEST_MEMFD
        return LOG_DIRTY_PAGES | (READONLY if self.readonly else 0)


@dataclass
class GuestMemfd:
    """A file descriptor that a request may name.

    :param size: of the file, in bytes.
    :param usable: it is a guest_memfd of this VM, not another file.
    :param bound: ``(first byte, end)`` of the parts that slots are bound to.
    """

    size: int
    usable: bool = True
    bound: set[tuple[int, int]] = field(default_factory=set)

    def is_bound(self, offset: int, end: int) -> bool:
        """Return whether a slot has a part of ``[offset, end)``."""
        return any(first < end and offset < last for first, last in self.bound)


class Asked:
    """A request as the checks see it: with the slot that it names and what it would do to it.

    :param alive: the VM is not dead (``kvm->vm_dead``).
    :param pages: ``nr_memslot_pages`` of the VM: the pages of all its slots.
    :param failing: the allocations that fail, of ``ALLOCATIONS``.
    """

    __slots__ = (
        "alive",
        "as_id",
        "base_gfn",
        "change",
        "end_gfn",
        "failing",
        "host",
        "id",
        "index",
        "memfds",
        "npages",
        "old",
        "pages",
        "request",
    )

    def __init__(
        self,
        request: Request,
        host: Host,
        spaces: list[SlotIndex],
        memfds: dict[int, GuestMemfd],
        pages: int,
        failing: Collection[str] = (),
        alive: bool = True,
    ) -> None:
        self.request = request
        self.host = host
        self.memfds = memfds
        self.pages = pages
        self.failing = failing
        self.alive = alive
        self.as_id = request.slot >> 16
        self.id = request.slot & 0xFFFF
        self.npages = request.size // PAGE
        self.base_gfn = request.gpa // PAGE
        self.end_gfn = self.base_gfn + self.npages
        self.index = spaces[self.as_id] if self.as_id < len(spaces) else None
        self.old: Slot | None = self.index.by_id.get(self.id) if self.index is not None else None
        self.change = self._change()

    def _change(self) -> Change | None:
        """Return what the request would do; None: nothing."""
        if self.request.size == 0:
            return Change.DELETE
        if self.old is None:
            return Change.CREATE
        if self.old.base_gfn != self.base_gfn:
            return Change.MOVE
        return Change.FLAGS_ONLY if self.old.flags != self.request.flags else None

    def in_the_way(self) -> Slot | None:
        """Return the first other slot that has one of the request's frames."""
        if self.index is None:
            return None
        for slot in self.index.overlapping(self.base_gfn, self.end_gfn):
            if slot.id != self.id:
                return slot
        return None

    @property
    def memfd(self) -> GuestMemfd | None:
        """The file that the request names, if it is open."""
        return self.memfds.get(self.request.memfd)


ALLOCATIONS = ("slot", "invalid copy", "dirty bitmap", "metadata")
"""The allocations that a request makes, in their order."""
