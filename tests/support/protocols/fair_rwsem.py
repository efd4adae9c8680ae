# SPDX-License-Identifier: Apache-2.0
"""The fair rwsem at the step granularity at which other checkers were measured: that of ``rwsem.pml``."""

from benchmarks.models.count import Flag
from quiesce.protocol import THREADS, Bool, Int, Scenario, atomic, thread, wait_until


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
