# SPDX-License-Identifier: Apache-2.0
"""What each design allows, as far as the events of a trace can show it.

An event says when a call began or returned; the step that counts lies somewhere between. So an
invalidation is *surely under way* from the event ``start_done`` to the event ``end``, and perhaps a little
longer on both sides; an update takes effect somewhere between ``swap`` and ``published``.

Whether a trace is a run of a design is then a question about moments: can one be chosen for each call so that
the design allows the whole? The designs need no search for it. A start may always be taken to pass the gate
as late as its call allows, and an end as early, since that leaves the updates most room; and the choice for
one update does not affect another. What is left for each update:

* ``count``, ``rwsem``: some moment between ``swap`` and ``published`` at which no invalidation is surely
  under way;
* ``phased``: each invalidation surely under way at ``swap`` has come to its ``end`` before ``published``;
* ``always_lock``, ``elide_unguarded``: nothing. These events cannot rule them out.

For ``rwsem`` all invalidations are taken to be blockable: a trace does not show which are not, and those
take no semaphore.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Underway:
    """An invalidation that is surely under way.

    :param task: the task that makes it.
    :param line: the line of its ``start_done``.
    """

    task: str
    line: int


@dataclass(slots=True)
class Update:
    """An update between ``swap`` and ``grace_done``.

    :param task: the updater.
    :param line: the line of its ``swap``.
    :param time: the time of its ``swap``.
    :param met: how many invalidations were surely under way at ``swap``.
    """

    task: str
    line: int
    time: int
    met: int


@dataclass(slots=True)
class Vm:
    """One VM, as far as the trace has come: what is surely under way, and the update in progress."""

    open: dict[str, deque[Underway]] = field(default_factory=dict)
    """The invalidations surely under way, by task, the oldest first."""
    count: int = 0
    update: Update | None = None

    def start_done(self, task: str, line: int) -> None:
        """An invalidation of *task* is surely under way from now on."""
        self.open.setdefault(task, deque()).append(Underway(task, line))
        self.count += 1

    def end(self, task: str) -> bool:
        """An invalidation of *task* is not surely under way any more; return False if it had none.

        An event does not say which of its invalidations a task ends. The oldest is taken: it is the one
        that ``phased`` may wait for, and for ``count`` they are all the same.
        """
        mine = self.open.get(task)
        if not mine:
            return False
        mine.popleft()
        self.count -= 1
        return True

    def under_way(self) -> list[Underway]:
        """Return all invalidations surely under way, the oldest first."""
        return sorted((one for mine in self.open.values() for one in mine), key=lambda u: u.line)


class Model:
    """What one design demands of an update. The base class demands nothing.

    There is one for each VM. The checker calls it at the events of the VM, after the VM has taken note of
    an ``end``, and before it takes note of a ``swap``.
    """

    demands = "publish at any time: no trace can rule this out"

    def swap(self, vm: Vm) -> None:
        """An update begins."""

    def end(self, vm: Vm, task: str) -> None:
        """An invalidation of *task* is not surely under way any more."""

    def published(self, vm: Vm) -> list[Underway]:
        """Return the invalidations that forbid that the update has been published; none: it is allowed."""
        return []


class Count(Model):
    """``count`` and ``rwsem``: publish at a moment without invalidations."""

    demands = "publish at a moment at which no invalidation is under way"

    def __init__(self) -> None:
        self._quiet = True

    def swap(self, vm: Vm) -> None:
        """Note whether the moment of ``swap`` is a quiet one."""
        self._quiet = vm.count == 0

    def end(self, vm: Vm, task: str) -> None:
        """Note whether this is a quiet moment."""
        self._quiet = self._quiet or vm.count == 0

    def published(self, vm: Vm) -> list[Underway]:
        """Return what is under way if there was no quiet moment since ``swap``."""
        return [] if self._quiet else vm.under_way()


class Phased(Model):
    """``phased``: publish when the invalidations from before the update have ended."""

    demands = "publish after the end of each invalidation that began before the update"

    def __init__(self) -> None:
        self._before: Counter[str] = Counter()
        self._from: list[Underway] = []

    def swap(self, vm: Vm) -> None:
        """Note the invalidations from before the update."""
        self._from = vm.under_way()
        self._before = Counter(one.task for one in self._from)

    def end(self, vm: Vm, task: str) -> None:
        """One of them has ended, if the task has one: its oldest."""
        if self._before[task] > 0:
            self._before[task] -= 1

    def published(self, vm: Vm) -> list[Underway]:
        """Return those that have not ended."""
        left = []
        waiting = Counter(self._before)
        for one in reversed(self._from):
            if waiting[one.task] > 0:
                waiting[one.task] -= 1
                left.append(one)
        return left[::-1]


MODELS: dict[str, type[Model]] = {
    "always_lock": Model,
    "elide_unguarded": Model,
    "rwsem": Count,
    "count": Count,
    "phased": Phased,
}
"""What is demanded of a run of each design."""
