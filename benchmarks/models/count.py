# SPDX-License-Identifier: Apache-2.0
"""The merged count protocol at the step granularity at which other checkers were measured.

Each ``@atomic`` method is one step: taking the spinlock, raising the count, dropping the lock are three. The
granularity is that of ``count.pml`` and ``count.c``, which must have the same number of states: 3,568,650
with six notifiers and without the pseudo lock.
"""

from __future__ import annotations

from quiesce.protocol import (
    THREADS,
    Bool,
    Int,
    Protocol,
    Scenario,
    TaskRef,
    Version,
    always,
    atomic,
    current,
    thread,
    wait_until,
)


class Flag(Protocol):
    """A lock that is only taken and dropped."""

    taken = Bool()

    @atomic
    def take(self) -> None:
        wait_until(not self.taken)
        self.taken = True

    @atomic
    def drop(self) -> None:
        self.taken = False


class CountProtocol(Scenario):
    """*notifiers* invalidations at a time against one memslot update at a time, for ever."""

    pseudo_lock = Flag()
    mn_invalidate_lock = Flag()
    slots_lock = Flag()
    mn_active_invalidate_count = Int(0, high=THREADS)
    mn_memslots_update_rcuwait = TaskRef()
    asleep = Bool()

    def __init__(self, notifiers: int = 3, pseudo: bool = False) -> None:
        self.notifiers = notifiers
        self.pseudo = pseudo

    @atomic
    def raise_count(self) -> None:
        self.mn_active_invalidate_count += 1

    @atomic
    def lower_count(self) -> bool:
        self.mn_active_invalidate_count -= 1
        return self.mn_active_invalidate_count == 0

    @atomic
    def somebody_waits(self) -> bool:
        return self.mn_memslots_update_rcuwait is not None

    @atomic
    def wake_up(self, waiter: bool) -> None:
        if waiter:
            self.asleep = False

    @thread(count="notifiers")
    def notifier(self) -> None:
        while True:
            if self.pseudo:
                self.pseudo_lock.take()
            self.mn_invalidate_lock.take()
            self.raise_count()
            self.mn_invalidate_lock.drop()
            if self.pseudo:
                self.pseudo_lock.drop()
                self.pseudo_lock.take()
            self.mn_invalidate_lock.take()
            wake = self.lower_count()
            self.mn_invalidate_lock.drop()
            # The last step is there without the pseudo lock, too: one for each way out.
            if wake:
                waiter = self.somebody_waits()
                self.wake_up(waiter)
                self.pseudo_lock.drop()
            else:
                self.pseudo_lock.drop()

    @atomic
    def prepare_to_wait(self) -> None:
        self.mn_memslots_update_rcuwait = current()

    @atomic
    def must_wait(self) -> bool:
        """One step either way: go to sleep, or finish waiting."""
        if self.mn_active_invalidate_count != 0:
            self.asleep = True
            return True
        self.mn_memslots_update_rcuwait = None
        self.asleep = False
        return False

    @atomic
    def schedule(self) -> None:
        wait_until(not self.asleep)

    @atomic
    def install(self) -> None:
        """A step that changes nothing here."""
        wait_until(True)

    @thread()
    def updater(self) -> None:
        while True:
            self.slots_lock.take()
            self.mn_invalidate_lock.take()
            self.prepare_to_wait()
            while self.must_wait():
                self.mn_invalidate_lock.drop()
                self.schedule()
                self.mn_invalidate_lock.take()
            self.install()
            self.mn_invalidate_lock.drop()
            self.slots_lock.drop()


class CountWithVcpus(CountProtocol):
    """The same with vCPUs whose faults retry when an invalidation came between: for the growth table."""

    seq = Version()
    in_progress = Int(0, high=THREADS)
    mapped = Bool(False)

    def __init__(self, notifiers: int = 3, vcpus: int = 1) -> None:
        super().__init__(notifiers)
        self.vcpus = vcpus

    @atomic
    def raise_count(self) -> None:
        self.mn_active_invalidate_count += 1
        self.in_progress += 1
        self.mapped = False

    @atomic
    def lower_count(self) -> bool:
        self.mn_active_invalidate_count -= 1
        self.in_progress -= 1
        self.seq += 1
        return self.mn_active_invalidate_count == 0

    @atomic
    def look_at_seq(self) -> int:
        return self.seq

    @atomic
    def map_unless_stale(self, seen: int) -> None:
        if self.in_progress == 0 and self.seq == seen:
            self.mapped = True

    @thread(count="vcpus")
    def vcpu(self) -> None:
        while True:
            seen = self.look_at_seq()
            self.mn_invalidate_lock.take()
            self.map_unless_stale(seen)
            self.mn_invalidate_lock.drop()

    @always
    def nothing_mapped_while_invalidating(self) -> bool:
        return not self.mapped or self.in_progress == 0
