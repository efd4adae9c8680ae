# SPDX-License-Identifier: Apache-2.0
"""The checks of ``KVM_SET_USER_MEMORY_REGION``: one table, in the order in which the kernel makes them.

It decides what the memslots of ``slots.py`` accept, what ``quiesce kvm why`` answers, and it is printed in
``docs/real-kvm.md``. The order is that of Linux 6.12. It was compared with 6.18; what differs in other
releases is said in the last column. The first check that refuses decides the errno.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from quiesce.kvm.memslots import Change
from quiesce.kvm.real.device import GUEST_MEMFD, LOG_DIRTY_PAGES, PAGE, READONLY
from quiesce.kvm.real.requests import MEM_MAX_NR_PAGES, U64, Asked

CREATE, DELETE, MOVE, FLAGS = Change.CREATE, Change.DELETE, Change.MOVE, Change.FLAGS_ONLY
EVERY: tuple[Change | None, ...] = (*Change, None)
PRESENT: tuple[Change | None, ...] = (MOVE, FLAGS, None)
PLACED: tuple[Change | None, ...] = (CREATE, MOVE)
LATE = "invalidated"
"""The check comes after a delete or a move has invalidated the slot: if it refuses, the slot is put back."""


@dataclass(frozen=True)
class Check:
    """A row of the table.

    :param name: one for each row.
    :param condition: when it refuses, in words.
    :param refuses: the condition.
    :param errno: what the request returns then; 0: it succeeds and changes nothing.
    :param source: the function of the kernel that makes the check.
    :param changes: the kinds of requests that it is made for; None stands for one that changes nothing.
    :param note: what differs between releases or hosts, or ``LATE``.
    """

    name: str
    condition: str
    refuses: Callable[[Asked], bool]
    errno: int
    source: str
    changes: tuple[Change | None, ...] = EVERY
    note: str = ""

    @property
    def error(self) -> str:
        """The errno's name, as ``EINVAL``; ``0`` for success."""
        return errno.errorcode[self.errno] if self.errno else "0"


def _unaligned(value: int) -> bool:
    return value % PAGE != 0


def _beyond_user_space(a: Asked) -> bool:
    return a.request.hva + a.request.size > a.host.hva_end


def _memfd_range_wraps(a: Asked) -> bool:
    if not a.request.flags & GUEST_MEMFD:
        return False
    return _unaligned(a.request.offset) or a.request.offset + a.request.size >= U64


def _immutable_part_differs(a: Asked) -> bool:
    old = a.old
    assert old is not None
    toggled = (old.flags ^ a.request.flags) & (READONLY | GUEST_MEMFD)
    return bool(old.hva != a.request.hva or old.npages != a.npages or toggled)


def _binds(a: Asked) -> bool:
    return bool(a.request.flags & GUEST_MEMFD)


def _is_another_file(a: Asked) -> bool:
    return _binds(a) and a.memfd is not None and not a.memfd.usable


def _passes_end_of_file(a: Asked) -> bool:
    end = a.request.offset + a.request.size
    return _binds(a) and a.memfd is not None and end > a.memfd.size


def _is_bound_already(a: Asked) -> bool:
    end = a.request.offset + a.request.size
    return _binds(a) and a.memfd is not None and a.memfd.is_bound(a.request.offset, end)


def _needs_bitmap(a: Asked) -> bool:
    has_one = a.old is not None and a.old.dirty is not None
    return bool(a.request.flags & LOG_DIRTY_PAGES) and not has_one


