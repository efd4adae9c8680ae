# SPDX-License-Identifier: Apache-2.0
"""A check with the reference explorer: from a compiled program to verdicts and findings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from quiesce.compiler.program import Program, Thread
from quiesce.explorer import describe
from quiesce.explorer.evaluate import StepFailure
from quiesce.explorer.fairness import FairCycles, Lasso
from quiesce.explorer.findings import CheckResult, Finding, PropertyResult
from quiesce.explorer.graph import CUT, GO_ON, STOP, Bounds, FailedStep, Graph, Progress, explore
from quiesce.explorer.paths import path_to
from quiesce.explorer.races import RaceFinder
from quiesce.explorer.reference import PropertyReader, State, Step, Stepper
from quiesce.explorer.representatives import representatives
from quiesce.explorer.waiting import Stuck, StuckThreads, find_deadlock, unfinished
from quiesce.stopping import Stopped, immediately, noted
from quiesce.verdict import Verdict

BUILT_IN = [
    ("no_deadlock", "deadlock"),
    ("no_stuck_thread", "stuck thread"),
    ("no_data_race", "data race"),
    ("assertions", "assert"),
    ("ranges", "range"),
    ("no_starvation", "starvation"),
]
"""What is always looked for: (name, kind)."""


@dataclass(slots=True)
class Options:
    """How to check.

    :param keep_going: explore the whole space although a violation was found, so that every property
        gets its verdict.
    :param fairness: ``strong``, ``weak`` or ``none``: see ``fairness.py``.
    :param warn: is told at once of what goes wrong on the side, such as a checkpoint that cannot be written.
    """

    keep_going: bool = False
    fairness: str = "strong"
    bounds: Bounds = field(default_factory=Bounds)
    progress: Callable[[Progress], None] | None = None
    warn: Callable[[str], None] | None = None


def check_reference(program: Program, options: Options) -> CheckResult:
    """Check *program* with the plain-Python explorer."""
    return _Check(program, options).run()


class _Check:
    def __init__(self, program: Program, options: Options) -> None:
        self.program = program
        self.options = options
        self.stepper = Stepper(program)
        self.readers = [PropertyReader(program, i) for i in range(len(program.properties))]
        self.races = RaceFinder(program)
        self.broken: dict[int, tuple[int, str]] = {}
        self.seen_true: set[int] = set()
        self.false_in: dict[int, list[bool]] = {
            i: [] for i, p in enumerate(program.properties) if p.spec.kind == "eventually"
        }

    def run(self) -> CheckResult:
        started = time.monotonic()
        with noted():
            graph = explore(
                self.stepper, self._on_state, self.options.bounds, self.options.progress
            )
            try:
                with immediately():
                    results = self._results(graph)
            except Stopped as stopped:
                # What takes the whole graph is left out then.
                graph.incomplete = str(stopped)
                results = self._results(graph)
        if graph.incomplete:
            for result in results:
                if result.verdict is Verdict.HOLDS:
                    result.verdict = Verdict.INCOMPLETE
        depth = max(graph.depth, default=0)
        return CheckResult(
            self.program, results, len(graph.states), graph.transitions, depth,
            time.monotonic() - started, "reference", self.options.fairness, graph.incomplete,
        )  # fmt: skip

    def _results(self, graph: Graph) -> list[PropertyResult]:
        declared = (self._declared(graph, i) for i in range(len(self.program.properties)))
        return [*self._built_in(graph), *declared]

    # --- While exploring --------------------------------------------------------------------------

    def _on_state(self, number: int, state: State, steps: list[Step]) -> int:
        """Look at one state: is anything wrong in it, and does the run end here for that?"""
        broken = False
        for i, prop in enumerate(self.program.properties):
            broken |= self._look(i, prop.spec.kind, number, state)
        wrong = broken or any(s.failure is not None for s in steps)
        wrong |= self.races.look(state)
        wrong |= not steps and bool(unfinished(self.program, state))
        look = CUT if broken else GO_ON
        return look | STOP if wrong and not self.options.keep_going else look

    def _look(self, i: int, kind: str, number: int, state: State) -> bool:
        """Look at one property; true if it is an invariant and false here."""
        if i in self.seen_true:
            return False
        try:
            value = self.readers[i].holds(state)
            message = ""
        except StepFailure as failure:
            value, message = False, failure.message
            if i not in self.broken:
                self.broken[i] = number, message
        if kind == "eventually":
            self.false_in[i].append(not value)
        elif kind == "sometimes":
            if value:
                self.seen_true.add(i)
        elif not value:
            self.broken.setdefault(i, (number, message))
            return True
        return False

    # --- Afterwards -------------------------------------------------------------------------------

    def _built_in(self, graph: Graph) -> list[PropertyResult]:
        cycles = FairCycles(self.program, graph, self.options.fairness)
        self.cycles = cycles
        self.stuck = None if graph.incomplete else StuckThreads(self.program, graph)
        found = {
            "no_deadlock": self._deadlock(graph),
            "no_stuck_thread": self._stuck(graph),
            "no_data_race": self._race(graph),
            "assertions": self._failure(graph, "assertions"),
            "ranges": self._failure(graph, "ranges"),
            "no_starvation": self._starvation(graph),
        }
        return [_result(name, kind, found[name]) for name, kind in BUILT_IN]

    def _deadlock(self, graph: Graph) -> Finding | None:
        """Nobody can move; or, while others run on, several threads never can again."""
        state = find_deadlock(self.program, graph)
        if state is not None:
            threads = unfinished(self.program, graph.states[state])
            return self._waiting_for_ever(graph, Stuck(state, tuple(threads)), "no_deadlock")
        stuck = self.stuck.first(2) if self.stuck is not None else None
        return self._waiting_for_ever(graph, stuck, "no_deadlock") if stuck is not None else None

    def _stuck(self, graph: Graph) -> Finding | None:
        stuck = self.stuck.first(1) if self.stuck is not None else None
        return (
            self._waiting_for_ever(graph, stuck, "no_stuck_thread") if stuck is not None else None
        )

    def _waiting_for_ever(self, graph: Graph, stuck: Stuck, name: str) -> Finding:
        others_run = graph.first[stuck.state] != graph.first[stuck.state + 1]
        return describe.waiting_for_ever(
            self.program, graph.states[stuck.state], stuck.threads, others_run,
            path_to(graph, stuck.state), name,
        )  # fmt: skip

    def _race(self, graph: Graph) -> Finding | None:
        if not self.races.races:
            return None
        race = min(self.races.races, key=lambda r: graph.index[r.state])
        return describe.race_finding(self.program, race, path_to(graph, graph.index[race.state]))

    def _failure(self, graph: Graph, name: str) -> Finding | None:
        of_name = [f for f in graph.failures if describe.FAILURES[f.failure.kind][0] == name]
        if not of_name:
            return None
        failed: FailedStep = min(of_name, key=lambda f: graph.depth[f.source])
        path = (*path_to(graph, failed.source, failed.thread), failed.action)
        return describe.failure_finding(self.program, failed.thread, failed.failure, path)

    def _starvation(self, graph: Graph) -> Finding | None:
        """A thread that waits at one step for ever, in a fair run, though it could be let go."""
        if graph.incomplete:
            return None
        best: Finding | None = None
        for number in representatives(self.program):
            found = self._starved(graph, number, self.program.threads[number])
            if found is not None and (best is None or len(found.path) < len(best.path)):
                best = found
        return best

    def _starved(self, graph: Graph, number: int, thread: Thread) -> Finding | None:
        if self.stuck is None or self.stuck.ever(number):
            return None
        waits = [at.waits for at in thread.kind.locations]
        avoids = [waits[s[thread.base]] for s in graph.states[: graph.expanded]]
        lasso = self.cycles.find(avoids, without=number)
        if lasso is None:
            return None
        text = describe.starving_text(self.program, graph.states[lasso.entry], number)
        return self._lasso_finding(graph, lasso, "no_starvation", text, number)

    def _lasso_finding(
        self, graph: Graph, lasso: Lasso, name: str, message: str, thread: int = -1
    ) -> Finding:
        stem = path_to(graph, lasso.entry)
        loop = tuple(graph.actions[e] for e in lasso.loop)
        return Finding("starvation", name, message, stem + loop, len(stem) - 1, thread)

    def _declared(self, graph: Graph, i: int) -> PropertyResult:
        prop = self.program.properties[i]
        kind, name, informational = prop.spec.kind, prop.name, prop.spec.informational
        finding: Finding | None = None
        if i in self.broken:
            state, message = self.broken[i]
            finding = describe.broken_finding(name, message, path_to(graph, state))
        elif kind == "sometimes" and i not in self.seen_true and not graph.incomplete:
            finding = describe.vacuous_finding(name)
        elif kind == "eventually" and not graph.incomplete:
            finding = self._never_again(graph, i, name)
        return _result(name, kind, finding, informational)

    def _never_again(self, graph: Graph, i: int, name: str) -> Finding | None:
        avoids = self.false_in[i]
        lasso = self.cycles.find(avoids)
        if lasso is not None:
            return self._lasso_finding(graph, lasso, name, describe.never_again_text(name, False))
        end = self.cycles.find_dead_end(avoids)
        if end is not None:
            return self._lasso_finding(graph, end, name, describe.never_again_text(name, True))
        return None


def _result(
    name: str, kind: str, finding: Finding | None, informational: bool = False
) -> PropertyResult:
    verdict = Verdict.HOLDS if finding is None else Verdict.VIOLATION
    return PropertyResult(name, kind, verdict, informational, finding)
