# SPDX-License-Identifier: Apache-2.0
"""What lockdep's annotations stand for, in the protocol language: the models of reports use these.

``quiesce.primitives`` has the kernel's locks. A report also names things that are not locks (the
execution of a work item, a block queue being in use, an interrupt) and locks that a subsystem wrote
by hand. Each is defined here once, by the one thing that matters for a hang: who waits for whom.
"""

from __future__ import annotations

from quiesce.primitives import Lock, RwLock
from quiesce.protocol import (
    SHARED,
    SHARED_RECURSIVE,
    Bool,
    Int,
    Protocol,
    TaskRef,
    acquires,
    atomic,
    current,
    releases,
    wait_until,
)


class ExclusiveMap(Lock):
    """A lockdep_map taken for the exclusive lock that lockdep sees in it (``lock_map_acquire()``).

    No task ever waits for a map. With this class a model asks what would follow if one did.
    """

    owner = TaskRef()

    @atomic(label="lock_map_acquire", queued=True)
    def lock(self) -> None:
        """Wait until no other task is inside."""
        acquires(self)
        wait_until(self.owner is None)
        self.owner = current()

    @atomic(label="lock_map_release")
    def unlock(self) -> None:
        """Leave."""
        releases(self)
        self.owner = None


class Section(Lock):
    """Something that runs and whose end others wait for: a work item, a timer, a sysfs access.

    ``with section:`` is to be inside; no task waits to enter. ``wait_for_end()`` is
    ``flush_work()``, ``timer_delete_sync()``, ``kernfs_drain()`` and their like.
    """

    inside = Int(0, high=31)

    @atomic(label="begin")
    def lock(self) -> None:
        """Begin to run."""
        acquires(self, SHARED_RECURSIVE)
        self.inside += 1

    @atomic(label="end")
    def unlock(self) -> None:
        """Have run."""
        releases(self)
        self.inside -= 1

    @atomic(label="wait_for_end")
    def wait_for_end(self) -> None:
        """Wait until nothing of it runs."""
        acquires(self)
        wait_until(self.inside == 0)
        releases(self)


class Freezable(Lock):
    """Something that is entered and left, and that can be closed: a block queue, a journal.

    ``with freezable:`` is to be inside; a task waits to enter while it is closed, or about to be.
    A task that closes it waits for all tasks inside (``blk_mq_freeze_queue()``). Several may close it
    at the same time.
    """

    inside = Int(0, high=31)
    closed = Int(0, high=31)

    @atomic(label="enter", queued=True)
    def lock(self) -> None:
        """Get inside, once it is open."""
        acquires(self, SHARED)
        wait_until(self.closed == 0)
        self.inside += 1

    @atomic(label="exit")
    def unlock(self) -> None:
        """Leave."""
        releases(self)
        self.inside -= 1

    def freeze(self) -> None:
        """Stop further tasks from entering, and wait for those inside."""
        self._close()
        self._wait_for_users()

    @atomic(label="freeze")
    def _close(self) -> None:
        self.closed += 1

    @atomic(label="freeze_wait")
    def _wait_for_users(self) -> None:
        acquires(self)
        wait_until(self.inside == 0)

    @atomic(label="unfreeze")
    def unfreeze(self) -> None:
        """Open it again."""
        releases(self)
        self.closed -= 1


class PercpuRwSem(Lock):
    """struct percpu_rw_semaphore: ``cpu_hotplug_lock``, ``sb_writers`` and others.

    Readers are fair: once a writer has announced itself, new readers wait until it is done, also
    those that hold the semaphore already (``kernel/locking/percpu-rwsem.c``). ``with sem:`` takes it
    for writing.
    """

    writer = TaskRef()
    readers = Int(0, high=31)

    @atomic(label="percpu_down_read", queued=True)
    def down_read(self) -> None:
        """Take it for reading, once no writer holds it or waits for it."""
        acquires(self, SHARED)
        wait_until(self.writer is None)
        self.readers += 1

    @atomic(label="percpu_up_read")
    def up_read(self) -> None:
        """Release one hold for reading."""
        releases(self)
        self.readers -= 1

    def lock(self) -> None:
        """Take it for writing: announce it, then wait for the readers (``percpu_down_write()``)."""
        self._announce()
        self._wait_for_readers()

    @atomic(label="percpu_down_write", queued=True)
    def _announce(self) -> None:
        wait_until(self.writer is None)
        self.writer = current()

    @atomic(label="wait_for_readers")
    def _wait_for_readers(self) -> None:
        acquires(self)
        wait_until(self.readers == 0)

    @atomic(label="percpu_up_write")
    def unlock(self) -> None:
        """Release it after writing."""
        releases(self)
        self.writer = None


