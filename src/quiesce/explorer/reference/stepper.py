# SPDX-License-Identifier: Apache-2.0
"""The reference stepper: the states of a program, one step at a time, in plain Python.

A state is a tuple of integers (see ``compiler/program.py``). :meth:`Stepper.successors` gives every
step that some thread can take, threads in their order and each thread's choices in source order; the
place in that list is what identifies a step in a counterexample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from quiesce.compiler.atomic_steps import expression_cells
from quiesce.compiler.ir import Choose, Op, operands
from quiesce.compiler.program import Program
from quiesce.explorer.analysis.footprint import places_of_step
from quiesce.explorer.reference.evaluate import BLOCKED, Evaluator, StepFailure, kind_evaluator
from quiesce.explorer.reference.record import Access, Record

State = tuple[int, ...]

_Memo = dict[object, list[tuple[tuple[tuple[int, int], ...], StepFailure | None]]]
"""What the steps changed, as (place in the state, new value), by the values that they depend on."""

STEP_BOUND = 100_000
"""Operations in one step before it is treated as endless."""

CHOICE_BOUND = 2_000
"""Choices in one step, on all its ways together, before it is treated as endless."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: *thread* moves to *target*, or fails. *record* is kept by a recording stepper."""

    thread: int
    target: State
    failure: StepFailure | None = None
    record: Record | None = None


class Stepper:
    """Steps *program*. With *record*, every step's accesses and lock events are noted in it."""

    def __init__(self, program: Program, record: Record | None = None) -> None:
        self.program = program
        self.record = record
        by_kind = {id(k): kind_evaluator(program, k, record) for k in program.kinds}
        self._evaluators = [by_kind[id(t.kind)] for t in program.threads]
        longest = max((len(k.code.slots) for k in program.kinds), default=0)
        self._scratch = [0] * (1 + longest)
        self.touched: list[Access] = []
        self.blocked: list[list[Op]] = []
        """With a record: what the last step that was tried executed before it had to wait, on each way."""
        self._size = program.size
        self._at = [
            _locations_by_position(t.kind.code.ops, t.kind.location_at) for t in program.threads
        ]
        self._dead = [
            [
                [t.base + s.offset for s in t.kind.stored if s.offset not in live]
                for live in t.kind.live
            ]
            for t in program.threads
        ]
        self._positions = [[at.position for at in t.kind.locations] for t in program.threads]
        self._final = [[at.final for at in t.kind.locations] for t in program.threads]
        self._bases = [t.base for t in program.threads]
        self._memos: list[dict[int, tuple[Callable[[State], object], _Memo]]] = [
            {} for _ in program.threads
        ]
        """For each thread and location, what picks the values that a step depends on."""

    def initial_states(self) -> list[State]:
        """Return the states that a run may begin in, each once."""
        return list(dict.fromkeys(self.each_initial_state()))

    def initial_state(self, number: int) -> State | None:
        """Return one of :meth:`initial_states`, or None if there are not so many."""
        seen: set[State] = set()
        for state in self.each_initial_state():
            seen.add(state)
            if len(seen) > number:
                return state
        return None

    def each_initial_state(self) -> Iterator[State]:
        """Yield the states that a run may begin in; one may come more than once.

        Each thread has already run up to its first location; where it chooses on the way there are
        several, and with many threads more than anyone can wait for. A thread that can fail on the way has
        not begun yet: failing is its first step.
        """
        if self.program.start:
            yield from self.program.start
            return
        todo = [(self.blank, 0)]
        while todo:
            state, thread = todo.pop()
            if thread == len(self.program.threads):
                yield state
                continue
            steps = self.steps_to_begin(state, thread)
            failing = any(step.failure is not None for step in steps)
            begun = [state] if failing else [step.target for step in steps]
            todo += [(one, thread + 1) for one in reversed(begun)]

    @property
    def blank(self) -> State:
        """The state before any thread has run up to its first location."""
        cells = [c.initial for c in self.program.cells]
        return (*cells, *[0] * (self._size - len(cells)))

    def steps_to_begin(self, state: State, thread: int) -> list[Step]:
        """Return what *thread* may do before a run begins: it goes to its first location."""
        return self._run(state, thread, 0)

    def successors(self, state: State) -> list[Step]:
        """Return every step that can be taken from *state*."""
        steps: list[Step] = []
        for thread in range(len(self._bases)):
            steps += self.steps_of(state, thread)
        return steps

    def steps_of(self, state: State, thread: int) -> list[Step]:
        """Return the steps that *thread* can take from *state*: none if it waits or has finished."""
        location = state[self._bases[thread]]
        if self._final[thread][location]:
            return []
        if self.record is not None:
            return self._run(state, thread, self._positions[thread][location])
        return self._remembered(state, thread, location)

    def _remembered(self, state: State, thread: int, location: int) -> list[Step]:
        """Return the steps of *thread*, looked up where what they touch has the same values as before.

        A step depends on the thread's own block and on the cells that it may touch, and changes nothing
        else. So what it changed is kept under their values, and run only once for each combination.
        """
        known = self._memos[thread].get(location)
        if known is None:
            places = places_of_step(self.program, self.program.threads[thread], location)
            known = self._memos[thread][location] = (itemgetter(*places), {})
        look, memo = known
        key = look(state)
        patches = memo.get(key)
        if patches is None:
            steps = self._run(state, thread, self._positions[thread][location])
            memo[key] = [(_difference(state, step.target), step.failure) for step in steps]
            return steps
        found = []
        for patch, failure in patches:
            target = list(state)
            for index, value in patch:
                target[index] = value
            found.append(Step(thread, tuple(target), failure))
        return found

    def accesses_of(self, state: State, thread: int) -> list[Access]:
        """Return what the next step of *thread* touches, over all its choices; needs a record.

        Where the step cannot be finished, because its ``wait_until`` is false, that is everything up to
        there.
        """
        self.steps_of(state, thread)
        return list(dict.fromkeys(self.touched))

    def finished(self, state: State, thread: int) -> bool:
        """Whether *thread* has run to its end."""
        return self._final[thread][state[self._bases[thread]]]

    def _run(self, state: State, thread: int, position: int) -> list[Step]:
        evaluator = self._evaluators[thread]
        run, base, at = evaluator.run, self._bases[thread], self._at[thread]
        vector = [*state, *self._scratch]
        vector[self._size] = thread + 1
        steps: list[Step] = []
        todo: list[tuple[list[int], int, Record | None]] = [(vector, position, None)]
        self.touched, self.blocked = [], []
        choices = 0
        while todo:
            vector, here, so_far = todo.pop()
            if self.record is not None:
                self.touched += self.record.accesses
                self.record.resume(so_far)
            try:
                for _ in range(STEP_BOUND):
                    after = run[here](vector, base)
                    if after >= 0:
                        if at[after] >= 0:
                            target = self._arrive(vector, thread, at[after])
                            steps.append(Step(thread, target, None, self._recorded()))
                            break
                        here = after
                    elif after == BLOCKED:
                        self._note_blocked()
                        break
                    else:
                        choices += 1
                        if choices > CHOICE_BOUND:
                            todo.clear()
                            raise StepFailure(
                                "endless step",
                                f"a step does not end after {CHOICE_BOUND} choices",
                                evaluator.ops[here],
                            )
                        copies = _alternatives(evaluator, vector, base, here)
                        recorded = self._recorded()
                        if at[here + 1] >= 0:
                            steps += [
                                Step(
                                    thread, self._arrive(copy, thread, at[here + 1]), None, recorded
                                )
                                for copy in copies
                            ]
                        else:
                            todo += [(copy, here + 1, recorded) for copy in reversed(copies)]
                        break
                else:
                    op = evaluator.ops[here]
                    raise StepFailure(
                        "endless step", f"a step does not end after {STEP_BOUND} operations", op
                    )
            except StepFailure as failure:
                steps.append(Step(thread, state, failure, self._recorded()))
        if self.record is not None:
            self.touched += self.record.accesses
            self.record.resume(None)
        return steps

    def _note_blocked(self) -> None:
        if self.record is not None:
            self.blocked.append(list(self.record.ops))

    def _recorded(self) -> Record | None:
        return None if self.record is None else self.record.copy()

    def _arrive(self, vector: list[int], thread: int, location: int) -> State:
        """Return the state in which *thread* is at *location*, its dead locals reset."""
        for index in self._dead[thread][location]:
            vector[index] = 0
        vector[self._bases[thread]] = location
        return tuple(vector[: self._size])


