# SPDX-License-Identifier: Apache-2.0
"""A path of the explorer on real threads: each thread does what the path says, when its turn comes.

The calls at the gate are the points at which threads are held: a thread goes on only when the next event of
the path is its own. Between two events it runs as it likes, up to the next one or until it has to wait.
Whether an invalidation has another one inside is as the path says. Which page it is of, and what an updater
changes, is decided by a seed: events do not show it. A thread that comes to another event than its next one
on the path has chosen otherwise, and another seed is tried. vCPUs make no events and run freely. After the
path all threads run freely.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from quiesce.kvm.mm import Mm
from quiesce.kvm.real.trace_events import Event, Kind
from quiesce.kvm.real.trace_threads import Recorder, recorded_class
from quiesce.kvm.scenarios import MemslotUpdates, Parts
from quiesce.protocol import choose, current
from quiesce.threads import RunResult, run

MOST_TRIES = 20
"""Seeds that are tried."""

SETTLE = 0.03
"""Seconds after which a thread that had its turn counts as waiting, if it has not come to its next event."""

SECONDS_OF_A_TRY = 1.0
"""Seconds for which the threads run, besides the path."""

PATIENCE = 2.0
"""Seconds without its turn after which a thread gives the path up."""

ROUNDS_OF_A_LOOP = 20
"""How often the loop of an endless run is gone round."""


class OffPath(Exception):
    """A thread has come to another event than the path says."""


class Conductor(Recorder):
    """Lets threads pass events in the order of a path, and notes them.

    :param path: the task and the kind of each event.
    """

    def __init__(self, path: Sequence[tuple[str, Kind]]) -> None:
        super().__init__()
        self.followed = 0
        """How many events of the path have been passed."""
        self._path = path
        self._moved = threading.Condition()
        self._moving = ""
        self._since = 0.0

    @property
    def complete(self) -> bool:
        """The whole path was followed."""
        return self.followed >= len(self._path)

    def note(self, kind: Kind) -> None:
        """Wait until it is the turn of the current task, then note that it does *kind*.

        :raises OffPath: the path has another event of this task next.
        """
        task = current().name
        until = time.monotonic() + PATIENCE
        with self._moved:
            if self._moving == task:
                self._moving = ""
                self._moved.notify_all()
            while not self.complete and not self._is_turn(task, kind):
                if time.monotonic() > until:
                    raise OffPath(f"the turn of {task} did not come")
                self._moved.wait(SETTLE / 3)
            if not self.complete:
                self.followed += 1
                self._moving, self._since = task, time.monotonic()
                self._moved.notify_all()
            super().note(kind)

    def next_of(self, task: str) -> Kind | None:
        """Return the next event of *task* on the path; None if there is none."""
        return next((kind for other, kind in self._path[self.followed :] if other == task), None)

    def _is_turn(self, task: str, kind: Kind) -> bool:
        """Return whether the next event is this one and the thread that had its turn is at rest.

        :raises OffPath: the task is to do something else next.
        """
        mine = self.next_of(task)
        if mine is not None and mine is not kind:
            raise OffPath(f"{task} comes to `{kind.value}` instead of `{mine.value}`")
        if self._moving and time.monotonic() - self._since < SETTLE:
            return False
        return self._path[self.followed] == (task, kind)


def _following_class(conductor: Conductor) -> type[MemslotUpdates]:
    """Return the scenario's class, with threads that pass events as *conductor* lets them."""

    class Following(recorded_class(conductor)):  # type: ignore[misc]
        """The scenario whose invalidations nest as the path says."""

        def parts(self, design: str) -> Parts:
            parts = super().parts(design)
            mm = _following_mm(parts.mm, conductor)
            return replace(parts, mm=mm)  # type: ignore[no-any-return]

    Following.__name__ = MemslotUpdates.__name__
    return Following


def _following_mm(base: type[Mm], conductor: Conductor) -> type[Mm]:
    class Following(base):  # type: ignore[misc, valid-type]
        """The process; it splits a huge page while it zaps if the path has a start there."""

        def zap(self, hva: int) -> None:
            self.mmap_lock.down_read()
            ticket = self.mmu_notifier.invalidate_range_start(hva)
            following = conductor.next_of(current().name)
            if following is Kind.START or (following is None and choose(False, True)):
                inner = self.mmu_notifier.invalidate_range_start(hva)
                self.mmu_notifier.invalidate_range_end(hva, inner)
            self.set_pte(hva)
            self.mmu_notifier.invalidate_range_end(hva, ticket)
            self.mmap_lock.up_read()

    return Following


@dataclass(slots=True)
class Followed:
    """What came of following a path.

    :param result: the run of the last try.
    :param tries: how many seeds were tried.
    :param seed: the seed of the last try.
    :param events: the length of the path, its loop gone round several times.
    :param followed: how many of them were passed in the best try.
    :param published: updates published while the path's loop was gone round, in the last try.
    :param waits_in_loop: the path has a loop, and when it begins an update has yet to be published.
    """

    result: RunResult
    tries: int
    seed: int
    events: int
    followed: int
    published: int
    waits_in_loop: bool

    @property
    def complete(self) -> bool:
        """The whole path was followed."""
        return self.followed >= self.events

    @property
    def starved(self) -> bool:
        """The path has a loop, an update was under way in all its rounds, and none was published."""
        return self.complete and self.waits_in_loop and not self.published


def follow_path(
    events: Sequence[Event],
    loop_from: int | None,
    build: Callable[[type[MemslotUpdates]], MemslotUpdates],
) -> Followed:
    """Let real threads follow *events*; try seeds until one gets to the end.

    :param loop_from: the index of the first event of the loop of an endless run; None: it has none.
    :param build: makes the scenario of a given class, with the parameters of the check.
    """
    path = [(event.task, event.kind) for event in events]
    if loop_from is not None:
        path += path[loop_from:] * (ROUNDS_OF_A_LOOP - 1)
    best = 0
    for seed in range(MOST_TRIES):
        conductor = Conductor(path)
        result = run(build(_following_class(conductor)), SECONDS_OF_A_TRY + 0.02 * len(path), seed)
        best = max(best, conductor.followed)
        if conductor.complete:
            break
    loop = len(path) if loop_from is None else loop_from
    published = sum(event.kind is Kind.PUBLISHED for event in conductor.events[loop : len(path)])
    stem = [kind for _task, kind in path[:loop]]
    waits = loop_from is not None and stem.count(Kind.SWAP) > stem.count(Kind.PUBLISHED)
    return Followed(result, seed + 1, seed, len(path), best, published, waits)
