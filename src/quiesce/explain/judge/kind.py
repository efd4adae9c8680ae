# SPDX-License-Identifier: Apache-2.0
"""How a kind of report is explained, and what of it can be proved.

Each file in ``kinds/`` makes one or more :class:`Judge` objects and registers them; nothing else in
``judge/``, ``prove/`` and ``show/`` knows a kind by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from quiesce.explain.judge.cycle import Cycle, chain_cycle
from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.fingerprint import named_locks
from quiesce.explain.judge.irq_ends import Ends
from quiesce.explain.read.model import PrintedReport


class Shape(Enum):
    """What the hang of a report consists of; by it ``prove/`` chooses how to model it."""

    TASKS = "tasks that wait for each other"
    INTERRUPT = "an interrupt that waits for the task it interrupted"
    NONE = "the report is not about a hang"


@dataclass(frozen=True)
class Judge:
    """How the reports of one kind are judged.

    :param name: that of the kind, as in :class:`quiesce.explain.read.kind.ReportKind`.
    :param explain: makes the explanation.
    :param shape: what its hang consists of.
    :param cycle: makes the cycle of a report whose shape is TASKS; None if its chain is cut.
    :param ends: finds the two locks of a report whose shape is INTERRUPT; None if it is about one.
    :param identity: the parts of a report that are the same in each report of the same problem.
    """

    name: str
    explain: Callable[[PrintedReport], Explanation]
    shape: Shape = Shape.NONE
    cycle: Callable[[PrintedReport], Cycle | None] = chain_cycle
    ends: Callable[[PrintedReport], Ends] | None = None
    identity: Callable[[PrintedReport], tuple[str, ...]] = named_locks


_JUDGES: dict[str, Judge] = {}


def register(judge: Judge) -> Judge:
    """Make *judge* the one for the reports of its kind and return it.

    :raises ValueError: the kind has a judge already.
    """
    if judge.name in _JUDGES:
        raise ValueError(f"the kind {judge.name} has two judges")
    _JUDGES[judge.name] = judge
    return judge


def unregister(name: str) -> None:
    """Forget the judge of the kind *name*; for tests that add one."""
    del _JUDGES[name]


def registered(name: str) -> Judge:
    """Return the judge of the kind *name*, which must be registered."""
    return _JUDGES[name]
