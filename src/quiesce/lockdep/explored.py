# SPDX-License-Identifier: Apache-2.0
"""lockdep over what an explorer runs: the lock events of a protocol, fed to the validator.

As in the kernel, no deadlock has to happen for a report: it is enough that each order occurred once.
First every thread is run alone, as far as it gets, since that is how a kernel usually meets its
locks and gives the shortest stories. If that causes no report, all that the code of the threads allows is
tried (``possible.py``): where even that causes none, no run does. Only otherwise everything else that
the explorer can reach is added: what a thread takes, with what it holds at that time, each such context once.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import islice
from operator import itemgetter

from quiesce.compiler.ir import LockEvent
from quiesce.compiler.names import display_name
from quiesce.compiler.program import Program
from quiesce.explorer.analysis.footprint import places_of_step
from quiesce.explorer.reference.checker import cut_by_failures
from quiesce.explorer.reference.graph import Bounds, Graph, explore
from quiesce.explorer.reference.races import RACED, RaceFinder
from quiesce.explorer.reference.record import LockCall, Record
from quiesce.explorer.reference.stepper import State, Step, Stepper
from quiesce.harmless import one_line
from quiesce.lockdep.classes import LockdepMap, WaitType
from quiesce.lockdep.frames import Frame
from quiesce.lockdep.held import LockdepTask
from quiesce.lockdep.possible import Context, Entry, Held, possible_contexts, without
from quiesce.lockdep.reports import Report
from quiesce.lockdep.validator import Validator
from quiesce.protocol import Protocol
from quiesce.stopping import noted

DEFAULT_STATES = 20_000
"""Unless it is said: how many states are looked at after the threads have run alone."""


_Steps = dict[object, list[tuple[object, Step]]]
"""By the values that steps depend on: what they leave there, and the steps."""


class ExploredLockdep:
    """Feeds a validator with the lock events of a program.

    :param validator: options and the report are its; see :class:`Validator`.
    :param whole: see everything that can happen, also where it is known that nothing will be reported.
    :ivar cut_short: why its silence means nothing, and the validator has not seen everything; else empty.
        RACED if only the program without fusion has more to see.
    """

    def __init__(self, program: Program, validator: Validator, *, whole: bool = False) -> None:
        self.program = program
        self.validator = validator
        self._whole = whole
        self._unused = deepcopy(validator)
        """Another one with the same options."""
        self._stepper = Stepper(program, Record())
        self._plain = Stepper(program)
        self._locks: dict[int, LockdepMap] = {}
        self._tasks: dict[int, LockdepTask] = {}
        self._seen: set[tuple[int, Held, Entry]] = set()
        self._looks: list[list[tuple[Callable[[State], object], _Steps]]] = [
            [
                (itemgetter(*places_of_step(program, thread, location)), {})
                for location in range(len(thread.kind.locations))
            ]
            for thread in program.threads
        ]
        self._begun: dict[tuple[int, State], Held] = {}
        self._bounds = Bounds()
        self.cut_short = ""

    def run(self, bounds: Bounds | None = None) -> Report | None:
        """Feed the validator until it reports or nothing new is left; return the report, if any.

        :param bounds: how many states to look at with all threads running (20,000), and for how long.
        """
        self._bounds = bounds or Bounds(max_states=DEFAULT_STATES)
        with noted():
            if any(_lock_events(self.program)) and not self._run_alone() and not self._ends_now():
                self._run_together()
        return self.validator.report

    def _run_together(self) -> None:
        """Run all threads together, unless what they can do at most is known to cause no report."""
        possible = possible_contexts(self.program)
        if self._has_seen(possible) or (not self._whole and self._is_silent_about(possible)):
            return
        races = RaceFinder(self.program)

        def on_state(_: int, state: State, __: list[Step]) -> bool:
            races.look(state)
            return False

        graph = explore(self._plain, on_state, self._bounds)
        self.add_graph(graph)
        if self.validator.report is None and not self.cut_short and not self._has_seen(possible):
            raced = RACED if self.program.fuse and races.races else ""
            self.cut_short = graph.incomplete or raced or cut_by_failures(len(graph.failures))

    def _has_seen(self, possible: list[Context] | None) -> bool:
        """Tell whether everything that is *possible* was fed to the validator."""
        kinds = [id(thread.kind) for thread in self.program.threads]
        return possible is not None and all(
            (kinds[one.thread], one.held, one.entry) in self._seen for one in possible
        )

    def _is_silent_about(self, possible: list[Context] | None) -> bool:
        """Tell whether all that is *possible*, which is more than can happen, causes no report."""
        if possible is None:
            return False
        other = ExploredLockdep(self.program, self._unused)
        for one in possible:
            other._take(one.thread, one.held, one.entry)
        return other.validator.report is None

    def _ends_now(self) -> bool:
        """Tell whether the time is over or the command was interrupted."""
        self.cut_short = self.cut_short or self._bounds.ends_now()
        return bool(self.cut_short)

    def _run_alone(self) -> bool:
        """Run each thread by itself; return whether there is a report already."""
        for thread in range(len(self.program.threads)):
            self._alone(thread)
            if self.validator.report is not None:
                return True
        return False

    def _alone(self, thread: int) -> None:
        """Run *thread* by itself, through each of its choices, until it repeats itself or waits."""
        for initial in self._beginnings(thread):
            seen: set[State] = {initial}
            todo: deque[tuple[State, Held]] = deque([(initial, self._begins(initial, thread))])
            while todo and not self._ends_now():
                state, held = todo.popleft()
                for step in self._stepper.steps_of(state, thread):
                    after = self._feed(thread, held, step)
                    if step.failure is None and step.target not in seen:
                        seen.add(step.target)
                        todo.append((step.target, after))

    def _beginnings(self, thread: int) -> Iterator[State]:
        """Yield the initial states that differ for *thread*: in shared variables, or in its own block."""
        bases = sorted([*(t.base for t in self.program.threads), len(self._stepper.blank)])
        begin = self.program.threads[thread].base
        end = bases[bases.index(begin) + 1]
        seen = set()
        for initial in islice(self._stepper.each_initial_state(), self._bounds.max_states):
            if self._ends_now():
                return
            key = initial[: bases[0]], initial[begin:end]
            if key not in seen:
                seen.add(key)
                yield initial

    def _begins(self, initial: State, thread: int) -> Held:
        """Feed what *thread* takes before its first step that others can see; return what it holds."""
        base, stepper = self.program.threads[thread].base, self._stepper
        block = slice(base, base + self.program.threads[thread].kind.block)
        key = thread, initial[block]
        if key not in self._begun:
            self._begun[key] = ()
            for step in stepper.steps_to_begin(stepper.blank, thread):
                if step.failure is None and step.target[block] == initial[block]:
                    self._begun[key] = self._feed(thread, (), step)
                    break
        return self._begun[key]

    def add_graph(self, graph: Graph) -> None:
        """Feed what each step of *graph* takes, with what its thread holds there.

        What a thread holds in a state is what it took and did not release on the way there; it is the
        same on every way, since a thread's place in its code and the locks' owners are in the state.
        """
        held: list[tuple[Held, ...] | None] = [None] * len(graph.states)
        for number, state in enumerate(graph.states[: graph.initial]):
            threads = range(len(self.program.threads))
            held[number] = tuple(self._begins(state, thread) for thread in threads)
        for number in range(graph.expanded):
            if self._ends_now():
                return
            before = held[number]
            assert before is not None
            state = graph.states[number]
            for edge in graph.edges(number):
                thread, target = graph.threads[edge], graph.targets[edge]
                after = before[thread]
                for step in self._recorded(state, thread, graph.states[target]):
                    after = self._feed(thread, before[thread], step)
                    if self.validator.report is not None:
                        return
                if held[target] is None:
                    held[target] = (*before[:thread], after, *before[thread + 1 :])

    def _recorded(self, state: State, thread: int, target: State) -> list[Step]:
        """Return the steps of *thread* from *state* to *target*, with their lock events.

        They depend on the values of what the step may touch, and are run once for each combination.
        """
        location = state[self.program.threads[thread].base]
        look, known = self._looks[thread][location]
        values = look(state)
        if values not in known:
            known[values] = [
                (look(step.target), step) for step in self._stepper.steps_of(state, thread)
            ]
        arrives = look(target)
        return [step for values_after, step in known[values] if values_after == arrives]

    def _feed(self, thread: int, held: Held, step: Step) -> Held:
        """Tell the validator what *step* takes and releases; return what is held after it."""
        for call in step.record.locks if step.record is not None else []:
            if call.action == "release":
                held = without(held, call.component)
                continue
            entry = _entry(call)
            context = id(self.program.threads[thread].kind), held, entry
            if context not in self._seen and self.validator.report is None:
                self._seen.add(context)
                self._take(thread, held, entry)
            held = (*held, entry)
        return held

    def _take(self, thread: int, held: Held, entry: Entry) -> None:
        """Let a task take *entry* while it holds *held*, and put everything back."""
        task = self._task(thread)
        taken: list[LockdepMap] = []
        for each in (*held, entry):
            if self.validator.report is not None:
                return
            lock = self._lock(each.component)
            stack = tuple(Frame(name) for name in each.stack)
            self.validator.acquire(task, lock, read=each.read, trylock=each.trylock, stack=stack)
            taken.append(lock)
        if self.validator.report is None:
            for lock in reversed(taken):
                self.validator.release(task, lock)

    def _task(self, thread: int) -> LockdepTask:
        if thread not in self._tasks:
            default = self.program.threads[thread].kind.name
            comm = str(getattr(self.program.scenario, "comm", default))
            self._tasks[thread] = self.validator.task(one_line(comm), 1 + thread)
        return self._tasks[thread]

    def _lock(self, number: int) -> LockdepMap:
        if number not in self._locks:
            component = self.program.layout.components[number]
            self._locks[number] = declare_lock(self.validator, component)
        return self._locks[number]


def declare_lock(validator: Validator, component: Protocol) -> LockdepMap:
    """Tell *validator* of a protocol's lock: its class, its name, and how it waits."""
    return validator.lock(
        class_key(component),
        one_line(display_name(component)),
        wait_inner=WaitType[getattr(component, "wait_type_inner", "INV")],
        wait_outer=WaitType[getattr(component, "wait_type_outer", "INV")],
    )


def class_key(component: Protocol) -> tuple[str, str]:
    """Return what makes locks one class: the owner's class and the attribute, as an init site does."""
    owner = component._owner
    name = type(owner).__qualname__ if owner is not None else ""
    return name, re.sub(r"\[\d+\]", "", component._attribute)


def _lock_events(program: Program) -> Iterator[LockEvent]:
    for kind in program.kinds:
        yield from (op for op in kind.code.ops if isinstance(op, LockEvent))


def _entry(call: LockCall) -> Entry:
    op = call.op
    stack = op.stack if isinstance(op, LockEvent) else ()
    return Entry(call.component, call.read, call.trylock, stack)
