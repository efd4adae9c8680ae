# SPDX-License-Identifier: Apache-2.0
"""A check with the native explorer: the same verdicts as ``checker.py``, for large spaces.

First a search for everything that can be seen in one state or step, with the reductions that are asked
for. If that is exhausted, what is about runs that go on forever (stuck threads, starvation, ``eventually``)
is decided on the graph of all steps: between representatives if identical threads may be exchanged
(``quotient.py``), else without reductions. Every finding is replayed with the reference stepper.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from quiesce.compiler.program import Program
from quiesce.explorer.findings import CheckResult, Finding, PropertyResult
from quiesce.explorer.native.checkpoint import Checkpoint
from quiesce.explorer.native.cover import cover_natively
from quiesce.explorer.native.forever import Forever
from quiesce.explorer.native.kernels.records import Sighting
from quiesce.explorer.native.liveness import StepGraph
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.native.program.tables import Symmetry
from quiesce.explorer.native.quotient import Quotient
from quiesce.explorer.native.quotient_edges import NotReducible
from quiesce.explorer.native.quotient_findings import QuotientFindings
from quiesce.explorer.native.replay import Mismatch, Replay
from quiesce.explorer.native.search import Search, SearchOptions
from quiesce.explorer.native.symmetry import find_symmetry
from quiesce.explorer.native.whole_space import WholeSpace
from quiesce.explorer.reference import describe
from quiesce.explorer.reference.checker import (
    Options,
    built_in,
    cut_by_failures,
    decided,
    leave_open,
)
from quiesce.explorer.reference.evaluate import StepFailure
from quiesce.explorer.reference.races import RACED, RaceFinder
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


_UNDECIDED = "stuck threads and starvation are not decided"


class _NativeCheck:
    def __init__(self, program: Program, options: Options, native: NativeOptions) -> None:
        self.program = program
        self.options = options
        self.native = native
        self.notes: list[str] = []
        self.undecided = ""
        self.forever: Forever | None = None
        self.known: set[str] = set()
        """The properties that are decided already."""
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
            self.known = {r.name for r in results}
            try:
                with immediately():
                    results += (
                        self._liveness() if self.search.incomplete else self._decide_forever()
                    )
            except Stopped as stopped:
                self.forever = None
                self.undecided = f"{_UNDECIDED}: {stopped}"
                results += self._liveness()
        order = [kind.name for kind in BUILT_IN] + [p.name for p in self.program.properties]
        results.sort(key=lambda r: order.index(r.name))
        graph = self.forever.graph if self.forever is not None else None
        failed = self.search.failed_steps if graph is None else graph.failed_steps
        failures = cut_by_failures(failed)
        leave_open(results, self.search.incomplete or failures)
        reasons = [why for why in (failures, self.undecided) if why]
        incomplete = self.search.incomplete or "; ".join(reasons)
        return CheckResult(
            self.program, results, self.search.states, self.search.transitions, self.search.depth,
            time.monotonic() - started, "native", self.options.fairness, incomplete, self.notes,
            cover_natively(graph) if graph is not None and not incomplete else None,
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

    def _decide_forever(self) -> list[PropertyResult]:
        """Build the graph of all steps, and decide what is about runs that go on forever."""
        if self.search.symmetry.group_count:
            try:
                self.forever = self._on_representatives()
                results = self._liveness()
            except NotReducible:
                self.forever = None
            else:
                if self.forever is not None:
                    states = self.forever.graph.count
                    self.notes.append(
                        f"starvation was decided on {states:,} states, one identical thread followed"
                    )
                return results
        if not self.undecided:
            self.forever = self._on_all_states()
        return self._liveness()

    def _on_representatives(self) -> QuotientFindings | None:
        """Return what is found with identical threads exchanged; None if it is undecided.

        :raises NotReducible: that is not possible here.
        """
        search = self.search
        if self.goes_first:
            # Which thread goes first matters to fairness.
            search = self._searched_again(search.symmetry)
            if search.incomplete:
                return None
        if not self._fits(search.bytes + Quotient.bytes_for(search)):
            return None
        with self._in_memory():
            return QuotientFindings(Quotient(search), self.options.fairness)
        return None

    def _on_all_states(self) -> WholeSpace | None:
        """Return what is found without reductions; None if it is undecided."""
        search = self.search
        if search.reduced:
            search = self._searched_again(None)
            if search.incomplete:
                return None
            self.notes.append(
                f"starvation was decided on {search.states:,} states, without reductions"
            )
        if not self._fits(search.bytes + StepGraph.bytes_for(search)):
            return None
        with self._in_memory():
            return WholeSpace(StepGraph(search), self.options.fairness)
        return None

    def _searched_again(self, symmetry: Symmetry | None) -> Search:
        """Search again, with no other reduction than *symmetry*."""
        again = Search(self.program, replace(self.search.options, races=False, keep_going=True))
        if symmetry is not None:
            again.use_symmetry(symmetry)
        again.run()
        if again.incomplete:
            reduced = "with fewer reductions" if symmetry is not None else "without reductions"
            self.undecided = f"{_UNDECIDED}: {reduced} {again.incomplete}"
        return again

    def _fits(self, needed: int) -> bool:
        lacking = self.search.out_of_memory(needed)
        if lacking:
            self.undecided = f"{_UNDECIDED}: for the graph of all steps {lacking}"
        return not lacking

    @contextlib.contextmanager
    def _in_memory(self) -> Iterator[None]:
        """Say that it is undecided if there is too little memory."""
        try:
            yield
        except MemoryError as error:
            self.undecided = f"{_UNDECIDED}: {error}"

    def _liveness(self) -> list[PropertyResult]:
        results = [
            built_in(NO_DEADLOCK, self._deadlock()),
            built_in(NO_STUCK_THREAD, self._ask(lambda forever: forever.alone())),
            built_in(NO_LIVELOCK, self._ask(lambda forever: forever.livelock())),
            built_in(NO_STARVATION, self._ask(lambda forever: forever.starvation())),
        ]
        for i, prop in enumerate(self.program.properties):
            kind, informational = prop.spec.kind, prop.spec.informational
            if kind.quantifier is Quantifier.AGAIN and prop.name not in self.known:
                found = self._ask(partial(_never_again, index=i))
                results.append(decided(prop.name, kind, found, informational))
        for result in results:
            # These are only known if the complete graph was searched.
            if result.finding is None and self.forever is None:
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
        return self._ask(lambda forever: forever.deadlock())

    def _ask(self, question: Callable[[Forever], Finding | None]) -> Finding | None:
        """Return what was found, or None if the complete graph was not searched."""
        return question(self.forever) if self.forever is not None else None


def _never_again(forever: Forever, index: int) -> Finding | None:
    return forever.never_again(index)
