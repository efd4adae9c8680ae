# SPDX-License-Identifier: Apache-2.0
"""What annotations stand for: each stand-in hangs where the real thing does, and only there."""

from __future__ import annotations

from quiesce.compiler.program import compile_scenario
from quiesce.explorer import Options, check_reference
from quiesce.primitives import Mutex
from quiesce.primitives.annotations import Cpu, Freezable, IrqRwLock, PercpuRwSem, Section, Turns
from quiesce.protocol import Scenario, thread
from quiesce.verdict import Verdict


def _hangs(scenario: Scenario) -> bool:
    result = check_reference(compile_scenario(scenario), Options())
    assert result.verdict in (Verdict.HOLDS, Verdict.VIOLATION)
    return bool(result.of_kind("deadlock", "stuck thread"))


class Flush(Scenario):
    """A worker that takes a mutex, and somebody who flushes its work, with the mutex or without."""

    def __init__(self, held: bool) -> None:
        self.held = held
        self.work = Section("work")
        self.mutex = Mutex("mutex")

    @thread()
    def worker(self) -> None:
        with self.work:
            with self.mutex:
                pass

    @thread()
    def flusher(self) -> None:
        if self.held:
            with self.mutex:
                self.work.wait_for_end()
        else:
            self.work.wait_for_end()


def test_a_flush_hangs_with_what_the_work_wants() -> None:
    assert _hangs(Flush(held=True))
    assert not _hangs(Flush(held=False))


class Frozen(Scenario):
    """Somebody freezes a queue while another is inside, or tries to enter it twice."""

    def __init__(self, nested: bool, freezers: int = 1) -> None:
        self.nested = nested
        self.freezers = freezers
        self.queue = Freezable("queue")

    @thread()
    def user(self) -> None:
        with self.queue:
            if self.nested:
                with self.queue:
                    pass

    @thread("freezers")
    def freezer(self) -> None:
        self.queue.freeze()
        self.queue.unfreeze()


def test_a_frozen_queue_lets_nobody_in_twice() -> None:
    assert _hangs(Frozen(nested=True))
    assert not _hangs(Frozen(nested=False))
    assert not _hangs(Frozen(nested=True, freezers=0))
    assert not _hangs(Frozen(nested=False, freezers=2)), "freezers do not exclude each other"


class Percpu(Scenario):
    """A reader inside a reader, and a writer."""

    def __init__(self, nested: bool, writers: int) -> None:
        self.nested = nested
        self.writers = writers
        self.sem = PercpuRwSem("sem")

    @thread()
    def reader(self) -> None:
        self.sem.down_read()
        if self.nested:
            self.sem.down_read()
            self.sem.up_read()
        self.sem.up_read()

    @thread("writers")
    def writer(self) -> None:
        with self.sem:
            pass


def test_a_percpu_rwsem_is_fair() -> None:
    assert _hangs(Percpu(nested=True, writers=1))
    assert not _hangs(Percpu(nested=True, writers=0))
    assert not _hangs(Percpu(nested=False, writers=2))


class NestedRead(Scenario):
    """A reader of an rwlock, another read on top of it, and a writer."""

    def __init__(self, in_irq: bool) -> None:
        self.in_irq = in_irq
        self.rwlock = IrqRwLock("rwlock")

    @thread()
    def reader(self) -> None:
        self.rwlock.read_lock()
        if self.in_irq:
            self.rwlock.read_lock_in_irq()
        else:
            self.rwlock.read_lock()
        self.rwlock.read_unlock()
        self.rwlock.read_unlock()

    @thread()
    def writer(self) -> None:
        with self.rwlock:
            pass


def test_a_reader_in_an_interrupt_passes_waiting_writers() -> None:
    assert _hangs(NestedRead(in_irq=False))
    assert not _hangs(NestedRead(in_irq=True))


class Interrupted(Scenario):
    """A task and an interrupt on its CPU, which take the same lock or not."""

    def __init__(self, off: bool, same: bool) -> None:
        self.off = off
        self.same = same
        self.cpu = Cpu()
        self.lock = Mutex("lock")

    @thread()
    def task(self) -> None:
        if self.off:
            self.cpu.irq_save()
        with self.lock:
            self.cpu.task_runs()
        if self.off:
            self.cpu.irq_restore()

    @thread()
    def interrupt(self) -> None:
        with self.cpu:
            if self.same:
                with self.lock:
                    pass


def test_an_interrupt_stops_the_task_of_its_cpu() -> None:
    assert _hangs(Interrupted(off=False, same=True))
    assert not _hangs(Interrupted(off=True, same=True))
    assert not _hangs(Interrupted(off=False, same=False))


class Ring(Scenario):
    """Three tasks, each with its own lock and the next one's; the last in order, or not."""

    def __init__(self, in_turn: bool, ordered: bool) -> None:
        self.ordered = ordered
        self.turns = Turns(in_turn)
        self.a, self.b, self.c = Mutex("a"), Mutex("b"), Mutex("c")

    @thread()
    def first(self) -> None:
        self.turns.wait_for(0)
        with self.a:
            self.turns.begin_next()
            with self.b:
                pass

    @thread()
    def second(self) -> None:
        self.turns.wait_for(1)
        with self.b:
            self.turns.begin_next()
            with self.c:
                pass

    @thread()
    def third(self) -> None:
        self.turns.wait_for(2)
        if self.ordered:
            with self.a:
                self.turns.begin_next()
                with self.c:
                    pass
        else:
            with self.c:
                self.turns.begin_next()
                with self.a:
                    pass


def test_turns_do_not_change_the_answer() -> None:
    for ordered in (False, True):
        assert _hangs(Ring(True, ordered)) == _hangs(Ring(False, ordered)) == (not ordered)
