"""possible circular locking dependency detected, kernel 6.9.0-toy, toyd/4242

The scenario of a lockdep report, as `quiesce explain --model FILE` writes it: one thread for each
path of the report. Check it, change it, check it again:

    quiesce check FILE
    quiesce check FILE --set writers=0
        (how many writers there are, of each lock that readers share; 1 unless set)

All paths use the same objects here; a class may stand for many. The stack where the first lock of
a path was taken is not in a report.
"""

from quiesce.primitives import RwLock, RwSem
from quiesce.protocol import Scenario, thread


class Report(Scenario):
    def __init__(self, writers: int = 1) -> None:
        self.writers = writers
        self.map_lock = RwLock("&toy->map_lock")
        self.toy_rwsem = RwSem("&toy->rwsem")

    @thread()
    def link_0(self) -> None:
        """Link #0: with &toy->map_lock held, on to &toy->rwsem. It is what lockdep caught:
        toyd/4242."""
        # Held: lockdep's table says rlock.
        self.map_lock.read_lock()
        # In toy_read().
        self.toy_rwsem.down_read()
        self.toy_rwsem.up_read()
        self.map_lock.read_unlock()

    @thread()
    def link_1(self) -> None:
        """Link #1: with &toy->rwsem held, on to &toy->map_lock."""
        # Held for write, say: how, the report does not show. Held for read, it takes a writer in
        # between.
        with self.toy_rwsem:
            # In toy_lookup().
            self.map_lock.read_lock()
            self.map_lock.read_unlock()

    @thread("writers")
    def writer(self) -> None:
        """A writer of &toy->map_lock. It is not in the report: readers alone do not block each
        other."""
        with self.map_lock:
            pass
