# SPDX-License-Identifier: Apache-2.0
"""The scenario of a report, as data: which locks, which threads, what can be set.

``scenario_cycle`` and ``scenario_irq`` make one from a report, ``scenario_source`` writes it as a
protocol file, ``prove`` checks that file.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from quiesce.protocol import Scenario as _Scenario

AS_DRAWN = "annotations_are_locks"
WRITERS = "writers"
OTHER_ORDER = "other_order"
IRQS_OFF = "irqs_off"
IN_TURN = "in_turn"

MANY_TASKS = 4
"""Beyond so many paths the tasks of a scenario begin in turn, unless told otherwise."""

PARAMETERS = {
    AS_DRAWN: ("bool", "False", "take annotations for the locks that lockdep sees in them"),
    WRITERS: ("int", "1", "how many writers there are, of each lock that readers share"),
    OTHER_ORDER: ("int", "1", "whether another task takes the two objects in the other order"),
    IN_TURN: ("bool", "True", "let the tasks begin one after the other: a smaller search"),
    IRQS_OFF: ("bool", "False", "keep the interrupt away where it could come"),
}
"""What can be set with ``--set``: type, default and meaning."""


@dataclass(frozen=True)
class Nest:
    """A statement of a thread, with all that the thread does before its end.

    :param take: what takes the lock; if it ends with a colon, the rest stands inside of it.
    :param release: what releases it, empty where that is nothing or the end of the block.
    :param comment: what the report says about it.
    """

    take: str
    release: str = ""
    comment: str = ""


@dataclass(frozen=True)
class ModelLock:
    """A lock of the scenario.

    :param attribute: its name in the source; *name*: as the report prints it.
    :param stands_for: its class; *drawn*: its class where annotations are locks, if another.
    """

    attribute: str
    name: str
    stands_for: str
    drawn: str = ""
    comment: str = ""


@dataclass(frozen=True)
class ModelThread:
    """A thread: what it takes, outermost first.

    :param count: the attribute that says how many run; empty for one, always.
    :param extra: True for a task that is not in the report.
    :param turn: its place in the order in which tasks begin, -1 where there is none.
    """

    name: str
    text: str
    body: tuple[Nest, ...]
    count: str = ""
    extra: bool = False
    turn: int = -1


@dataclass(frozen=True)
class ScenarioModel:
    """A scenario.

    :param title: the report in a line, *notes*: what a reader of the file should know.
    :param parameters: names out of :data:`PARAMETERS`.
    :param attributes: ``name = expression`` lines that the constructor needs beside the locks.
    """

    title: str
    notes: tuple[str, ...]
    locks: tuple[ModelLock, ...]
    threads: tuple[ModelThread, ...]
    parameters: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()


ScenarioSettings = tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Trial:
    """One reading of a scenario.

    :param name: of the reading; empty where there is only one.
    :param settings: what the scenario is built with.
    :param without: what takes the helpers away that are not in the report (writers), to see
        whether it hangs without them; empty where there are none.
    :param tasks: how many tasks of the report there are.
    :param conditions: on which it is real, as clauses after "if".
    :param helpers: the same, where it hangs only with the helpers.
    :param refuted: why it cannot hang, should it not.
    """

    name: str
    settings: ScenarioSettings
    without: ScenarioSettings = ()
    tasks: int = 1
    conditions: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    refuted: str = ""


@dataclass(frozen=True)
class Claim:
    """What to check; without a *model*, *verdict* and *reason* say why there is none.

    :param trials: the readings, the deciding one first.
    :param short: the same for the deciding one with fewer tasks, where *model* has very many.
    """

    model: ScenarioModel | None
    trials: tuple[Trial, ...] = ()
    verdict: str = ""
    reason: str = ""
    short: ScenarioModel | None = None


_TAKEN = (
    frozenset(dir(_Scenario))
    | set(PARAMETERS)
    | {"tasks", "path", "name", "task", "interrupt", "other_task", "cpu", "task_irqs", "reclaim"}
    | {"turns"}
    | {"as_drawn", "as_it_is", "drawn_writers", "real_writers"}
)
_THREADS = ("link_", "links_", "task_", "writer", "interrupt_")
_VAGUE = {"lock", "mutex", "rlock", "work", "sem", "rwsem", "wait_lock", "rw_sem", "io", "queue"}
_LONGEST = 40


class AttributeNames:
    """Hands out one attribute for each lock class: ``slots_lock`` for ``&kvm->slots_lock``."""

    def __init__(self) -> None:
        self._of: dict[object, str] = {}
        self._used: set[str] = set(_TAKEN)

    def of(self, key: object, printed: str) -> str:
        """Return the attribute for *key*, made from the *printed* name on first use."""
        if key not in self._of:
            self._of[key] = self.new(printed)
        return self._of[key]

    def new(self, printed: str) -> str:
        """Return an attribute made from *printed* that was not handed out before."""
        words = re.findall(r"[A-Za-z_][A-Za-z0-9_]*", printed.partition("#")[0][:200])
        words = [w for word in words if (w := word.strip("_").lower())]
        take = words[-1:] if words and words[-1] not in _VAGUE else words[-2:]
        base = "_".join(take)[:_LONGEST].strip("_") or "lock"
        if keyword.iskeyword(base) or base.startswith(_THREADS):
            base += "_lock"
        name, number = base, 2
        while name in self._used:
            name, number = f"{base}_{number}", number + 1
        self._used.add(name)
        return name
