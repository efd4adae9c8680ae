"""The memslots as KVM has them: the checks, what requests do, and how slots are found."""

from __future__ import annotations

import errno
import random
from dataclasses import replace
from pathlib import Path

import pytest

from quiesce.kvm.memslots import Change
from quiesce.kvm.real.device import GUEST_MEMFD, LOG_DIRTY_PAGES, PAGE, READONLY
from quiesce.kvm.real.requests import ALLOCATIONS, U64, GuestMemfd, Host, Request
from quiesce.kvm.real.requests_table import CHECKS, markdown
from quiesce.kvm.real.slots import MemoryRegions
from quiesce.kvm.real.slots_index import Slot, SlotIndex

AT, HVA, SIZE = 0x100000, 0x7F0000000000, 4 * PAGE
RAM = Request(1, 0, AT, SIZE, HVA)


def regions(*requests: Request, host: Host | None = None) -> MemoryRegions:
    made = MemoryRegions(host)
    made.memfds[5] = GuestMemfd(16 * PAGE)
    made.memfds[6] = GuestMemfd(16 * PAGE, usable=False)
    for request in requests:
        assert made.set_user_memory_region(request).errno == 0
    return made


BOUND = Request(2, GUEST_MEMFD, AT + SIZE, SIZE, HVA, 0, 5, version=2)

REFUSED = [
    ("other process", replace(RAM, from_child=True)),
    ("version 2", replace(RAM, version=2, slot=3)),
    ("unreadable", replace(RAM, readable=False, flags=GUEST_MEMFD)),
    ("version 1 flags", replace(RAM, flags=GUEST_MEMFD, size=1)),
    ("user id", replace(RAM, slot=32764, size=1)),
    ("flags", replace(RAM, flags=GUEST_MEMFD | LOG_DIRTY_PAGES, version=2, size=1)),
    ("size aligned", replace(RAM, size=1, gpa=1)),
    ("gpa aligned", replace(RAM, gpa=1, hva=1)),
    ("hva aligned", replace(RAM, hva=1)),
    ("hva of the process", replace(RAM, hva=0x7FFFFFFFE000)),
    ("hva of the process", replace(RAM, hva=1 << 63)),
    ("memfd offset", replace(BOUND, offset=7)),
    ("memfd offset", replace(BOUND, offset=U64 - PAGE)),
    ("address space", replace(RAM, slot=1 << 16, gpa=U64 - PAGE)),
    ("gpa wraps", replace(RAM, slot=3, gpa=U64 - SIZE)),
    ("slot pages", replace(RAM, slot=3, size=(1 << 31) * PAGE, hva=0)),
    ("nothing to delete", replace(RAM, slot=3, size=0)),
    ("bound slot", BOUND),
    ("bound slot", replace(RAM, flags=GUEST_MEMFD, version=2)),
    ("immutable", replace(RAM, size=PAGE)),
    ("immutable", replace(RAM, hva=HVA + PAGE)),
    ("immutable", replace(RAM, flags=READONLY)),
    ("immutable", replace(RAM, gpa=AT + SIZE, hva=0)),
    ("no change", RAM),
    ("overlap", replace(RAM, slot=3)),
    ("overlap", replace(RAM, slot=3, gpa=AT - PAGE)),
    ("overlap", replace(RAM, gpa=AT + PAGE)),
    ("overlap", replace(BOUND, slot=3, memfd=-1)),
    ("memfd open", replace(BOUND, slot=3, gpa=0, memfd=-1)),
    ("memfd of this VM", replace(BOUND, slot=3, gpa=0, memfd=6)),
    ("memfd size", replace(BOUND, slot=3, gpa=0, offset=13 * PAGE)),
    ("memfd bound", replace(BOUND, slot=3, gpa=0, offset=3 * PAGE)),
    ("guest address width", replace(RAM, slot=3, gpa=(1 << 52) - PAGE)),
]


