"""``/dev/kvm`` as we use it: ioctls, a vCPU in real mode, and what the guest sees."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiesce.errors import UsageError
from quiesce.kvm.real.device import (
    GUEST_MEMFD,
    LOG_DIRTY_PAGES,
    PAGE,
    READONLY,
    Device,
    HostMemory,
    Vm,
    fresh_vm,
)
from quiesce.kvm.real.guest import RealModeGuest, Seen

needs_kvm = pytest.mark.skipif(
    not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="this machine has no usable /dev/kvm"
)


@pytest.fixture
def vm() -> Iterator[Vm]:
    with fresh_vm() as made:
        yield made


def test_a_missing_device_is_a_request_that_is_wrong() -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        Device("/dev/there-is-no-such-device")


def test_a_file_that_is_not_kvm_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kvm"
    file.touch()
    with pytest.raises(UsageError, match="not a usable KVM"):
        Device(str(file))


@needs_kvm
def test_the_guest_sees_what_its_slots_say(vm: Vm) -> None:
    with HostMemory(2 * PAGE) as memory, RealModeGuest(vm, 100, 0xF0000) as guest:
        memory.map[0], memory.map[PAGE] = 7, 8
        assert vm.set_user_memory_region(1, 0, 0x10000, 2 * PAGE, memory.address) == 0
        assert vm.set_user_memory_region(2, READONLY, 0x80000000, PAGE, memory.address) == 0
        seen = guest.read([0xFFFF, 0x10000, 0x11000, 0x12000, 0x80000000])
        assert seen == [
            Seen("MMIO"),
            Seen("data", 7),
            Seen("data", 8),
            Seen("MMIO"),
            Seen("data", 7),
        ]
        seen = guest.write([0x11000, 0x12000, 0x80000000], b"abc")
        assert seen == [Seen("data"), Seen("MMIO"), Seen("MMIO")]
        assert (memory.map[0], memory.map[PAGE]) == (7, ord("a"))


@needs_kvm
def test_dirty_pages_are_logged_and_cleared_by_reading(vm: Vm) -> None:
    with HostMemory(3 * PAGE) as memory, RealModeGuest(vm, 100, 0xF0000) as guest:
        vm.set_user_memory_region(1, LOG_DIRTY_PAGES, 0x10000, 3 * PAGE, memory.address)
        guest.write([0x12000], b"x")
        assert vm.get_dirty_log(1, 3) == (0, bytes([4, 0, 0, 0, 0, 0, 0, 0]))
        assert vm.get_dirty_log(1, 3) == (0, bytes(8))
        assert vm.get_dirty_log(2, 3) == (errno.ENOENT, b"")


@needs_kvm
def test_a_refused_request_is_a_result(vm: Vm) -> None:
    assert vm.set_user_memory_region(1, 0, 0, 0, 0) == errno.EINVAL
    assert vm.set_user_memory_region2(1, GUEST_MEMFD, 0, PAGE, 0, 0, -1) in (
        errno.EBADF,
        errno.EINVAL,
        errno.ENOTTY,
    )


@needs_kvm
def test_everything_is_closed() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with fresh_vm() as vm, RealModeGuest(vm, 100, 0xF0000) as guest:
        guest.read([0])
    assert sorted(os.listdir("/proc/self/fd")) == before


@needs_kvm
def test_a_log_that_is_larger_than_expected_stays_in_its_buffer(vm: Vm) -> None:
    pages = 1 << 15
    with HostMemory(pages * PAGE) as memory, RealModeGuest(vm, 100, 0xF0000) as guest:
        gpa = 0x10000000
        vm.set_user_memory_region(1, LOG_DIRTY_PAGES, gpa, pages * PAGE, memory.address)
        guest.write([gpa, gpa + (pages - 1) * PAGE], b"ab")
        assert vm.get_dirty_log(1, 8) == (0, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        guest.write([gpa + (pages - 1) * PAGE], b"b")
        assert vm.get_dirty_log(1, pages)[1] == bytes(pages // 8 - 1) + bytes([0x80])
