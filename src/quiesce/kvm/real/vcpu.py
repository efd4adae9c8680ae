# SPDX-License-Identifier: Apache-2.0
"""A vCPU: registers, real mode, ``KVM_RUN`` and the reasons why it returns.

Layouts are those of ``struct kvm_run``, ``kvm_regs`` and ``kvm_sregs`` on x86-64.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from fcntl import ioctl
from typing import Self

from quiesce.kvm.real.device import Vm

_RUN = 0xAE80
_GET_REGS = 0x8090AE81
_SET_REGS = 0x4090AE82
_GET_SREGS = 0x8138AE83
_SET_SREGS = 0x4138AE84

_EXIT_REASON = struct.Struct("=I")
_MMIO = struct.Struct("=Q8sIB")
_REGS = struct.Struct("=18Q")
_SEGMENT = struct.Struct("=QIHBBBBBBBBBB")
_SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss")

_IMMEDIATE_EXIT_AT = 1
_REASON_AT = 8
_UNION_AT = 32


class ExitReason(IntEnum):
    """``KVM_EXIT_...``: why ``KVM_RUN`` returned, as far as memory accesses lead to it."""

    UNKNOWN = 0
    IO = 2
    HLT = 5
    MMIO = 6
    SHUTDOWN = 8
    FAIL_ENTRY = 9
    INTR = 10
    INTERNAL_ERROR = 17
    MEMORY_FAULT = 39


@dataclass(frozen=True, slots=True)
class Exit:
    """What ``KVM_RUN`` returned with.

    :param reason: an ``ExitReason``, or a number that is not among them.
    :param error: the errno of the ioctl, 0 if it succeeded.
    """

    reason: int
    error: int = 0
    gpa: int = 0
    data: bytes = b""
    write: bool = False

    @property
    def name(self) -> str:
        """The exit in one word: ``MMIO``, ``HLT``, ``EFAULT``, ..."""
        if self.error:
            return errno.errorcode.get(self.error, str(self.error))
        try:
            return ExitReason(self.reason).name
        except ValueError:
            return f"EXIT_{self.reason}"


@dataclass(slots=True)
class Registers:
    """``struct kvm_regs``."""

    rax: int = 0
    rbx: int = 0
    rcx: int = 0
    rdx: int = 0
    rsi: int = 0
    rdi: int = 0
    rsp: int = 0
    rbp: int = 0
    r8: int = 0
    r9: int = 0
    r10: int = 0
    r11: int = 0
    r12: int = 0
    r13: int = 0
    r14: int = 0
    r15: int = 0
    rip: int = 0
    rflags: int = 2


class Vcpu:
    """A vCPU of *vm*.

    :raises OSError: the kernel refuses to create it.
    """

    def __init__(self, vm: Vm, number: int = 0) -> None:
        self.fd = vm.create_vcpu(number)
        try:
            self.kvm_run = mmap.mmap(self.fd, vm.device.vcpu_mmap_size)
        except BaseException:
            os.close(self.fd)
            raise

    def close(self) -> None:
        """Unmap ``kvm_run`` and close the file descriptor: both keep the VM alive."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self.kvm_run.close()
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def registers(self) -> Registers:
        """Return ``KVM_GET_REGS``."""
        return Registers(*_REGS.unpack(ioctl(self.fd, _GET_REGS, bytes(_REGS.size))))

    def set_registers(self, regs: Registers) -> None:
        """Make ``KVM_SET_REGS``."""
        words = (getattr(regs, name) for name in Registers.__slots__)
        ioctl(self.fd, _SET_REGS, _REGS.pack(*words))

    def enter_real_mode(self, base: int) -> None:
        """Put the vCPU into real mode: code, stack, ES, FS and GS at *base*, DS at 0, each reaching 4 GiB.

        :param base: a guest physical address below 4 GiB.
        """
        sregs = bytearray(ioctl(self.fd, _GET_SREGS, bytes(312)))
        for place, name in enumerate(_SEGMENTS):
            at = 0 if name == "ds" else base
            kind = 11 if name == "cs" else 3
            segment = _SEGMENT.pack(
                at, 0xFFFFFFFF, (at >> 4) & 0xFFFF, kind, 1, 0, 0, 1, 0, 1, 0, 0, 0
            )
            sregs[place * _SEGMENT.size : (place + 1) * _SEGMENT.size] = segment
        ioctl(self.fd, _SET_SREGS, bytes(sregs))

    def kick(self, on: bool = True) -> None:
        """Let the next ``KVM_RUN`` return immediately with EINTR, once what is pending is completed."""
        self.kvm_run[_IMMEDIATE_EXIT_AT] = on

    def run(self) -> Exit:
        """Run the guest until it exits; a signal ends it too, with the errno EINTR.

        The next run completes an MMIO exit: a write is over then, a read gets the data of :meth:`answer`.
        """
        try:
            ioctl(self.fd, _RUN, 0)
        except OSError as error:
            if error.errno != errno.EFAULT:
                return Exit(ExitReason.INTR, error.errno or errno.EIO)
            failed = errno.EFAULT
        else:
            failed = 0
        (reason,) = _EXIT_REASON.unpack_from(self.kvm_run, _REASON_AT)
        if reason != ExitReason.MMIO or failed:
            return Exit(reason, failed)
        gpa, data, size, write = _MMIO.unpack_from(self.kvm_run, _UNION_AT)
        return Exit(reason, 0, gpa, data[:size], bool(write))

    def answer(self, data: bytes) -> None:
        """Give the data (at most 8 bytes) that the read of the MMIO exit returns."""
        self.kvm_run[_UNION_AT + 8 : _UNION_AT + 8 + len(data)] = data