@pytest.mark.parametrize(("name", "request_"), REFUSED)
def test_each_check_decides_before_those_behind_it(name: str, request_: Request) -> None:
    host = Host(version2=name != "version 2")
    made = MemoryRegions(host)
    made.memfds.update(regions().memfds)
    made.set_user_memory_region(RAM)
    if host.version2:
        made.set_user_memory_region(BOUND)
    answer = made.set_user_memory_region(request_)
    assert answer.check is not None and answer.check.name == name
    assert answer.errno == answer.check.errno


@pytest.mark.parametrize("failing", ALLOCATIONS)
def test_a_failed_allocation_is_enomem_and_changes_nothing(failing: str) -> None:
    made = regions(RAM)
    request = replace(RAM, gpa=0, flags=LOG_DIRTY_PAGES)
    answer = made.set_user_memory_region(request, {failing})
    assert answer.errno == errno.ENOMEM
    assert [s.base_gfn * PAGE for s in made.spaces[0]] == [AT]
    late = failing in ("dirty bitmap", "metadata")
    assert made.generations == [3 if late else 1], "a move that fails late publishes twice"
    assert made.set_user_memory_region(request).errno == 0


def test_every_check_that_a_request_can_reach_is_tried() -> None:
    tried = {name for name, _ in REFUSED}
    memory = {c.name for c in CHECKS if c.errno == errno.ENOMEM}
    unreachable = {"dead VM", "slot id", "page count", "total pages", "page tracking"}
    assert tried | memory | unreachable == {c.name for c in CHECKS}


def test_names_of_checks_differ() -> None:
    assert len({c.name for c in CHECKS}) == len(CHECKS)


def test_creation_move_flags_and_deletion() -> None:
    made = regions(RAM)
    assert (made.pages, made.generations) == (4, [1])
    moved = made.set_user_memory_region(replace(RAM, gpa=AT + PAGE))
    assert moved.change == Change.MOVE and [p.invalid for p in moved.published] == [True, False]
    assert made.generations == [3] and made.at_gpa(AT) is None
    flags = made.set_user_memory_region(replace(RAM, gpa=AT + PAGE, flags=LOG_DIRTY_PAGES))
    assert flags.change == Change.FLAGS_ONLY and made.generations == [4]
    gone = made.set_user_memory_region(Request(1, 0, 0, 0, 0))
    assert gone.change == Change.DELETE and (made.pages, made.generations) == (0, [6])
    assert len(made.spaces[0]) == 0


def test_the_dirty_bitmap_survives_a_move_and_ends_with_the_log() -> None:
    made = regions(replace(RAM, flags=LOG_DIRTY_PAGES))
    made.wrote(AT + 2 * PAGE)
    made.set_user_memory_region(replace(RAM, flags=LOG_DIRTY_PAGES, gpa=0))
    assert made.get_dirty_log(1) == (0, frozenset({2}), frozenset())
    assert made.get_dirty_log(1) == (0, frozenset(), frozenset())
    made.wrote(0)
    made.set_user_memory_region(replace(RAM, gpa=0))
    assert made.get_dirty_log(1)[0] == errno.ENOENT
    made.set_user_memory_region(replace(RAM, gpa=0, flags=LOG_DIRTY_PAGES))
    assert made.get_dirty_log(1) == (0, frozenset(), frozenset())


def test_manual_protection_clears_only_what_is_asked_for() -> None:
    made = MemoryRegions(manual_protect=True, initially_set=True)
    made.set_user_memory_region(replace(RAM, flags=LOG_DIRTY_PAGES))
    assert made.get_dirty_log(1)[1] == {0, 1, 2, 3}
    assert made.clear_dirty_log(1, 0, 4, (1, 3)) == 0
    assert made.get_dirty_log(1)[1] == {0, 2}
    assert made.clear_dirty_log(1, 1, 3, ()) == errno.EINVAL
    assert made.clear_dirty_log(1, 0, 3, ()) == errno.EINVAL
    assert made.clear_dirty_log(1, 64, 1, ()) == errno.EINVAL
    assert made.clear_dirty_log(2, 0, 4, ()) == errno.ENOENT
    assert made.clear_dirty_log(40000, 0, 4, ()) == errno.EINVAL


