# SPDX-License-Identifier: Apache-2.0
"""The operations that are done to the kernel and to our memslots, and the memory that slots point to.

An operation is plain data: host addresses and files are the same in every run, so that a sequence can be
repeated, shortened and printed as a script.
"""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.kvm.real.device import PAGE
from quiesce.kvm.real.requests import Request

CODE_SLOT = 32762
"""The id of the slot with the guest's program."""

CODE_GPA = 0xF0000

WINDOW = 0x100000
"""Where most slots are placed in the guest, in bytes."""

WINDOW_PAGES = 64

ARENA = 0x1000_0000_0000
"""The host address of the memory that most slots point to."""

ARENA_PAGES = 64
READ_ONLY = ARENA + 0x1000_0000
"""Memory that the process can only read (``PROT_READ``)."""

NO_ACCESS = ARENA + 0x2000_0000
"""Memory that the process cannot access (``PROT_NONE``)."""

AREA_PAGES = 16
UNMAPPED = ARENA + 0x3000_0000
"""Addresses without memory, as far as the end of user space."""

TSS = 0xFFFB_D000
TSS_PAGES = 3
"""What ``KVM_SET_TSS_ADDR`` is given."""


class Files:
    """The file descriptors that a request may name, as numbers of ours."""

    GUEST_MEMFDS = (0, 1)
    OF_ANOTHER_VM = 2
    NOT_A_MEMFD = 3
    CLOSED = -1
    PAGES = 8
    """The pages of each guest_memfd."""


@dataclass(frozen=True, slots=True)
class SetRegion:
    """``KVM_SET_USER_MEMORY_REGION``, or version 2 of it."""

    request: Request

    def __str__(self) -> str:
        r = self.request
        name = "set_user_memory_region" + ("2" if r.version == 2 else "")
        text = f"{name}(slot={r.slot:#x}, flags={r.flags:#x}, gpa={r.gpa:#x}, size={r.size:#x}"
        text += f", hva={r.hva:#x}"
        if r.version == 2:
            text += f", offset={r.offset:#x}, memfd={r.memfd}"
        text += ")" + (" from a child" if r.from_child else "")
        return text + ("" if r.readable else " from a bad address")


@dataclass(frozen=True, slots=True)
class Access:
    """The guest reads or writes one byte at each of *addresses*.

    :param values: what it writes; empty: it reads.
    """

    addresses: tuple[int, ...]
    values: bytes = b""

    def __str__(self) -> str:
        where = ", ".join(f"{a:#x}" for a in self.addresses)
        if not self.values:
            return f"guest reads [{where}]"
        return f"guest writes [{where}] = {self.values.hex(' ')}"


@dataclass(frozen=True, slots=True)
class GetDirtyLog:
    """``KVM_GET_DIRTY_LOG``

    :param pages: how many bits are read; the slot has as many, if it is there.
    """

    slot: int
    pages: int

    def __str__(self) -> str:
        return f"get_dirty_log(slot={self.slot:#x})"


@dataclass(frozen=True, slots=True)
class ClearDirtyLog:
    """``KVM_CLEAR_DIRTY_LOG``: the pages ``first + b`` for each b of *bits*."""

    slot: int
    first: int
    pages: int
    bits: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"clear_dirty_log(slot={self.slot:#x}, first={self.first}, pages={self.pages},"
            f" bits={list(self.bits)})"
        )


Operation = SetRegion | Access | GetDirtyLog | ClearDirtyLog


@dataclass(frozen=True, slots=True)
class Setup:
    """What the VM of a sequence is like.

    :param protect: the argument of ``KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2``: 0 off, 1 manual, 3 with new
        bitmaps all set.
    :param code_slot: the id of the slot with the guest's program.
    :param code_gpa: where the guest sees it, in bytes.
    """

    protect: int = 0
    code_slot: int = CODE_SLOT
    code_gpa: int = CODE_GPA

    def in_code(self, gpa: int) -> bool:
        """Return whether *gpa* is in the page of the guest's program, which accesses leave alone."""
        return self.code_gpa <= gpa < self.code_gpa + PAGE
