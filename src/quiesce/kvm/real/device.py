# SPDX-License-Identifier: Apache-2.0
"""``/dev/kvm``: the ioctls of the device and of a VM, as far as memslots need them.

Every object closes what it has opened, at the end of its ``with`` statement. If the process is killed, the
kernel closes the file descriptors, and with them the VM.

A request that the kernel refuses is a result here, not an exception: the methods return the errno, and 0
for success. Layouts and numbers are those of ``include/uapi/linux/kvm.h`` on x86-64.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Iterator
from fcntl import ioctl
from types import TracebackType
from typing import Self

from quiesce.errors import UsageError

PAGE = 4096

LOG_DIRTY_PAGES = 1 << 0
READONLY = 1 << 1
GUEST_MEMFD = 1 << 2
"""``KVM_MEM_...``: the flags of a memslot."""

LARGEST_SAFE_SLOT = 1 << 30
"""Bytes. The kernel allocates 8 bytes and more for each page: larger slots can lock a machine up."""

_GET_API_VERSION = 0xAE00
_CREATE_VM = 0xAE01
_CHECK_EXTENSION = 0xAE03
_GET_VCPU_MMAP_SIZE = 0xAE04
_CREATE_VCPU = 0xAE41
_GET_DIRTY_LOG = 0x4010AE42
_SET_USER_MEMORY_REGION = 0x4020AE46
_SET_TSS_ADDR = 0xAE47
_SET_IDENTITY_MAP_ADDR = 0x4008AE48
_SET_USER_MEMORY_REGION2 = 0x40A0AE49
_ENABLE_CAP = 0x4068AEA3
_CLEAR_DIRTY_LOG = 0xC018AEC0
_CREATE_GUEST_MEMFD = 0xC040AED4

CAP_USER_MEMORY = 3
CAP_NR_MEMSLOTS = 10
CAP_SYNC_REGS = 74
CAP_READONLY_MEM = 81
CAP_MULTI_ADDRESS_SPACE = 118
CAP_MANUAL_DIRTY_LOG_PROTECT2 = 168
CAP_DISABLE_QUIRKS2 = 213
CAP_USER_MEMORY2 = 231
CAP_MEMORY_ATTRIBUTES = 233
CAP_GUEST_MEMFD = 234
CAP_VM_TYPES = 235
CAP_PRE_FAULT_MEMORY = 236
"""``KVM_CAP_...``: what :meth:`Device.check_extension` asks about."""

_REGION = struct.Struct("=IIQQQ")
_REGION2 = struct.Struct("=IIQQQQI4x112x")
_CLEAR = struct.Struct("=IIQQ")
_CAP = struct.Struct("=II4Q64x")


class _Closing:
    """Something that has a file descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Close the file descriptor; a second time does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def check_extension(self, cap: int) -> int:
        """Return what ``KVM_CHECK_EXTENSION`` says of *cap*; 0 where the kernel does not know it."""
        try:
            return ioctl(self.fd, _CHECK_EXTENSION, cap)
        except OSError:
            return 0


