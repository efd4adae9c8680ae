# SPDX-License-Identifier: Apache-2.0
"""rw_semaphore and rwlock_t step by step against their rules, written down a second time.

The rules are those of the documentation: of whom is inside, who is queued, and who was let in but has
not noticed yet. The protocol's threads and the rules walk through all interleavings side by side: in
every state each thread must be able to do exactly what the rules say, and what it does must come out
as they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from quiesce.compiler.program import compile_scenario
from quiesce.explorer.reference.stepper import State, Stepper
from quiesce.primitives import RwLock, RwSem
from quiesce.protocol import Scenario, thread


@dataclass(frozen=True)
class Rules:
    """A reader/writer lock as its users see it; threads are numbers.

    :ivar steals: a reader may overtake queued writers while the lock is free, and takes the queued
        readers along; and so may a writer.
    :ivar inside: the readers that hold it, one entry for each hold.
    :ivar let_in: readers that were queued and hold it now; their next step notices.
    """

    steals: bool
    writer: int = -1
    inside: tuple[int, ...] = ()
    let_in: frozenset[int] = frozenset()
    queued_readers: frozenset[int] = frozenset()
    queued_writers: frozenset[int] = frozenset()

    @property
    def free(self) -> bool:
        return self.writer < 0 and not self.inside and not self.let_in

    def down_read(self, who: int) -> Rules:
        overtakes = self.steals and self.free
        if self.writer >= 0 or (self.queued_writers and not overtakes):
            return replace(self, queued_readers=self.queued_readers | {who})
        return replace(
            self,
            inside=tuple(sorted((*self.inside, who))),
            let_in=self.let_in | self.queued_readers,
            queued_readers=frozenset(),
        )

    def notice(self, who: int) -> Rules | None:
        if who not in self.let_in:
            return None
        return replace(self, inside=tuple(sorted((*self.inside, who))), let_in=self.let_in - {who})

    def up_read(self, who: int) -> Rules:
        rest = list(self.inside)
        rest.remove(who)
        return replace(self, inside=tuple(rest))

    def try_read(self, who: int) -> Rules:
        if self.writer >= 0 or self.queued_writers or self.queued_readers:
            return self
        return replace(self, inside=tuple(sorted((*self.inside, who))))

    def down_write(self, who: int) -> Rules:
        if self.free and (self.steals or not self.queued_writers):
            return replace(self, writer=who)
        return replace(self, queued_writers=self.queued_writers | {who})

    def take_write(self, who: int) -> Rules | None:
        if not self.free:
            return None
        return replace(self, writer=who, queued_writers=self.queued_writers - {who})

    def up_write(self, who: int) -> Rules:
        return replace(self, writer=-1, let_in=self.queued_readers, queued_readers=frozenset())


@dataclass(frozen=True)
class User:
    """A thread of the rules: what it still has to do, and what it is in the middle of."""

    todo: tuple[str, ...]
    queued: bool = field(default=False)


def step(rules: Rules, user: User, who: int) -> tuple[str, Rules, User] | None:
    """Return the label of what thread *who* does next and what comes of it; None if it waits."""
    if not user.todo:
        return None
    what, rest = user.todo[0], User(user.todo[1:])
    if user.queued:
        after = rules.notice(who) if what == "read" else rules.take_write(who)
        return None if after is None else (f"{what} slowpath", after, rest)
    match what:
        case "read":
            after = rules.down_read(who)
            waits = who in after.queued_readers
        case "write":
            after = rules.down_write(who)
            waits = who in after.queued_writers
        case "unread":
            after, waits = rules.up_read(who), False
        case "try":
            after, waits = rules.try_read(who), False
            # Without the lock there is nothing to release.
            rest = rest if after != rules else User(rest.todo[1:])
        case _:
            after, waits = rules.up_write(who), False
    return what, after, replace(user, queued=True) if waits else rest


class Semaphore(Scenario):
    """Readers, readers that nest, readers that only try, and writers of one rw_semaphore."""

    def __init__(self, readers: int, nesting: int, trying: int, writers: int, rounds: int) -> None:
        self.sem = RwSem()
        self.readers, self.nesting, self.trying, self.writers = readers, nesting, trying, writers
        self.rounds = rounds

    @thread("readers")
    def reader(self) -> None:
        for _ in range(self.rounds):
            self.sem.down_read()
            self.sem.up_read()

    @thread("nesting")
    def nester(self) -> None:
        self.sem.down_read()
        self.sem.down_read()
        self.sem.up_read()
        self.sem.up_read()

    @thread("trying")
    def trier(self) -> None:
        if self.sem.down_read_trylock():
            self.sem.up_read()

    @thread("writers")
    def writer(self) -> None:
        for _ in range(self.rounds):
            self.sem.down_write()
            self.sem.up_write()


class Spinning(Scenario):
    """The same for a rwlock_t, which has no trylock here."""

    def __init__(self, readers: int, nesting: int, writers: int, rounds: int) -> None:
        self.rwlock = RwLock()
        self.readers, self.nesting, self.writers = readers, nesting, writers
        self.rounds = rounds

    @thread("readers")
    def reader(self) -> None:
        for _ in range(self.rounds):
            self.rwlock.read_lock()
            self.rwlock.read_unlock()

    @thread("nesting")
    def nester(self) -> None:
        self.rwlock.read_lock()
        self.rwlock.read_lock()
        self.rwlock.read_unlock()
        self.rwlock.read_unlock()

    @thread("writers")
    def writer(self) -> None:
        for _ in range(self.rounds):
            self.rwlock.write_lock()
            self.rwlock.write_unlock()


LABELS = {
    "down_read": "read",
    "rwsem_down_read_slowpath": "read slowpath",
    "up_read": "unread",
    "down_read_trylock": "try",
    "down_write": "write",
    "rwsem_down_write_slowpath": "write slowpath",
    "up_write": "unwrite",
    "read_lock": "read",
    "queued_read_lock_slowpath": "read slowpath",
    "read_unlock": "unread",
    "write_lock": "write",
    "queued_write_lock_slowpath": "write slowpath",
    "write_unlock": "unwrite",
}

Pair = tuple[State, Rules, tuple[User, ...]]


def walk_side_by_side(scenario: Scenario, rules: Rules, users: list[User]) -> int:
    """Compare the protocol's steps with the rules in every state; return how many states there are."""
    program = compile_scenario(scenario)
    stepper = Stepper(program)
    (start,) = stepper.initial_states()
    todo: list[Pair] = [(start, rules, tuple(users))]
    seen = set(todo)
    while todo:
        pair = todo.pop()
        for after in next_pairs(stepper, pair):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    # The rules' state and the protocol's determine each other.
    assert len({pair[0] for pair in seen}) == len(seen) == len({pair[1:] for pair in seen})
    return len(seen)


