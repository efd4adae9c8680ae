# SPDX-License-Identifier: Apache-2.0
"""The gates of ``kvm/gates.py`` at native speed, and the loops of the threads that use them.

numba compiles this file; it calls pthread mutexes and conditions, and the system calls of a storm, from libc.
No Python runs in these loops, and the interpreter's lock is not held. Each gate has the steps of its twin in
the model; the events that a run records are checked to be a run of that model (``trace_check.py``).

What is simpler than in the model: ``slots_arch_lock`` and SRCU are left out, since no thread reads a set
that may be reused (a vCPU compares the generation under ``mmu_lock``). ``mmu_lock`` serves its waiters in
their order and they spin, as in the kernel; but a thread here can be preempted while it holds or awaits it.
``mn_invalidate_lock`` is a mutex, whose waiters sleep; in the kernel they spin.

All shared cells are in one array, each in a cache line of its own; all locks are in another.
"""

from __future__ import annotations

from typing import Any

from quiesce.explorer.native.kernels.jit import inline_kernel, kernel
from quiesce.explorer.native.kernels.pointers import bytes_at, compare_and_swap, pointer
from quiesce.kvm.real.native_libc import (
    clock_gettime,
    cond_broadcast,
    cond_signal,
    cond_wait,
    madvise,
    mprotect,
    mremap,
    mutex_lock,
    mutex_unlock,
    sched_yield,
    syscall,
    usleep,
    waitpid,
)

# --- The shared cells: places in the array, a cache line apart --------------------------------------------

STOP, ORDER, ACTIVE_SET = 0, 8, 16
SLOT = 24
"""What each of the two sets says of the slot: SLOT + set."""
COUNT, PHASE, ACTIVE, VIEW = 32, 40, 48, 56
"""``ACTIVE + phase`` and ``VIEW + phase`` are arrays of two."""
READERS, WRITER, WRITERS_WAITING = 64, 72, 80
IN_PROGRESS, SEQ, TOOK, PAGE = 88, 96, 104, 112
SPTE_PRESENT, SPTE_PAGE, GENERATION = 120, 128, 192
STARTED, ENDED = 136, 144
"""How many invalidations of the slot's page have begun, and ended: what is under way is their difference."""
UNBALANCED, DISAGREED, STALE, UNDERFLOW, STUCK = 152, 160, 168, 176, 184
"""How often an invariant was found false: see ``native_gates.py``."""
MMU_NEXT, MMU_SERVED = 200, 208
CELLS = 256

IL, WAITER, RWSEM, RWSEM_COND, SLOTS = 0, 64, 128, 192, 256
"""Bytes from the first of the locks: each has 64."""
LOCK_WORDS = 40

DEADLOCK, STOPPED = -1, -2
NO_GATE, ALWAYS_LOCK, ELIDE_UNGUARDED, RWSEM_GATE, COUNT_GATE, PHASED = -1, 0, 1, 2, 3, 4
NO_SLOT, VALID, INVALID = 0, 1, 2

# --- What an invalidation does between start and end --------------------------------------------------------

NOTHING, DONTNEED, MPROTECT, MREMAP, FORK, SPIN = 0, 1, 2, 3, 4, 5
REGION, PAGE_BYTES = 65536, 4096

START, START_DONE, END, END_DONE, SWAP, PUBLISHED, GRACE_DONE = 0, 1, 2, 3, 4, 5, 6

MREMAP_FLAGS = 7
"""MAYMOVE, FIXED and DONTUNMAP: the old place stays mapped, so nothing else of the process gets there."""

MMU_SPINS = 64
"""How often a waiter for ``mmu_lock`` looks before it offers its core to other threads, at each look."""

_MONOTONIC = 1


@inline_kernel
def now(place: int, ts: Any) -> Any:
    """Return the monotonic clock in ns; *ts* is the array at the address *place*, for the answer."""
    clock_gettime(_MONOTONIC, place)
    return ts[0] * 1_000_000_000 + ts[1]


@inline_kernel
def fetch_add(cells: Any, index: int, more: int) -> Any:
    """Add *more* to a cell, atomically, and return what was there."""
    place = pointer(cells)
    old = place[index]
    while True:
        seen = compare_and_swap(place, index, old, old + more)
        if seen == old:
            return old
        old = seen


@inline_kernel
def note(cells: Any, log: Any, kind: int) -> None:
    """Record an event: its kind, and its place in the order of all. A log that is full ends the run."""
    at = log[0]
    if 2 * at + 3 < log.size:
        log[2 + 2 * at] = fetch_add(cells, ORDER, 1)
        log[3 + 2 * at] = kind
        log[0] = at + 1
    elif at:
        cells[STOP] = 1


