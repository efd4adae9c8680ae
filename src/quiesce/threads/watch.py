# SPDX-License-Identifier: Apache-2.0
"""Watches one round of a scenario: invariants, hangs, and when it is over.

Three kinds of hang are told apart. A *deadlock* is exact and recognized immediately (see ``world.py``).
Threads that *wait for each other* while others run are recognized by the locks that they hold, once
they have not moved for ``patience`` seconds. A thread that merely has not moved for that long is
noted: it may be starved, or stuck for a reason that only an exhaustive check can know. Such a run
decides nothing (see ``result.py``).
"""

from __future__ import annotations

import enum
import inspect
import sys
import time
from collections.abc import Sequence

from quiesce.properties import FindingKind
from quiesce.protocol import Mode, Protocol, Scenario
from quiesce.protocol.scenario import PropertySpec
from quiesce.threads import place
from quiesce.threads.holding import hopeless
from quiesce.threads.result import (
    Holder,
    RunFinding,
    SourceSite,
    ThreadReport,
)
from quiesce.threads.runner import ThreadRunner, site
from quiesce.threads.world import EndlessStep, World

TICK = 0.02
"""Seconds between two looks at the clock and at which threads have moved."""

LOOK_SHARE = 10
"""The world stands still for at most one part in this many of the time."""

LOOK_PATIENCE = 0.1
"""Seconds until a look is given up, because a thread runs on without any protocol action."""

ENDLESS = 2.0
"""Seconds, at least, after which a step that continues counts as one that does not end."""

DAEMON_GRACE = 0.05
"""Seconds for which daemons may run on after all other threads have finished."""

MAX_STATE = 12
"""How many variables are shown with a broken invariant."""

_MODES = {
    Mode.EXCLUSIVE: "exclusive",
    Mode.SHARED: "shared",
    Mode.SHARED_RECURSIVE: "shared recursive",
}


class RoundEnd(enum.Enum):
    """Why a round ended."""

    FINISHED = enum.auto()
    TIME = enum.auto()


