# SPDX-License-Identifier: Apache-2.0
"""Walking the moves of a replay token through a program: as far as they are possible there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from quiesce.compiler.program import Program
from quiesce.errors import UsageError
from quiesce.explorer.reference.action_text import Teller
from quiesce.explorer.reference.stepper import State, Step, Stepper
from quiesce.explorer.replay import Move


@dataclass(slots=True)
class Walk:
    """A run that was walked.

    :param path: the initial state's number, then the number of each step: see ``findings.py``.
    :param states: the states on it, the initial one first. A failed step leads to no state.
    :param movers: the thread that took each step.
    :param failed: the last step, if it failed.
    :param blocked: why the next move is not possible, or empty.
    """

    path: list[int]
    states: list[State]
    movers: list[int] = field(default_factory=list)
    failed: Step | None = None
    blocked: str = ""

    @property
    def steps(self) -> int:
        """How many steps were taken, a failed one included."""
        return len(self.path) - 1


def walk(program: Program, initial: int, moves: Sequence[Move]) -> Walk:
    """Walk *moves* from the initial state number *initial*, until one is not possible.

    :raises UsageError: there is no such initial state.
    """
    stepper = Stepper(program)
    starts = stepper.initial_states()
    if initial >= len(starts):
        raise UsageError(
            f"the run of this token begins in initial state {initial}; there are only {len(starts)}",
            "check the scenario again",
        )
    numbers = {thread.name: number for number, thread in enumerate(program.threads)}
    run = Walk([initial], [starts[initial]])
    for move in moves:
        state, count = run.states[-1], run.steps + 1
        if run.failed is not None:
            run.blocked = f"step {count - 1} fails: {_failure(run.failed)}"
            break
        thread = numbers.get(move.thread, -1)
        steps = stepper.steps_of(state, thread) if thread >= 0 else []
        if move.choice >= len(steps):
            run.blocked = _why_not(program, stepper, state, thread, move, count, len(steps))
            break
        step = steps[move.choice]
        run.path.append(sum(len(stepper.steps_of(state, t)) for t in range(thread)) + move.choice)
        run.movers.append(thread)
        if step.failure is not None:
            run.failed = step
        else:
            run.states.append(step.target)
    return run


def _failure(step: Step) -> str:
    return step.failure.message if step.failure is not None else ""


def _why_not(
    program: Program,
    stepper: Stepper,
    state: State,
    thread: int,
    move: Move,
    count: int,
    steps: int,
) -> str:
    """Say why *move*, the step number *count*, cannot be taken in *state*."""
    if thread < 0:
        return f"there is no thread {move.thread}"
    if stepper.finished(state, thread):
        return f"{move.thread} has finished before step {count}"
    if not steps:
        label = Teller(program).waiting(thread, state)
        where = f" in {label}" if label else ""
        return f"step {count} is blocked: {move.thread} waits{where}"
    return f"at step {count} {move.thread} has {steps} ways to continue, not {move.choice + 1}"
