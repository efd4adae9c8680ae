"""HARDIRQ-safe -> HARDIRQ-unsafe lock order detected, 6.9.0-toy, toyd/4242

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
        self.irq_lock = SpinLock("&gz->irq_lock")
        self.cfg_lock = SpinLock("&gz->cfg_lock")

    @thread()
    def task_on_cpu0(self) -> None:
        """Takes &gz->cfg_lock with hard interrupts on."""
        # Keeps the interrupt away if irqs_off is set.
        with self.task_irqs:
            # In gizmo_config().
            with self.cfg_lock:
                # Here the interrupt may come.
                self.cpu.task_runs()

    @thread()
    def interrupt_on_cpu0(self) -> None:
        """The hard interrupt, which takes &gz->irq_lock."""
        with self.cpu:
            # In gizmo_irq().
            with self.irq_lock:
                pass

    @thread()
    def task_on_cpu1(self) -> None:
        """Takes &gz->irq_lock and then &gz->cfg_lock."""
        with self.irq_lock:
            with self.cfg_lock:
                pass
