# SPDX-License-Identifier: Apache-2.0
"""What the kernel's self-tests about memslots try (``tools/testing/selftests/kvm``), in our words, on both.

A scenario does operations to a pair, and both sides must agree on each. In some, the guest reads in a thread
of its own while slots change: then what it sees must be a run through what our memslots publish.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.conform_pair import Bench, Difference, Pair
from quiesce.kvm.real.conform_sides import difference
from quiesce.kvm.real.device import (
    CAP_DISABLE_QUIRKS2,
    GUEST_MEMFD,
    LOG_DIRTY_PAGES,
    PAGE,
    READONLY,
)
from quiesce.kvm.real.guest import DATA, MMIO, Seen
from quiesce.kvm.real.requests import Host, Request
from quiesce.kvm.real.slots import Published

_AT = 0xC000_0000
"""Where the self-tests place their slot in the guest."""

_PAGES = 16
_SLOT = Request(10, 0, _AT, _PAGES * PAGE, ops.ARENA)
_SLOT_ZAP_ALL = 1 << 7
"""``KVM_X86_QUIRK_SLOT_ZAP_ALL``: a deletion drops all translations."""

_LOOPS = 20

Steps = Iterator[ops.Operation]


@dataclass(frozen=True)
class ConformScenario:
    """A scenario.

    :param steps: the operations, for a host.
    :param meanwhile: the guest reads this address in a thread of its own; None: it does not.
    :param needs_memfd: it needs guest_memfd.
    :param quirk_off: do it with ``SLOT_ZAP_ALL`` switched off.
    """

    name: str
    steps: Callable[[Host], Steps]
    meanwhile: int | None = None
    needs_memfd: bool = False
    quirk_off: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a scenario.

    :param skipped: why it was not tried; empty: it was.
    """

    name: str
    operations: int = 0
    difference: Difference | None = None
    skipped: str = ""


# --- The scenarios ------------------------------------------------------------------------------------


def _set(*requests: Request) -> Steps:
    yield from map(ops.SetRegion, requests)


def _delete(request: Request) -> Request:
    return replace(request, size=0)


def _no_memory(host: Host) -> Steps:
    """Without any slot the vCPU cannot run."""
    yield from _set(Request(ops.CODE_SLOT, 0, ops.CODE_GPA, 0, 0))
    yield ops.Access((ops.WINDOW,))


def _invalid_flags(host: Host) -> Steps:
    """Each flag alone, with and without each valid one, with both versions of the ioctl."""
    for version in (1, 2) if host.version2 else (1,):
        for bit in range(32):
            for valid in (0, LOG_DIRTY_PAGES, READONLY, GUEST_MEMFD):
                request = replace(_SLOT, flags=1 << bit | valid, version=version)
                yield from _set(request, _delete(replace(request, flags=0)))


def _ids_at_the_limits(host: Host) -> Steps:
    """The lowest and the highest ids can be used, those behind cannot; not all at a time."""
    high = range(host.user_slots - 16, host.user_slots)
    ids = [n for n in (*range(16), *high) if n != ops.CODE_SLOT]
    for place, number in enumerate(ids):
        yield from _set(Request(number, 0, ops.WINDOW + place * PAGE, PAGE, ops.ARENA))
    for number in (*range(host.user_slots, host.user_slots + 4), 0x7FFF, 0x8000, 0xFFFF):
        yield from _set(Request(number, 0, _AT, PAGE, ops.ARENA))
    for as_id in (1, 2, 0xFFFF):
        yield from _set(Request(as_id << 16 | 20, 0, _AT, PAGE, ops.ARENA))


def _overlaps(host: Host) -> Steps:
    """A slot over the front or the back of another one; each slot beside it, to the page."""
    yield from _set(_SLOT)
    for gpa in (_AT - PAGE, _AT, _AT + 3 * PAGE, _AT + _SLOT.size - PAGE):
        yield from _set(Request(11, 0, gpa, 2 * PAGE, ops.ARENA))
    yield from _set(Request(11, 0, _AT - 2 * PAGE, 2 * PAGE, ops.ARENA))
    yield from _set(Request(12, 0, _AT + _SLOT.size, 2 * PAGE, ops.ARENA))
    yield ops.Access((_AT - PAGE, _AT, _AT + _SLOT.size - 1, _AT + _SLOT.size))


