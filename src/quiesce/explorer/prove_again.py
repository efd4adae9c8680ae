# SPDX-License-Identifier: Apache-2.0
"""Proving a finding again: does the property fail at the end of this run?

Each kind of finding is decided by what decides it in a check. What can be seen in a state or step is
evaluated there. A thread is stuck, or a set of threads deadlocked, if the check itself says so when the
program is started in the state at the end of the run. A run that goes on forever must lead back to the state
in which its loop begins, be fair under the fairness that is stated, and fail the property all along the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from quiesce.compiler.program import CompiledProperty, Program
from quiesce.explorer.engine import check
from quiesce.explorer.findings import Finding, Path
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.reference import describe
from quiesce.explorer.reference.checker import Options
from quiesce.explorer.reference.evaluate import StepFailure
from quiesce.explorer.reference.fairness import FairCycles, LeftOut
from quiesce.explorer.reference.getting_on import GettingOn
from quiesce.explorer.reference.graph import expand_only
from quiesce.explorer.reference.races import RACED, RaceFinder
from quiesce.explorer.reference.stepper import PropertyReader, Stepper
from quiesce.explorer.reference.waiting import can_get_on
from quiesce.explorer.replay import Token
from quiesce.explorer.walk import Walk
from quiesce.properties import (
    BROKEN_BY,
    BUILT_IN,
    NO_DATA_RACE,
    NO_LIVELOCK,
    NO_STARVATION,
    About,
    BuiltInKind,
    Quantifier,
)
from quiesce.verdict import Verdict

_SHORT = 20_000
"""States that are explored where a run is no longer possible."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What came out.

    :param finding: what was found again, or None. In a program that has changed, its path may be shorter or
        longer than the run: the property failed already, or fails in what can follow.
    :param why: why nothing was; empty if something was.
    :param decided: the property does not fail at the end of this run; false: that is not known.
    """

    finding: Finding | None
    why: str = ""
    decided: bool = True


def prove_again(program: Program, run: Walk, token: Token, options: Options) -> Proof:
    """Return whether the property that *token* names fails at the end of *run*, and how.

    :param options: the fairness to judge under, and the bounds of what is explored for this.
    """
    decide = _Prover(program, run, token, options).by_name.get(token.property)
    if decide is None:
        name = type(program.scenario).__name__
        return Proof(None, f"{name} has no property `{token.property}`")
    return decide()


class _Prover:
    def __init__(self, program: Program, run: Walk, token: Token, options: Options) -> None:
        self.program = program
        self.run = run
        self.path: Path = tuple(run.path)
        self.loop_start = token.loop_start
        self.thread = token.thread
        self.options = options
        decide = {
            NO_DATA_RACE: self._race,
            NO_LIVELOCK: self._livelock,
            NO_STARVATION: self._starvation,
        }
        self.by_name: dict[str, Callable[[], Proof]] = {}
        for kind in BUILT_IN:
            again = partial(self._checked_from_the_end, kind)
            if kind.failures:
                again = partial(self._failure, kind)
            self.by_name[kind.name] = decide.get(kind, again)
        for number, prop in enumerate(program.properties):
            ends = prop.spec.kind.quantifier is Quantifier.AGAIN
            self.by_name[prop.name] = partial(
                self._again_or_broken if ends else self._broken, number
            )

    def _nothing(self, why: str) -> Proof:
        return Proof(None, self.run.blocked or why)

    # --- What is seen in one state or step --------------------------------------------------------

    def _failure(self, asked: BuiltInKind) -> Proof:
        step = self.run.failed
        if step is None or step.failure is None:
            return self._nothing("its last step does not fail")
        if self.run.blocked or BROKEN_BY[step.failure.kind][0] is not asked:
            return self._nothing(f"its last step fails otherwise: {step.failure.message}")
        return Proof(describe.failure_finding(self.program, step.thread, step.failure, self.path))

    def _race(self) -> Proof:
        finder = RaceFinder(self.program)
        if self.run.failed is not None or not finder.look(self.run.states[-1]):
            return self._nothing("no two accesses race in the state at its end")
        return Proof(describe.race_finding(self.program, finder.races[0], self.path))

    def _broken(self, index: int) -> Proof:
        """An ``always`` is false in a state of the run; or a property cannot be evaluated there."""
        prop, reader = self.program.properties[index], PropertyReader(self.program, index)
        in_every_state = prop.spec.kind.quantifier is Quantifier.EVERY_STATE
        for number in range(len(self.run.states) - 1, -1, -1):
            message = ""
            try:
                if reader.holds(self.run.states[number]) or not in_every_state:
                    continue
            except StepFailure as failure:
                message = failure.message
            path = self.path[: number + 1]
            return Proof(describe.broken_finding(prop, message, path))
        return self._nothing(f"`{prop.name}` is true in every state of it")

    # --- What is about runs that go on forever ----------------------------------------------------

    def _checked_from_the_end(self, asked: BuiltInKind) -> Proof:
        """Let a check that starts in the last state of the run decide."""
        if self.run.failed is not None:
            return self._nothing("its last step fails")
        end = replace(self.program, start=(self.run.states[-1],))
        options = replace(self.options, keep_going=True)
        if self.run.blocked:
            # The answer is that the run is not possible; a look at what is instead must not take long.
            most = min(_SHORT, options.bounds.max_states or _SHORT)
            options = replace(options, bounds=replace(options.bounds, max_states=most))
        result = check(end, options, NativeOptions())
        found = result.property(asked.name)
        if found.finding is not None:
            return Proof(replace(found.finding, path=self.path + found.finding.path[1:]))
        if found.verdict is Verdict.HOLDS:
            waiting = asked.finds[0].about is About.WAITING
            return self._nothing(
                "the threads that wait at its end can move again"
                if waiting
                else "a check from its end finds nothing"
            )
        if self.run.blocked:
            return Proof(None, self.run.blocked)
        return Proof(
            None, f"what can still happen after it is not known: {result.incomplete}", False
        )

    def _unfounded(self) -> Proof | None:
        """Return that nothing is known if two accesses race in the loop: then its steps must not be fused."""
        if self.program.fuse and self.loop_start is not None and not self.run.failed:
            finder = RaceFinder(self.program)
            if any(finder.look(state) for state in self.run.states[self.loop_start :]):
                return Proof(None, RACED, False)
        return None

    def _starvation(self) -> Proof:
        if unfounded := self._unfounded():
            return unfounded
        unfair = self._not_a_fair_loop()
        if unfair:
            return self._nothing(unfair)
        start = self.loop_start or 0
        loop, movers = self.run.states[start:], self.run.movers[start:]
        names = [thread.name for thread in self.program.threads]
        if self.thread not in names:
            return self._nothing(f"there is no thread {self.thread}")
        number = names.index(self.thread)
        thread = self.program.threads[number]
        if thread.daemon:
            return self._nothing(f"{thread.name} is a daemon, which may wait forever")
        spins = number in movers
        waits = [at.waits for at in thread.kind.locations]
        if spins and not self._spin(1 << number):
            return self._nothing(f"{thread.name} gets on in its loop")
        if not spins and not all(waits[state[thread.base]] for state in loop):
            return self._nothing(f"{thread.name} does not wait all through its loop")
        free = can_get_on(self.program, loop[0], number, self.options.bounds)
        if free is None:
            return Proof(None, f"whether {thread.name} can ever get on is not known", False)
        if not free:
            return self._nothing(f"{thread.name} can never get on: it is stuck")
        return Proof(
            describe.starving_finding(self.program, loop[0], number, spins, self.path, start)
        )

    def _livelock(self) -> Proof:
        if unfounded := self._unfounded():
            return unfounded
        unfair = self._not_a_fair_loop()
        if unfair:
            return self._nothing(unfair)
        start, threads = self.loop_start or 0, self.program.threads
        movers = sorted(set(self.run.movers[start:]))
        if all(threads[t].daemon for t in movers):
            return self._nothing("only daemons take steps in its loop")
        if not self._spin((1 << len(threads)) - 1):
            return self._nothing("a thread gets on in its loop")
        return Proof(
            describe.livelock_finding(
                self.program, self.run.states[start], movers, self.path, start
            )
        )

    def _spin(self, threads: int) -> bool:
        """Whether none of *threads*, a mask, gets on in the loop, though its choices are fair."""
        cycles, edges = self._loop()
        left_out = LeftOut(progress=threads)
        moved = [e for e in edges if threads >> cycles.graph.threads[e] & 1]
        return not any(cycles.progress[e] for e in moved) and not cycles.untaken(edges, left_out)

    def _again_or_broken(self, index: int) -> Proof:
        broken = self._broken(index)
        if broken.finding is not None:
            return broken
        if unfounded := self._unfounded():
            return unfounded
        prop, reader = self.program.properties[index], PropertyReader(self.program, index)
        name = prop.name
        if self.loop_start == self.run.steps and not self.run.blocked:
            if self.run.failed is not None or Stepper(self.program).successors(self.run.states[-1]):
                return self._nothing("it does not end where it should: a thread can take a step")
            if reader.holds(self.run.states[-1]):
                return self._nothing(f"`{name}` is true where it ends")
            return Proof(self._never_again(prop, True))
        unfair = self._not_a_fair_loop()
        if unfair:
            return self._nothing(unfair)
        if any(reader.holds(state) for state in self.run.states[self.loop_start or 0 :]):
            return self._nothing(f"`{name}` is true in its loop")
        return Proof(self._never_again(prop, False))

    def _not_a_fair_loop(self) -> str:
        """Return why the run does not end in a loop that is fair, or nothing."""
        run, start = self.run, self.loop_start
        if run.failed is not None or start is None or start >= run.steps:
            return "it does not end in a loop"
        if run.states[start] != run.states[-1]:
            return "its loop does not lead back to where it begins"
        cycles, edges = self._loop()
        if not cycles.is_fair(edges):
            return f"its loop is not fair (fairness: {self.options.fairness})"
        return ""

    def _loop(self) -> tuple[FairCycles, list[int]]:
        """Return the loop as edges, and what judges them."""
        run, start = self.run, self.loop_start or 0
        distinct = list(dict.fromkeys(run.states[start:]))
        graph = expand_only(Stepper(self.program), distinct)
        progress = GettingOn(self.program, graph).progress
        cycles = FairCycles(self.program, graph, self.options.fairness, progress)
        edges = [
            graph.edge(run.states[number], run.path[number + 1])
            for number in range(start, run.steps)
        ]
        return cycles, edges

    def _never_again(self, prop: CompiledProperty, ends: bool) -> Finding:
        return describe.never_again_finding(prop, ends, self.path, self.loop_start or 0)
