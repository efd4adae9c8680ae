"""possible circular locking dependency detected, kernel 6.9.0-toy, toyd/4242

The scenario of a lockdep report, as `quiesce explain --model FILE` writes it: one thread for each
path of the report. Check it, change it, check it again:

    quiesce check FILE

All paths use the same objects here; a class may stand for many. The stack where the first lock of
a path was taken is not in a report.
"""

from quiesce.primitives import Mutex
from quiesce.protocol import Scenario, thread


class Report(Scenario):
    def __init__(self) -> None:
        self.io_mutex = Mutex("&toy->io_mutex")
        self.cfg_mutex = Mutex("&toy->cfg_mutex")

    @thread()
    def link_0(self) -> None:
        """Link #0: with &toy->io_mutex held, on to &toy->cfg_mutex. It is what lockdep caught:
        toyd/4242."""
        # Held: taken in toy_ioctl().
        with self.io_mutex:
            # In toy_reset().
            with self.cfg_mutex:
                pass

    @thread()
    def link_1(self) -> None:
        """Link #1: with &toy->cfg_mutex held, on to &toy->io_mutex."""
        # Held: a mutex is always exclusive.
        with self.cfg_mutex:
            # In toy_flush().
            with self.io_mutex:
                pass