@inline_kernel
def mmu_lock(cells: Any) -> None:
    """``write_lock(&kvm->mmu_lock)``: waiters spin, and have their turn in the order in which they came."""
    mine = fetch_add(cells, MMU_NEXT, 1)
    tries = 0
    while fetch_add(cells, MMU_SERVED, 0) != mine:
        tries += 1
        if tries > MMU_SPINS:
            sched_yield()


# --- The gates ---------------------------------------------------------------------------------------


@inline_kernel
def down_read(cells: Any, locks: int, holds: bool) -> int:
    """Take the fair semaphore for reading: return 0, or why it cannot be had.

    :param holds: the thread holds it already. If a writer waits then, that is a deadlock: the writer waits
        for the thread, and the thread for the writer.
    :returns: 0, ``DEADLOCK`` or ``STOPPED``.
    """
    outcome = 0
    mutex_lock(locks + RWSEM)
    while outcome == 0 and (cells[WRITER] or cells[WRITERS_WAITING]):
        if holds:
            outcome = DEADLOCK
            cells[STUCK] += 1
            cells[STOP] = 1
            cond_broadcast(locks + RWSEM_COND)
        elif cells[STOP]:
            outcome = STOPPED
        else:
            cond_wait(locks + RWSEM_COND, locks + RWSEM)
    cells[READERS] += outcome == 0
    mutex_unlock(locks + RWSEM)
    return outcome


@inline_kernel
def down_write(cells: Any, locks: int) -> bool:
    """Take it for writing: readers that come later wait. False if the run was stopped."""
    mutex_lock(locks + RWSEM)
    cells[WRITERS_WAITING] += 1
    while (cells[WRITER] or cells[READERS]) and not cells[STOP]:
        cond_wait(locks + RWSEM_COND, locks + RWSEM)
    held = not (cells[WRITER] or cells[READERS])
    cells[WRITERS_WAITING] -= 1
    cells[WRITER] += held
    mutex_unlock(locks + RWSEM)
    return held


@inline_kernel
def enter(design: int, cells: Any, locks: int, holds: bool) -> int:
    """``Gate.enter()``; return the ticket, or why the thread cannot get in: ``DEADLOCK``, ``STOPPED``."""
    ticket = 0
    if design == COUNT_GATE:
        mutex_lock(locks + IL)
        cells[COUNT] += 1
        mutex_unlock(locks + IL)
    elif design == PHASED:
        mutex_lock(locks + IL)
        ticket = cells[PHASE]
        cells[ACTIVE + ticket] += 1
        mutex_unlock(locks + IL)
    elif design == RWSEM_GATE:
        ticket = down_read(cells, locks, holds)
    return ticket


@inline_kernel
def leave(design: int, cells: Any, locks: int, ticket: int) -> None:
    """``Gate.leave()``"""
    wake = False
    if design == COUNT_GATE:
        mutex_lock(locks + IL)
        cells[UNDERFLOW] += cells[COUNT] <= 0
        cells[COUNT] -= 1
        wake = cells[COUNT] == 0
        mutex_unlock(locks + IL)
    elif design == PHASED:
        mutex_lock(locks + IL)
        cells[UNDERFLOW] += cells[ACTIVE + ticket] <= 0
        cells[ACTIVE + ticket] -= 1
        wake = cells[ACTIVE + ticket] == 0 and cells[PHASE] != ticket
        mutex_unlock(locks + IL)
    elif design == RWSEM_GATE:
        mutex_lock(locks + RWSEM)
        cells[READERS] -= 1
        cond_broadcast(locks + RWSEM_COND)
        mutex_unlock(locks + RWSEM)
    if wake:
        cond_signal(locks + WAITER)


@inline_kernel
def publish(design: int, cells: Any, locks: int, new: int) -> bool:
    """``Gate.publish()``, with ``slots_lock`` held; False if the run was stopped."""
    if design == COUNT_GATE:
        mutex_lock(locks + IL)
        while cells[COUNT]:
            cond_wait(locks + WAITER, locks + IL)
        cells[ACTIVE_SET] = new
        mutex_unlock(locks + IL)
    elif design == PHASED:
        mutex_lock(locks + IL)
        left = cells[PHASE]
        cells[VIEW + 1 - left] = new
        cells[PHASE] = 1 - left
        while cells[ACTIVE + left]:
            cond_wait(locks + WAITER, locks + IL)
        cells[VIEW + left] = new
        mutex_unlock(locks + IL)
        cells[ACTIVE_SET] = new
    elif design == RWSEM_GATE:
        if not down_write(cells, locks):
            return False
        cells[ACTIVE_SET] = new
        mutex_lock(locks + RWSEM)
        cells[WRITER] = 0
        cond_broadcast(locks + RWSEM_COND)
        mutex_unlock(locks + RWSEM)
    else:
        cells[ACTIVE_SET] = new
    return True