def test_address_spaces_are_apart_and_count_in_steps() -> None:
    made = regions(RAM, replace(RAM, slot=1 << 16 | 1), host=Host(address_spaces=2, step=2))
    assert made.generations == [2, 3] and made.pages == 8
    made.set_user_memory_region(Request(1 << 16 | 1, 0, 0, 0, 0))
    assert made.generations == [2, 7]
    assert made.at_gpa(AT) is not None and made.at_gpa(AT, 1) is None


def test_the_kernels_own_slots_are_in_the_way_and_cannot_be_named() -> None:
    made = MemoryRegions(Host(address_spaces=2))
    apic = 0xFEE00000
    assert made.set_internal(32765, apic, PAGE, 0) == 0
    assert made.set_internal(32765, apic, PAGE, 0) == errno.EEXIST
    assert made.set_internal(40000, apic, PAGE, 0) == errno.EINVAL
    assert [len(space) for space in made.spaces] == [1, 1]
    assert made.set_user_memory_region(replace(RAM, gpa=apic - PAGE)).errno == errno.EEXIST
    assert made.set_user_memory_region(Request(32765, 0, 0, 0, 0)).errno == errno.EINVAL
    assert made.set_internal(32765, 0, 0, 0) == 0
    assert made.set_user_memory_region(replace(RAM, gpa=apic - PAGE)).errno == 0


def test_a_deletion_frees_the_range_of_the_file() -> None:
    made = regions(BOUND)
    again = replace(BOUND, slot=3, gpa=0)
    assert made.set_user_memory_region(again).errno == errno.EINVAL
    assert made.set_user_memory_region(Request(2, 0, 0, 0, 0)).errno == 0
    assert made.set_user_memory_region(again).errno == 0


@pytest.mark.parametrize("seed", range(5))
def test_slots_are_found_as_a_scan_of_all_finds_them(seed: int) -> None:
    pick = random.Random(seed)
    index = SlotIndex()
    slots: dict[int, Slot] = {}
    for number in range(400):
        if slots and pick.random() < 0.4:
            index.remove(slots.pop(pick.choice(list(slots))))
        gfn, pages = pick.randrange(4000), pick.choice((1, 2, 3, 7, 8, 64, 129))
        if any(s.base_gfn < gfn + pages and gfn < s.end_gfn for s in slots.values()):
            continue
        hva = pick.randrange(0, 300) * PAGE
        slots[number] = Slot(0, number, gfn, pages, hva)
        index.add(slots[number])
    for _ in range(300):
        gfn = pick.randrange(4200)
        has = [s for s in slots.values() if s.base_gfn <= gfn < s.end_gfn]
        assert index.at_gfn(gfn) is (has[0] if has else None)
        end = gfn + pick.randrange(1, 200)
        meets = [s for s in slots.values() if s.base_gfn < end and gfn < s.end_gfn]
        assert list(index.overlapping(gfn, end)) == sorted(meets, key=lambda s: s.base_gfn)
        start = pick.randrange(400 * PAGE)
        stop = start + pick.choice((1, PAGE, 5 * PAGE, 90 * PAGE))
        touched = [s for s in slots.values() if s.hva < stop and start < s.hva + s.npages * PAGE]
        assert set(index.at_hva(start, stop)) == set(touched)


def test_many_aliases_of_one_host_range_are_all_found() -> None:
    index = SlotIndex()
    for number in range(5000):
        index.add(Slot(0, number, number * 8, 8, HVA))
    assert len(index.at_hva(HVA + 7 * PAGE)) == 5000
    assert index.at_hva(HVA + 8 * PAGE) == []


def test_the_docs_have_the_table() -> None:
    docs = Path(__file__).parents[2] / "docs" / "real-kvm.md"
    assert markdown() in docs.read_text(encoding="utf-8")
