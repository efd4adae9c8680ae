# SPDX-License-Identifier: Apache-2.0
"""The memslots of a VM as KVM has them: every address space, every slot, generations, dirty logs.

The table of checks (``requests_table.py``) decides what a request may do; here is what it does then. A slot
is found by id, frame or host address in logarithmic time (``slots_index.py``).
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from dataclasses import dataclass

from quiesce.kvm.memslots import Change
from quiesce.kvm.real.requests import Asked, GuestMemfd, Host, Request
from quiesce.kvm.real.requests_table import LATE, Check, Table
from quiesce.kvm.real.slots_index import Slot, SlotIndex

INVALIDATING = (Change.DELETE, Change.MOVE)


@dataclass(frozen=True, slots=True)
class Published:
    """What one ``rcu_assign_pointer(kvm->memslots[as_id])`` shows of the slot that is changed.

    :param slot: None: it is not there.
    :param invalid: it is marked ``KVM_MEMSLOT_INVALID``.
    """

    slot: Slot | None
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request.

    :param errno: 0 for success.
    :param check: the row of the table that decided; None: every check passed.
    :param change: what the request did or would have done; None: nothing.
    :param published: what readers got to see, one after another.
    """

    errno: int
    check: Check | None
    change: Change | None
    published: tuple[Published, ...] = ()


