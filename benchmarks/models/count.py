# SPDX-License-Identifier: Apache-2.0
"""The merged count protocol with endless notifiers and one updater, one step for each statement.

The granularity is that of ``count.pml`` and ``count.c``, which must have the same number of states: taking
the spinlock, raising the count, dropping the lock are three steps, and so on.
"""

from __future__ import annotations

from quiesce.protocol import (
    THREADS,
    Bool,
    Int,
    Scenario,
    Task,
    TaskRef,
    Version,
    always,
    atomic,
    current,
    thread,
    wait_until,
)


class CountProtocol(Scenario):
    """*notifiers* invalidations at a time against one memslot update at a time, for ever."""

    mn_invalidate_lock = TaskRef()
    mn_active_invalidate_count = Int(0, high=THREADS)
    mn_memslots_update_rcuwait = TaskRef()
    asleep = Bool(False)
    slots_lock = TaskRef()
    generation = Bool(False)

    def __init__(self, notifiers: int = 3) -> None:
        self.notifiers = notifiers

    @atomic(queued=True)
    def spin_lock(self) -> None:
        wait_until(self.mn_invalidate_lock is None)
        self.mn_invalidate_lock = current()

    @atomic
    def spin_unlock(self) -> None:
        self.mn_invalidate_lock = None

    @atomic
    def raise_count(self) -> None:
        self.mn_active_invalidate_count += 1

    @atomic
    def lower_count(self) -> bool:
        self.mn_active_invalidate_count -= 1
        return self.mn_active_invalidate_count == 0

    @atomic
    def waiting_updater(self) -> Task | None:
        return self.mn_memslots_update_rcuwait

    @atomic
    def wake_up(self, task: Task | None) -> None:
        if task is not None:
            self.asleep = False

    @thread(count="notifiers")
    def notifier(self) -> None:
        while True:
            self.spin_lock()
            self.raise_count()
            self.spin_unlock()
            self.spin_lock()
            wake = self.lower_count()
            self.spin_unlock()
            if wake:
                task = self.waiting_updater()
                self.wake_up(task)

    @atomic(queued=True)
    def take_slots_lock(self) -> None:
        wait_until(self.slots_lock is None)
        self.slots_lock = current()

    @atomic
    def drop_slots_lock(self) -> None:
        self.slots_lock = None

    @atomic
    def prepare_to_wait(self) -> None:
        self.mn_memslots_update_rcuwait = current()

    @atomic
    def must_wait(self) -> bool:
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
        self.generation = not self.generation

    @thread()
    def updater(self) -> None:
        while True:
            self.take_slots_lock()
            self.spin_lock()
            self.prepare_to_wait()
            while self.must_wait():
                self.spin_unlock()
                self.schedule()
                self.spin_lock()
            self.install()
            self.spin_unlock()
            self.drop_slots_lock()


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
            self.spin_lock()
            self.map_unless_stale(seen)
            self.spin_unlock()

    @always
    def nothing_mapped_while_invalidating(self) -> bool:
        return not self.mapped or self.in_progress == 0
