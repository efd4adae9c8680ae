# SPDX-License-Identifier: Apache-2.0
"""A sequence of operations as a script that needs nothing but Python: a difference can be sent as it is."""

from __future__ import annotations

from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.conform_pair import Difference
from quiesce.kvm.real.device import CAP_MANUAL_DIRTY_LOG_PROTECT2, PAGE

_HEAD = '''#!/usr/bin/env python3
"""What /dev/kvm answers to a sequence of requests. Expected | seen in the end: {what}"""
import ctypes, errno, fcntl, mmap, os, struct

PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p


def memory(address, pages, protection):
    """Map pages at an address, each byte with a value that tells where it is."""
    size = ctypes.c_size_t(pages * PAGE)
    got = libc.mmap(ctypes.c_void_p(address), size, 3, 0x100022, -1, ctypes.c_long(0))
    assert got == address, "the address is in use"
    area = (ctypes.c_ubyte * (pages * PAGE)).from_address(address)
    page = [(at * 11 + at // 251) & 255 for at in range(PAGE)]
    for number in range(pages):
        area[number * PAGE : (number + 1) * PAGE] = [(b + 37 * number) & 255 for b in page]
    assert libc.mprotect(ctypes.c_void_p(address), size, protection) == 0
    return area


def ask(number, argument):
    """Make an ioctl of the VM; return the name of its errno."""
    try:
        fcntl.ioctl(vm, number, argument)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "0"


def region(*words):
    return ask(0x4020AE46, struct.pack("=IIQQQ", *words))


def region2(*words):
    return ask(0x40A0AE49, struct.pack("=IIQQQQi116x", *words))


def get_dirty_log(slot, pages):
    bitmap = bytearray(1 << 15)
    at = ctypes.addressof(ctypes.c_char.from_buffer(bitmap))
    answer = ask(0x4010AE42, struct.pack("=IIQ", slot, 0, at))
    return answer, "bits", bitmap[: (pages + 63) // 64 * 8].hex(" ")


def clear_dirty_log(slot, first, pages, bits):
    bitmap = bytearray(sum(1 << bit for bit in bits).to_bytes((pages + 63) // 64 * 8 or 8, "little"))
    at = ctypes.addressof(ctypes.c_char.from_buffer(bitmap))
    return ask(0xC018AEC0, struct.pack("=IIQQ", slot, pages, first, at))


kvm = os.open("/dev/kvm", os.O_RDWR)
vm = fcntl.ioctl(kvm, 0xAE01, 0)
memory({arena:#x}, {arena_pages}, 3)
memory({read_only:#x}, {area_pages}, 1)
memory({no_access:#x}, {area_pages}, 0)
'''

_PROTECT = """ask(0x4068AEA3, struct.pack("=II4Q64x", {cap}, 0, {protect}, 0, 0, 0))
"""

_FILES = """
def guest_memfd(of):
    return fcntl.ioctl(of, 0xC040AED4, bytearray(struct.pack("=QQ48x", {size}, 0)), True)


other = fcntl.ioctl(kvm, 0xAE01, 0)
files = {{0: guest_memfd(vm), 1: guest_memfd(vm), 2: guest_memfd(other), 3: os.memfd_create("x"), -1: -1}}
os.truncate(files[3], {size})
"""

_GUEST = '''
code = memory({code_at:#x}, 1, 3)
print("the program of the guest:", region({code_slot}, 0, {code_gpa:#x}, PAGE, {code_at:#x}))
vcpu = fcntl.ioctl(vm, 0xAE41, 0)
run = mmap.mmap(vcpu, fcntl.ioctl(kvm, 0xAE04, 0))
sregs = bytearray(fcntl.ioctl(vcpu, 0x8138AE83, bytes(312)))
for place, base, kind in ((0, {code_gpa:#x}, 11), (1, 0, 3)):
    segment = (base, 0xFFFFFFFF, base >> 4 & 0xFFFF, kind, 1, 0, 0, 1, 0, 1, 0, 0, 0)
    struct.pack_into("=QIHBBBBBBBBBB", sregs, place * 24, *segment)
fcntl.ioctl(vcpu, 0x4138AE84, bytes(sregs))


def access(address, value=None):
    """Let the guest load or store a byte in real mode; return how that ends."""
    loads = b"" if value is None else bytes((0xB0, value))
    program = b"\\x66\\xbb" + struct.pack("=I", address) + loads
    program += b"\\x67\\x8a\\x03\\xf4" if value is None else b"\\x67\\x88\\x03\\xf4"
    code[: len(program)] = program
    fcntl.ioctl(vcpu, 0x4090AE82, struct.pack("=18Q", *[0] * 17, 2))
    seen = "data"
    while True:
        try:
            fcntl.ioctl(vcpu, 0xAE80, 0)
        except OSError as error:
            return errno.errorcode[error.errno]
        reason = struct.unpack_from("=I", run, 8)[0]
        if reason == 6:
            seen = "MMIO"
        elif reason != 5:
            return f"exit {{reason}}"
        elif seen == "data" and value is None:
            return f"data {{fcntl.ioctl(vcpu, 0x8090AE81, bytes(144))[0]:#04x}}"
        else:
            return seen

'''

_CODE_AT = ops.ARENA + 0x5000_0000


def script(difference: Difference) -> str:
    """Return a Python script that does what *difference* consists of and prints what the kernel answers."""
    operations, setup = difference.operations, difference.setup
    parts = [
        _HEAD.format(
            what=difference.what,
            arena=ops.ARENA,
            arena_pages=ops.ARENA_PAGES,
            read_only=ops.READ_ONLY,
            no_access=ops.NO_ACCESS,
            area_pages=ops.AREA_PAGES,
        )
    ]
    if setup.protect:
        cap = CAP_MANUAL_DIRTY_LOG_PROTECT2
        parts.append(_PROTECT.format(cap=cap, protect=setup.protect))
    if any(isinstance(o, ops.SetRegion) and o.request.version == 2 for o in operations):
        parts.append(_FILES.format(size=ops.Files.PAGES * PAGE))
    if any(isinstance(o, ops.Access) for o in operations):
        parts.append(
            _GUEST.format(code_at=_CODE_AT, code_slot=setup.code_slot, code_gpa=setup.code_gpa)
        )
    return "".join(parts) + "\n" + "".join(_step(operation) for operation in operations)


def _step(operation: ops.Operation) -> str:
    match operation:
        case ops.SetRegion(r):
            words = f"{r.slot:#x}, {r.flags:#x}, {r.gpa:#x}, {r.size:#x}, {r.hva:#x}"
            if not r.readable:
                call = f"ask({0x4020AE46 if r.version == 1 else 0x40A0AE49:#x}, 8)"
            elif r.version == 1:
                call = f"region({words})"
            else:
                call = f"region2({words}, {r.offset:#x}, files[{r.memfd}])"
        case ops.GetDirtyLog(slot, pages):
            call = f"*get_dirty_log({slot:#x}, {pages})"
        case ops.ClearDirtyLog(slot, first, pages, bits):
            call = f"clear_dirty_log({slot:#x}, {first}, {pages}, {bits})"
        case ops.Access(addresses, values):
            each = [
                f"access({a:#x}, {values[at]:#04x})" if values else f"access({a:#x})"
                for at, a in enumerate(addresses)
            ]
            call = ", ".join(each)
    return f"print({str(operation) + ':'!r}, {call})\n"