def _bound_to_files(host: Host) -> Steps:
    """What is not this VM's guest_memfd, offsets that are not aligned, ranges that are in use."""
    bound = Request(10, GUEST_MEMFD, _AT, 4 * PAGE, ops.ARENA, 0, 0, version=2)
    for file in (ops.Files.OF_ANOTHER_VM, ops.Files.NOT_A_MEMFD, ops.Files.CLOSED):
        yield from _set(replace(bound, memfd=file))
    for offset in (1, 2048, PAGE - 1, 5 * PAGE, 1 << 62, (1 << 64) - PAGE):
        yield from _set(replace(bound, offset=offset))
    yield from _set(bound, bound)
    other = replace(bound, slot=11, offset=4 * PAGE)
    for gpa in (_AT - 2 * PAGE, _AT + 2 * PAGE):
        yield from _set(replace(other, gpa=gpa), replace(other, gpa=gpa, offset=0))
    free = replace(other, gpa=_AT + 8 * PAGE)
    yield from _set(replace(free, offset=3 * PAGE), replace(free, memfd=1), _delete(free), free)
    yield from _set(_delete(Request(10, 0, 0, 0, 0)), replace(bound, slot=12, gpa=_AT + 16 * PAGE))


def _move(host: Host) -> Steps:
    """The slot moves down by a page and back: the guest sees the memory that is there then, or none."""
    yield from _set(_SLOT)
    for _ in range(_LOOPS):
        for gpa in (_AT - PAGE, _AT):
            yield from _set(replace(_SLOT, gpa=gpa))
            yield ops.Access((_AT - PAGE, _AT, _AT + PAGE))


def _delete_and_create(host: Host) -> Steps:
    """The slot is deleted and created again: the guest sees its memory or MMIO, and nothing else."""
    yield from _set(_SLOT)
    for _ in range(_LOOPS):
        yield from _set(_delete(_SLOT))
        yield ops.Access((_AT, _AT + _SLOT.size - 1))
        yield from _set(_SLOT)
        yield ops.Access((_AT, _AT + _SLOT.size - 1))


def _dummy_slot(host: Host) -> Steps:
    """A slot below the guest's memory comes and goes; the memory beside it stays as it is."""
    yield from _set(_SLOT)
    dummy = Request(7, 0, _AT - PAGE, PAGE, ops.ARENA)
    for _ in range(_LOOPS):
        yield from _set(dummy, _delete(dummy))
    yield ops.Access((_AT,), b"x")


def _aliases(host: Host) -> Steps:
    """Many slots share their host memory: a write through one is read through all."""
    slots = [replace(_SLOT, slot=20 + n, gpa=_AT + n * _SLOT.size) for n in range(24)]
    yield from _set(*slots)
    places = tuple(slot.gpa + 5 for slot in slots)
    for number in (0, 11, 23):
        yield ops.Access((places[number],), bytes([number + 1]))
        yield ops.Access(places)
    yield from _set(*(_delete(slot) for slot in slots[::2]))
    yield ops.Access(places)
    yield ops.Access(places, bytes(range(100, 124)))
    yield ops.Access(places)


def _no_write_access(host: Host) -> Steps:
    """Slots over memory that the process can only read, or cannot access."""
    yield from _set(replace(_SLOT, hva=ops.READ_ONLY))
    yield ops.Access((_AT, _AT + PAGE))
    yield ops.Access((_AT, _AT + PAGE), b"ab")
    yield from _set(_delete(_SLOT), replace(_SLOT, hva=ops.NO_ACCESS))
    yield ops.Access((_AT, _AT + PAGE))
    if host.readonly:
        yield from _set(_delete(_SLOT), replace(_SLOT, flags=READONLY))
        yield ops.Access((_AT, _AT + PAGE), b"ab")
        yield ops.Access((_AT, _AT + PAGE))


def _dirty_log(host: Host) -> Steps:
    """Writes are logged by the place in the slot: also while it moves; the log ends with the flag."""
    logging = replace(_SLOT, flags=LOG_DIRTY_PAGES)
    yield from _set(logging)
    for gpa in (_AT, _AT - PAGE, _AT + 8 * PAGE):
        yield from _set(replace(logging, gpa=gpa))
        yield ops.Access((gpa, gpa + 3 * PAGE), b"ab")
        yield from _set(logging)
        yield ops.GetDirtyLog(10, _PAGES)
        yield ops.GetDirtyLog(10, _PAGES)
    yield ops.Access((_AT,), b"c")
    yield from _set(_SLOT)
    yield ops.GetDirtyLog(10, _PAGES)
    yield from _set(logging)
    yield ops.GetDirtyLog(10, _PAGES)


def _program_is_deleted(host: Host) -> Steps:
    """The slot with the guest's program is deleted while the guest could run."""
    yield from _delete_and_create(host)
    yield from _no_memory(host)


def _another_process(host: Host) -> Steps:
    """Only the process that created the VM may ask."""
    yield from _set(replace(_SLOT, from_child=True), replace(_SLOT, size=1, from_child=True))
    yield ops.Access((_AT,))
    yield from _set(_SLOT)
    yield ops.Access((_AT,))


