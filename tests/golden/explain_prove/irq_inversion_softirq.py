"""possible irq lock inversion dependency detected, 6.9.0-toy, swapper/1/0

The scenario of a lockdep report, as `quiesce explain --model FILE` writes it: one thread for each
path of the report. Check it, change it, check it again:

    quiesce check FILE
    quiesce check FILE --set irqs_off=true
        (keep the interrupt away where it could come; false unless set)

The same lock in all places; a class may stand for many.
"""

from quiesce.primitives import SpinLock
from quiesce.protocol import Scenario, thread
from quiesce.primitives.annotations import Cpu, IrqState


class Report(Scenario):
    def __init__(self, irqs_off: bool = False) -> None:
        self.cpu = Cpu()
        self.task_irqs = IrqState(self.cpu, irqs_off)
        self.tx_lock = SpinLock("&gz->tx_lock")
        self.stat_lock = SpinLock("&gz->stat_lock")

    @thread()
    def task_on_cpu0(self) -> None:
        """Takes &gz->stat_lock with soft interrupts on."""
        # Keeps the interrupt away if irqs_off is set.
        with self.task_irqs:
            with self.stat_lock:
                # Here the interrupt may come.
                self.cpu.task_runs()

    @thread()
    def interrupt_on_cpu0(self) -> None:
        """The soft interrupt, which takes &gz->tx_lock."""
        with self.cpu:
            with self.tx_lock:
                pass

    @thread()
    def task_on_cpu1(self) -> None:
        """Takes &gz->tx_lock and then &gz->stat_lock."""
        with self.tx_lock:
            with self.stat_lock:
                pass
