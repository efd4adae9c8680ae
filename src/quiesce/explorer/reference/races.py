# SPDX-License-Identifier: Apache-2.0
"""Data races: two accesses, one a write and at least one plain, that are both next in some state.

KCSAN's notion. A thread stands before its plain accesses until it takes the step that they belong to
(``compiler/atomic_steps.py``), so in each state the accesses of every thread's next step are compared,
also where the step cannot be finished because its ``wait_until`` is false: up to there it happens.

This is checked on the very steps that are explored, so it also justifies that plain accesses ride
along with the event after them: if the unfused program has a race, its first one is met here, since
up to it all plain accesses commute. Once there is one, nothing else is known of the unfused program but
that the runs that were seen are runs of it, too: see ``explorer/without_fusion.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.compiler.program import Program
from quiesce.explorer.analysis.footprint import step_footprint
from quiesce.explorer.reference.record import Access, Record
from quiesce.explorer.reference.stepper import State, Stepper

RACED = "a data race was found, and plain accesses may happen together only where there is none"
"""Why a search with fusion then decides nothing but what it saw happen: it has not seen every run."""


@dataclass(frozen=True, slots=True)
class Race:
    """Two racing accesses, both next in *state*: the first, plain, by *thread*, the second by *other*."""

    state: State
    thread: int
    other: int
    first: Access
    second: Access


class RaceFinder:
    """Looks for races in the steps of a search; each pair of source places is reported once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.races: list[Race] = []
        self._seen: set[tuple[object, ...]] = set()
        self._stepper = Stepper(program, Record())
        self._base = [t.base for t in program.threads]
        prints = {
            id(k): [step_footprint(k, i) for i in range(len(k.locations))] for k in program.kinds
        }
        self._prints = [prints[id(t.kind)] for t in program.threads]
        self._memo: dict[tuple[int, int, int, int], bool] = {}

    def look(self, state: State) -> bool:
        """Compare the next steps of all threads in *state*; true if a new race was found."""
        found = False
        locations = [state[base] for base in self._base]
        accesses: dict[int, list[Access]] = {}
        for thread, location in enumerate(locations):
            if not self._prints[thread][location].plain:
                continue
            for other, other_location in enumerate(locations):
                if other != thread and self._may_race(thread, location, other, other_location):
                    for number in (thread, other):
                        if number not in accesses:
                            accesses[number] = self._next_accesses(state, number)
                    found |= self._compare(state, thread, other, accesses)
        return found

    def _next_accesses(self, state: State, thread: int) -> list[Access]:
        """Return what the next step of *thread* touches, over all its choices."""
        return self._stepper.accesses_of(state, thread)

    def _may_race(self, thread: int, location: int, other: int, other_location: int) -> bool:
        key = thread, location, other, other_location
        answer = self._memo.get(key)
        if answer is None:
            a, b = self._prints[thread][location], self._prints[other][other_location]
            answer = bool(a.plain_writes & (b.reads | b.writes) or a.plain_reads & b.writes)
            self._memo[key] = answer
        return answer

    def _compare(
        self, state: State, thread: int, other: int, accesses: dict[int, list[Access]]
    ) -> bool:
        found = False
        for first in accesses[thread]:
            if first.marked:
                continue
            for second in accesses[other]:
                if first.cell == second.cell and (first.write or second.write):
                    places = sorted([str(first.op.loc), str(second.op.loc)])
                    key = (first.cell, *places)
                    if key not in self._seen:
                        self._seen.add(key)
                        self.races.append(Race(state, thread, other, first, second))
                        found = True
        return found