class RoundWatch:
    """Watches *world* from the thread that called ``run``.

    :param patience: seconds without a step after which a thread counts as stuck.
    """

    def __init__(
        self,
        world: World[ThreadRunner],
        scenario: Scenario,
        invariants: Sequence[PropertySpec],
        patience: float,
    ) -> None:
        self.world = world
        self.looks = 0
        self.notes: dict[str, RunFinding] = {}
        """The longest wait of each thread that waited too long."""
        self._scenario = scenario
        self._invariants = invariants
        self._patience = patience
        self._endless = max(patience, ENDLESS)
        self._initial = dict(_variables(scenario))
        self._steps = [0] * len(world.runners)
        self._quiet = [0.0] * len(world.runners)
        """For how long each thread has taken no step."""
        self._held_up = [0.0] * len(world.runners)
        """For how long of that it was not in line behind another thread."""
        self._begun = [0] * len(world.runners)
        """How many steps all threads had taken when each was held up first."""
        self._longest: dict[str, float] = {}
        self._only_daemons = 0.0

    def until_end(self, deadline: float) -> RoundEnd:
        """Let the threads run until something is found, all have finished, or it is *deadline*."""
        try:
            return self._until_end(deadline)
        except EndlessStep:
            stepping = self.world.stepping
            assert stepping is not None
            runner, label = stepping
            message = f"{runner.spec.name}: the step {label} does not end"
            self.world.findings.append(
                RunFinding(FindingKind.STUCK_THREAD, message, site=_running_at(runner))
            )
            return RoundEnd.FINISHED

    def _until_end(self, deadline: float) -> RoundEnd:
        world = self.world
        before = time.monotonic()
        while True:
            spent = self._look()
            with world.locked(self._endless):
                end = self._state_of_round()
            if end is not None:
                return end
            rest = deadline - time.monotonic()
            if rest <= 0:
                return RoundEnd.TIME
            world.attention.wait(min(max(spent * LOOK_SHARE, TICK / 10), TICK, rest))
            world.attention.clear()
            # A machine that stood still as a whole must not look like threads that do.
            now = time.monotonic()
            with world.locked(self._endless):
                self._note_quiet(min(now - before, LOOK_PATIENCE + 2 * TICK))
            before = now

    def _look(self) -> float:
        """Evaluate the invariants while the world stands still; return the seconds that it took."""
        world = self.world
        start = time.monotonic()
        world.stopping = True
        while True:
            with world.locked(self._endless):
                still = world.is_still()
                if still and not world.findings:
                    self._evaluate()
                spent = time.monotonic() - start
                if still or world.findings or spent > LOOK_PATIENCE:
                    world.resume()
                    return spent
            world.attention.wait(LOOK_PATIENCE)
            world.attention.clear()

    def _evaluate(self) -> None:
        """Report the first invariant that is false. The world stands still."""
        self.looks += 1
        for invariant in self._invariants:
            finding = self._broken(invariant)
            if finding is not None:
                self.world.report(finding)
                return

    def _broken(self, invariant: PropertySpec) -> RunFinding | None:
        at = site(place.of_body(inspect.unwrap(invariant.method).__code__))
        try:
            if invariant.method(invariant.component):
                return None
            message = f"{invariant.name} is false"
        except Exception as error:
            assert error.__traceback__ is not None
            at = site(place.of_traceback(error.__traceback__))
            message = f"{invariant.name} cannot be evaluated: {type(error).__name__}: {error}"
        state = [
            (name, shown)
            for name, shown in _variables(self._scenario)
            if self._initial.get(name) != shown
        ]
        if len(state) > MAX_STATE:
            state[MAX_STATE - 1 :] = [("...", f"{len(state) - MAX_STATE + 1} more")]
        reports = tuple(self._describe(runner) for runner in self.world.runners)
        return RunFinding(FindingKind.BROKEN_INVARIANT, message, reports, at, tuple(state))

    def _state_of_round(self) -> RoundEnd | None:
        world = self.world
        if world.findings:
            return RoundEnd.FINISHED
        left = [runner for runner in world.runners if not runner.finished]
        if world.hung or not left:
            self._evaluate()
            waiting = [r for r in left if not r.spec.daemon]
            if world.findings or not waiting:
                return RoundEnd.FINISHED
            reports = tuple(self._describe(r) for r in left)
            who = _enumerate([r.spec.name for r in waiting])
            verb = "waits" if len(waiting) == 1 else "wait"
            message = f"no thread can run: {who} {verb} forever"
            world.report(RunFinding(FindingKind.DEADLOCK, message, reports))
            return RoundEnd.FINISHED
        if self._waiting_for_each_other(left) or self._standing_still(left):
            return RoundEnd.FINISHED
        return self._daemons(left)

    def _waiting_for_each_other(self, left: list[ThreadRunner]) -> bool:
        now = time.monotonic()
        stale = [
            runner.wait.want
            for runner in left
            if runner.wait is not None
            and runner.wait.want is not None
            and now - runner.wait.since > self._patience
        ]
        tasks = [want.task for want in hopeless(stale, self.world.holdings)]
        stuck = [r for r in left if any(r.spec.task is task for task in tasks)]
        if not stuck:
            return False
        who = _enumerate([r.spec.name for r in stuck])
        verb = "waits for itself" if len(stuck) == 1 else "wait for each other"
        message = f"{who} {verb} and can never run again, while others run"
        kind = FindingKind.STUCK_THREAD if len(stuck) == 1 else FindingKind.DEADLOCK
        reports = tuple(self._describe(r) for r in [*stuck, *(r for r in left if r not in stuck)])
        self.world.report(RunFinding(kind, message, reports))
        return True

    def _standing_still(self, left: list[ThreadRunner]) -> bool:
        index = [self.world.runners.index(r) for r in left]
        idle = min(self._quiet[i] for i in index)
        if idle < self._patience or all(r.spec.daemon for r in left):
            return False
        message = f"no thread has taken a step for {idle:.1f} s"
        self.world.report(
            RunFinding(FindingKind.STUCK_THREAD, message, tuple(self._describe(r) for r in left))
        )
        return True

    def _daemons(self, left: list[ThreadRunner]) -> RoundEnd | None:
        if len(left) < len(self.world.runners) and all(r.spec.daemon for r in left):
            if not self._only_daemons:
                self._only_daemons = time.monotonic()
            if time.monotonic() - self._only_daemons > DAEMON_GRACE:
                return RoundEnd.FINISHED
        return None

    def _note_quiet(self, passed: float) -> None:
        steps, first = self.world.steps(), self.world.first_in_line(time.monotonic())
        for i, runner in enumerate(self.world.runners):
            if runner.finished or runner.steps != self._steps[i]:
                self._steps[i] = runner.steps
                self._quiet[i] = self._held_up[i] = 0.0
                continue
            self._quiet[i] += passed
            in_line = runner.wait is not None and runner.wait.queued and runner not in first
            if in_line or not self._held_up[i]:
                self._begun[i] = steps
            self._held_up[i] = 0.0 if in_line else self._held_up[i] + passed
            if not runner.spec.daemon and self._held_up[i] >= self._patience:
                self._note_long_wait(runner, self._quiet[i], steps - self._begun[i])

    def _note_long_wait(self, runner: ThreadRunner, quiet: float, steps: int) -> None:
        name = runner.spec.name
        if quiet > self._longest.get(name, 0.0):
            self._longest[name] = quiet
            each = steps // max(1, self.world.unfinished() - 1)
            doing = "waited" if runner.wait is not None else "run without a step"
            message = f"{name} has {doing} for {quiet:.1f} s while others moved"
            report = self._describe(runner)
            self.notes[name] = RunFinding(
                FindingKind.LONG_WAIT, message, (report,), seconds=quiet, steps=each
            )

    def _describe(self, runner: ThreadRunner) -> ThreadReport:
        """Tell what *runner* is doing, for a person."""
        name, holdings = runner.spec.name, self.world.holdings
        if runner.finished:
            return ThreadReport(name, "finished")
        holds = tuple((h.lock.path, site(h.place)) for h in holdings.of_task(runner.spec.task))
        wait = runner.wait
        if wait is None:
            return ThreadReport(name, "runs", site=_running_at(runner), holds=holds)
        lock, mode = "", ""
        held_by: tuple[Holder, ...] = ()
        if wait.want is not None:
            lock, mode = wait.want.lock.path, _MODES[wait.want.mode]
            held_by = tuple(
                Holder(h.task.name, _MODES[h.mode], site(h.place))
                for h in holdings.of_lock(wait.want.lock)
            )
        return ThreadReport(
            name,
            "waits",
            wait.label,
            lock,
            mode,
            time.monotonic() - wait.since,
            site(wait.place),
            held_by,
            holds,
        )


def _running_at(runner: ThreadRunner) -> SourceSite | None:
    frame = sys._current_frames().get(runner.thread.ident or 0)
    return None if frame is None else site(place.of_frame(frame))


def _variables(scenario: Protocol) -> list[tuple[str, str]]:
    """Return all shared variables of *scenario* with their values, as they are shown."""
    found = []
    for component in scenario.tree():
        for name in component.declarations():
            value = component.__dict__.get(name)
            if isinstance(value, tuple):
                continue  # an array of components, which are in the tree
            path = f"{component.path}.{name}" if component.path else name
            found.append((path, _shown(value)))
    return found


def _shown(value: object) -> str:
    if isinstance(value, Protocol):
        return getattr(value, "name", "") or value.path
    if isinstance(value, set):
        return "{" + ", ".join(sorted(_shown(item) for item in value)) + "}"
    if isinstance(value, enum.Enum):
        return value.name
    if hasattr(value, "__iter__") and not isinstance(value, str):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return repr(value)


def _enumerate(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