# --- An invalidation ---------------------------------------------------------------------------------------


@inline_kernel
def overlaps(design: int, cells: Any, ticket: int, related: bool) -> bool:
    """Return whether start or end has to take ``mmu_lock``: a memslot covers the range, or it always does."""
    seen = cells[VIEW + ticket] if design == PHASED else cells[ACTIVE_SET]
    return design == ALWAYS_LOCK or (related and cells[SLOT + seen] != NO_SLOT)


@inline_kernel
def begin(design: int, cells: Any, ticket: int, related: bool) -> bool:
    """What start does behind the gate; return whether it took ``mmu_lock``."""
    locked = overlaps(design, cells, ticket, related)
    if locked:
        mmu_lock(cells)
        cells[IN_PROGRESS] += 1
        cells[TOOK] += 1
        if related:
            cells[SPTE_PRESENT] = 0
        fetch_add(cells, MMU_SERVED, 1)
    return locked


@inline_kernel
def finish(design: int, cells: Any, ticket: int, related: bool, began: bool) -> None:
    """What end does before it leaves the gate. *began*: whether its start took ``mmu_lock``."""
    locked = overlaps(design, cells, ticket, related)
    if locked != began:
        fetch_add(cells, DISAGREED, 1)
    if locked or began:
        mmu_lock(cells)
        if locked:
            cells[SEQ] += 1
            cells[IN_PROGRESS] -= 1
        cells[TOOK] -= began
        cells[UNBALANCED] += cells[IN_PROGRESS] != cells[TOOK]
        fetch_add(cells, MMU_SERVED, 1)


@inline_kernel
def work(kind: int, region: int, spare: int, writable: int) -> int:
    """Change the primary MMU, as *kind* says; return where the region is now."""
    if kind == DONTNEED:
        madvise(region, REGION, 4)
    elif kind == MPROTECT:
        mprotect(region, REGION, 1)
        mprotect(region, REGION, 3)
    elif kind == MREMAP:
        mremap(region, REGION, REGION, MREMAP_FLAGS, spare)
        region, spare = spare, region
    elif kind == FORK:
        child = syscall(57, 0, 0, 0)
        if child == 0:
            syscall(231, 0, 0, 0)
        elif child > 0:
            waitpid(child, 0, 0)
    elif kind == SPIN:
        for _ in range(64):
            writable = (writable * 1103515245 + 12345) & 0x7FFFFFFF
        if writable == 1:
            usleep(1)
    return region