def next_pairs(stepper: Stepper, pair: Pair) -> Iterator[Pair]:
    state, rules, users = pair
    for who, user in enumerate(users):
        steps = stepper.steps_of(state, who)
        expected = step(rules, user, who)
        assert len(steps) == (0 if expected is None else 1), (pair, who)
        assert stepper.finished(state, who) == (not user.todo), (pair, who)
        if expected is None:
            continue
        label, after, then = expected
        assert steps[0].failure is None
        assert LABELS[label_of(stepper, state, who)] == label, (pair, who)
        yield steps[0].target, after, (*users[:who], then, *users[who + 1 :])


def label_of(stepper: Stepper, state: State, who: int) -> str:
    thread = stepper.program.threads[who]
    return thread.kind.locations[state[thread.base]].label.partition("(")[0]


READ, NEST, WRITE = ("read", "unread"), ("read", "read", "unread", "unread"), ("write", "unwrite")


@pytest.mark.parametrize(
    ("readers", "nesting", "trying", "writers", "rounds"),
    [
        (3, 0, 0, 1, 1),
        (2, 0, 0, 2, 1),
        (1, 0, 0, 3, 1),
        (1, 1, 1, 1, 1),
        (1, 0, 1, 2, 1),
        (2, 0, 0, 1, 2),
    ],
)
def test_rw_semaphore(readers: int, nesting: int, trying: int, writers: int, rounds: int) -> None:
    users = [User(READ * rounds)] * readers + [User(NEST)] * nesting
    users += [User(("try", "unread"))] * trying + [User(WRITE * rounds)] * writers
    scenario = Semaphore(readers, nesting, trying, writers, rounds)
    assert walk_side_by_side(scenario, Rules(steals=True), users) > 40


@pytest.mark.parametrize(
    ("readers", "nesting", "writers", "rounds"),
    [(3, 0, 1, 1), (2, 0, 2, 1), (1, 0, 3, 1), (1, 1, 1, 1), (2, 0, 1, 2)],
)
def test_rwlock(readers: int, nesting: int, writers: int, rounds: int) -> None:
    users = (
        [User(READ * rounds)] * readers + [User(NEST)] * nesting + [User(WRITE * rounds)] * writers
    )
    scenario = Spinning(readers, nesting, writers, rounds)
    assert walk_side_by_side(scenario, Rules(steals=False), users) > 40
