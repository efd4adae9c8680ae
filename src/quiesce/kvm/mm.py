# SPDX-License-Identifier: Apache-2.0
"""The primary MMU: the host's page tables for one process, and what changes them.

Every change of a mapped page is bracketed by ``mmu_notifier_invalidate_range_start()`` and ``_end()``, so
that secondary MMUs drop their mappings of the old page. The operations differ in the locks around the
brackets, between them, and in whether they may wait (Linux 6.12):

=================  =====================================================================
copy on write      a write fault: ``mmap_lock`` for reading (``wp_page_copy()``)
zap                ``madvise(MADV_DONTNEED)``: the same locks (``zap_page_range_single()``). A huge page in
                   the way is split, with brackets of its own *inside* (``zap_pmd_range()`` calls
                   ``__split_huge_pmd()``): nested invalidations
remap              ``mremap()``: ``mmap_lock`` for writing (``move_page_tables()``)
migrate            ``i_mmap_rwsem`` for reading *around* the brackets (``try_to_migrate()``)
protect hugetlb    ``i_mmap_rwsem`` for writing *between* the brackets
                   (``hugetlb_change_protection()``): together with migration, crossing invalidations
reap               the OOM reaper: non-blockable, with a trylock (``__oom_reap_task_mm()``)
=================  =====================================================================
"""

from __future__ import annotations

import enum

from quiesce.kvm.mmu_notifier import MmuNotifier
from quiesce.primitives import RwSem
from quiesce.protocol import Protocol, Version, atomic, choose, known_as


class Operation(enum.Enum):
    """What a task of the process does to a page."""

    COPY_ON_WRITE = "copy_on_write"
    ZAP = "zap"
    REMAP = "remap"
    MIGRATE = "migrate"
    PROTECT_HUGETLB = "protect_hugetlb"
    REAP = "reap"


class Pte(Protocol):
    """The primary MMU's entry for one host page.

    :param hva: its host virtual address, as a page number.
    """

    page = Version()
    """Which physical page is mapped: another one after each change."""

    def __init__(self, hva: int = 0) -> None:
        self.hva = hva


class Mm(Protocol):
    """``struct mm_struct``

    :param pages: how many host pages the memslot covers; one more is unrelated to the guest.
    """

    name = "mm"
    mmap_lock = RwSem("&mm->mmap_lock")
    i_mmap_rwsem = RwSem("&mapping->i_mmap_rwsem")
    mmu_notifier: MmuNotifier

    def __init__(self, pages: int, mmu_notifier: MmuNotifier) -> None:
        self.ptes = tuple(Pte(hva) for hva in range(pages))
        self.mmu_notifier = mmu_notifier

    # --- Operations -------------------------------------------------------------------------------

    @known_as("do_user_addr_fault")
    def copy_on_write(self, hva: int) -> None:
        """Give the writing task a copy of the page (``wp_page_copy()``)."""
        self.mmap_lock.down_read()
        self._invalidate_and_change(hva)
        self.mmap_lock.up_read()

    @known_as("do_madvise")
    def zap(self, hva: int) -> None:
        """Unmap the page; if it is in the middle of a huge one, that is split on the way."""
        self.mmap_lock.down_read()
        ticket = self.mmu_notifier.invalidate_range_start(hva)
        if choose(False, True):
            inner = self.mmu_notifier.invalidate_range_start(hva)
            self.mmu_notifier.invalidate_range_end(hva, inner)
        self.set_pte(hva)
        self.mmu_notifier.invalidate_range_end(hva, ticket)
        self.mmap_lock.up_read()

    @known_as("mremap_to")
    def remap(self, hva: int) -> None:
        """Move the page to another address (``move_page_tables()``)."""
        self.mmap_lock.down_write()
        self._invalidate_and_change(hva)
        self.mmap_lock.up_write()

    @known_as("rmap_walk_file")
    def migrate(self, hva: int) -> None:
        """Move the contents to another page; an rmap lock is held around (``try_to_migrate()``)."""
        self.i_mmap_rwsem.down_read()
        self._invalidate_and_change(hva)
        self.i_mmap_rwsem.up_read()

    @known_as("do_mprotect_pkey")
    def protect_hugetlb(self, hva: int) -> None:
        """Change a huge page's protection; an rmap lock is taken inside."""
        self.mmap_lock.down_read()
        ticket = self.mmu_notifier.invalidate_range_start(hva)
        self.i_mmap_rwsem.down_write()
        self.set_pte(hva)
        self.i_mmap_rwsem.up_write()
        self.mmu_notifier.invalidate_range_end(hva, ticket)
        self.mmap_lock.up_read()

    @known_as("__oom_reap_task_mm")
    def reap(self, hva: int) -> None:
        """Unmap the page without waiting; give up where that is not possible."""
        if not self.mmap_lock.down_read_trylock():
            return
        ok, ticket = self.mmu_notifier.invalidate_range_start_nonblock(hva)
        if ok:
            self.set_pte(hva)
            self.mmu_notifier.invalidate_range_end_nonblock(hva, ticket)
        self.mmap_lock.up_read()

    # --- Parts ------------------------------------------------------------------------------------

    def _invalidate_and_change(self, hva: int) -> None:
        ticket = self.mmu_notifier.invalidate_range_start(hva)
        self.set_pte(hva)
        self.mmu_notifier.invalidate_range_end(hva, ticket)

    @atomic(label="set_pte")
    def set_pte(self, hva: int) -> None:
        """Let *hva* map another page."""
        for pte in self.ptes:
            if pte.hva == hva:
                pte.page += 1

    @atomic(label="get_user_pages_fast")
    def get_user_pages_fast(self, pte: Pte) -> int:
        """Return the page that *pte* maps now. It takes no lock, so the next moment it may be another one."""
        return pte.page
