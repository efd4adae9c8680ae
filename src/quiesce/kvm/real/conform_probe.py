# SPDX-License-Identifier: Apache-2.0
"""What the KVM of this host is and can do, found out by asking it: limits, and what is not there."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.conform_sides import Arena, OurSide, RealSide
from quiesce.kvm.real.device import (
    CAP_GUEST_MEMFD,
    CAP_MANUAL_DIRTY_LOG_PROTECT2,
    CAP_MEMORY_ATTRIBUTES,
    CAP_MULTI_ADDRESS_SPACE,
    CAP_NR_MEMSLOTS,
    CAP_PRE_FAULT_MEMORY,
    CAP_READONLY_MEM,
    CAP_USER_MEMORY2,
    LOG_DIRTY_PAGES,
    PAGE,
    Device,
    Vm,
)
from quiesce.kvm.real.guest import DATA
from quiesce.kvm.real.requests import Host

INTERNAL_SLOTS = 3
"""``KVM_INTERNAL_MEM_SLOTS`` on x86: TSS, APIC access page, identity page table."""

_MODULES = Path("/sys/module")
_FREE_ID = 7
_SETTINGS = (
    ("kvm_intel", "ept"),
    ("kvm_intel", "unrestricted_guest"),
    ("kvm_amd", "npt"),
    ("kvm", "tdp_mmu"),
)


@dataclass
class Probed:
    """What the host is.

    :param kernel: the kernel's release.
    :param flavour: the modules of KVM that are there, and how they translate guest addresses.
    :param reads_may_dirty: a page that the guest has only read may be marked dirty.
    :param internal: the host keeps its TSS in a slot of its own.
    :param unbacked: how the guest's access to a slot over unmapped addresses ends here.
    :param not_compared: what this host lacks, or cannot show, each in a sentence.
    """

    host: Host
    kernel: str
    flavour: str
    reads_may_dirty: bool = False
    internal: bool = False
    manual_protect: int = 0
    unbacked: str = ""
    not_compared: list[str] = field(default_factory=list)

    def ours(self, setup: ops.Setup, arena: Arena) -> OurSide:
        """Return our side for this host."""
        return OurSide(self.host, setup, arena, self.reads_may_dirty, self.internal)


def flavour() -> str:
    """Return the flavour of this host's KVM, as ``pvm; shadow MMU``."""
    names = sorted(path.name for path in _MODULES.glob("kvm_*"))
    settings = []
    for module, name in _SETTINGS:
        file = _MODULES / module / "parameters" / name
        if file.is_file():
            settings.append(f"{name}={file.read_text(encoding='ascii', errors='replace').strip()}")
    words = [name.removeprefix("kvm_") for name in names] or ["built in, no vendor module listed"]
    return "; ".join([" ".join(words), *settings])


def probe(device: Device, arena: Arena) -> Probed:
    """Find out about the host.

    :raises UsageError: ``/dev/kvm`` refuses what every VM needs.
    """
    with device.create_vm() as vm:
        host, internal = _limits(vm)
        found = Probed(host, platform.release(), flavour(), internal=internal)
        found.manual_protect = vm.check_extension(CAP_MANUAL_DIRTY_LOG_PROTECT2)
        _lacking(found, vm)
    with RealSide(device, ops.Setup(), arena, memfds=False) as real:
        _see(found, real)
    return found


def _limits(vm: Vm) -> tuple[Host, bool]:
    """Return the limits of a VM, and whether its TSS is in an internal slot."""

    def accepts(gpa: int, hva: int) -> bool:
        if vm.set_user_memory_region(_FREE_ID, 0, gpa, PAGE, hva):
            return False
        return vm.set_user_memory_region(_FREE_ID, 0, gpa, 0, hva) == 0

    user = vm.check_extension(CAP_NR_MEMSLOTS) or 32
    memfd = bool(vm.check_extension(CAP_USER_MEMORY2) and vm.check_extension(CAP_GUEST_MEMFD))
    host = Host(
        user_slots=user,
        slots_num=user + INTERNAL_SLOTS,
        address_spaces=vm.check_extension(CAP_MULTI_ADDRESS_SPACE) or 1,
        readonly=bool(vm.check_extension(CAP_READONLY_MEM)),
        guest_memfd=memfd,
        version2=bool(vm.check_extension(CAP_USER_MEMORY2)),
        hva_end=_first_refused(1 << 46, 1 << 57, lambda hva: accepts(ops.WINDOW, hva)),
        gpa_end=_first_refused(1 << 32, 1 << 56, lambda gpa: accepts(gpa, ops.ARENA)),
    )
    vm.set_tss_addr(ops.TSS)
    return host, not accepts(ops.TSS, ops.ARENA)


def _first_refused(low: int, high: int, accepts: Callable[[int], bool]) -> int:
    """Return the first page from *low* on that is refused, up to *high*; *low* itself is accepted."""
    while high - low > PAGE:
        middle = (low + high) // 2 // PAGE * PAGE
        if accepts(middle):
            low = middle
        else:
            high = middle
    return high


def _lacking(found: Probed, vm: Vm) -> None:
    """Say what this host lacks."""
    host, say = found.host, found.not_compared.append
    if host.address_spaces == 1:
        say("address space 1 (SMM): this host has one address space")
    if not host.version2:
        say("KVM_SET_USER_MEMORY_REGION2: the kernel does not have it")
    if not host.guest_memfd:
        say("guest_memfd: a default VM of this host has none")
    if not host.readonly:
        say("READONLY slots: this host has none")
    if not found.manual_protect:
        say("KVM_CLEAR_DIRTY_LOG with manual protection: the kernel does not have it")
    if not vm.check_extension(CAP_MEMORY_ATTRIBUTES):
        say("private memory (KVM_SET_MEMORY_ATTRIBUTES): this host has none")
    else:
        say("private memory (KVM_SET_MEMORY_ATTRIBUTES): our memslots do not have it")
    if not vm.check_extension(CAP_PRE_FAULT_MEMORY):
        say("KVM_PRE_FAULT_MEMORY: this host does not have it")
    else:
        say("KVM_PRE_FAULT_MEMORY: our memslots do not have it")
    if not found.internal:
        say("internal slots: this host keeps no TSS in a slot")
    say("internal slots of the APIC page and the identity map: no such VM is made")
    say("generations: a process cannot see them")
    say("the map above 4 GiB: a real-mode guest does not reach it (errno only)")


def _see(found: Probed, real: RealSide) -> None:
    """Find out what a guest's accesses do here."""
    vm, free = real.vm, ops.WINDOW
    vm.set_user_memory_region(_FREE_ID, LOG_DIRTY_PAGES, free, PAGE, ops.ARENA)
    if real.guest.read([free])[0].kind == DATA:
        found.reads_may_dirty = vm.get_dirty_log(_FREE_ID, 1)[1][:1] == b"\1"
    vm.set_user_memory_region(_FREE_ID, 0, free, 0, ops.ARENA)
    if found.reads_may_dirty:
        found.not_compared.append("dirty bits of pages that the guest only reads: may be set here")
    vm.set_user_memory_region(_FREE_ID, 0, free, PAGE, ops.UNMAPPED)
    found.unbacked = real.guest.read([free])[0].kind
    vm.set_user_memory_region(_FREE_ID, 0, free, 0, ops.UNMAPPED)
    found.not_compared.append(
        f"how an access to a slot without host memory ends: {found.unbacked} here, EFAULT elsewhere"
    )
