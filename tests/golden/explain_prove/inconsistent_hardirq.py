"""inconsistent lock state, 6.9.0-toy, toyd/4242

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
        self.q_lock = SpinLock("&gz->q_lock")

    @thread()
    def task(self) -> None:
        """Takes &gz->q_lock with hard interrupts on."""
        # Keeps the interrupt away if irqs_off is set.
        with self.task_irqs:
            # In gizmo_submit().
            with self.q_lock:
                # Here the interrupt may come.
                self.cpu.task_runs()

    @thread()
    def interrupt(self) -> None:
        """The hard interrupt, which takes &gz->q_lock."""
        with self.cpu:
            # In gizmo_irq().
            with self.q_lock:
                pass
