# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm why``: which check refuses a request, and which slot is in the way, made by which request.

The requests before it are made of our memslots, so the answer is as good as the log is complete. Where
the log and our memslots contradict each other, that is said.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from quiesce.kvm.memslots import Change
from quiesce.kvm.real.device import GUEST_MEMFD, LOG_DIRTY_PAGES, PAGE, READONLY
from quiesce.kvm.real.requests import MEM_MAX_NR_PAGES, Asked, GuestMemfd, Host, Request
from quiesce.kvm.real.requests_log import Logged
from quiesce.kvm.real.requests_table import Check
from quiesce.kvm.real.slots import MemoryRegions
from quiesce.kvm.real.slots_index import Slot

ANY_SIZE = 1 << 62
"""The size that is assumed of a guest_memfd: a log does not say it."""


@dataclass(frozen=True)
class Contradiction:
    """A request of the log that our memslots answer in another way than the log.

    :param ours: our errno.
    """

    logged: Logged
    ours: int
    check: Check | None

    def __str__(self) -> str:
        by = f" (check `{self.check.name}`)" if self.check is not None and self.ours else ""
        recorded = error_name(self.logged.errno or 0)
        return f"line {self.logged.line} returned {recorded}; our memslots say {error_name(self.ours)}{by}"


@dataclass
class History:
    """The memslots after some requests, and which request did what.

    :param made: for each number that a slot names, the request.
    """

    regions: MemoryRegions
    made: dict[int, Logged] = field(default_factory=dict)
    contradictions: list[Contradiction] = field(default_factory=list)

    def add(self, logged: Logged) -> tuple[Slot | None, Slot | None]:
        """Make the request of *logged*, unless the log says that it failed; return the slot before and after.

        A contradiction is noted, and the log believed where that is possible.
        """
        regions, request = self.regions, logged.request
        _assume_memfd(regions, request)
        index = regions.spaces[request.as_id] if request.as_id < len(regions.spaces) else None
        before = index.by_id.get(request.id) if index is not None else None
        check = regions.table.first(regions.ask(request))
        ours = check.errno if check is not None else 0
        if logged.errno is not None and (ours != 0) != (logged.errno != 0):
            self.contradictions.append(Contradiction(logged, ours, check))
        elif logged.errno and ours != logged.errno:
            self.contradictions.append(Contradiction(logged, ours, check))
        if logged.errno:
            return before, before
        regions.set_user_memory_region(request)
        self.made[regions.requests] = logged
        return before, index.by_id.get(request.id) if index is not None else None


def host_of(requests: Iterable[Logged], host: Host | None = None) -> Host:
    """Return a host on which the successful *requests* can have been made: with as many address spaces."""
    base = host or Host()
    spaces = [r.request.as_id + 1 for r in requests if not r.errno and r.request.as_id < 2]
    return replace(base, address_spaces=max([base.address_spaces, *spaces]))


def history_of(requests: list[Logged], host: Host | None = None) -> History:
    """Return the memslots after *requests*."""
    history = History(MemoryRegions(host_of(requests, host)))
    for logged in requests:
        history.add(logged)
    return history


def _assume_memfd(regions: MemoryRegions, request: Request) -> None:
    if request.flags & GUEST_MEMFD and request.memfd >= 0:
        regions.memfds.setdefault(request.memfd, GuestMemfd(ANY_SIZE))


@dataclass
class Why:
    """The answer.

    :param logged: the request that was asked about.
    :param check: the row that decides; None: it passes all checks.
    :param slot: the slot that is in the way, or that the request names.
    :param made_by: the request that created it.
    :param changed_by: the request that moved it last, or changed its flags.
    :param details: what of the request is wrong, with its values.
    :param also: the checks that would refuse it next.
    :param recorded: what the log says about it, if our answer is another one.
    """

    logged: Logged
    asked: Asked
    check: Check | None
    errno: int
    slot: Slot | None = None
    made_by: Logged | None = None
    changed_by: Logged | None = None
    details: list[str] = field(default_factory=list)
    also: list[Check] = field(default_factory=list)
    recorded: str = ""
    contradictions: list[Contradiction] = field(default_factory=list)
    requests: int = 0
    """How many requests were made before it."""
    slots: int = 0
    """How many slots there are then."""

    @property
    def decided(self) -> bool:
        """Whether the answer is that of the log, if that has one."""
        return not self.recorded


