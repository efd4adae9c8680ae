# SPDX-License-Identifier: Apache-2.0
"""A counterexample, step by step: what each thread did, where, what changed, and what they wait for.

A finding is a path of step numbers; here it is walked again with a recording stepper. What lockdep is
told on the way is kept, so that reports know which thread holds what.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quiesce.compiler.atomic_steps import lock_waited_for
from quiesce.compiler.ir import Begin, LockEvent
from quiesce.compiler.program import Program
from quiesce.compiler.types import Type
from quiesce.errors import Loc
from quiesce.explorer.findings import Finding
from quiesce.explorer.reference.action_text import Action, Teller, shown, statement_text
from quiesce.explorer.reference.evaluate import StepFailure
from quiesce.explorer.reference.record import LockCall, Record
from quiesce.explorer.reference.stepper import State, Step, Stepper


@dataclass(frozen=True, slots=True)
class Change:
    """A shared variable that a step changed, its values as people read them."""

    name: str
    old: object
    new: object


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that a thread holds: the component's number, how, and where it was taken."""

    component: int
    read: int
    loc: Loc


@dataclass(slots=True)
class Waiting:
    """A thread that cannot move in some state of a trace.

    :param label: the step that it waits in.
    :param shown: the same as a trace shows it, with its arguments.
    :param lock: the name of the lock that it waits for, or empty.
    :param holders: numbers of the other threads that hold it.
    :param component: the number of that lock, or -1.
    :param own: where it acquired that lock itself, if it holds it already.
    """

    thread: int
    label: str
    shown: str
    loc: Loc
    lock: str
    holders: list[int]
    component: int = -1
    own: Loc | None = None


@dataclass(slots=True)
class TraceStep:
    """One step of a counterexample.

    :param thread: number of the thread.
    :param actions: what it did, in order; the last is the event that ends the step.
    :param locks: what lockdep was told.
    :param state: the state after it.
    :param held: by thread, the locks held in that state.
    :param waiting: the threads that cannot move in that state.
    """

    thread: int
    actions: list[Action]
    changes: list[Change]
    locks: list[LockCall]
    state: State
    failure: StepFailure | None = None
    held: dict[int, list[Held]] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)


@dataclass(slots=True)
class Trace:
    """A finding's run, from an initial state; *held* and *waiting* are of the state it ends in."""

    program: Program
    finding: Finding
    initial: State
    steps: list[TraceStep]
    held: dict[int, list[Held]] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)

    @property
    def last(self) -> State:
        """The state that the run ends in."""
        return self.steps[-1].state if self.steps else self.initial


class StalePath(ValueError):
    """A path does not fit the program: at some step there are fewer successors than it says."""


def follow(program: Program, finding: Finding) -> Trace:
    """Walk the path of *finding* and say what happens on it.

    :raises StalePath: the path is not one of this program.
    """
    stepper = Stepper(program, Record(values=[]))
    teller = Teller(program)
    path = finding.path or (0,)
    state = stepper.initial_state(path[0])
    if state is None:
        raise StalePath(f"there are fewer than {path[0] + 1} initial states")
    trace = Trace(program, finding, state, [])
    told: dict[int, list[Held]] = {}
    for number, action in enumerate(path[1:], 1):
        successors = stepper.successors(state)
        if action >= len(successors):
            raise StalePath(
                f"at step {number} there are {len(successors)} ways on, not {action + 1}"
            )
        step = successors[action]
        described = _describe(teller, state, step)
        trace.steps.append(described)
        _note_locks(told, step)
        state = step.target
        described.held, described.waiting = _find_waiting(stepper, teller, state, told)
    trace.held, trace.waiting = _find_waiting(stepper, teller, state, told)
    return trace


def _describe(teller: Teller, before: State, step: Step) -> TraceStep:
    program, record = teller.program, step.record or Record()
    changes = [
        Change(cell.name, shown(program, cell.type, before[i]), shown(program, cell.type, after))
        for i, cell in enumerate(program.cells)
        if before[i] != (after := step.target[i])
    ]
    actions = teller.actions(step.thread, before, record)
    return TraceStep(step.thread, actions, changes, list(record.locks), step.target, step.failure)


def _note_locks(told: dict[int, list[Held]], step: Step) -> None:
    """Keep, by thread, what lockdep was told to be held."""
    if step.record is None:
        return
    held = told.setdefault(step.thread, [])
    calls = iter(step.record.locks)
    place = None
    for op in step.record.ops:
        if isinstance(op, Begin):
            # Where the atomic region was called is where its lock is taken.
            place = op.loc
        if not isinstance(op, LockEvent):
            continue
        call = next(calls)
        if call.action == "acquire":
            held.append(Held(call.component, call.read, place or op.loc))
        else:
            for i in range(len(held) - 1, -1, -1):
                if held[i].component == call.component:
                    del held[i]
                    break


def _find_waiting(
    stepper: Stepper, teller: Teller, state: State, told: dict[int, list[Held]]
) -> tuple[dict[int, list[Held]], list[Waiting]]:
    """Return which thread holds what in *state*, and the threads that cannot move and what they wait for.

    Where a lock is taken in two steps, queue and take, and the first declares it taken, a thread that
    still waits in the second does not hold it.
    """
    program = stepper.program
    held = {thread: list(locks) for thread, locks in told.items()}
    pending: list[tuple[int, int | None]] = []
    for number, thread in enumerate(program.threads):
        location = thread.kind.locations[state[thread.base]]
        if location.final or location.event < 0 or stepper.steps_of(state, number):
            continue
        lock = _awaited(teller, number, state)
        mine = held.get(number, [])
        declared_here = lock_waited_for(thread.kind.code.ops, location.event) is not None
        if lock is not None and not declared_here and mine and mine[-1].component == lock:
            mine.pop()
        pending.append((number, lock))
    waiting = []
    for number, lock in pending:
        thread = program.threads[number]
        location = thread.kind.locations[state[thread.base]]
        holders = [
            other
            for other, locks in held.items()
            if other != number and any(h.component == lock for h in locks)
        ]
        name = teller.names[lock] if lock is not None else ""
        loc = thread.kind.code.ops[location.event].loc
        own = next((h.loc for h in held.get(number, []) if h.component == lock), None)
        waiting.append(
            Waiting(
                number, location.label, teller.waiting(number, state), loc, name, holders,
                -1 if lock is None else lock, own,
            )
        )  # fmt: skip
    return held, waiting


def _awaited(teller: Teller, number: int, state: State) -> int | None:
    """Return the number of the component whose step *number* waits in, if it is a lock."""
    component = teller.receiver(number, state)
    return component if component in teller.locks else None


def state_dict(program: Program, state: State) -> dict[str, object]:
    """Return *state* as names and values: shared variables, and where each thread is."""
    cells = {cell.name: shown(program, cell.type, state[i]) for i, cell in enumerate(program.cells)}
    threads: dict[str, object] = {}
    for thread in program.threads:
        kind = thread.kind
        number = state[thread.base]
        location = kind.locations[number]
        op = kind.code.ops[location.position]
        at = "finished" if location.final else location.label or statement_text(op.loc)
        local = {
            kind.code.slots[slot].name: shown(
                program, _type(kind.code.slots[slot].type), state[thread.base + offset]
            )
            for offset, slot in kind.live[number].items()
            if kind.code.slots[slot].name
        }
        threads[thread.name] = {"at": at, "line": op.loc.line, "locals": local}
    return {"shared": cells, "threads": threads}


def _type(type_: object) -> Type:
    return type_  # type: ignore[return-value]