def _difference(before: State, after: State) -> tuple[tuple[int, int], ...]:
    return tuple((i, b) for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)


def _locations_by_position(ops: list[Op], at: dict[int, int]) -> list[int]:
    return [at.get(i, -1) for i in range(len(ops))]


def _alternatives(
    evaluator: Evaluator, vector: list[int], base: int, position: int
) -> list[list[int]]:
    """Return a vector for each option of the choice at *position*.

    All options are evaluated first, as Python evaluates all arguments of a call.
    """
    op = evaluator.ops[position]
    assert isinstance(op, Choose)
    assign = evaluator.assign(op.slot)
    low, high = evaluator.ranges[op.slot]
    values = [option(vector, base) for option in evaluator.choices[position]]
    copies = []
    for value in values:
        if not low <= value <= high:
            raise StepFailure("range", f"a choice became {value}, not in {low}..{high}", op)
        copy = list(vector)
        assign(copy, base, value)
        copies.append(copy)
    return copies


class PropertyReader:
    """Evaluates one property in any state."""

    def __init__(self, program: Program, index: int) -> None:
        prop = program.properties[index]
        ranges = [(-(1 << 62), 1 << 62)] * len(prop.code.slots)
        self._evaluator = Evaluator(program, prop.code.ops, {}, ranges)
        self._scratch = [0] * (1 + len(prop.code.slots))
        self._end = len(prop.code.ops) - 1
        self._answer = program.size + 1
        cells = {c for op in prop.code.ops for x in operands(op) for c in expression_cells(x)}
        self._look = itemgetter(*sorted(cells)) if cells else _nothing
        self._memo: dict[object, bool] = {}

    def holds(self, state: State) -> bool:
        """Whether the property is true in *state*.

        :raises StepFailure: it cannot be evaluated there, for instance because a reference is None.
        """
        key = self._look(state)
        answer = self._memo.get(key)
        if answer is None:
            answer = self._memo[key] = self._evaluate(state)
        return answer

    def _evaluate(self, state: State) -> bool:
        vector = [*state, *self._scratch]
        run, position = self._evaluator.run, 0
        for _ in range(STEP_BOUND):
            if position == self._end:
                return bool(vector[self._answer])
            position = run[position](vector, 0)
        raise StepFailure("endless step", "the property does not end", self._evaluator.ops[0])


def _nothing(state: State) -> object:
    """What a property looks at that reads nothing."""
    return None
