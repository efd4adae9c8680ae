# SPDX-License-Identifier: Apache-2.0
"""What a complete exploration never executed: a proof of nothing looks like a proof.

A step depends only on where its thread is and on the values that it may touch. So each combination of
these is run once, with the recording stepper, until everything that can happen from that location has
been seen. What is then missing is not executed in any reachable state.

A step that waits has not happened; but the plain statements before the ``wait_until`` have, since they are
steps of their own where plain accesses do not ride along.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import quiesce
from quiesce.compiler.ir import Begin, Branch, ConditionSpan, Op, reachable, successors
from quiesce.compiler.program import Program, ThreadKind
from quiesce.errors import Loc, source_line
from quiesce.explorer.analysis.footprint import places_of_step
from quiesce.explorer.findings import NeverExecuted
from quiesce.explorer.reference.action_text import statement_text
from quiesce.explorer.reference.record import Record
from quiesce.explorer.reference.stepper import State, Step, Stepper

_LIBRARY = str(Path(quiesce.__file__).parent / "primitives")

Item = tuple[int, int]
"""An operation's position and -1; or the positions of two operations, one after the other."""


class Coverage:
    """Which operations and branches of *program* are executed in the states that it is shown."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._stepper = Stepper(program, Record())
        numbers = {id(k): i for i, k in enumerate(program.kinds)}
        self._number = [numbers[id(t.kind)] for t in program.threads]
        self._position = [{id(op): i for i, op in enumerate(k.code.ops)} for k in program.kinds]
        self._executed: list[set[Item]] = [set() for _ in program.kinds]
        self._open = [[_items_of_step(k, at.position) for at in k.locations] for k in program.kinds]
        """For each kind and location, what may be executed from there and was not seen yet."""
        self._keys = [
            [
                itemgetter(*places_of_step(program, thread, i))
                for i in range(len(thread.kind.locations))
            ]
            for thread in program.threads
        ]
        self._seen: set[tuple[int, int, object]] = set()
        self.ended: set[int] = set()
        """The threads that were seen at their end."""
        self._start()

    def wants(self, thread: int, location: int) -> bool:
        """Whether a step of *thread* from *location* may show something new."""
        return bool(self._open[self._number[thread]][location])

    def look(self, state: State) -> None:
        """Execute the next step of each thread in *state*."""
        for number, thread in enumerate(self._program.threads):
            location = state[thread.base]
            if thread.kind.locations[location].final:
                self.ended.add(number)
            elif self.wants(number, location):
                self.look_at(state, number)

    def look_at(self, state: State, thread: int) -> None:
        """Execute the next step of *thread* in *state*, unless the same was executed before."""
        location = state[self._program.threads[thread].base]
        key = thread, location, self._keys[thread][location](state)
        if key in self._seen:
            return
        self._seen.add(key)
        self._mark_steps(thread, self._stepper.steps_of(state, thread))
        for ops in self._stepper.blocked:
            # A region that waits has not happened; control stands before it.
            begin = max(i for i, op in enumerate(ops) if isinstance(op, Begin))
            self._mark(thread, ops[:begin], self._position[self._number[thread]][id(ops[begin])])
        executed = self._executed[self._number[thread]]
        self._open[self._number[thread]][location] -= executed

    def _start(self) -> None:
        """Mark what each thread executes before its first location, which lies before all that it shares."""
        for number in range(len(self._program.threads)):
            self._mark_steps(number, self._stepper.steps_to_begin(self._stepper.blank, number))

    def _mark_steps(self, thread: int, steps: list[Step]) -> None:
        for step in steps:
            if step.record is not None:
                kind = self._program.threads[thread].kind
                here = step.target[self._program.threads[thread].base]
                end = kind.locations[here].position if step.failure is None else -1
                self._mark(thread, step.record.ops, end)

    def _mark(self, thread: int, ops: list[Op], end: int) -> None:
        """Note that *ops* were executed in this order, and that control then came to position *end*."""
        positions = [self._position[self._number[thread]][id(op)] for op in ops]
        executed = self._executed[self._number[thread]]
        executed |= {(p, -1) for p in positions}
        executed |= set(pairwise([*positions, end]))

    # --- The result -------------------------------------------------------------------------------

    def never_executed(self) -> list[NeverExecuted]:
        """Return what was never executed, in the order of the source."""
        executed: dict[Loc, bool] = {}
        outcomes: dict[Loc, set[bool]] = {}
        for kind, seen in zip(self._program.kinds, self._executed, strict=True):
            in_flow = reachable(kind.code.ops)
            reached = {0, *(to for _, to in seen)}
            inner: set[int] = set()
            for mark in kind.code.marks.statements:
                start = mark.start.position
                # What control cannot come to is excluded by a constant, or by a loop without an exit.
                if not in_flow[start] or not _is_users(mark.loc):
                    continue
                # One that begins with another, as `while True:` does, was executed if control came to it.
                done = (start, -1) in seen or (start in inner and start in reached)
                inner.add(start)
                if not _only_leads_on(mark.loc):
                    executed[mark.loc] = executed.get(mark.loc, False) or done
            for span in kind.code.marks.conditions:
                if in_flow[span.start.position] and _is_users(span.loc):
                    outcomes.setdefault(span.loc, set()).update(_outcomes(span, seen))
        missing = [
            NeverExecuted(loc, "statement", statement_text(loc))
            for loc, done in executed.items()
            if not done
        ]
        for loc, found in outcomes.items():
            if executed.get(loc, False):
                missing += [
                    NeverExecuted(loc, "branch", _branch_text(loc, outcome))
                    for outcome in (True, False)
                    if outcome not in found
                ]
        return sorted([*missing, *self._threads()])

    def _threads(self) -> list[NeverExecuted]:
        found = []
        for number, thread in enumerate(self._program.threads):
            ops = thread.kind.code.ops
            reached = reachable(ops)
            ends = any(at.final and reached[at.position] for at in thread.kind.locations)
            if ends and number not in self.ended:
                text = f"{thread.name} never reaches its end"
                found.append(NeverExecuted(ops[0].loc, "thread", text))
        return found


def cover(program: Program, states: Iterable[State]) -> list[NeverExecuted]:
    """Return what is executed in none of *states*, which are all that can be reached."""
    coverage = Coverage(program)
    for state in states:
        coverage.look(state)
    return coverage.never_executed()


def _items_of_step(kind: ThreadKind, start: int) -> set[Item]:
    """Return what a step from *start* may execute."""
    ops = kind.code.ops
    found: set[Item] = set()
    todo = [start]
    while todo:
        position = todo.pop()
        if (position, -1) in found or (position != start and position in kind.location_at):
            continue
        found.add((position, -1))
        after = successors(ops, position)
        if isinstance(ops[position], Branch):
            found |= {(position, a) for a in after}
        todo += after
    return found


def _only_leads_on(loc: Loc) -> bool:
    """Whether the statement at *loc* does nothing itself: what led to it says whether it was executed."""
    text = (source_line(loc.file, loc.line) or "")[loc.column :]
    return re.match(r"(pass|break|continue|return)\b", text) is not None


def _is_users(loc: Loc) -> bool:
    """Whether *loc* is not in the library of primitives."""
    return bool(loc.file) and not loc.file.startswith(_LIBRARY)


def _outcomes(span: ConditionSpan, seen: set[Item]) -> set[bool]:
    """Return what the condition *span* was, in the executions that were *seen*."""
    found: set[bool] = set()
    body, otherwise = span.body.position, span.otherwise.position
    for position in range(span.start.position, body):
        if (position, body) in seen:
            found.add(True)
        if (position, otherwise) in seen:
            found.add(False)
    return found


def _branch_text(loc: Loc, outcome: bool) -> str:
    text = statement_text(loc)
    if text.startswith("for "):
        return f"`{text}` never {'enters its body' if outcome else 'ends'}"
    return f"`{text}` is never {'true' if outcome else 'false'}"
