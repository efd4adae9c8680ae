# SPDX-License-Identifier: Apache-2.0
"""A check with the native explorer: the same verdicts as ``checker.py``, for large spaces.

First a search for everything that can be seen in one state or step, with the reductions that are asked
for. If that is exhausted without a violation, what is about runs that go on forever (stuck threads,
starvation, ``eventually``) is decided on the whole graph without reductions, since fairness is promised
to each thread by itself. Every finding is replayed with the reference stepper.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from quiesce.compiler.program import Program
from quiesce.explorer.findings import CheckResult, Finding, PropertyResult
from quiesce.explorer.native.checkpoint import Checkpoint
from quiesce.explorer.native.cover import cover_natively
from quiesce.explorer.native.kernels.records import Sighting
from quiesce.explorer.native.kernels.stuck import AT_REST, STUCK_ALONE, STUCK_TOGETHER
from quiesce.explorer.native.liveness import NativeLasso, StepGraph, StuckStates
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.native.replay import Mismatch, Replay
from quiesce.explorer.native.search import Search, SearchOptions
from quiesce.explorer.native.symmetry import find_symmetry
from quiesce.explorer.reference import describe
from quiesce.explorer.reference.checker import BUILT_IN, Options, cut_by_failures, leave_open
from quiesce.explorer.reference.evaluate import StepFailure
from quiesce.explorer.reference.fairness import LeftOut
from quiesce.explorer.reference.getting_on import may_spin
from quiesce.explorer.reference.races import RaceFinder
from quiesce.explorer.reference.representatives import representatives
from quiesce.explorer.reference.stepper import PropertyReader, State
from quiesce.explorer.reference.waiting import unfinished
from quiesce.stopping import Stopped, immediately, noted
from quiesce.verdict import Verdict


def check_native(
    program: Program, options: Options, native: NativeOptions | None = None
) -> CheckResult:
    """Check *program* natively.

    With partial order reduction a counterexample may contain steps that only went first because nothing
    depends on them. So what is found with it is looked for again without, and is then the shortest.

    :raises NativeUnavailable: there is no numba.
    :raises NotPackable: the program does not fit 64-bit words; the reference explorer can check it.
    """
    native = native or NativeOptions()
    check = _NativeCheck(program, options, native)
    result = check.run()
    found = _found_in_a_state(result)
    if check.goes_first and found:
        # The checkpoint is of the first search.
        unreduced = replace(native, partial_order=False, checkpoint="")
        again = _NativeCheck(program, options, unreduced).run()
        if _found_in_a_state(again) >= found:
            again.notes += check.warnings
            return again
    return result


def _found_in_a_state(result: CheckResult) -> set[str]:
    """Return the kinds of what was found, without what is about runs that go on forever."""
    kinds = {p.finding.kind for p in result.properties if p.finding}
    return kinds - {"starvation", "vacuous"}


class _NativeCheck:
    def __init__(self, program: Program, options: Options, native: NativeOptions) -> None:
        self.program = program
        self.options = options
        self.native = native
        self.notes: list[str] = []
        self.undecided = ""
        self.graph: StepGraph | None = None
        self.stuck: StuckStates | None = None
        search_options = SearchOptions(
            options.bounds, native.cores, options.keep_going, True, options.progress
        )
        self.search = Search(program, search_options)
        if native.symmetry:
            found = find_symmetry(self.search.compiled)
            self.search.use_symmetry(found.symmetry)
            self.notes += found.notes
        self.goes_first = native.partial_order and self.search.use_partial_order()
        if self.goes_first:
            self.notes.append("steps that nothing else depends on go first")
        self.checkpoint = Checkpoint(native.checkpoint, options.warn) if native.checkpoint else None
        self.search.checkpoint = self.checkpoint
        self.replay = Replay(self.search)

    def run(self) -> CheckResult:
        started = time.monotonic()
        with noted():
            self.search.run()
            self.notes += self.warnings
            results = self._safety()
            try:
                with immediately():
                    if not self.search.incomplete:
                        self._build_graph()
                    results += self._liveness(results)
            except Stopped as stopped:
                self.graph = self.stuck = None
                self.undecided = f"stuck threads and starvation are not decided: {stopped}"
                results += self._liveness(results)
        order = [name for name, _ in BUILT_IN] + [p.name for p in self.program.properties]
        results.sort(key=lambda r: order.index(r.name))
        failed = self.search.failed_steps if self.graph is None else self.graph.failed_steps
        cut = self.search.incomplete or cut_by_failures(failed)
        leave_open(results, cut)
        incomplete = cut or self.undecided
        return CheckResult(
            self.program, results, self.search.states, self.search.transitions, self.search.depth,
            time.monotonic() - started, "native", self.options.fairness, incomplete, self.notes,
            cover_natively(self.graph) if self.graph is not None and not incomplete else None,
        )  # fmt: skip

    @property
    def warnings(self) -> list[str]:
        """What could not be done on the side."""
        return self.checkpoint.warnings if self.checkpoint is not None else []

    # --- What is seen in one state or step --------------------------------------------------------

    def _safety(self) -> list[PropertyResult]:
        failures = self._failures()
        results = [
            _result("no_data_race", "data race", self._race()),
            _result("assertions", "assert", failures.get("assertions")),
            _result("ranges", "range", failures.get("ranges")),
        ]
        for i, prop in enumerate(self.program.properties):
            seen, failed = self.search.property_seen(i), self.search.property_failed(i)
            finding = None
            if prop.spec.kind == "always":
                wrong = seen
            elif seen is None or failed is None or failed.depth <= seen.depth:
                wrong = failed
            else:
                wrong = None
            if wrong is not None:
                finding = self._broken(i, prop.name, wrong)
            elif prop.spec.kind == "sometimes" and seen is None:
                if self.search.incomplete or self.search.failed_steps:
                    # What was not searched might have shown it.
                    results.append(
                        PropertyResult(
                            prop.name, prop.spec.kind, Verdict.INCOMPLETE, prop.spec.informational
                        )
                    )
                    continue
                finding = describe.vacuous_finding(prop.name)
            elif prop.spec.kind == "eventually":
                continue
            results.append(_result(prop.name, prop.spec.kind, finding, prop.spec.informational))
        return results

    def _broken(self, i: int, name: str, sighting: Sighting) -> Finding:
        path, state = self.replay.path_to(sighting)
        message = ""
        try:
            PropertyReader(self.program, i).holds(state)
        except StepFailure as failure:
            message = failure.message
        return describe.broken_finding(name, message, path)

    def _race(self) -> Finding | None:
        sighting = self.search.race()
        if sighting is None:
            return None
        path, state = self.replay.path_to(sighting)
        finder = RaceFinder(self.program)
        if not finder.look(state):
            raise Mismatch("the reference finds no race where the native explorer found one")
        return describe.race_finding(self.program, finder.races[0], path)

    def _failures(self) -> dict[str, Finding]:
        """Return the shortest failed step for each property that such steps break."""
        found: dict[str, Finding] = {}
        for sighting in self.search.failures():
            failing = self._failing_steps(self.search.compiled.unpack(sighting.words))
            if all(name in found for name, _, _, _ in failing):
                continue
            path, state = self.replay.path_to(sighting, failing[0][2])
            for name, action, thread, failure in self._failing_steps(state):
                if name not in found:
                    found[name] = describe.failure_finding(
                        self.program, thread, failure, (*path, action)
                    )
        return found

    def _failing_steps(self, state: State) -> list[tuple[str, int, int, StepFailure]]:
        """Return which property each failing step of *state* breaks, its number and its thread."""
        return [
            (describe.FAILURES[step.failure.kind][0], action, step.thread, step.failure)
            for action, step in enumerate(self.replay.stepper.successors(state))
            if step.failure is not None
        ]

    # --- What is about runs that go on forever ---------------------------------------------------

    def _build_graph(self) -> None:
        search = self.search
        if search.reduced:
            options = replace(search.options, races=False, keep_going=True)
            whole = Search(self.program, options)
            whole.run()
            if whole.incomplete:
                self.undecided = (
                    f"stuck threads and starvation are not decided: without reductions "
                    f"{whole.incomplete}"
                )
                return
            self.notes.append(
                f"starvation was decided on {whole.states:,} states, without reductions"
            )
            search = whole
        self.undecided = search.out_of_memory(search.bytes + StepGraph.bytes_for(search))
        if self.undecided:
            self.undecided = (
                f"stuck threads and starvation are not decided: for the graph of all steps "
                f"{self.undecided}"
            )
            return
        self.whole = Replay(search)
        try:
            graph = StepGraph(search)
            self.stuck = graph.find_stuck_threads()
        except MemoryError as error:
            self.undecided = f"stuck threads and starvation are not decided: {error}"
            return
        self.graph = graph

    def _liveness(self, decided: list[PropertyResult]) -> list[PropertyResult]:
        known = {r.name for r in decided}
        results = [
            self._open("no_deadlock", "deadlock", self._deadlock()),
            self._open("no_stuck_thread", "stuck thread", self._alone()),
            self._open("no_livelock", "livelock", self._livelock()),
            self._open("no_starvation", "starvation", self._starvation()),
        ]
        for i, prop in enumerate(self.program.properties):
            if prop.spec.kind == "eventually" and prop.name not in known:
                finding = self._never_again(i, prop.name)
                informational = prop.spec.informational
                results.append(self._open(prop.name, "eventually", finding, informational))
        return results

    def _open(
        self, name: str, kind: str, finding: Finding | None, informational: bool = False
    ) -> PropertyResult:
        """Return a result that is only known if the whole graph was looked at."""
        result = _result(name, kind, finding, informational)
        if finding is None and self.graph is None:
            result.verdict = Verdict.INCOMPLETE
        return result

    def _deadlock(self) -> Finding | None:
        sighting = self.search.deadlock()
        if sighting is not None:
            path, state = self.replay.path_to(sighting)
            threads = tuple(unfinished(self.program, state))
            return describe.stuck_forever(
                self.program, state, threads, (), False, path, "no_deadlock"
            )
        if self.stuck is None:
            return None
        at_rest = self.stuck.first(AT_REST, None)
        if at_rest is not None:
            return self._stuck_forever(at_rest, False, "no_deadlock")
        return self._stuck_forever(self.stuck.first(STUCK_TOGETHER, True), True, "no_deadlock")

    def _alone(self) -> Finding | None:
        """Return the first state in which one thread is stuck while others run on."""
        first = self.stuck.first(STUCK_ALONE, False) if self.stuck is not None else None
        return self._stuck_forever(first, True, "no_stuck_thread")

    def _stuck_forever(self, number: int | None, others_run: bool, name: str) -> Finding | None:
        if number is None:
            return None
        assert self.graph is not None and self.stuck is not None
        threads = _members(int(self.stuck.masks[number]))
        able = _members(int(self.graph.moves[number]))
        path, state = self.whole.path_to(self.graph.sighting(number))
        return describe.stuck_forever(self.program, state, threads, able, others_run, path, name)

    def _livelock(self) -> Finding | None:
        if self.graph is None or not any(may_spin(k) for k in self.program.kinds):
            return None
        graph, threads = self.graph, self.program.threads
        not_daemons = sum(1 << i for i, t in enumerate(threads) if not t.daemon)
        lasso = graph.find_fair_cycle(
            np.ones(graph.count, np.bool_), self.options.fairness,
            LeftOut(progress=graph.everyone, must_move=not_daemons),
        )  # fmt: skip
        return self._lasso_finding(lasso, "no_livelock") if lasso is not None else None

    def _starvation(self) -> Finding | None:
        if self.graph is None:
            return None
        best: Finding | None = None
        for number in representatives(self.program):
            found = self._starved(self.graph, number)
            if found is not None and (best is None or len(found.path) < len(best.path)):
                best = found
        return best

    def _starved(self, graph: StepGraph, number: int) -> Finding | None:
        assert self.stuck is not None
        kind, bit = self.program.threads[number].kind, np.uint64(1 << number)
        free = self.stuck.masks & bit == 0
        waits = graph.marks(
            [[at.waits and k is kind for at in k.locations] for k in self.program.kinds]
        )
        fairness = self.options.fairness
        lasso = graph.find_fair_cycle(
            free & (waits & bit != 0), fairness, LeftOut(moves=1 << number)
        )
        spinning = None
        if may_spin(kind):
            spinning = graph.find_fair_cycle(
                free, fairness, LeftOut(progress=1 << number, must_move=1 << number)
            )
        if lasso is None or (
            spinning is not None and _length(graph, spinning) < _length(graph, lasso)
        ):
            lasso = spinning
        if lasso is None:
            return None
        return self._lasso_finding(lasso, "no_starvation", "", number, lasso is spinning)

    def _never_again(self, i: int, name: str) -> Finding | None:
        if self.graph is None:
            return None
        avoids = self.graph.false_in(i)
        lasso = self.graph.find_fair_cycle(avoids, self.options.fairness)
        if lasso is not None:
            return self._lasso_finding(lasso, name, describe.never_again_text(name, False))
        lasso = self.graph.find_dead_end(avoids)
        if lasso is not None:
            return self._lasso_finding(lasso, name, describe.never_again_text(name, True))
        return None

    def _lasso_finding(
        self,
        lasso: NativeLasso,
        name: str,
        message: str = "",
        thread: int = -1,
        spins: bool = False,
    ) -> Finding:
        assert self.graph is not None
        stem, state = self.whole.path_to(self.graph.sighting(lasso.entry))
        kind, spinning = "starvation", tuple[int, ...]()
        if thread >= 0:
            spinning = (thread,) if spins else ()
            message = describe.starving_text(self.program, state, thread, spins)
        elif name == "no_livelock":
            kind = "livelock"
            spinning = tuple(sorted({int(self.graph.movers[e]) for e in lasso.loop}))
            message = describe.livelock_text(self.program, state, spinning)
        loop = []
        for edge in lasso.loop:
            target = self.graph.sighting(int(self.graph.targets[edge])).words
            action, _, state = self.whole.step(state, target, int(self.graph.movers[edge]))
            loop.append(action)
        return Finding(kind, name, message, (*stem, *loop), len(stem) - 1, thread, spinning)


def _members(mask: int) -> tuple[int, ...]:
    """Return the threads of a mask."""
    return tuple(t for t in range(mask.bit_length()) if mask >> t & 1)


def _length(graph: StepGraph, lasso: NativeLasso) -> int:
    return graph.sighting(lasso.entry).depth + len(lasso.loop)


def _result(
    name: str, kind: str, finding: Finding | None, informational: bool = False
) -> PropertyResult:
    verdict = Verdict.HOLDS if finding is None else Verdict.VIOLATION
    return PropertyResult(name, kind, verdict, informational, finding)
