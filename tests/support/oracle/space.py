# SPDX-License-Identifier: Apache-2.0
"""Steps at the finest grain, and every state that they reach."""

from __future__ import annotations

from dataclasses import dataclass, field

from oracle.code import Code
from oracle.declared import Declared, Look, Task, Value
from oracle.expressions import Blocked, Failed, Moment, outdated
from oracle.inline import code_of, property_of

Place = tuple[int, tuple[Value, ...]]
"""Where a thread stands: number of the operation that comes next, and the local variables that matter."""

State = tuple[tuple[Value, ...], tuple[Place, ...]]

Access = tuple[int, bool, bool]


class TooLarge(Exception):
    """More states than the caller has room for."""


@dataclass(frozen=True)
class Edge:
    """A step that was taken.

    :param loops: the loops that the step stays in, outermost first: they contain everything that it
        executed, and the place where the thread stands after it.
    :param changes: it changes a variable that another thread or a property uses.
    """

    source: int
    target: int
    thread: int
    loops: tuple[int, ...]
    changes: bool


@dataclass
class Space:
    """All reachable states, by number, and all steps between them."""

    codes: list[Code]
    states: list[State] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    enabled: list[frozenset[int]] = field(default_factory=list)
    """For each state, the threads that can take a step, be it one that fails."""
    failures: list[set[str]] = field(default_factory=list)
    """For each state, the kinds of failure that a step from there has."""
    failing: set[tuple[int, int]] = field(default_factory=set)
    """The states and threads of which a next step fails, with some choice."""
    seen_by_others: list[set[int]] = field(default_factory=list)
    """For each thread, the slots that another thread or a property uses."""
    raced: set[int] = field(default_factory=set)
    """Slots with a data race."""
    executed: list[set[int]] = field(default_factory=list)
    """For each thread, the operations that were executed."""
    outcomes: dict[int, set[bool]] = field(default_factory=dict)
    """For each line with an ``if`` or ``while``, what its condition was."""

    def at(self, state: int, thread: int) -> int:
        """Return the number of the operation that *thread* would execute next."""
        return self.states[state][1][thread][0]

    def finished(self, state: int, thread: int) -> bool:
        """Return whether *thread* has finished."""
        return self.at(state, thread) == len(self.codes[thread].operations)


@dataclass
class _Taken:
    """What one step did."""

    place: Place
    shared: tuple[Value, ...]
    executed: list[int]
    branches: list[tuple[int, bool]]
    incremented: set[str]


def explore(declared: Declared, limit: int) -> Space:
    """Return the complete space.

    :raises TooLarge: if it has more than *limit* states.
    :raises Failed: if a thread fails before its first step.
    """
    codes = [code_of(declared, i) for i in range(len(declared.threads))]
    space = Space(codes, executed=[set() for _ in codes])
    read = set().union(*(property_of(declared, p)[1] for p in declared.properties))
    for code in codes:
        space.seen_by_others.append(read.union(*(c.used for c in codes if c is not code)))
    numbers: dict[State, int] = {}

    def number_of(state: State) -> int:
        if state not in numbers:
            if len(numbers) == limit:
                raise TooLarge
            numbers[state] = len(space.states)
            space.states.append(state)
        return numbers[state]

    for state in _initial(space, tuple(declared.initial)):
        number_of(state)
    at = 0
    while at < len(space.states):
        _expand(space, at, number_of)
        at += 1
    return space


def _initial(space: Space, shared: tuple[Value, ...]) -> list[State]:
    """Return the states in which runs begin: what touches nothing shared has been executed."""
    states: list[tuple[Place, ...]] = [()]
    for thread, code in enumerate(space.codes):
        found = []
        pending: list[list[int]] = [[]]
        while pending:
            moment = Moment(list(shared), {}, Task(thread), pending.pop())
            taken = _run(code, 0, moment, False)
            _note(space, thread, taken)
            found.append(taken.place)
            pending += _others(moment)
        states = [(*before, place) for before in states for place in dict.fromkeys(found)]
    return [(shared, places) for places in states]


def _others(moment: Moment) -> list[list[int]]:
    """Return the decisions that were not taken yet, given those that *moment* took."""
    taken = moment.decisions + [0] * (len(moment.options) - len(moment.decisions))
    return [
        [*taken[:i], other]
        for i in range(len(moment.decisions), len(moment.options))
        for other in range(1, moment.options[i])
    ]


