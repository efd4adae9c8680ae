"""possible recursive locking detected, kernel 6.9.0-toy, toyd/4242

The scenario of a lockdep report, as `quiesce explain --model FILE` writes it: one thread for each
path of the report. Check it, change it, check it again:

    quiesce check FILE
    quiesce check FILE --set other_order=0
        (whether another task takes the two objects in the other order; 1 unless set)

The report prints two addresses: these are two locks of one class.
"""

from quiesce.primitives import Mutex
from quiesce.protocol import Scenario, thread


class Report(Scenario):
    def __init__(self, other_order: int = 1) -> None:
        self.other_order = other_order
        # The one at ffff88810bbbb018.
        self.node_lock = Mutex("&node->lock/1")
        # The one at ffff88810aaaa018.
        self.node_lock_b = Mutex("&node->lock/1")

    @thread()
    def task(self) -> None:
        """Holds &node->lock/1 and wants one of the same class. It is what lockdep caught:
        toyd/4242."""
        # The lock that is held.
        with self.node_lock:
            # In gizmo_link().
            with self.node_lock_b:
                pass

    @thread("other_order")
    def other_task(self) -> None:
        """A task that takes the two in the opposite order. It is not in the report."""
        with self.node_lock_b:
            with self.node_lock:
                pass