class MemoryRegions:
    """The memslots of a VM.

    :param host: the limits of the host.
    :param table: the checks.
    :param manual_protect: dirty logs are only cleared by ``clear_dirty_log``
        (``KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2``).
    :param initially_set: a new bitmap has all bits set (``KVM_DIRTY_LOG_INITIALLY_SET``).
    """

    def __init__(
        self,
        host: Host | None = None,
        table: Table | None = None,
        manual_protect: bool = False,
        initially_set: bool = False,
    ) -> None:
        self.host = host or Host()
        self.table = table or Table()
        self.manual_protect = manual_protect
        self.initially_set = initially_set
        self.spaces = [SlotIndex() for _ in range(self.host.address_spaces)]
        self.generations = list(range(self.host.address_spaces))
        """``slots->generation`` of each address space."""
        self.pages = 0
        """``nr_memslot_pages``"""
        self.memfds: dict[int, GuestMemfd] = {}
        self.requests = 0
        """How many requests were made."""

    # --- Requests ---------------------------------------------------------------------------------

    def ask(self, request: Request, failing: Collection[str] = (), alive: bool = True) -> Asked:
        """Return *request* as the checks see it, and do nothing."""
        return Asked(request, self.host, self.spaces, self.memfds, self.pages, failing, alive)

    def set_user_memory_region(self, request: Request, failing: Collection[str] = ()) -> Answer:
        """Make *request*.

        :param failing: the allocations that fail, of ``requests.ALLOCATIONS``.
        """
        self.requests += 1
        asked = self.ask(request, failing)
        check = self.table.first(asked)
        if check is None:
            return self._commit(asked)
        if check.note == LATE and asked.change in INVALIDATING and check.errno:
            self._publish(asked.as_id, 2)
            seen = (Published(asked.old, invalid=True), Published(asked.old))
            return Answer(check.errno, check, asked.change, seen)
        return Answer(check.errno, check, asked.change)

    def set_internal(self, id: int, gpa: int, size: int, hva: int) -> int:
        """Create or delete one of the kernel's own slots in every address space; return 0 or the errno.

        As ``__x86_set_memory_region()``: the caller holds ``slots_lock``, and the memory is the kernel's.
        """
        if id >= self.host.slots_num:
            return errno.EINVAL
        if size and any(id in space.by_id for space in self.spaces):
            return errno.EEXIST
        if not size and not any(id in space.by_id for space in self.spaces):
            return 0
        checks = Table(c for c in self.table.checks if c.name != "user id")
        for as_id in range(self.host.address_spaces):
            asked = self.ask(Request(as_id << 16 | id, 0, gpa, size, hva))
            check = checks.first(asked)
            if check is not None and check.errno:
                return check.errno
            if check is None:
                self._commit(asked)
        return 0

    def _commit(self, asked: Asked) -> Answer:
        """Do what *asked* asks for; no check refuses it."""
        change, old, index = asked.change, asked.old, asked.index
        assert index is not None and change is not None
        new = None
        if old is not None:
            index.remove(old)
        if change != Change.DELETE:
            new = self._new_slot(asked)
            index.add(new)
        if change == Change.CREATE:
            self.pages += asked.npages
        elif change == Change.DELETE and old is not None:
            self.pages -= old.npages
        self._bind(asked, old, new)
        shown: tuple[Published, ...] = (Published(new),)
        if change in INVALIDATING:
            shown = (Published(old, invalid=True), Published(new))
        self._publish(asked.as_id, len(shown))
        return Answer(0, None, change, shown)

    def _new_slot(self, asked: Asked) -> Slot:
        request, old = asked.request, asked.old
        if old is None:
            slot = Slot(
                asked.as_id,
                asked.id,
                asked.base_gfn,
                asked.npages,
                request.hva,
                request.flags,
                made_by=self.requests,
            )
        else:
            slot = old.with_changes(
                base_gfn=asked.base_gfn, flags=request.flags, changed_by=self.requests
            )
        self._prepare_bitmap(slot, old)
        return slot

    def _prepare_bitmap(self, slot: Slot, old: Slot | None) -> None:
        """As ``kvm_prepare_memory_region()``: a bitmap is kept as long as the slot logs."""
        if not slot.log_dirty:
            slot.dirty, slot.may_be_dirty = None, set()
        elif old is not None and old.dirty is not None:
            slot.dirty, slot.may_be_dirty = old.dirty, old.may_be_dirty
        else:
            slot.dirty = set(range(slot.npages)) if self.initially_set else set()
            slot.may_be_dirty = set()

    def _bind(self, asked: Asked, old: Slot | None, new: Slot | None) -> None:
        """Bind a new slot to its guest_memfd, or free the range of a deleted one."""
        if new is None and old is not None and old.memfd is not None:
            file = self.memfds.get(old.memfd)
            if file is not None:
                file.bound.discard((old.offset, old.offset + old.npages * 4096))
        elif new is not None and old is None and new.private:
            new.memfd, new.offset = asked.request.memfd, asked.request.offset
            end = new.offset + asked.request.size
            self.memfds[new.memfd].bound.add((new.offset, end))

    def _publish(self, as_id: int, times: int) -> None:
        """Raise the generation as *times* calls of ``kvm_swap_active_memslots()`` do."""
        self.generations[as_id] += times * self.host.step

    # --- Dirty logs -------------------------------------------------------------------------------

    def _logging(self, slot: int) -> Slot | int:
        """Return the slot that ``slot`` (as in a request) names, or the errno if it has no bitmap."""
        as_id, id = slot >> 16, slot & 0xFFFF
        if as_id >= self.host.address_spaces or id >= self.host.user_slots:
            return errno.EINVAL
        found = self.spaces[as_id].by_id.get(id)
        if found is None or found.dirty is None:
            return errno.ENOENT
        return found

    def get_dirty_log(self, slot: int) -> tuple[int, frozenset[int], frozenset[int]]:
        """Return the errno, the pages that are dirty, and those that may be: see ``Slot.may_be_dirty``.

        The log is cleared, unless ``manual_protect`` is on.
        """
        found = self._logging(slot)
        if isinstance(found, int):
            return found, frozenset(), frozenset()
        assert found.dirty is not None
        dirty, may_be = frozenset(found.dirty), frozenset(found.may_be_dirty)
        if not self.manual_protect:
            found.dirty.clear()
            found.may_be_dirty.clear()
        return 0, dirty, may_be

    def clear_dirty_log(self, slot: int, first: int, pages: int, bits: Collection[int]) -> int:
        """Clear the pages ``first + b`` for each b of *bits* below *pages*; return 0 or the errno."""
        if first % 64 and not self._out_of_range(slot):
            return errno.EINVAL
        found = self._logging(slot)
        if isinstance(found, int):
            return found
        assert found.dirty is not None
        left = found.npages - first
        if left < 0 or pages > left or (pages < left and pages % 64):
            return errno.EINVAL
        cleared = {first + bit for bit in bits if bit < pages}
        found.dirty -= cleared
        found.may_be_dirty -= cleared
        return 0

    def _out_of_range(self, slot: int) -> bool:
        return self._logging(slot) == errno.EINVAL

    # --- The map ----------------------------------------------------------------------------------

    def at_gpa(self, gpa: int, as_id: int = 0) -> Slot | None:
        """Return the slot that has the guest physical address *gpa*."""
        return self.spaces[as_id].at_gfn(gpa // 4096)

    def wrote(self, gpa: int, as_id: int = 0) -> None:
        """The guest has written to *gpa*, which a slot has: its page is marked if the slot logs."""
        slot = self.at_gpa(gpa, as_id)
        if slot is not None and slot.dirty is not None:
            slot.dirty.add(gpa // 4096 - slot.base_gfn)

    def has_read(self, gpa: int, as_id: int = 0) -> None:
        """The guest has read from *gpa*: the kernel may map the page writable, and then marks it."""
        slot = self.at_gpa(gpa, as_id)
        if slot is not None and slot.dirty is not None and not slot.readonly:
            slot.may_be_dirty.add(gpa // 4096 - slot.base_gfn)