class Device(_Closing):
    """``/dev/kvm``.

    :raises UsageError: it cannot be opened, or does not speak version 12 of the interface.
    """

    def __init__(self, path: str = "/dev/kvm") -> None:
        try:
            super().__init__(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            raise UsageError(
                f"{path} cannot be opened: {error.strerror}",
                "this command needs a Linux host with KVM, and the right to use it (group kvm, or root)",
            ) from None
        try:
            version = ioctl(self.fd, _GET_API_VERSION, 0)
        except OSError as error:
            version = -1
            why = error.strerror or "unknown"
        else:
            why = f"its API version is {version}, not 12"
        if version != 12:
            self.close()
            raise UsageError(f"{path} is not a usable KVM: {why}", "give the device of Linux's KVM")

    def create_vm(self, kind: int = 0) -> Vm:
        """Create a VM of type *kind* (0: the default type).

        :raises UsageError: the kernel refuses.
        """
        try:
            return Vm(self, ioctl(self.fd, _CREATE_VM, kind))
        except OSError as error:
            raise UsageError(
                f"KVM_CREATE_VM fails: {error.strerror}", "look into the kernel log for the reason"
            ) from None

    @property
    def vcpu_mmap_size(self) -> int:
        """The bytes of a vCPU's ``struct kvm_run`` and what follows it."""
        return ioctl(self.fd, _GET_VCPU_MMAP_SIZE, 0)


class Vm(_Closing):
    """A VM: its memslots, its dirty logs, its vCPUs. :meth:`Device.create_vm` makes it."""

    def __init__(self, device: Device, fd: int) -> None:
        super().__init__(fd)
        self.device = device

    def set_from_bad_address(self, version: int) -> int:
        """Make a request whose structure cannot be read; return the errno."""
        number = _SET_USER_MEMORY_REGION if version == 1 else _SET_USER_MEMORY_REGION2
        try:
            ioctl(self.fd, number, 8)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def set_user_memory_region(self, slot: int, flags: int, gpa: int, size: int, hva: int) -> int:
        """Make the request of version 1 of the ioctl; return 0 or the errno.

        :param slot: the id in bits 0 to 15, the address space in bits 16 to 31.
        :param gpa: where the guest sees it, in bytes.
        :param size: in bytes; 0 deletes the slot.
        :param hva: the host address of its memory.
        """
        try:
            ioctl(self.fd, _SET_USER_MEMORY_REGION, _REGION.pack(slot, flags, gpa, size, hva))
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def set_user_memory_region2(
        self, slot: int, flags: int, gpa: int, size: int, hva: int, offset: int = 0, memfd: int = 0
    ) -> int:
        """Make the request of version 2 of the ioctl; return 0 or the errno.

        :param offset: where in the guest_memfd the slot begins, in bytes.
        :param memfd: the guest_memfd, used with the flag ``GUEST_MEMFD``.
        """
        region = _REGION2.pack(slot, flags, gpa, size, hva, offset, memfd & 0xFFFFFFFF)
        try:
            ioctl(self.fd, _SET_USER_MEMORY_REGION2, region)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def get_dirty_log(self, slot: int, pages: int) -> tuple[int, bytes]:
        """Return ``(0, bitmap)`` and clear the log, or ``(errno, b"")``.

        The kernel writes as many bits as the slot has pages, whatever the caller expects. So the buffer has
        room for the largest slot that is safe.

        :param pages: how many bits to return, in words of 64.
        """
        size = (pages + 63) // 64 * 8
        bitmap = bytearray(max(size, LARGEST_SAFE_SLOT // PAGE // 8))
        try:
            ioctl(self.fd, _GET_DIRTY_LOG, struct.pack("=IIQ", slot, 0, _address(bitmap)))
        except OSError as error:
            return error.errno or errno.EIO, b""
        return 0, bytes(bitmap[:size])

    def clear_dirty_log(self, slot: int, first: int, pages: int, bitmap: bytes) -> int:
        """Clear the bits of *bitmap* in the log, from page *first* on; return 0 or the errno.

        :param bitmap: a bit for each of *pages* pages, in words of 64.
        """
        words = bytearray(bitmap.ljust((pages + 63) // 64 * 8, b"\0"))
        try:
            ioctl(self.fd, _CLEAR_DIRTY_LOG, _CLEAR.pack(slot, pages, first, _address(words)))
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def enable_cap(self, cap: int, *arguments: int) -> int:
        """Switch a capability on; return 0 or the errno."""
        words = (*arguments, 0, 0, 0, 0)[:4]
        try:
            ioctl(self.fd, _ENABLE_CAP, _CAP.pack(cap, 0, *words))
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def set_tss_addr(self, gpa: int) -> int:
        """Give the kernel three pages that may become an internal slot; return 0 or the errno."""
        # Python's ioctl() takes no number of 32 bits and more.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ioctl(self.fd, ctypes.c_ulong(_SET_TSS_ADDR), ctypes.c_ulong(gpa)) < 0:
            return ctypes.get_errno()
        return 0

    def set_identity_map_addr(self, gpa: int) -> int:
        """Give the kernel a page for itself, which may become an internal slot; return 0 or the errno."""
        try:
            ioctl(self.fd, _SET_IDENTITY_MAP_ADDR, struct.pack("=Q", gpa))
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def create_guest_memfd(self, size: int, flags: int = 0) -> int:
        """Return a new guest_memfd of *size* bytes.

        :raises OSError: the kernel refuses.
        """
        request = bytearray(struct.pack("=QQ48x", size, flags))
        return int(ioctl(self.fd, _CREATE_GUEST_MEMFD, request, True))

    def create_vcpu(self, number: int = 0) -> int:
        """Return the file descriptor of a new vCPU; see ``vcpu.py``.

        :raises OSError: the kernel refuses.
        """
        return ioctl(self.fd, _CREATE_VCPU, number)


def _address(buffer: bytearray | mmap.mmap) -> int:
    """Return where *buffer* is; it must stay alive and keep its size while the address is in use."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer)) if len(buffer) else 0


class HostMemory:
    """Memory of this process that backs slots: anonymous, private, zero until it is written.

    Only pages that are touched cost memory.

    :param size: in bytes, a multiple of 4096.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.address = _address(self.map)
        """The host address (hva) of its first byte."""

    def close(self) -> None:
        """Give the memory back. A slot that still points to it then maps nothing."""
        self.map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


_MAP_FIXED_NOREPLACE = 0x100000
_MAP_NORESERVE = 0x4000


class PlacedMemory:
    """The same at an address of the caller's choice, and with a protection that can be changed.

    :param address: a multiple of 4096 where nothing is mapped.
    :raises OSError: something is mapped there, or there is no memory.
    """

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.size = size
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        self._libc.mmap.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_long,
        ]
        self._libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self._libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE | _MAP_NORESERVE
        got = self._libc.mmap(address, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        if got != address:
            why = ctypes.get_errno() if got in (None, ctypes.c_void_p(-1).value) else errno.EEXIST
            if why == errno.EEXIST and got not in (None, ctypes.c_void_p(-1).value):
                self._libc.munmap(got, size)
            raise OSError(why, f"no memory at {address:#x}")
        array = (ctypes.c_char * size).from_address(address)
        self.map = memoryview(array).cast("B")
        """Its bytes. They are not to be used after :meth:`close`."""

    def protect(self, protection: int) -> None:
        """Set ``PROT_...`` of all of it.

        :raises OSError: the kernel refuses.
        """
        if self._libc.mprotect(self.address, self.size, protection):
            raise OSError(ctypes.get_errno(), "mprotect() fails")

    def close(self) -> None:
        """Give the memory back; a second time does nothing."""
        size, self.size = self.size, 0
        if size:
            self.map.release()
            self._libc.munmap(self.address, size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


@contextlib.contextmanager
def fresh_vm() -> Iterator[Vm]:
    """Yield a new VM of the default type, and close it and the device in the end.

    :raises UsageError: there is no usable ``/dev/kvm``.
    """
    with Device() as device, device.create_vm() as vm:
        yield vm