def _expand(space: Space, number: int, number_of: object) -> None:
    """Add all steps from a state."""
    assert callable(number_of)
    shared, places = space.states[number]
    enabled, failures = set(), set()
    accesses: list[set[Access]] = []
    for thread, code in enumerate(space.codes):
        seen: set[Access] = set()
        accesses.append(seen)
        start, values = places[thread]
        edges: dict[Edge, None] = {}
        if start == len(code.operations):
            continue
        pending: list[list[int]] = [[]]
        while pending:
            local = dict(zip(code.live[start], values, strict=True))
            moment = Moment(list(shared), local, Task(thread), pending.pop())
            try:
                taken = _run(code, start, moment, True)
            except Blocked:
                pass
            except Failed as failure:
                enabled.add(thread)
                failures.add(failure.kind)
                space.failing.add((number, thread))
            else:
                enabled.add(thread)
                _note(space, thread, taken)
                after = _after(space, places, thread, taken)
                loops = _common([code.nest(i) for i in (*taken.executed, taken.place[0])])
                changes = _changes(space.seen_by_others[thread], shared, taken.shared)
                target = number_of((taken.shared, after))
                edges[Edge(number, target, thread, loops, changes)] = None
            seen.update(moment.accesses)
            pending += _others(moment)
        space.edges += edges
    space.enabled.append(frozenset(enabled))
    space.failures.append(failures)
    _races(space, accesses)


def _changes(slots: set[int], before: tuple[Value, ...], after: tuple[Value, ...]) -> bool:
    """Return whether one of *slots* has another value."""
    return any(before[slot] != after[slot] for slot in slots)


def _after(
    space: Space, places: tuple[Place, ...], thread: int, taken: _Taken
) -> tuple[Place, ...]:
    """Return where all threads stand after a step."""
    after = list(places)
    after[thread] = taken.place
    for version in taken.incremented:
        after = [(at, tuple(outdated(v, version) for v in values)) for at, values in after]
        # The step's own thread may have looked again since.
        after[thread] = taken.place
    return tuple(after)


def _run(code: Code, at: int, m: Moment, begin: bool) -> _Taken:
    """Execute one step from an operation; without *begin* only what rides along with the step before.

    :raises Blocked: if it has to wait.
    :raises Failed: if it fails.
    """
    executed: list[int] = []
    branches: list[tuple[int, bool]] = []
    seen: set[object] = set()
    operations = code.operations
    while at < len(operations):
        op = operations[at]
        if op.depth == 0 and op.touches and not begin:
            break
        begin = False
        executed.append(at)
        m.plain = op.plain
        following = at + 1
        if op.kind == "jump":
            following = op.target
            if following <= at:
                moment = (at, tuple(sorted(m.locals.items(), key=lambda i: i[0])), tuple(m.shared))
                if moment in seen:
                    raise Failed("endless step")
                seen.add(moment)
        elif op.kind == "branch":
            outcome = bool(op.run(m))
            if op.condition:
                branches.append((op.line, outcome))
            if not outcome:
                following = op.target
        elif op.kind == "wait":
            if not op.run(m):
                raise Blocked
        else:
            op.run(m)
        at = following
    values = tuple(m.locals.get(name) for name in code.live[at])
    return _Taken((at, values), tuple(m.shared), executed, branches, m.incremented)


def _note(space: Space, thread: int, taken: _Taken) -> None:
    space.executed[thread].update(taken.executed)
    for line, outcome in taken.branches:
        space.outcomes.setdefault(line, set()).add(outcome)


def _common(nests: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the loops that all *nests* have in common."""
    common = nests[0]
    for nest in nests[1:]:
        length = 0
        while length < min(len(common), len(nest)) and common[length] == nest[length]:
            length += 1
        common = common[:length]
    return common


def _races(space: Space, accesses: list[set[Access]]) -> None:
    """Note the variables that two threads are about to access, one of them plainly, one writing."""
    for i, mine in enumerate(accesses):
        for other in accesses[i + 1 :]:
            for slot, write, plain in mine:
                for slot2, write2, plain2 in other:
                    if slot == slot2 and (write or write2) and (plain or plain2):
                        space.raced.add(slot)


def shared_values(declared: Declared, state: State) -> dict[str, Value]:
    """Return the shared variables of a state by their paths; looks at versions are left out."""
    return {
        path: state[0][slot.index]
        for path, slot in declared.members.items()
        if hasattr(slot, "index") and not isinstance(state[0][slot.index], Look)
    }