CHECKS: tuple[Check, ...] = (
    Check(
        "other process",
        "the process is not the one that created the VM",
        lambda a: a.request.from_child,
        errno.EIO,
        "kvm_vm_ioctl()",
    ),
    Check(
        "dead VM",
        "the kernel has given the VM up (vm_dead)",
        lambda a: not a.alive,
        errno.EIO,
        "kvm_vm_ioctl()",
        note="vm_bugged up to 5.15",
    ),
    Check(
        "version 2",
        "KVM_SET_USER_MEMORY_REGION2, which the kernel does not have",
        lambda a: a.request.version == 2 and not a.host.version2,
        errno.ENOTTY,
        "kvm_vm_ioctl()",
        note="version 2 is there from 6.8 on",
    ),
    Check(
        "unreadable",
        "the structure cannot be read",
        lambda a: not a.request.readable,
        errno.EFAULT,
        "kvm_vm_ioctl()",
    ),
    Check(
        "version 1 flags",
        "version 1 of the ioctl, and flags other than LOG_DIRTY_PAGES and READONLY",
        lambda a: a.request.version == 1 and bool(a.request.flags & ~(LOG_DIRTY_PAGES | READONLY)),
        errno.EINVAL,
        "kvm_vm_ioctl()",
    ),
    Check(
        "user id",
        "the id is not one of the VMM's (KVM_CAP_NR_MEMSLOTS)",
        lambda a: a.id >= a.host.user_slots,
        errno.EINVAL,
        "kvm_vm_ioctl_set_memory_region()",
    ),
    Check(
        "flags",
        "a flag is not valid here: GUEST_MEMFD goes with no other, READONLY where the host has it",
        lambda a: bool(a.request.flags & ~a.host.valid_flags(a.request.flags)),
        errno.EINVAL,
        "check_memory_region_flags()",
        note="6.12: GUEST_MEMFD only for VM types with private memory",
    ),
    Check(
        "size aligned",
        "the size is not a multiple of the page size",
        lambda a: _unaligned(a.request.size),
        errno.EINVAL,
        "__kvm_set_memory_region()",
    ),
    Check(
        "gpa aligned",
        "the guest physical address is not page aligned",
        lambda a: _unaligned(a.request.gpa),
        errno.EINVAL,
        "__kvm_set_memory_region()",
    ),
    Check(
        "hva aligned",
        "the host address is not page aligned",
        lambda a: _unaligned(a.request.hva),
        errno.EINVAL,
        "__kvm_set_memory_region()",
    ),
    Check(
        "hva of the process",
        "host address plus size passes the end of user space, or the address is tagged",
        _beyond_user_space,
        errno.EINVAL,
        "__kvm_set_memory_region(), access_ok()",
    ),
    Check(
        "memfd offset",
        "GUEST_MEMFD, and the offset is not page aligned, or offset plus size wraps",
        _memfd_range_wraps,
        errno.EINVAL,
        "__kvm_set_memory_region()",
    ),
    Check(
        "address space",
        "there is no such address space",
        lambda a: a.as_id >= a.host.address_spaces,
        errno.EINVAL,
        "__kvm_set_memory_region()",
    ),
    Check(
        "slot id",
        "the id is past KVM_MEM_SLOTS_NUM",
        lambda a: a.id >= a.host.slots_num,
        errno.EINVAL,
        "__kvm_set_memory_region()",
    ),
    Check(
        "gpa wraps",
        "guest physical address plus size is 2^64 or more",
        lambda a: a.request.gpa + a.request.size >= U64,
        errno.EINVAL,
        "__kvm_set_memory_region()",
    ),
    Check(
        "slot pages",
        "the slot has more than 2^31 - 1 pages (KVM_MEM_MAX_NR_PAGES)",
        lambda a: a.npages > MEM_MAX_NR_PAGES,
        errno.EINVAL,
        "__kvm_set_memory_region()",
        note="up to 5.15 not for a delete",
    ),
    Check(
        "nothing to delete",
        "the size is 0, and there is no slot with this id",
        lambda a: a.old is None,
        errno.EINVAL,
        "__kvm_set_memory_region()",
        (DELETE,),
    ),
    Check(
        "page count",
        "the VM has fewer pages than the slot (a bug of the kernel)",
        lambda a: a.old is not None and a.pages < a.old.npages,
        errno.EIO,
        "__kvm_set_memory_region()",
        (DELETE,),
    ),
    Check(
        "total pages",
        "the pages of all slots together do not fit into 64 bits",
        lambda a: a.pages + a.npages >= U64,
        errno.EINVAL,
        "__kvm_set_memory_region()",
        (CREATE,),
        "from 5.17 on (4e4d30cb9b87)",
    ),
    Check(
        "bound slot",
        "the slot is there, and the request has GUEST_MEMFD: such slots can only be deleted",
        lambda a: bool(a.request.flags & GUEST_MEMFD),
        errno.EINVAL,
        "__kvm_set_memory_region()",
        PRESENT,
    ),
    Check(
        "immutable",
        "the slot is there, and size, host address, READONLY or GUEST_MEMFD differ",
        _immutable_part_differs,
        errno.EINVAL,
        "__kvm_set_memory_region()",
        PRESENT,
    ),
    Check(
        "no change",
        "the slot is there, and nothing differs: success",
        lambda a: True,
        0,
        "__kvm_set_memory_region()",
        (None,),
    ),
    Check(
        "overlap",
        "another slot of the address space has one of the frames; the kernel's own slots count",
        lambda a: a.in_the_way() is not None,
        errno.EEXIST,
        "kvm_check_memslot_overlap()",
        PLACED,
    ),
    Check(
        "memory for the slot",
        "no memory for the new slot",
        lambda a: "slot" in a.failing,
        errno.ENOMEM,
        "__kvm_set_memory_region()",
        (CREATE, MOVE, FLAGS),
    ),
    Check(
        "memfd open",
        "GUEST_MEMFD, and the file descriptor is not open",
        lambda a: _binds(a) and a.memfd is None,
        errno.EBADF,
        "kvm_gmem_bind()",
        (CREATE,),
    ),
    Check(
        "memfd of this VM",
        "the file is not a guest_memfd of this VM",
        _is_another_file,
        errno.EINVAL,
        "kvm_gmem_bind()",
        (CREATE,),
    ),
    Check(
        "memfd size",
        "offset plus size passes the end of the guest_memfd",
        _passes_end_of_file,
        errno.EINVAL,
        "kvm_gmem_bind()",
        (CREATE,),
    ),
    Check(
        "memfd bound",
        "another slot is bound to a part of this range of the guest_memfd",
        _is_bound_already,
        errno.EINVAL,
        "kvm_gmem_bind()",
        (CREATE,),
        "EINVAL, not EEXIST",
    ),
    Check(
        "memory for the copy",
        "no memory for the copy that is marked invalid",
        lambda a: "invalid copy" in a.failing,
        errno.ENOMEM,
        "kvm_set_memslot()",
        (DELETE, MOVE),
    ),
    Check(
        "memory for the bitmap",
        "no memory for the dirty bitmap",
        lambda a: "dirty bitmap" in a.failing and _needs_bitmap(a),
        errno.ENOMEM,
        "kvm_prepare_memory_region()",
        (CREATE, MOVE, FLAGS),
        LATE,
    ),
    Check(
        "page tracking",
        "a move, while something in the kernel tracks pages by frame (KVMGT)",
        lambda a: a.host.page_track,
        errno.EINVAL,
        "kvm_arch_prepare_memory_region()",
        (MOVE,),
        LATE,
    ),
    Check(
        "guest address width",
        "the last frame is past what a guest can address (kvm_mmu_max_gfn())",
        lambda a: a.end_gfn * PAGE > a.host.gpa_end,
        errno.EINVAL,
        "kvm_arch_prepare_memory_region()",
        PLACED,
        LATE,
    ),
    Check(
        "memory for metadata",
        "no memory for the slot's rmap and large page data",
        lambda a: "metadata" in a.failing,
        errno.ENOMEM,
        "kvm_alloc_memslot_metadata()",
        PLACED,
        LATE,
    ),
)
"""What the kernel checks, in its order."""


class Table:
    """The checks, sorted out for each kind of request.

    :param checks: in the kernel's order.
    """

    def __init__(self, checks: Iterable[Check] = CHECKS) -> None:
        self.checks = tuple(checks)
        self._of = {
            change: [(check.refuses, check) for check in self.checks if change in check.changes]
            for change in EVERY
        }

    def first(self, asked: Asked) -> Check | None:
        """Return the check that decides *asked*; None: it passes them all."""
        for refuses, check in self._of[asked.change]:
            if refuses(asked):
                return check
        return None


def markdown() -> str:
    """Return the table as it is printed in the docs."""
    lines = [
        "| # | check | refuses if | errno | for | in the kernel |",
        "|---|---|---|---|---|---|",
    ]
    for number, check in enumerate(CHECKS, 1):
        kinds = "all" if check.changes is EVERY else ", ".join(map(_word, check.changes))
        note = "slot put back; " if check.note == LATE else check.note and f"{check.note}; "
        source = f"{note}`{check.source}`"
        lines.append(
            f"| {number} | {check.name} | {check.condition} | {check.error} | {kinds} | {source} |"
        )
    return "\n".join(lines) + "\n"


def _word(change: Change | None) -> str:
    return "no change" if change is None else change.value
