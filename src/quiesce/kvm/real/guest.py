# SPDX-License-Identifier: Apache-2.0
"""The map as a guest sees it: a vCPU in real mode reads and writes single bytes.

The guest's program, its list of addresses and its results are in one page, which is a slot of its own. For
each address the guest loads or stores one byte. What it sees there is data, an MMIO exit, or an exit that
ends the run. Several addresses are accessed in one run, so that only those without memory cost an exit.

Real mode ends at 4 GiB: what lies above is not seen here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from quiesce.kvm.real.device import PAGE, HostMemory, Vm
from quiesce.kvm.real.vcpu import ExitReason, Registers, Vcpu

REACH = 1 << 32
"""The guest physical addresses below this one can be accessed."""

MOST = 64
"""The most addresses of one run."""

MMIO = "MMIO"
DATA = "data"

_READ = bytes.fromhex(
    "26668b1c"  # next: mov ebx, es:[si]
    "678a03"  # mov al, [ebx]
    "268805"  # mov es:[di], al
    "83c604"  # add si, 4
    "47"  # inc di
    "e2f0"  # loop next
    "f4"  # hlt
)
_WRITE = bytes.fromhex(
    "26668b1c"  # next: mov ebx, es:[si]
    "268a05"  # mov al, es:[di]
    "678803"  # mov [ebx], al
    "83c604"  # add si, 4
    "47"  # inc di
    "e2f0"  # loop next
    "f4"  # hlt
)
_READ_AT = 0
_WRITE_AT = 64
_ADDRESSES_AT = 256
_BYTES_AT = 1024

OPEN_BUS = 0xA5
"""What the guest reads where an MMIO exit answers."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one access led to.

    :param kind: ``data``, ``MMIO``, or the exit that ended the run, as ``EFAULT`` or ``INTERNAL_ERROR``.
    :param value: the byte that was read as data, else None.
    """

    kind: str
    value: int | None = None

    def __str__(self) -> str:
        return self.kind if self.value is None else f"{self.kind} {self.value:#04x}"


class RealModeGuest:
    """A guest of *vm* whose program is in slot *slot* at *gpa*.

    :param slot: an id that the caller does not use.
    :param gpa: a page below 4 GiB that the caller leaves alone.
    :raises OSError: the kernel refuses the vCPU.
    """

    def __init__(self, vm: Vm, slot: int, gpa: int) -> None:
        self.vm = vm
        self.slot = slot
        self.gpa = gpa
        self.page = HostMemory(PAGE)
        try:
            self.page.map[_READ_AT : _READ_AT + len(_READ)] = _READ
            self.page.map[_WRITE_AT : _WRITE_AT + len(_WRITE)] = _WRITE
            self.put_code()
            self.vcpu = Vcpu(vm)
        except BaseException:
            self.page.close()
            raise
        self.vcpu.enter_real_mode(gpa)

    def put_code(self) -> None:
        """Create the slot with the program.

        :raises OSError: the kernel refuses.
        """
        failed = self.vm.set_user_memory_region(self.slot, 0, self.gpa, PAGE, self.page.address)
        if failed:
            raise OSError(failed, "the slot with the guest's program is refused")

    def close(self) -> None:
        """Close the vCPU and give the page back; the VM stays."""
        self.vcpu.close()
        self.page.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def read(self, addresses: Sequence[int]) -> list[Seen]:
        """Return what the guest sees when it loads a byte from each of *addresses*."""
        seen = self._run(_READ_AT, addresses)
        values = self.page.map[_BYTES_AT : _BYTES_AT + len(addresses)]
        return [Seen(DATA, values[i]) if s.kind == DATA else s for i, s in enumerate(seen)]

    def write(self, addresses: Sequence[int], values: bytes) -> list[Seen]:
        """Return what the guest sees when it stores one of *values* to each of *addresses*."""
        self.page.map[_BYTES_AT : _BYTES_AT + len(values)] = values
        return self._run(_WRITE_AT, addresses)

    def _run(self, program: int, addresses: Sequence[int]) -> list[Seen]:
        """Access *addresses*, at most ``MOST``, all different; continue after one that ends the run."""
        count = len(addresses)
        self.page.map[_ADDRESSES_AT : _ADDRESSES_AT + 4 * count] = struct.pack(
            f"={count}I", *addresses
        )
        seen = [Seen(DATA)] * count
        at = 0
        while at < count:
            self.vcpu.set_registers(
                Registers(
                    rcx=count - at,
                    rsi=_ADDRESSES_AT + 4 * at,
                    rdi=_BYTES_AT + at,
                    rip=program,
                )
            )
            at = self._until_it_ends(addresses, seen, at)
        return seen

    def _until_it_ends(self, addresses: Sequence[int], seen: list[Seen], at: int) -> int:
        """Run from address number *at* on; return the number from which the next run has to go on."""
        while True:
            exit = self.vcpu.run()
            if exit.reason == ExitReason.HLT and not exit.error:
                return len(addresses)
            if exit.reason == ExitReason.MMIO and exit.gpa in addresses[at:]:
                at = addresses.index(exit.gpa, at)
                seen[at] = Seen(MMIO)
                at += 1
                self.vcpu.answer(bytes([OPEN_BUS]))
            elif exit.name != "EINTR":
                # Which access it was: the guest has counted.
                at = len(addresses) - (self.vcpu.registers().rcx & 0xFFFF)
                seen[min(at, len(addresses) - 1)] = Seen(exit.name)
                return at + 1
