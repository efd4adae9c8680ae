# SPDX-License-Identifier: Apache-2.0
"""Threads that can never get on again: deadlocks, stuck threads, lost wakeups.

The definitions are those of ``docs/language.md``, "Stuck". They are about runs that go on forever and
not about single states, so that it makes no difference how much of a run is one step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import assert_never

from quiesce.compiler.atomic_steps import expression_cells
from quiesce.compiler.ir import (
    Await,
    Begin,
    Branch,
    Bump,
    Check,
    Choose,
    End,
    Halt,
    Jump,
    LockEvent,
    Op,
    SetLocal,
    Store,
    operands,
)
from quiesce.compiler.loops import SourceLoop
from quiesce.compiler.program import Program
from quiesce.explorer.analysis.footprint import places_of_step
from quiesce.explorer.reference.components import strongly_connected
from quiesce.explorer.reference.evaluate import (
    BLOCKED,
    CHOICE,
    Evaluator,
    StepFailure,
    kind_evaluator,
)
from quiesce.explorer.reference.getting_on import exits_around, loop_around, loops_left
from quiesce.explorer.reference.graph import Bounds, Graph
from quiesce.explorer.reference.stepper import State, Stepper


@dataclass(frozen=True, slots=True)
class Stuck:
    """In *state*, *threads* can never get on again though they have not finished.

    :param others_run: other threads take steps forever.
    """

    state: int
    threads: tuple[int, ...]
    others_run: bool


def unfinished(program: Program, state: State) -> list[int]:
    """Return the threads that have not run to their end, daemons left out."""
    return [
        i
        for i, t in enumerate(program.threads)
        if not t.daemon and not t.kind.locations[state[t.base]].final
    ]


def find_deadlock(program: Program, graph: Graph) -> int | None:
    """Return the first state in which no thread can move and not all have finished."""
    unknown = set(graph.unknown_beyond())
    for number in range(graph.expanded):
        if (
            graph.first[number] == graph.first[number + 1]
            and unfinished(program, graph.states[number])
            and number not in unknown
        ):
            return number
    return None


class Questions:
    """What decides whether a thread is stuck, a bit each.

    For each thread: does it ever move? Does it ever change what others use? Does it ever leave this loop?
    """

    def __init__(self, program: Program) -> None:
        self._threads = program.threads
        bits = 2 * len(self._threads)
        self._asked: list[list[int]] = []
        """For each thread and location, the bits of the loops with an exit around it; -1: it has finished."""
        self._left: list[list[list[int]]] = []
        """For each thread, location and depth, the bits that a step of that depth sets."""
        for number, thread in enumerate(self._threads):
            kind = thread.kind
            bit_of: dict[SourceLoop, int] = {}
            asked, left = [], []
            for location, at in enumerate(kind.locations):
                around = kind.nest.around(at.position)
                for loop in around:
                    if loop not in bit_of:
                        bit_of[loop] = 1 << bits
                        bits += 1
                mine = sum(bit_of[loop] for loop in exits_around(kind, location))
                asked.append(-1 if at.final else mine)
                left.append(
                    [
                        1 << number
                        | sum(bit_of[loop] for loop in loops_left(kind, location, level))
                        for level in range(len(around) + 1)
                    ]
                )
            self._asked.append(asked)
            self._left.append(left)
        self.all = (1 << bits) - 1
        self._used = [used_by_others(program, number) for number in range(len(program.threads))]

    def answered_by(self, thread: int, before: State, after: State) -> int:
        """Return the bits that a step of *thread* answers with yes."""
        declared = self._threads[thread]
        here, there = before[declared.base], after[declared.base]
        bits = self._left[thread][here][declared.kind.loop_depth[here, there]]
        if self._asked[thread][here] > 0:
            if any(before[place] != after[place] for place in self._used[thread]):
                bits |= 1 << len(self._threads) + thread
        return bits

    def stuck(self, state: State, bits: int) -> int:
        """Return the threads that are stuck in *state*, daemons among them, as a mask.

        :param bits: what is answered with yes on some run from there.
        """
        mask, count = 0, len(self._threads)
        for number, thread in enumerate(self._threads):
            asked = self._asked[number][state[thread.base]]
            moves, changes = bits >> number & 1, bits >> count + number & 1
            if asked >= 0 and (not moves or (asked & ~bits and not changes)):
                mask |= 1 << number
        return mask


def used_by_others(program: Program, thread: int) -> list[int]:
    """Return the places in a state that threads other than *thread*, or properties, read or write."""
    used = {
        cell
        for prop in program.properties
        for op in prop.code.ops
        for expr in operands(op)
        for cell in expression_cells(expr)
    }
    for number, other in enumerate(program.threads):
        if number != thread:
            used.update(range(other.base, other.base + other.kind.block))
            for location in range(len(other.kind.locations)):
                used.update(places_of_step(program, other, location, number))
    own = program.threads[thread]
    return sorted(used - set(range(own.base, own.base + own.kind.block)))


class StuckThreads:
    """Which threads can never get on again, in each state of an explored graph.

    The answers to :class:`Questions` are collected over the components of the graph, each after those that
    it leads to. A run that ends in a failed step says nothing about what would have come after it, so there
    every answer is yes.
    """

    def __init__(self, program: Program, graph: Graph) -> None:
        self._program = program
        self._graph = graph
        self.masks = [0] * graph.expanded
        """For each state, the threads that are stuck in it, as a mask; daemons left out."""
        self.blocked: Stuck | None = None
        """The first state in which some thread is stuck and all others have come to rest forever."""
        self.several: Stuck | None = None
        """The first state in which several threads are stuck while others run on forever."""
        self.alone: Stuck | None = None
        """The first state in which a single thread is stuck while others run on forever."""
        self._collect()

    def _collect(self) -> None:
        """Walk the components, those that others lead to first, and keep what is found."""
        graph, threads = self._graph, self._program.threads
        questions = Questions(self._program)
        daemons = sum(1 << i for i, t in enumerate(threads) if t.daemon)
        everyone = (1 << len(threads)) - 1
        unknown: dict[int, int] = {}
        for failed in graph.failures:
            unknown[failed.source] = unknown.get(failed.source, 0) | 1 << failed.thread
        count = graph.expanded
        can, movers, ahead = [0] * count, [0] * count, [0] * count
        for component in strongly_connected(graph, range(count)):
            members = set(component)
            bits = moving = inside = beyond = waits = 0
            for state in component:
                able = unknown.get(state, 0)
                if state in unknown:
                    bits = questions.all
                for edge in graph.edges(state):
                    thread, target = graph.threads[edge], graph.targets[edge]
                    able |= 1 << thread
                    bits |= questions.answered_by(thread, graph.states[state], graph.states[target])
                    if target in members:
                        inside |= 1 << thread
                    elif target < count:
                        bits |= can[target]
                        moving |= movers[target]
                        beyond |= ahead[target]
                moving |= able
                waits |= ~able
            # A component of several states has the same threads stuck in all of them.
            stuck = questions.stuck(graph.states[component[0]], bits)
            mine = stuck & ~daemons
            # A run that stays here forever is weakly fair if each thread moves, or cannot somewhere.
            weakly_fair = everyone & ~(inside | waits) == 0
            if weakly_fair and inside & ~stuck and mine:
                beyond |= 1 if mine & mine - 1 == 0 else 2
            for state in component:
                can[state], movers[state], ahead[state] = bits, moving, beyond
                self.masks[state] = mine
                self._note(state, mine, stuck, moving, beyond)

    def _note(self, state: int, mine: int, stuck: int, moving: int, beyond: int) -> None:
        """Keep *state* if it is the first of its sort.

        :param moving: threads with a step in a run from here; *beyond*: 1 if a run leads to where one thread
            is stuck forever while others run, 2 if to where several are.
        """
        if not mine:
            return
        threads = tuple(t for t in range(mine.bit_length()) if mine >> t & 1)
        if not moving & ~stuck:
            if self.blocked is None or state < self.blocked.state:
                self.blocked = Stuck(state, threads, False)
        elif len(threads) > 1:
            if beyond & 2 and (self.several is None or state < self.several.state):
                self.several = Stuck(state, threads, True)
        elif beyond & 1 and (self.alone is None or state < self.alone.state):
            self.alone = Stuck(state, threads, True)


def can_get_on(program: Program, state: State, thread: int, bounds: Bounds) -> bool | None:
    """Whether *thread* is not stuck in *state*; None if that is not known within *bounds*.

    As in :class:`StuckThreads`, but only until every question is answered.
    """
    stepper, questions = Stepper(program), Questions(program)
    seen, todo, bits = {state}, deque([state]), 0
    while questions.stuck(state, bits) >> thread & 1:
        if not todo:
            return False
        if len(seen) > (bounds.max_states or len(seen)) or bounds.ends_now():
            return None
        here = todo.popleft()
        for step in stepper.successors(here):
            if step.failure is not None:
                return True
            bits |= questions.answered_by(step.thread, here, step.target)
            if step.target not in seen:
                seen.add(step.target)
                todo.append(step.target)
    return True


def lost_wakeup(program: Program, state: State, thread: int) -> bool:
    """Return whether *thread* sleeps in ``schedule()`` although the condition it waits for is already true.

    The condition is that of the loop around the sleep. The thread is run in a copy of *state* as if it were
    woken: to the start of the loop with what it does there, from the start on only while it reads. If it
    leaves the loop, there is nothing to sleep for.
    """
    sleeper = program.threads[thread]
    ops = sleeper.kind.code.ops
    location = sleeper.kind.locations[state[sleeper.base]]
    loop = loop_around(program, state, thread)
    if loop is None or not location.label.startswith("schedule"):
        return False
    evaluator: Evaluator = kind_evaluator(program, sleeper.kind)
    vector = [*state, thread + 1, *[0] * len(sleeper.kind.code.slots)]
    position = location.position
    seen: set[int] = set()
    woken = reading = False
    try:
        while position in loop:
            op = ops[position]
            reading = woken and (reading or position == loop.start)
            if position in seen or (reading and not _only_looks(op)):
                return False
            seen.add(position)
            asleep = isinstance(op, Await) and not woken
            position = position + 1 if asleep else evaluator.run[position](vector, sleeper.base)
            if isinstance(op, End) and not woken:
                woken = True
                seen.clear()
    except StepFailure:
        return False
    return position not in (BLOCKED, CHOICE)


def _only_looks(op: Op) -> bool:
    """Return whether *op* does nothing but compute and choose where control goes."""
    match op:
        case SetLocal() | Branch() | Jump():
            return True
        case (
            Store() | Bump() | Await() | Choose() | Check() | Begin() | End() | LockEvent() | Halt()
        ):  # fmt: skip
            return False
        case _:
            assert_never(op)
