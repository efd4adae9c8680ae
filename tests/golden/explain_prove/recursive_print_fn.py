"""possible recursive locking detected, kernel 6.9.0-toy, toyd/4242

The scenario of a lockdep report, as `quiesce explain --model FILE` writes it: one thread for each
path of the report. Check it, change it, check it again:

    quiesce check FILE
    quiesce check FILE --set other_order=0
        (whether another task takes the two objects in the other order; 1 unless set)
    quiesce check FILE --set writers=0
        (how many writers there are, of each lock that readers share; 1 unless set)

The report prints two addresses: these are two locks of one class.
"""

from quiesce.primitives import RwSem
from quiesce.protocol import Scenario, thread


class Report(Scenario):
    def __init__(self, other_order: int = 1, writers: int = 1) -> None:
        self.other_order = other_order
        self.writers = writers
        # The one at ffff88810bbbb018.
        self.b_lock = RwSem("&b->lock")
        # The one at ffff88810aaaa018.
        self.b_lock_b = RwSem("&b->lock")

    @thread()
    def task(self) -> None:
        """Holds &b->lock and wants one of the same class. It is what lockdep caught:
        toyd/4242."""
        # The lock that is held.
        self.b_lock.down_read()
        # In gizmo_get().
        self.b_lock_b.down_read()
        self.b_lock_b.up_read()
        self.b_lock.up_read()

    @thread("other_order")
    def other_task(self) -> None:
        """A task that takes the two in the opposite order. It is not in the report."""
        self.b_lock_b.down_read()
        self.b_lock.down_read()
        self.b_lock.up_read()
        self.b_lock_b.up_read()

    @thread("writers")
    def writer_of_b_lock(self) -> None:
        """A writer of &b->lock. It is not in the report: readers alone do not block each
        other."""
        with self.b_lock:
            pass

    @thread("writers")
    def writer_of_b_lock_b(self) -> None:
        """A writer of &b->lock. It is not in the report: readers alone do not block each
        other."""
        with self.b_lock_b:
            pass
