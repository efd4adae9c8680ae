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
from quiesce.explorer.findings import CheckResult, Finding, Path, PropertyResult
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
from quiesce.explorer.reference.checker import (
    Options,
    built_in,
    cut_by_failures,
    decided,
    leave_open,
)
from quiesce.explorer.reference.evaluate import StepFailure
from quiesce.explorer.reference.fairness import LeftOut
from quiesce.explorer.reference.getting_on import may_spin
from quiesce.explorer.reference.races import RACED, RaceFinder
from quiesce.explorer.reference.representatives import representatives
from quiesce.explorer.reference.stepper import PropertyReader, State
from quiesce.explorer.reference.waiting import unfinished
from quiesce.properties import (
    BROKEN_BY,
    BUILT_IN,
    NO_DATA_RACE,
    NO_DEADLOCK,
    NO_LIVELOCK,
    NO_STARVATION,
    NO_STUCK_THREAD,
    BuiltInKind,
    FindingKind,
    Quantifier,
)
from quiesce.stopping import Stopped, immediately, noted
from quiesce.verdict import Verdict


def check_native(
    program: Program, options: Options, native: NativeOptions | None = None, whole: int = 0
) -> CheckResult:
    """Check *program* natively.

    With partial order reduction a counterexample may contain steps that only went first because nothing
    depends on them. So what is found with it is looked for again without, and is then the shortest.

    :param whole: up to how many states nothing is reduced: the result is then that of ``checker.py``.
    :raises NativeUnavailable: there is no numba.
    :raises NotPackable: the program does not fit 64-bit words; the reference explorer can check it.
    """
    native = native or NativeOptions()
    if whole:
        unreduced = replace(native, symmetry=False, partial_order=False)
        bounded = replace(options, bounds=replace(options.bounds, max_states=whole), progress=None)
        check = _NativeCheck(program, bounded, unreduced)
        check.search.run()
        if check.search.states <= whole:
            return check.run()
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