SCENARIOS = (
    ConformScenario("no memory at all", _no_memory),
    ConformScenario("flags that are not valid", _invalid_flags),
    ConformScenario("ids at the limits", _ids_at_the_limits),
    ConformScenario("overlaps, front and back", _overlaps),
    ConformScenario("guest_memfd: wrong files and ranges", _bound_to_files, needs_memfd=True),
    ConformScenario("move while the guest reads", _move, meanwhile=_AT),
    ConformScenario("move while the guest reads, quirk off", _move, meanwhile=_AT, quirk_off=True),
    ConformScenario("delete while the guest reads", _delete_and_create, meanwhile=_AT),
    ConformScenario(
        "delete while the guest reads, quirk off", _delete_and_create, meanwhile=_AT, quirk_off=True
    ),
    ConformScenario("another slot comes and goes", _dummy_slot, meanwhile=_AT),
    ConformScenario("many slots, one memory", _aliases),
    ConformScenario("memory without write access", _no_write_access),
    ConformScenario("dirty log across moves", _dirty_log),
    ConformScenario("the program is deleted", _program_is_deleted),
    ConformScenario("a request from another process", _another_process),
)
"""In the order of the self-tests, ours behind."""


# --- Doing them ---------------------------------------------------------------------------------------


def run_scenarios(bench: Bench, host: Host) -> Iterator[tuple[Outcome, set[str]]]:
    """Do each scenario to a new pair; yield what came of it, and the checks that decided in it."""
    for scenario in SCENARIOS:
        if scenario.needs_memfd and not host.guest_memfd:
            yield Outcome(scenario.name, skipped="this host has no guest_memfd"), set()
            continue
        with bench.pair(ops.Setup()) as pair:
            if scenario.quirk_off and pair.real.vm.enable_cap(CAP_DISABLE_QUIRKS2, _SLOT_ZAP_ALL):
                skipped = "this host cannot switch the quirk off"
                yield Outcome(scenario.name, skipped=skipped), set()
                continue
            found = _do(pair, scenario, host)
            yield Outcome(scenario.name, len(pair.done), found), pair.ours.decided


def _do(pair: Pair, scenario: ConformScenario, host: Host) -> Difference | None:
    """Do *scenario*; return the first difference."""
    if scenario.meanwhile is None:
        for operation in scenario.steps(host):
            found = pair.do(operation)
            if found is not None:
                return found
        return None
    return _do_while_reading(pair, scenario.steps(host), scenario.meanwhile)


def _do_while_reading(pair: Pair, steps: Steps, gpa: int) -> Difference | None:
    """Do *steps*, of which only requests count, while the guest reads *gpa*.

    Before and after, the guest must see what our side says; meanwhile, what our side publishes, in its order.
    """
    ours, arena = pair.ours, pair.arena
    phases = [Seen(MMIO)]
    with _Reader(pair, gpa) as reader:
        for operation in steps:
            if not isinstance(operation, ops.SetRegion):
                continue
            pair.done.append(operation)
            answer = ours.regions.set_user_memory_region(operation.request)
            real = pair.real.do(operation)
            phases += [
                _seen(published, operation.request, pair, gpa) for published in answer.published
            ]
            reader.let_read()
            if real.errno != answer.errno:
                pair.last.errno = answer.errno
                return Difference(
                    pair.setup, tuple(pair.done), difference(operation, pair.last, real, arena)
                )
    access = ops.Access((gpa,))
    at = 0
    for seen in reader.seen:
        while at < len(phases) and phases[at] != seen:
            at += 1
        if at == len(phases):
            what = f"at {gpa:#x}: none of what was published | {seen}"
            return Difference(pair.setup, (*pair.done, access), what)
    return pair.do(access)


def _seen(published: Published, request: Request, pair: Pair, gpa: int) -> Seen:
    """Return what a guest sees at *gpa* while *published* is what readers find of the slot of *request*."""
    gfn = gpa // PAGE
    slot = pair.ours.regions.at_gpa(gpa)
    if slot is None or slot.id == request.id:
        slot = None if published.invalid else published.slot
    if slot is None or not slot.base_gfn <= gfn < slot.end_gfn:
        return Seen(MMIO)
    return Seen(DATA, pair.arena.byte(slot.gfn_to_hva(gfn)))


class _Reader:
    """A guest that reads one address in a thread of its own, again and again."""

    def __init__(self, pair: Pair, gpa: int) -> None:
        self.guest = pair.real.guest
        self.gpa = gpa
        self.seen: list[Seen] = []
        """What it saw, without repetitions."""
        self.reads = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        while not self._stop.is_set():
            (seen,) = self.guest.read((self.gpa,))
            if not self.seen or self.seen[-1] != seen:
                self.seen.append(seen)
            self.reads += 1

    def let_read(self) -> None:
        """Wait until the guest has read once more, at most a second."""
        wanted = self.reads + 1
        for _ in range(1000):
            if self.reads > wanted or self._stop.wait(0.001):
                return

    def __enter__(self) -> _Reader:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()
