# SPDX-License-Identifier: Apache-2.0
"""The merged design and the fair rwsem at the step granularity at which other checkers were measured.

Each ``@atomic`` method is one step: take the pseudo lock; take the spinlock; count up; drop the
spinlock; ... Notifiers and updater loop for ever, or for ``rounds``. The Promela models beside this folder
have the same steps.
"""

from quiesce.protocol import (
    THREADS,
    Bool,
    Int,
    Protocol,
    Scenario,
    TaskRef,
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


class Count(Scenario):
    """The count of invalidations, and an updater that sleeps in an rcuwait."""

    pseudo = Flag()
    spin = Flag()
    slots_lock = Flag()
    count = Int(0, high=THREADS)
    task = TaskRef()
    asleep = Bool()

    def __init__(self, notifiers: int = 2, pseudo_lock: bool = True) -> None:
        self.notifiers = notifiers
        self.pseudo_lock = pseudo_lock

    @thread("notifiers")
    def notifier(self) -> None:
        while True:
            if self.pseudo_lock:
                self.pseudo.take()
            self.spin.take()
            self.count_up()
            self.spin.drop()
            if self.pseudo_lock:
                self.pseudo.drop()
                self.pseudo.take()
            self.spin.take()
            wake = self.count_down()
            self.spin.drop()
            # The last step is there without the pseudo lock, too: one for each way out.
            if wake:
                waiter = self.waiter()
                self.wake_up(waiter)
                self.pseudo.drop()
            else:
                self.pseudo.drop()

    @atomic
    def count_up(self) -> None:
        self.count += 1

    @atomic
    def count_down(self) -> bool:
        self.count -= 1
        return self.count == 0

    @atomic
    def waiter(self) -> bool:
        return self.task is not None

    @atomic
    def wake_up(self, waiter: bool) -> None:
        if waiter:
            self.asleep = False

    @thread()
    def updater(self) -> None:
        while True:
            self.slots_lock.take()
            self.spin.take()
            self.prepare()
            while self.sleeps():
                self.spin.drop()
                self.schedule()
                self.spin.take()
            self.install()
            self.spin.drop()
            self.slots_lock.drop()

    @atomic
    def prepare(self) -> None:
        self.task = current()

    @atomic
    def sleeps(self) -> bool:
        """One step either way: go to sleep, or finish waiting."""
        if self.count != 0:
            self.asleep = True
            return True
        self.task = None
        self.asleep = False
        return False

    @atomic
    def schedule(self) -> None:
        wait_until(not self.asleep)

    @atomic
    def install(self) -> None:
        """A step that changes nothing."""
        wait_until(True)

    @always
    def counted(self) -> bool:
        return self.count <= self.notifiers


class Rwsem(Scenario):
    """The fair rwsem: a reader waits for a writer that holds it or waits for it."""

    pseudo = Flag()
    slots_lock = Flag()
    writer = Bool()
    readers = Int(0, high=THREADS)
    waiting = Int(0, high=1)

    def __init__(self, notifiers: int = 2) -> None:
        self.notifiers = notifiers

    @thread("notifiers")
    def notifier(self) -> None:
        while True:
            self.pseudo.take()
            self.down_read()
            self.pseudo.drop()
            self.pseudo.take()
            self.up_read()
            self.pseudo.drop()

    @atomic
    def down_read(self) -> None:
        wait_until(not self.writer and self.waiting == 0)
        self.readers += 1

    @atomic
    def up_read(self) -> None:
        self.readers -= 1

    @thread()
    def updater(self) -> None:
        while True:
            self.slots_lock.take()
            if not self.try_down_write():
                self.down_write()
            self.up_write()
            self.slots_lock.drop()

    @atomic
    def try_down_write(self) -> bool:
        if self.writer or self.readers:
            self.waiting += 1
            return False
        self.writer = True
        return True

    @atomic
    def down_write(self) -> None:
        wait_until(not self.writer and self.readers == 0)
        self.waiting -= 1
        self.writer = True

    @atomic
    def up_write(self) -> None:
        self.writer = False
