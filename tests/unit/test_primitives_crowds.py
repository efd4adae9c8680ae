# SPDX-License-Identifier: Apache-2.0
"""Ranges come from the size of the scenario: there is room for all that its threads can do.

The tasks act one after the other on one thread, so that all of them are inside at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from quiesce.kvm import GATES, MemslotUpdates
from quiesce.primitives import Completion, Rcu, RwLock, RwSem, RwSemUnfair, Srcu
from quiesce.primitives.base import MOST_NESTED
from quiesce.protocol import THREADS, Array, Int, Protocol, Scenario, Task, thread
from quiesce.protocol.actions import _here, _NoRunner, install_runner
from quiesce.protocol.declarations import RangeViolation

SIZES = (1, 8, 40, 200)


@pytest.fixture
def become() -> Iterator[Callable[[Task], None]]:
    """Return what makes a task the running one."""
    before, runner = _here.runner, _NoRunner()
    install_runner(runner)

    def switch(task: Task) -> None:
        runner.task = task

    yield switch
    install_runner(before)


class Readers(Scenario):
    rwsem = RwSem()
    unfair = RwSemUnfair()
    rwlock = RwLock()
    srcu = Srcu()
    rcu = Rcu()
    done = Completion()

    def __init__(self, size: int = 2) -> None:
        self.size = size

    @thread("size")
    def reader(self) -> None:
        pass

    def enter(self) -> None:
        self.rwsem.down_read()
        self.unfair.down_read()
        self.rwlock.read_lock()
        self.rcu.rcu_read_lock()
        self.srcu.srcu_read_lock()
        self.done.complete()

    def leave(self) -> None:
        self.done.wait_for_completion()
        self.srcu.srcu_read_unlock(0)
        self.rcu.rcu_read_unlock()
        self.rwlock.read_unlock()
        self.unfair.up_read()
        self.rwsem.up_read()


@pytest.mark.parametrize("size", SIZES)
def test_every_lock_has_room_for_all_readers(size: int, become: Callable[[Task], None]) -> None:
    readers = Readers(size)
    readers.start()
    for act in (readers.enter, readers.leave):
        for task in readers.tasks:
            become(task)
            for _ in range(MOST_NESTED):
                act()
    assert readers.rwsem.readers == readers.srcu.readers[0] == readers.done.done == 0


@pytest.mark.parametrize("lock", ["rwsem", "unfair", "rwlock", "srcu", "rcu"])
def test_a_reader_that_never_leaves_is_found(lock: str, become: Callable[[Task], None]) -> None:
    readers = Readers(1)
    readers.start()
    become(readers.tasks[0])
    with pytest.raises(RangeViolation):
        for _ in range(MOST_NESTED + 1):
            if lock == "rwlock":
                readers.rwlock.read_lock()
            elif lock == "srcu":
                readers.srcu.srcu_read_lock()
            elif lock == "rcu":
                readers.rcu.rcu_read_lock()
            else:
                getattr(readers, lock).down_read()


@pytest.mark.parametrize("notifiers", SIZES)
@pytest.mark.parametrize("design", GATES)
def test_every_design_has_room_for_all_invalidations(
    design: str, notifiers: int, become: Callable[[Task], None]
) -> None:
    scenario = MemslotUpdates(design, notifiers=notifiers)
    scenario.start()
    mm, tasks = scenario.mm, [t for t in scenario.tasks if t.name.startswith("notifier")]
    become(scenario.tasks[-2])
    scenario.update(scenario.kvm.spaces[0], scenario.changes[0])
    tickets = {}
    for task in tasks:
        become(task)
        mm.mmap_lock.down_read()
        outer = mm.mmu_notifier.invalidate_range_start(0)
        tickets[task] = (outer, mm.mmu_notifier.invalidate_range_start(0))
        mm.set_pte(0)
    assert scenario.kvm.mmu.mmu_invalidate_in_progress == 2 * notifiers
    for task in tasks:
        become(task)
        for ticket in tickets[task]:
            mm.mmu_notifier.invalidate_range_end(0, ticket)
        mm.mmap_lock.up_read()
    assert scenario.kvm.mmu.mmu_invalidate_in_progress == 0


class Multiples(Protocol):
    twice = Int(0, high=2 * THREADS)
    six = Int(0, high=THREADS * 3 * 2)
    cells: Array[int] = Array(Int(0), 2 * THREADS)


@pytest.mark.parametrize("threads", [1, 5])
def test_a_range_can_be_a_multiple_of_the_threads(threads: int) -> None:
    part = Multiples()
    part.elaborate(threads)
    part.twice, part.six = 2 * threads, 6 * threads
    assert len(part.cells) == 2 * threads
    with pytest.raises(RangeViolation, match=f"not an Int from 0 to {2 * threads}"):
        part.twice += 1


@pytest.mark.parametrize("factor", [0, -1, 1.5])
def test_a_multiple_is_a_whole_number(factor: float) -> None:
    with pytest.raises(ValueError, match="the factor must be"):
        factor * THREADS  # type: ignore[operator]