@kernel
def invalidate(
    design: int, kind: int, related_in_256: int, nested_in_256: int,
    cells: Any, locks: int, me: Any, log: Any, ts: Any, place: int, region: int, spare: int,
    deadline: int, seed: int,
) -> None:  # fmt: skip
    """A thread that invalidates until *deadline* (ns of the monotonic clock), or until it is told to stop.

    :param design: the gate, or ``NO_GATE``: only the kernel's own.
    :param kind: what it does between start and end.
    :param related_in_256: how many of 256 invalidations hit the slot's page.
    :param nested_in_256: how many have another one inside.
    :param me: its results: invalidations, 0, 1 if it was in a deadlock, related invalidations.
    :param log: its events, if there is room: their number, then the order and the kind of each.
    :param ts: two words at the address *place*, for the clock.
    """
    random = seed | 1
    page = bytes_at(region)
    for at in range(0, REGION, PAGE_BYTES):
        page[at] = 1
    while cells[STOP] == 0 and now(place, ts) < deadline:
        random = (random * 6364136223846793005 + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
        related = (random >> 40) & 255 < related_in_256
        depth = 2 if (random >> 48) & 255 < nested_in_256 else 1
        if design == NO_GATE:
            after = work(kind, region, spare, random & 0x7FFFFFFF)
            spare = region if after != region else spare
            region = after
            me[0] += 1
            continue
        # The outer invalidation, and perhaps one inside it.
        if related:
            fetch_add(cells, STARTED, 1)
        note(cells, log, START)
        outer = enter(design, cells, locks, False)
        if outer < 0:
            break
        began = begin(design, cells, outer, related)
        note(cells, log, START_DONE)
        if depth == 2:
            note(cells, log, START)
            inner = enter(design, cells, locks, True)
            if inner < 0:
                me[2] = inner == DEADLOCK
                break
            inner_began = begin(design, cells, inner, related)
            note(cells, log, START_DONE)
            note(cells, log, END)
            finish(design, cells, inner, related, inner_began)
            leave(design, cells, locks, inner)
            note(cells, log, END_DONE)
            me[0] += 1
        after = work(kind, region, spare, random & 0x7FFFFFFF)
        spare = region if after != region else spare
        region = after
        if related:
            fetch_add(cells, PAGE, 1)
        note(cells, log, END)
        finish(design, cells, outer, related, began)
        leave(design, cells, locks, outer)
        note(cells, log, END_DONE)
        if related:
            fetch_add(cells, ENDED, 1)
            me[3] += depth
        me[0] += 1


@kernel
def update(
    design: int, pause_us: int,
    cells: Any, locks: int, me: Any, log: Any, waits: Any, ts: Any, place: int, deadline: int,
) -> None:  # fmt: skip
    """A thread that creates and deletes the slot until *deadline*.
    :param pause_us: how long it sleeps between two updates, in microseconds.
    :param me: its results: updates, 0, 1 if it was stopped in a wait, 1 if the last ended after the deadline.
    :param waits: the time of each update in ns, as far as there is room.
    """
    while cells[STOP] == 0 and now(place, ts) < deadline:
        before = now(place, ts)
        mutex_lock(locks + SLOTS)
        old = cells[ACTIVE_SET]
        swaps = 2 if cells[SLOT + old] == VALID else 1
        for number in range(swaps):
            old = cells[ACTIVE_SET]
            if swaps == 1:
                cells[SLOT + 1 - old] = VALID
            else:
                cells[SLOT + 1 - old] = INVALID if number == 0 else NO_SLOT
            note(cells, log, SWAP)
            if not publish(design, cells, locks, 1 - old):
                me[2] = 1
                break
            note(cells, log, PUBLISHED)
            fetch_add(cells, GENERATION, 1)
            note(cells, log, GRACE_DONE)
            if swaps == 2 and number == 0:
                # kvm_arch_flush_shadow_memslot()
                mmu_lock(cells)
                cells[SPTE_PRESENT] = 0
                fetch_add(cells, MMU_SERVED, 1)
        mutex_unlock(locks + SLOTS)
        if me[2]:
            break
        after = now(place, ts)
        if me[0] < waits.size:
            waits[me[0]] = after - before
        me[3] = after >= deadline
        me[0] += 1
        if pause_us:
            usleep(pause_us)


@kernel
def fault(
    hold_ns: int, vcpus: int, cells: Any, me: Any, ts: Any, place: int, deadline: int
) -> None:
    """A vCPU that faults until *deadline*; all *vcpus* together hold ``mmu_lock`` for half of the time.

    :param hold_ns: how long it holds the lock at a time.
    :param me: its results: faults, ns for which it held the lock, translations that it installed.
    """
    began = now(place, ts)
    while cells[STOP] == 0 and now(place, ts) < deadline:
        if 2 * vcpus * me[1] > now(place, ts) - began:
            usleep(hold_ns // 1000 // 2 + 1)
            continue
        # kvm_faultin_pfn(): the snapshot first, then the slot, then the page.
        seq, generation = fetch_add(cells, SEQ, 0), fetch_add(cells, GENERATION, 0)
        usable = cells[SLOT + fetch_add(cells, ACTIVE_SET, 0)] == VALID
        page = fetch_add(cells, PAGE, 0)
        mmu_lock(cells)
        since = now(place, ts)
        # What is under way is looked at first and last: it must not have changed meanwhile.
        ended, started = fetch_add(cells, ENDED, 0), fetch_add(cells, STARTED, 0)
        old_present, old_page = cells[SPTE_PRESENT], cells[SPTE_PAGE]
        mapped = fetch_add(cells, PAGE, 0)
        if started == ended and fetch_add(cells, STARTED, 0) == started:
            cells[STALE] += old_present and old_page != mapped
        # is_page_fault_stale(); the generation stands for SRCU, which keeps the slot while a fault uses it.
        if cells[IN_PROGRESS] == 0 and cells[SEQ] == seq and not old_present and usable:
            if fetch_add(cells, GENERATION, 0) == generation:
                cells[SPTE_PRESENT], cells[SPTE_PAGE] = 1, page
                me[2] += 1
        while now(place, ts) - since < hold_ns:
            pass
        me[1] += now(place, ts) - since
        fetch_add(cells, MMU_SERVED, 1)
        me[0] += 1