def why(logged: Logged, before: list[Logged], host: Host | None = None) -> Why:
    """Return why the request *logged* is refused, or that it is not, after the requests *before*."""
    history = history_of(
        [*before], host_of([*before, *([logged] if logged.errno == 0 else [])], host)
    )
    regions = history.regions
    _assume_memfd(regions, logged.request)
    asked = regions.ask(logged.request)
    check = regions.table.first(asked)
    answer = Why(logged, asked, check, check.errno if check is not None else 0)
    answer.contradictions = history.contradictions
    answer.requests, answer.slots = len(before), sum(map(len, regions.spaces))
    answer.slot = _slot_concerned(check, asked)
    if answer.slot is not None:
        answer.made_by = history.made.get(answer.slot.made_by)
        answer.changed_by = history.made.get(answer.slot.changed_by)
    if check is not None:
        answer.details = DETAILS[check.name](asked) if check.name in DETAILS else []
        behind = regions.table.checks[regions.table.checks.index(check) + 1 :]
        if check.errno:
            answer.also = [
                c for c in behind if asked.change in c.changes and c.errno and c.refuses(asked)
            ]
    if logged.errno is not None and logged.errno != answer.errno:
        answer.recorded = _unexplained(logged.errno, answer.errno)
    return answer


def _slot_concerned(check: Check | None, asked: Asked) -> Slot | None:
    if check is not None and check.name == "overlap":
        return asked.in_the_way()
    if check is not None and check.name == "memfd bound":
        return _slot_of_file(asked)
    return asked.old


def _slot_of_file(asked: Asked) -> Slot | None:
    """Return the slot that is bound to a part of the file that the request wants."""
    request = asked.request
    for slot in asked.index or ():
        end = slot.offset + slot.npages * PAGE
        if slot.memfd == request.memfd and slot.offset < request.offset + request.size:
            if request.offset < end:
                return slot
    return None


def _unexplained(recorded: int, ours: int) -> str:
    if recorded == errno.EEXIST:
        return (
            "the log says EEXIST, and no slot of the log is in the way: one that was created before the log "
            "began, or one of the kernel's own (TSS, identity map, APIC access page at 0xfee00000)"
        )
    if recorded == errno.ENOMEM:
        return "the log says ENOMEM: the kernel had no memory for the slot, which no log shows"
    if recorded == errno.EIO:
        return (
            "the log says EIO: another process made the request, or the kernel has given the VM up"
        )
    if recorded == 0:
        return f"the log says success, not {error_name(ours)}: {_INCOMPLETE}"
    return f"the log says {error_name(recorded)}: {_INCOMPLETE}"


_INCOMPLETE = "requests are missing from it, or that host has other limits"


# --- What is wrong, with values -----------------------------------------------------------------------


def _overlap(a: Asked) -> list[str]:
    other, r = a.in_the_way(), a.request
    assert other is not None
    first, last = max(other.base_gfn, a.base_gfn), min(other.end_gfn, a.end_gfn)
    return [
        f"the request asks for {span(r.gpa, r.size)}, slot {other.id} has "
        f"{span(other.base_gfn * PAGE, other.npages * PAGE)}; both want "
        f"{span(first * PAGE, (last - first) * PAGE)}",
        f"delete slot {other.id} first, or move it",
    ]


def _immutable(a: Asked) -> list[str]:
    old, r = a.old, a.request
    assert old is not None
    lines = []
    if old.npages != a.npages:
        lines.append(f"size: the slot has {old.npages * PAGE:#x}, the request says {r.size:#x}")
    if old.hva != r.hva:
        lines.append(f"host address: the slot has {old.hva:#x}, the request says {r.hva:#x}")
    for flag, name in ((READONLY, "READONLY"), (GUEST_MEMFD, "GUEST_MEMFD")):
        if (old.flags ^ r.flags) & flag:
            lines.append(f"{name}: the request switches it {'on' if r.flags & flag else 'off'}")
    return [*lines, f"delete slot {a.id} and create it again; KVM never resizes a slot"]


def _flags(a: Asked) -> list[str]:
    wrong = a.request.flags & ~a.host.valid_flags(a.request.flags)
    return [f"these flags are not valid: {flags_text(wrong)}"]


