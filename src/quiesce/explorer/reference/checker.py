# SPDX-License-Identifier: Apache-2.0
"""A check with the reference explorer: from a compiled program to verdicts and findings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from quiesce.compiler.program import CompiledProperty, Program, Thread
from quiesce.explorer.findings import CheckResult, Finding, Path, PropertyResult
from quiesce.explorer.reference import describe
from quiesce.explorer.reference.coverage import cover
from quiesce.explorer.reference.evaluate import StepFailure
from quiesce.explorer.reference.fairness import FairCycles, Lasso, LeftOut
from quiesce.explorer.reference.getting_on import GettingOn, may_spin
from quiesce.explorer.reference.graph import Bounds, FailedStep, Graph, Progress, explore
from quiesce.explorer.reference.paths import path_to
from quiesce.explorer.reference.races import RACED, RaceFinder
from quiesce.explorer.reference.representatives import representatives
from quiesce.explorer.reference.stepper import PropertyReader, State, Step, Stepper
from quiesce.explorer.reference.waiting import Stuck, StuckThreads, find_deadlock, unfinished
from quiesce.properties import (
    BROKEN_BY,
    BUILT_IN,
    NO_DATA_RACE,
    NO_DEADLOCK,
    NO_LIVELOCK,
    NO_STARVATION,
    NO_STUCK_THREAD,
    BuiltInKind,
    PropertyKind,
    Quantifier,
)
from quiesce.stopping import Stopped, immediately, noted
from quiesce.verdict import Verdict


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
    return _Checking(program, options).run()


class _Checking:
    def __init__(self, program: Program, options: Options) -> None:
        self.program = program
        self.options = options
        self.stepper = Stepper(program)
        self.readers = [PropertyReader(program, i) for i in range(len(program.properties))]
        self.races = RaceFinder(program)
        self.broken: dict[int, tuple[int, str]] = {}
        self.seen_true: set[int] = set()
        self.false_in: dict[int, list[bool]] = {
            i: []
            for i, p in enumerate(program.properties)
            if p.spec.kind.quantifier is Quantifier.AGAIN
        }

    def run(self) -> CheckResult:
        started = time.monotonic()
        with noted():
            graph = explore(
                self.stepper, self._on_state, self.options.bounds, self.options.progress
            )
            if self._unfounded and not graph.incomplete:
                graph.incomplete = RACED
            try:
                with immediately():
                    results = self._results(graph)
            except Stopped as stopped:
                # What takes the whole graph is left out then.
                graph.incomplete = str(stopped)
                results = self._results(graph)
        incomplete = graph.incomplete or cut_by_failures(len(graph.failures))
        leave_open(results, incomplete)
        return CheckResult(
            self.program, results, len(graph.states), graph.transitions, max(graph.depth, default=0),
            time.monotonic() - started, "reference", self.options.fairness, incomplete,
            never_executed=None if incomplete else cover(self.program, graph.states),
        )  # fmt: skip

    @property
    def _unfounded(self) -> bool:
        """Whether steps were fused that must not be: what was not seen may happen all the same."""
        return self.program.fuse and bool(self.races.races)

    def _results(self, graph: Graph) -> list[PropertyResult]:
        declared = (self._declared(graph, i) for i in range(len(self.program.properties)))
        return [*self._built_in(graph), *declared]

    # --- While exploring --------------------------------------------------------------------------

    def _on_state(self, number: int, state: State, steps: list[Step]) -> bool:
        """Look at one state; true if something is wrong in it and the search is to end for that."""
        wrong = False
        for i, prop in enumerate(self.program.properties):
            wrong |= self._look(i, prop, number, state) and not prop.spec.informational
        wrong |= any(s.failure is not None for s in steps)
        wrong |= self.races.look(state)
        wrong |= not steps and bool(unfinished(self.program, state))
        return wrong and not self.options.keep_going

    def _look(self, i: int, prop: CompiledProperty, number: int, state: State) -> bool:
        """Evaluate one property; true if it must be true in every state and is false here."""
        if i in self.seen_true:
            return False
        try:
            value = self.readers[i].holds(state)
            message = ""
        except StepFailure as failure:
            value, message = False, failure.message
            if i not in self.broken:
                self.broken[i] = number, message
        quantifier = prop.spec.kind.quantifier
        if quantifier is Quantifier.AGAIN:
            self.false_in[i].append(not value)
        elif quantifier is Quantifier.SOME_STATE:
            if value:
                self.seen_true.add(i)
        elif not value:
            self.broken.setdefault(i, (number, message))
            return True
        return False

    # --- Afterwards -------------------------------------------------------------------------------

    def _built_in(self, graph: Graph) -> list[PropertyResult]:
        getting_on = GettingOn(self.program, graph)
        self.cycles = FairCycles(self.program, graph, self.options.fairness, getting_on.progress)
        self.stuck = None
        if not graph.incomplete:
            self.stuck = StuckThreads(self.program, graph)
        decide = {
            NO_DEADLOCK: self._deadlock,
            NO_STUCK_THREAD: self._stuck,
            NO_DATA_RACE: self._race,
            NO_LIVELOCK: self._livelock,
            NO_STARVATION: self._starvation,
        }
        return [
            built_in(kind, self._failure(graph, kind) if kind.failures else decide[kind](graph))
            for kind in BUILT_IN
        ]

    def _deadlock(self, graph: Graph) -> Finding | None:
        """No thread can get on any more; or several never can again, while others run."""
        if self._unfounded:
            return None
        state = find_deadlock(self.program, graph)
        if state is not None:
            threads = unfinished(self.program, graph.states[state])
            return self._stuck_forever(graph, Stuck(state, tuple(threads), False), NO_DEADLOCK)
        if self.stuck is None:
            return None
        return self._stuck_forever(graph, self.stuck.blocked or self.stuck.several, NO_DEADLOCK)

    def _stuck(self, graph: Graph) -> Finding | None:
        alone = self.stuck.alone if self.stuck is not None else None
        return self._stuck_forever(graph, alone, NO_STUCK_THREAD)

    def _stuck_forever(
        self, graph: Graph, stuck: Stuck | None, asked: BuiltInKind
    ) -> Finding | None:
        if stuck is None:
            return None
        return describe.stuck_forever(
            self.program, graph.states[stuck.state], stuck.threads,
            {graph.threads[e] for e in graph.edges(stuck.state)}, stuck.others_run,
            path_to(graph, stuck.state), asked,
        )  # fmt: skip

    def _race(self, graph: Graph) -> Finding | None:
        if not self.races.races:
            return None
        race = min(self.races.races, key=lambda r: graph.index[r.state])
        return describe.race_finding(self.program, race, path_to(graph, graph.index[race.state]))

    def _failure(self, graph: Graph, asked: BuiltInKind) -> Finding | None:
        breaking = [f for f in graph.failures if BROKEN_BY[f.failure.kind][0] is asked]
        if not breaking:
            return None
        failed: FailedStep = min(breaking, key=lambda f: graph.depth[f.source])
        path = (*path_to(graph, failed.source, failed.thread), failed.action)
        return describe.failure_finding(self.program, failed.thread, failed.failure, path)

    def _livelock(self, graph: Graph) -> Finding | None:
        """Threads take steps forever in a fair run, and none of them gets on."""
        if graph.incomplete or not any(may_spin(k) for k in self.program.kinds):
            return None
        threads = self.program.threads
        everyone = (1 << len(threads)) - 1
        not_daemons = sum(1 << i for i, t in enumerate(threads) if not t.daemon)
        lasso = self.cycles.find(
            [True] * graph.expanded, LeftOut(progress=everyone, must_move=not_daemons)
        )
        if lasso is None:
            return None
        movers = [graph.threads[e] for e in lasso.loop]
        path, loop_start = _run_of(graph, lasso)
        return describe.livelock_finding(
            self.program, graph.states[lasso.entry], movers, path, loop_start
        )

    def _starvation(self, graph: Graph) -> Finding | None:
        """A thread that waits or spins forever in a fair run, though it could get on."""
        if graph.incomplete:
            return None
        best: Finding | None = None
        for number in representatives(self.program):
            found = self._starved(graph, number, self.program.threads[number])
            if found is not None and (best is None or len(found.path) < len(best.path)):
                best = found
        return best

    def _starved(self, graph: Graph, number: int, thread: Thread) -> Finding | None:
        assert self.stuck is not None
        bit = 1 << number
        free = [not mask & bit for mask in self.stuck.masks]
        waits = [at.waits for at in thread.kind.locations]
        at_a_wait = [
            ok and waits[s[thread.base]]
            for ok, s in zip(free, graph.states[: graph.expanded], strict=True)
        ]
        lasso = self.cycles.find(at_a_wait, LeftOut(moves=bit))
        spinning = None
        if may_spin(thread.kind):
            spinning = self.cycles.find(free, LeftOut(progress=bit, must_move=bit))
        if lasso is None or (
            spinning is not None and _length(graph, spinning) < _length(graph, lasso)
        ):
            lasso = spinning
        if lasso is None:
            return None
        path, loop_start = _run_of(graph, lasso)
        return describe.starving_finding(
            self.program, graph.states[lasso.entry], number, lasso is spinning, path, loop_start
        )

    def _declared(self, graph: Graph, i: int) -> PropertyResult:
        prop = self.program.properties[i]
        kind, informational = prop.spec.kind, prop.spec.informational
        finding: Finding | None = None
        if i in self.broken:
            state, message = self.broken[i]
            finding = describe.broken_finding(prop, message, path_to(graph, state))
        elif kind.quantifier is Quantifier.SOME_STATE and i not in self.seen_true:
            if graph.incomplete or graph.failures:
                # What was not searched might have shown it.
                return PropertyResult(prop.name, kind, Verdict.INCOMPLETE, informational)
            finding = describe.never_seen_finding(prop)
        elif kind.quantifier is Quantifier.AGAIN and not graph.incomplete:
            finding = self._never_again(graph, i)
        return decided(prop.name, kind, finding, informational)

    def _never_again(self, graph: Graph, i: int) -> Finding | None:
        avoids = self.false_in[i]
        lasso, ends = self.cycles.find(avoids), False
        if lasso is None:
            lasso, ends = self.cycles.find_dead_end(avoids), True
        if lasso is None:
            return None
        return describe.never_again_finding(
            self.program.properties[i], ends, *_run_of(graph, lasso)
        )


def cut_by_failures(count: int) -> str:
    """Return why a space is not complete in which *count* steps fail; empty if none does."""
    if not count:
        return ""
    steps = "1 step fails" if count == 1 else f"{count:,} steps fail"
    return f"{steps} {_AFTER_FAILURES}"


_AFTER_FAILURES = "and what would come after is not known"


def cut_only_by_failures(incomplete: str) -> bool:
    """Return True if the space is complete but for what would come after failed steps."""
    return incomplete.endswith(_AFTER_FAILURES)


def leave_open(results: list[PropertyResult], incomplete: str) -> None:
    """Say of nothing that it holds if the space is *incomplete*, but of what was seen to be possible."""
    for result in results:
        if incomplete and result.verdict is Verdict.HOLDS and not result.kind.holds_on_a_part:
            result.verdict = Verdict.INCOMPLETE


def _length(graph: Graph, lasso: Lasso) -> int:
    return graph.depth[lasso.entry] + len(lasso.loop)


def _run_of(graph: Graph, lasso: Lasso) -> tuple[Path, int]:
    """Return the steps of *lasso*, its stem and one turn of its loop, and where the loop begins."""
    stem = path_to(graph, lasso.entry)
    return (*stem, *(graph.actions[e] for e in lasso.loop)), len(stem) - 1


def built_in(kind: BuiltInKind, finding: Finding | None) -> PropertyResult:
    """Return the result of a built-in property that was searched for."""
    return decided(kind.name, kind, finding, kind.informational)


def decided(
    name: str, kind: PropertyKind, finding: Finding | None, informational: bool = False
) -> PropertyResult:
    """Return the result of a property that was searched for: it holds if there is no *finding*."""
    verdict = Verdict.HOLDS if finding is None else Verdict.VIOLATION
    return PropertyResult(name, kind, verdict, informational, finding)