class IrqRwLock(RwLock):
    """rwlock_t with readers in interrupts, which wait only for a writer that holds it.

    ``queued_read_lock_slowpath()`` lets a reader in an interrupt pass waiting writers; lockdep calls
    it recursive (``read_lock_is_recursive()``).
    """

    @atomic(label="read_lock", queued=True)
    def read_lock_in_irq(self) -> None:
        """Take it for reading in an interrupt."""
        acquires(self, SHARED_RECURSIVE)
        wait_until(self.owner is None)
        self.readers += 1
        self.held[current()] += 1


class SocketLock(Lock):
    """The lock of a socket for process context: a flag under a spinlock (``lock_sock()``)."""

    owner = TaskRef()

    @atomic(label="lock_sock", queued=True)
    def lock(self) -> None:
        """Sleep until the socket is ours."""
        acquires(self)
        wait_until(self.owner is None)
        self.owner = current()

    @atomic(label="release_sock")
    def unlock(self) -> None:
        """Release it."""
        releases(self)
        self.owner = None


class ConsoleLock(Lock):
    """The console semaphore behind ``console_lock()``."""

    owner = TaskRef()

    @atomic(label="console_lock", queued=True)
    def lock(self) -> None:
        """Sleep until the consoles are ours."""
        acquires(self)
        wait_until(self.owner is None)
        self.owner = current()

    @atomic(label="console_trylock")
    def trylock(self) -> bool:
        """Take the consoles if no task holds them; return whether it worked. ``printk()`` does this."""
        if self.owner is not None:
            return False
        acquires(self, trylock=True)
        self.owner = current()
        return True

    @atomic(label="console_unlock")
    def unlock(self) -> None:
        """Release them."""
        releases(self)
        self.owner = None


class Turns(Protocol):
    """Lets tasks begin one after the other, which keeps the space of a large cycle small.

    Each waits until those before it have their first lock. What they do then is in any order. The
    first locks of a cycle are different ones, so the order in which they are taken makes no
    difference to whether everybody ends up waiting.

    :param on: False: the tasks begin in any order.
    """

    begun = Int(0, high=63)

    def __init__(self, on: bool) -> None:
        self.on = on

    def wait_for(self, place: int) -> None:
        """Wait until *place* tasks have begun."""
        if self.on:
            self._wait_for(place)

    def begin_next(self) -> None:
        """Let the next task begin."""
        if self.on:
            self._begin_next()

    @atomic(label="wait_for_turn")
    def _wait_for(self, place: int) -> None:
        wait_until(self.begun >= place)

    @atomic(label="begin_next")
    def _begin_next(self) -> None:
        self.begun += 1


class Cpu(Lock):
    """One CPU, shared by a task and the interrupt that may come on top of it.

    The interrupt is a thread of its own: ``with cpu:`` around its handler, which it enters only while
    interrupts are on. The task says ``cpu.task_runs()`` where an interrupt may have come: it gets no
    further before the handler has returned.
    """

    irqs_off = Bool()
    in_irq = Bool()

    def __init__(self, name: str = "cpu") -> None:
        super().__init__(name)

    @atomic(label="<interrupt>")
    def lock(self) -> None:
        """Interrupt the task."""
        acquires(self)
        wait_until(not self.irqs_off)
        self.in_irq = True

    @atomic(label="<return from interrupt>")
    def unlock(self) -> None:
        """Return to the task."""
        releases(self)
        self.in_irq = False

    @atomic(label="<interrupted task>")
    def task_runs(self) -> None:
        """Go on with the task, once no interrupt is being handled."""
        acquires(self)
        wait_until(not self.in_irq)
        releases(self)

    @atomic(label="local_irq_save")
    def irq_save(self) -> None:
        """Keep interrupts away."""
        wait_until(not self.in_irq)
        self.irqs_off = True

    @atomic(label="local_irq_restore")
    def irq_restore(self) -> None:
        """Let interrupts come again."""
        self.irqs_off = False


class IrqState(Protocol):
    """``with irqs:`` is what a task does about interrupts: keep them away from *cpu*, or nothing.

    :param off: whether they are kept away.
    """

    def __init__(self, cpu: Cpu, off: bool) -> None:
        self.cpu = cpu
        self.off = off

    def __enter__(self) -> None:
        if self.off:
            self.cpu.irq_save()

    def __exit__(self, *exc: object) -> None:
        if self.off:
            self.cpu.irq_restore()
