# SPDX-License-Identifier: Apache-2.0
"""What the threads of a running scenario share: one lock, the waiting threads, and how to hold still.

**Steps.** One lock per scenario makes atomic methods atomic. A thread whose step cannot be taken
sleeps on ``changed`` and tries again whenever another thread has completed a step. A plain store wakes
no thread, since Python does not report it; so every waiter also tries again after ``RECHECK`` seconds,
and when the last running thread begins to wait.

**Deadlock** is recognized exactly. Let *changes* count completed steps, threads that finished, and
threads that stopped running and began to wait (their plain stores lie before that). When every
thread that has not finished waits, and each has failed to take its step since the last change, then
no thread will ever run: none is left that could change a variable.

**Holding still.** An invariant holds in every state of the model, and there each statement is a
step. Real threads have moments in between: a property that reads two variables one after the other
may see an old value of the first and a new value of the second, a state that never was. So the
invariants are evaluated only when every thread stands between two statements, or before a protocol
action (an atomic method, a wait, a marked access), or has finished. What is seen then is a state of
the model, and there are no false alarms. The explorers may merge plain statements with another step, but
never one that writes what a property reads; and where threads race, so that even their plain
statements can be told apart, the race itself is a finding there.

**Queues.** Waiters for a *queued* step are promised it if it can be taken again and again, as a lock's
waiters are that line up. Here the thread that has waited longest for a lock has its turn after
``TURN`` seconds: a thread that completes a step then takes that step for it, if it can be taken.

Protocol actions are calls, so a thread can stop there at no cost. Between plain statements it can
only if Python reports each new line to it, which is slow; so this is switched on now and then, until
the thread's next protocol action (*slow motion*, see ``runner.py``).
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar
from typing import Protocol as Shape

from quiesce.protocol import Mode, Protocol, Task
from quiesce.threads.holding import Holdings, Want
from quiesce.threads.place import Place
from quiesce.threads.progress import PropertyProgress
from quiesce.threads.result import RunFinding

if TYPE_CHECKING:
    from collections.abc import Iterator

RECHECK = 0.005
"""Seconds after which a waiting thread looks again, for the sake of plain stores."""

TURN = 0.05
"""Seconds after which the first thread of a queue has its turn. (An rwsem gives it after 4 ms.)"""


class Listener(Shape):
    """Hears of every lock, in the order in which each thread takes it: lockdep over real threads.

    Called on the thread concerned, under the scenario's lock: no other thread moves meanwhile. A step
    that another thread took for a waiting one is reported when that one wakes up.
    """

    def waits(self, task: Task, lock: Protocol, mode: Mode) -> None:
        """*task* has to wait for *lock*."""

    def acquires(self, task: Task, lock: Protocol, mode: Mode, trylock: bool) -> None:
        """*task* has got *lock*."""

    def releases(self, task: Task, lock: Protocol) -> None:
        """*task* has released *lock*."""


class Stop(BaseException):
    """Raised in a thread at its next protocol action, or in its wait, when the run is over."""


class EndlessStep(Exception):
    """An atomic method does not end: a thread that loops in a step stops all others."""


@dataclass(frozen=True)
class Wait:
    """What a thread waits for: the step, the lock that the step acquires, since when, and where.

    :param queued: waiters for the step queue up (``@atomic(queued=True)``).
    """

    label: str
    queued: bool
    want: Want | None
    since: float
    place: Place


class Running(Shape):
    """What the world knows of a thread: whether it runs, stands still, waits or has finished.

    :ivar parked: it stands where it may be looked at.
    :ivar wait: what it waits for; None if it runs.
    :ivar looked_at: :attr:`World.changes` when it last failed to take its step.
    :ivar steps: how many steps it has taken.
    """

    parked: bool
    finished: bool
    wait: Wait | None
    looked_at: int
    steps: int

    def goes_on(self, look: int) -> bool:
        """Return whether it continues although the world must hold still."""


R = TypeVar("R", bound=Running)


class World(Generic[R]):
    """The shared state of one round of a scenario. All methods are called under :attr:`lock`."""

    def __init__(self, listener: Listener | None) -> None:
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.resumed = threading.Condition(self.lock)
        self.attention = threading.Event()  # for the thread that watches
        self.listener = listener
        self.holdings = Holdings()
        self.runners: list[R] = []
        self.changes = 0
        self.waiting = 0
        self.queue: list[R] = []
        self.progress: list[PropertyProgress] = []
        self.hung = False
        self.stepping: tuple[R, str] | None = None
        self.stopping = True  # so that the threads start together, after a look at the first state
        self.look = 0
        self.over = False
        self.findings: list[RunFinding] = []

    def pass_gate(self, runner: R) -> None:
        """Let *runner* continue, later if the world must hold still; :class:`Stop` at the end."""
        while self.stopping and not self.over and not runner.goes_on(self.look):
            runner.parked = True
            self.attention.set()
            self.resumed.wait()
        runner.parked = False
        if self.over:
            raise Stop

    def having_their_turn(self) -> list[R]:
        """Return the first threads in line that have waited for ``TURN`` seconds."""
        return self.first_in_line(time.monotonic() - TURN)

    def first_in_line(self, latest: float) -> list[R]:
        """Return the first thread in line for each lock and mode, oldest first.

        :param latest: leave out those that have begun to wait later.
        """
        first: dict[object, R] = {}
        for runner in self.queue:
            wait = runner.wait
            if wait is None or wait.since > latest:
                break
            want = wait.want
            first.setdefault(wait.label if want is None else (id(want.lock), want.mode), runner)
        return list(first.values())

    def steps(self) -> int:
        """Return how many steps all threads have taken."""
        return sum(runner.steps for runner in self.runners)

    def step_taken(self) -> None:
        """A step is complete: waiting threads may try again."""
        self.changes += 1
        if self.waiting:
            self.changed.notify_all()

    def begins_to_wait(self, runner: R) -> None:
        """*runner*, which ran, cannot take its step."""
        self.changes += 1
        self.waiting += 1
        if runner.wait is not None and runner.wait.queued:
            self.queue.append(runner)
        if self.waiting == self.unfinished():
            self.changed.notify_all()

    def ends_to_wait(self, runner: R) -> None:
        """*runner* takes its step, or is stopped."""
        self.waiting -= 1
        if runner in self.queue:
            self.queue.remove(runner)

    def note_hang(self) -> None:
        """Find out, after a failed try, whether no thread can ever move again."""
        left = [runner for runner in self.runners if not runner.finished]
        if left and all(r.wait is not None and r.looked_at == self.changes for r in left):
            self.hung = True
            self.attention.set()

    def thread_finished(self) -> None:
        """A thread has returned from its method, or was stopped."""
        self.step_taken()
        self.attention.set()

    def report(self, finding: RunFinding) -> None:
        """Something went wrong: the run ends here, before consequences are found as well."""
        if not self.findings:
            self.findings.append(finding)
        self.end()
        self.attention.set()

    def unfinished(self) -> int:
        """Return how many threads have not finished."""
        return sum(not runner.finished for runner in self.runners)

    @contextmanager
    def locked(self, patience: float) -> Iterator[None]:
        """Hold the lock, for the thread that watches.

        :raises EndlessStep: some thread did not give it back for *patience* seconds.
        """
        if not self.lock.acquire(timeout=patience):
            raise EndlessStep
        try:
            yield
        finally:
            self.lock.release()

    def is_still(self) -> bool:
        """Whether every thread stands where it may be looked at."""
        return all(r.finished or r.parked or r.wait is not None for r in self.runners)

    def resume(self) -> None:
        """Let the threads continue after the invariants were evaluated."""
        self.stopping = False
        self.look += 1
        self.resumed.notify_all()

    def end(self) -> None:
        """Make every thread stop."""
        self.over = True
        self.changed.notify_all()
        self.resumed.notify_all()