def _version_1_flags(a: Asked) -> list[str]:
    wrong = a.request.flags & ~(LOG_DIRTY_PAGES | READONLY)
    lines = [f"these flags are not valid: {flags_text(wrong)}"]
    if wrong & GUEST_MEMFD:
        lines.append("GUEST_MEMFD needs KVM_SET_USER_MEMORY_REGION2")
    return lines


def _aligned(name: str) -> Callable[[Asked], list[str]]:
    def details(a: Asked) -> list[str]:
        value = int(getattr(a.request, name))
        return [
            f"{value:#x} is {value % PAGE:#x} past a page; {value - value % PAGE:#x} is aligned"
        ]

    return details


DETAILS: dict[str, Callable[[Asked], list[str]]] = {
    "other process": lambda a: ["only the process that created the VM may change its memslots"],
    "version 1 flags": _version_1_flags,
    "user id": lambda a: [
        f"id {a.id}; the VMM has 0 to {a.host.user_slots - 1} (KVM_CAP_NR_MEMSLOTS)"
    ],
    "flags": _flags,
    "size aligned": _aligned("size"),
    "gpa aligned": _aligned("gpa"),
    "hva aligned": _aligned("hva"),
    "hva of the process": lambda a: [
        f"{a.request.hva:#x} + {a.request.size:#x} passes {a.host.hva_end:#x}"
    ],
    "memfd offset": lambda a: [f"the offset is {a.request.offset:#x}"],
    "address space": lambda a: [
        f"address space {a.as_id}; this VM has {a.host.address_spaces} (KVM_CAP_MULTI_ADDRESS_SPACE)"
    ],
    "gpa wraps": lambda a: [f"{a.request.gpa:#x} + {a.request.size:#x} reaches 2^64"],
    "slot pages": lambda a: [f"{a.npages} pages; at most {MEM_MAX_NR_PAGES}: use several slots"],
    "nothing to delete": lambda a: [
        f"no slot {a.id} in address space {a.as_id}; live ids: {_ids(a)}"
    ],
    "bound slot": lambda a: [f"delete slot {a.id} and create it again"],
    "immutable": _immutable,
    "no change": lambda a: ["the slot is already as the request wants it"],
    "overlap": _overlap,
    "memfd open": lambda a: [f"file descriptor {a.request.memfd}"],
    "memfd size": lambda a: [f"the file has {a.memfd.size if a.memfd else 0:#x} bytes"],
    "memfd bound": lambda a: [
        f"{span(a.request.offset, a.request.size)} of file descriptor {a.request.memfd} is in use"
    ],
    "guest address width": lambda a: [
        f"the slot ends at {a.end_gfn * PAGE:#x}; guest addresses end at {a.host.gpa_end:#x}"
    ],
}
"""For a check that a request can run into: what of the request is wrong, and how to fix it."""


def _ids(a: Asked) -> str:
    ids = sorted(a.index.by_id) if a.index is not None else []
    shown = ", ".join(map(str, ids[:12]))
    return (f"{shown}, ... ({len(ids)})" if len(ids) > 12 else shown) or "none"


def span(start: int, size: int) -> str:
    """Return a range of addresses as text."""
    return f"[{start:#x}, {start + size:#x})"


def flags_text(flags: int) -> str:
    """Return flags as text."""
    names = (
        (LOG_DIRTY_PAGES, "LOG_DIRTY_PAGES"),
        (READONLY, "READONLY"),
        (GUEST_MEMFD, "GUEST_MEMFD"),
    )
    words = [name for flag, name in names if flags & flag]
    rest = flags & ~(LOG_DIRTY_PAGES | READONLY | GUEST_MEMFD)
    return " | ".join(words + ([f"{rest:#x}"] if rest else [])) or "0"


def error_name(number: int) -> str:
    """Return the name of an errno."""
    return errno.errorcode.get(number, str(number)) if number else "success"


EFFECTS = {
    Change.CREATE: "creates the slot",
    Change.DELETE: "deletes the slot",
    Change.MOVE: "moves the slot",
    Change.FLAGS_ONLY: "changes the slot's flags",
    None: "changes nothing",
}
"""What a request does that no check refuses."""
