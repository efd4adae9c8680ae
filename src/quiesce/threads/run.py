# SPDX-License-Identifier: Apache-2.0
"""Run a scenario on real threads: the same classes that are checked, as ordinary Python.

A scenario whose threads all return is started again, until the time is over: each *round* is one
more interleaving. A run proves nothing; it shows that the protocol is a program, and it finds what
is not rare.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from quiesce.errors import UsageError
from quiesce.properties import Quantifier
from quiesce.protocol import Scenario
from quiesce.protocol.scenario import PropertySpec
from quiesce.threads.marked import announced
from quiesce.threads.progress import PropertyProgress
from quiesce.threads.result import Recurrence, RunFinding, RunResult, ThreadRole
from quiesce.threads.runner import ThreadRunner
from quiesce.threads.watch import RoundEnd, RoundWatch
from quiesce.threads.world import Listener, Stop, World

SWITCH_INTERVAL = 50e-6
"""Seconds after which the interpreter turns to another thread; by default a hundred times that."""

PATIENCE = 1.0

_JOIN = 0.2
"""Seconds that a thread gets to reach a protocol action and stop there."""

_TRIES = 25
"""How often it is asked to."""


def run(
    scenario: Scenario,
    seconds: float = 1.0,
    seed: int = 0,
    *,
    patience: float = PATIENCE,
    listener: Listener | None = None,
) -> RunResult:
    """Run *scenario* on real threads for a while and tell what went wrong.

    Ends early with the first finding. No thread is left behind, however the run ends.

    :param scenario: built, not started. Its variables are reset; afterwards they are as the run
        left them.
    :param seconds: for how long, more than 0.
    :param seed: decides what ``choose`` returns in each thread, and where threads yield. How the
        threads interleave is up to the machine, and no seed repeats that.
    :param patience: seconds without a step after which a thread counts as stuck.
    :param listener: hears of every lock that is taken and released.
    :raises UsageError: there is nothing to run, or the time is not positive.
    """
    if not seconds > 0:
        raise UsageError(f"cannot run for {seconds} seconds", "give a number greater than 0")
    begin = time.monotonic()
    deadline = begin + seconds
    totals = _Totals()
    with _fast_switching():
        end = RoundEnd.FINISHED
        while end is RoundEnd.FINISHED and not totals.findings:
            end = _round(scenario, deadline, f"{seed} {totals.rounds}", patience, listener, totals)
    return RunResult(
        scenario=type(scenario).__name__,
        seed=seed,
        seconds=time.monotonic() - begin,
        rounds=totals.rounds,
        looks=totals.looks,
        roles=totals.roles(),
        findings=tuple(totals.findings),
        notes=tuple(totals.notes.values()),
        recurrences=totals.recurrences(),
        patience=patience,
    )


class _Totals:
    """What is added up over the rounds."""

    def __init__(self) -> None:
        self.rounds = 0
        self.looks = 0
        self.threads: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.findings: list[RunFinding] = []
        self.notes: dict[str, RunFinding] = {}
        self.progress: dict[str, PropertyProgress] = {}

    def begin(self, properties: list[PropertySpec]) -> list[PropertyProgress]:
        """Return what counts the ``@eventually`` properties in the round that begins."""
        specs = [spec for spec in properties if spec.kind.quantifier is Quantifier.AGAIN]
        for spec in specs:
            self.progress.setdefault(spec.name, PropertyProgress(spec)).begin(spec)
        return list(self.progress.values())

    def add(self, watch: RoundWatch) -> None:
        self.rounds += 1
        self.looks += watch.looks
        self.findings += watch.world.findings
        found = {report.name for finding in self.findings for report in finding.threads}
        for name, note in watch.notes.items():
            known = self.notes.get(name)
            if name not in found and (known is None or known.seconds < note.seconds):
                self.notes[name] = note
        for progress in watch.world.progress:
            progress.end(watch.world.steps)
        self.threads = Counter(runner.spec.kind for runner in watch.world.runners)
        for runner in watch.world.runners:
            self.steps[runner.spec.kind] += runner.steps
            self.finished[runner.spec.kind] += runner.returned

    def recurrences(self) -> tuple[Recurrence, ...]:
        return tuple(
            Recurrence(
                p.name,
                p.times,
                p.longest,
                p.steps // max(1, self.threads.total()),
                p.informational,
            )
            for p in self.progress.values()
        )

    def roles(self) -> tuple[ThreadRole, ...]:
        return tuple(
            ThreadRole(kind, count, self.steps[kind], self.finished[kind])
            for kind, count in self.threads.items()
        )


def _round(
    scenario: Scenario,
    deadline: float,
    seed: str,
    patience: float,
    listener: Listener | None,
    totals: _Totals,
) -> RoundEnd:
    """Start the threads, watch them, and see them gone."""
    specs = scenario.start()
    if not specs:
        raise UsageError(
            f"{type(scenario).__name__} has no threads to run", "mark a method with @thread()"
        )
    world: World[ThreadRunner] = World(listener)
    world.runners = [ThreadRunner(world, scenario, s, f"{seed} {s.name}") for s in specs]
    properties = scenario.properties()
    invariants = [p for p in properties if p.kind.quantifier is Quantifier.EVERY_STATE]
    world.progress = totals.begin(properties)
    with announced(scenario):
        watch = RoundWatch(world, scenario, invariants, patience)
        try:
            for runner in world.runners:
                runner.thread.start()
            end = watch.until_end(deadline)
        finally:
            _see_gone(world)
    totals.add(watch)
    return end


def _see_gone(world: World[ThreadRunner]) -> None:
    """Wait until no thread of *world* is left."""
    started = [runner.thread for runner in world.runners if runner.thread.ident is not None]
    world.over = True
    told = False
    for _ in range(_TRIES):
        if not told and (told := world.lock.acquire(timeout=_JOIN)):
            world.end()
            world.lock.release()
        limit = time.monotonic() + _JOIN
        for thread in started:
            thread.join(max(0.0, limit - time.monotonic()))
        for thread in started:
            if thread.is_alive():
                # It meets no protocol action to stop at: it runs through plain statements only,
                # or loops in a step.
                ident = ctypes.c_ulong(thread.ident or 0)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Stop))
    if any(thread.is_alive() for thread in started):
        raise UsageError(
            "a thread of the scenario cannot be stopped", "call nothing that blocks in a protocol"
        )


@contextmanager
def _fast_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