def _found_in_a_state(result: CheckResult) -> set[FindingKind]:
    """Return the kinds of what was found, without what is about runs that go on forever."""
    kinds = {p.finding.kind for p in result.properties if p.finding}
    return {kind for kind in kinds if kind.has_run and not kind.forever}


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
        """Search, unless that is done, and decide."""
        started = self.search.started
        with noted():
            if not self.search.levels:
                self.search.run()
            self.notes += self.warnings
            if self._unfounded and not self.search.incomplete:
                self.search.incomplete = RACED
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
        order = [kind.name for kind in BUILT_IN] + [p.name for p in self.program.properties]
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
    def _unfounded(self) -> bool:
        """Whether steps were fused that must not be; as in ``checker.py``."""
        return self.program.fuse and self.search.race() is not None

    @property
    def warnings(self) -> list[str]:
        """What could not be done on the side."""
        return self.checkpoint.warnings if self.checkpoint is not None else []

    # --- What is seen in one state or step --------------------------------------------------------

    def _safety(self) -> list[PropertyResult]:
        failures = self._failures()
        results = [
            built_in(NO_DATA_RACE, self._race()),
            *(built_in(kind, failures.get(kind)) for kind in BUILT_IN if kind.failures),
        ]
        for i, prop in enumerate(self.program.properties):
            seen, failed = self.search.property_seen(i), self.search.property_failed(i)
            finding = None
            quantifier = prop.spec.kind.quantifier
            if quantifier is Quantifier.EVERY_STATE:
                wrong = seen
            elif seen is None or failed is None or failed.depth <= seen.depth:
                wrong = failed
            else:
                wrong = None
            if wrong is not None:
                finding = self._broken(i, wrong)
            elif quantifier is Quantifier.SOME_STATE and seen is None:
                if self.search.incomplete or self.search.failed_steps:
                    # What was not searched might have shown it.
                    results.append(
                        PropertyResult(
                            prop.name, prop.spec.kind, Verdict.INCOMPLETE, prop.spec.informational
                        )
                    )
                    continue
                finding = describe.never_seen_finding(prop)
            elif quantifier is Quantifier.AGAIN:
                continue
            results.append(decided(prop.name, prop.spec.kind, finding, prop.spec.informational))
        return results

    def _broken(self, i: int, sighting: Sighting) -> Finding:
        path, state = self.replay.path_to(sighting)
        message = ""
        try:
            PropertyReader(self.program, i).holds(state)
        except StepFailure as failure:
            message = failure.message
        return describe.broken_finding(self.program.properties[i], message, path)

    def _race(self) -> Finding | None:
        sighting = self.search.race()
        if sighting is None:
            return None
        path, state = self.replay.path_to(sighting)
        finder = RaceFinder(self.program)
        if not finder.look(state):
            raise Mismatch("the reference finds no race where the native explorer found one")
        return describe.race_finding(self.program, finder.races[0], path)

    def _failures(self) -> dict[BuiltInKind, Finding]:
        """Return the shortest failed step for each property that such steps break."""
        found: dict[BuiltInKind, Finding] = {}
        for sighting in self.search.failures():
            failing = self._failing_steps(self.search.compiled.unpack(sighting.words))
            if all(asked in found for asked, _, _, _ in failing):
                continue
            path, state = self.replay.path_to(sighting, failing[0][2])
            for asked, action, thread, failure in self._failing_steps(state):
                if asked not in found:
                    found[asked] = describe.failure_finding(
                        self.program, thread, failure, (*path, action)
                    )
        return found

    def _failing_steps(self, state: State) -> list[tuple[BuiltInKind, int, int, StepFailure]]:
        """Return which property each failing step of *state* breaks, its number and its thread."""
        return [
            (BROKEN_BY[step.failure.kind][0], action, step.thread, step.failure)
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

    def _liveness(self, known_already: list[PropertyResult]) -> list[PropertyResult]:
        known = {r.name for r in known_already}
        results = [
            built_in(NO_DEADLOCK, self._deadlock()),
            built_in(NO_STUCK_THREAD, self._alone()),
            built_in(NO_LIVELOCK, self._livelock()),
            built_in(NO_STARVATION, self._starvation()),
        ]
        for i, prop in enumerate(self.program.properties):
            kind, informational = prop.spec.kind, prop.spec.informational
            if kind.quantifier is Quantifier.AGAIN and prop.name not in known:
                results.append(decided(prop.name, kind, self._never_again(i), informational))
        for result in results:
            # These are only known if the complete graph was searched.
            if result.finding is None and self.graph is None:
                result.verdict = Verdict.INCOMPLETE
        return results

    def _deadlock(self) -> Finding | None:
        if self._unfounded:
            return None
        sighting = self.search.deadlock()
        if sighting is not None:
            path, state = self.replay.path_to(sighting)
            threads = tuple(unfinished(self.program, state))
            return describe.stuck_forever(
                self.program, state, threads, (), False, path, NO_DEADLOCK
            )
        if self.stuck is None:
            return None
        at_rest = self.stuck.first(AT_REST, None)
        if at_rest is not None:
            return self._stuck_forever(at_rest, False, NO_DEADLOCK)
        return self._stuck_forever(self.stuck.first(STUCK_TOGETHER, True), True, NO_DEADLOCK)

    def _alone(self) -> Finding | None:
        """Return the first state in which one thread is stuck while others run on."""
        first = self.stuck.first(STUCK_ALONE, False) if self.stuck is not None else None
        return self._stuck_forever(first, True, NO_STUCK_THREAD)

    def _stuck_forever(
        self, number: int | None, others_run: bool, asked: BuiltInKind
    ) -> Finding | None:
        if number is None:
            return None
        assert self.graph is not None and self.stuck is not None
        threads = _members(int(self.stuck.masks[number]))
        able = _members(int(self.graph.moves[number]))
        path, state = self.whole.path_to(self.graph.sighting(number))
        return describe.stuck_forever(self.program, state, threads, able, others_run, path, asked)

    def _livelock(self) -> Finding | None:
        if self.graph is None or not any(may_spin(k) for k in self.program.kinds):
            return None
        graph, threads = self.graph, self.program.threads
        not_daemons = sum(1 << i for i, t in enumerate(threads) if not t.daemon)
        lasso = graph.find_fair_cycle(
            np.ones(graph.count, np.bool_), self.options.fairness,
            LeftOut(progress=graph.everyone, must_move=not_daemons),
        )  # fmt: skip
        if lasso is None:
            return None
        state, path, loop_start = self._run_of(graph, lasso)
        movers = (int(graph.movers[e]) for e in lasso.loop)
        return describe.livelock_finding(self.program, state, movers, path, loop_start)

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
        state, path, loop_start = self._run_of(graph, lasso)
        return describe.starving_finding(
            self.program, state, number, lasso is spinning, path, loop_start
        )

    def _never_again(self, i: int) -> Finding | None:
        if self.graph is None:
            return None
        avoids = self.graph.false_in(i)
        lasso, ends = self.graph.find_fair_cycle(avoids, self.options.fairness), False
        if lasso is None:
            lasso, ends = self.graph.find_dead_end(avoids), True
        if lasso is None:
            return None
        _, path, loop_start = self._run_of(self.graph, lasso)
        return describe.never_again_finding(self.program.properties[i], ends, path, loop_start)

    def _run_of(self, graph: StepGraph, lasso: NativeLasso) -> tuple[State, Path, int]:
        """Return the state in which the loop of *lasso* begins, its steps, and the number of the stem's."""
        stem, entry = self.whole.path_to(graph.sighting(lasso.entry))
        loop, state = [], entry
        for edge in lasso.loop:
            target = graph.sighting(int(graph.targets[edge])).words
            action, _, state = self.whole.step(state, target, int(graph.movers[edge]))
            loop.append(action)
        return entry, (*stem, *loop), len(stem) - 1


def _members(mask: int) -> tuple[int, ...]:
    """Return the threads of a mask."""
    return tuple(t for t in range(mask.bit_length()) if mask >> t & 1)


def _length(graph: StepGraph, lasso: NativeLasso) -> int:
    return graph.sighting(lasso.entry).depth + len(lasso.loop)
