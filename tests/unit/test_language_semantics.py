# SPDX-License-Identifier: Apache-2.0
"""What each construct of the language means: CPython and the compiled program end in the same values.

Every method below is the whole thread of a scenario. It is run by plain Python for every sequence of
choices, and compiled, fused and unfused; see ``native_oracle.py``. ``ENDS`` says in how many different
ways it has to end, so that a test which compares nothing with nothing fails.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import pytest
from native_oracle import assert_same

from quiesce.primitives import SpinLock
from quiesce.protocol import (
    READ_ONCE,
    TASK_RUNNING,
    TASK_UNINTERRUPTIBLE,
    WRITE_ONCE,
    Array,
    Bool,
    Enum,
    Int,
    PerTask,
    Protocol,
    Ref,
    Scenario,
    Set,
    Snapshot,
    TaskRef,
    TaskSet,
    Version,
    acquires,
    atomic,
    choose,
    current,
    releases,
    thread,
    wait_until,
)

LIMIT = 3


class Color(enum.Enum):
    RED = "r"
    GREEN = "g"
    BLUE = "b"


class Cell(Protocol):
    """An element of arrays, with an array of its own."""

    value = Int(0, low=-50, high=50)
    parts = Array(Int(0), 3)
    color = Enum(Color.RED)

    def __init__(self, ident: int = 0) -> None:
        self.ident = ident

    def twice(self, world: Any) -> int:
        self.value += 1
        world.x = 1
        self.value += 1
        return self.value

    @property
    def total(self) -> int:
        result = 0
        for i in range(len(self.parts)):
            result += self.parts[i]
        return result


class Row(Protocol):
    cells = Array(Cell(), 3)
    __hidden = Int(5)

    def hide(self) -> int:
        self.__hidden += 1
        return self.__hidden


class Base(Protocol):
    count = Int(0)

    def step(self) -> int:
        self.count += 1
        return self.count

    @staticmethod
    def doubled(value: int) -> int:
        return 2 * value


class Derived(Base):
    def step(self) -> int:
        before = super().step()
        return before + super().step()


def helper(value: int, *, scale: int = 10, shift: int = 0) -> int:
    """A function of the module."""
    if value > LIMIT:
        return -1
    return value * scale + shift


class World(Scenario):
    """What the methods under test may use."""

    x = Int(0, low=-1000, high=1000)
    y = Int(0, low=-1000, high=1000)
    z = Int(0, low=-1000, high=1000)
    m = Int(0, low=-1000, high=1000, marked=True)
    flag = Bool()
    color = Enum(Color.GREEN)
    a = Array(Int(0, low=-1000, high=1000), 4)
    rows = Array(Row(), 2)
    ref = Ref(rows)
    owner = TaskRef()
    per_task = PerTask(Int(0))
    members = Set(5)
    others = Set(5, (1, 3))
    tasks_in = TaskSet()
    seq = Version()
    gen = Version()
    seen = Snapshot()
    seen_gen = Snapshot()
    lock = SpinLock()
    derived = Derived()

    def __init__(self) -> None:
        self.blockable = True
        self.absent: SpinLock | None = None
        self.sizes = (3, 5, 7)
        self.hub = Cell(9)
        self.cells = (Cell(3), Cell(4), Cell(5))
        for cell in self.cells:
            cell.hub = self.hub
        self.step_of_derived = self.derived.step

    def bump(self) -> int:
        self.x += 10
        return self.x

    def put(self, value: int) -> int:
        self.y = value
        return value

    def early(self, limit: int) -> int:
        for i in range(5):
            with self.lock:
                self.x += 1
                if i == limit:
                    return i
            self.y += 1
        return -1

    def pair(self, value: int) -> tuple[int, bool]:
        if value == 0:
            return 7, True
        return value, False


Body = Callable[[World], None]
CASES: dict[str, tuple[Body, int]] = {}


def ends(ways: int) -> Callable[[Body], Body]:
    """Make a function a case that ends in *ways* different ways."""

    def register(body: Body) -> Body:
        assert body.__name__ not in CASES
        CASES[body.__name__] = body, ways
        return body

    return register


# --- Assignment -------------------------------------------------------------------------------------


@ends(2)
def swap(self: World) -> None:
    a, b = READ_ONCE(self.x), choose(3, 4)
    a, b = b, a
    self.x, self.y = a, b


@ends(2)
def several_targets(self: World) -> None:
    x = choose(1, 2)
    x = y = self.a[x] = x + 1
    self.x, self.y = x, y


@ends(2)
def nested_unpacking(self: World) -> None:
    (a, (b, c)), d = (choose(1, 2), (self.x, 5)), 6
    [self.x, self.y] = a + b, c + d


@ends(1)
def augmented_reads_first(self: World) -> None:
    self.x += self.bump()
    self.a[self.y] += self.put(2)
    self.m += self.bump()


@ends(1)
def value_before_target(self: World) -> None:
    self.a[self.put(1)] = self.y


@ends(1)
def augmented_on_every_place(self: World) -> None:
    i = 1
    i += 4
    self.x = i
    self.x -= 2
    self.x *= 7
    self.x //= 2
    self.x %= 6
    self.a[1] |= 5
    self.a[1] <<= 2
    self.a[1] >>= 1
    self.a[1] &= 6
    self.a[1] ^= 3
    self.rows[1].cells[2].value -= 4
    self.rows[1].cells[2].parts[1] += 2
    self.m += 3
    WRITE_ONCE(self).y += 2


@ends(2)
def annotated(self: World) -> None:
    a: int = choose(1, 2)
    self.x = a


@ends(2)
def tuple_is_kept(self: World) -> None:
    x = choose(1, 2)
    p = (x, 9)
    x = 5
    self.x, self.y = p
    self.z = p[0] + p[-1] + x


@ends(3)
def tuple_in_a_loop(self: World) -> None:
    p = self.pair(choose(0, 1, 2))
    for i in range(2):
        p = self.pair(i)
        self.a[i] = p[0]
    self.x = p[0]
    self.flag = p[1]
    q = self.pair(choose(0, 1, 2))
    self.y, self.flag = q


@ends(2)
def constant_parameter_is_assigned(self: World) -> None:
    def_color(self, Color.RED)


def def_color(world: World, color: Color) -> None:
    if choose(True, False):
        color = Color.BLUE
    world.color = color


# --- Control flow -----------------------------------------------------------------------------------


@ends(4)
def early_return_inside_with_inside_loop(self: World) -> None:
    self.z = self.early(choose(0, 1, 3, 9))


@ends(3)
def break_and_continue_through_with(self: World) -> None:
    stop = choose(0, 1, 2, 3)
    for i in range(3):
        with self.lock, self.derived_lock():  # type: ignore[attr-defined]
            if i == stop:
                break
            if i == 1:
                continue
            self.x += 1
        self.y += 1


@ends(4)
def while_with_several_exits(self: World) -> None:
    while self.x < 5:
        self.x += choose(1, 2)
        if self.x == 3:
            continue
        if self.x == 4:
            break
        self.y += 1


@ends(2)
def range_is_fixed_at_the_start(self: World) -> None:
    n = choose(3, 4)
    for i in range(n):
        n -= 1
        self.x += i
    self.y = n


@ends(1)
def ranges(self: World) -> None:
    for i in range(4, -3, -2):
        self.x += i
        self.y = i
    for i in range(2, 2):
        self.z = i
    for i in range(300):
        self.z = i
    for self.a[0] in range(3):
        self.a[1] += self.a[0]
    self.a[2] = i


@ends(1)
def loop_variable_may_be_assigned(self: World) -> None:
    for i in range(3):
        i *= 2
        self.x += i
    self.y = i


@ends(2)
def unrolled_over_tuple(self: World) -> None:
    self.x = choose(1, 2)
    for k in (1, 2, LIMIT):
        if self.x == k:
            k += 5
        self.y += k
    for size in self.sizes:
        self.z += size
    for name, value in (("x", 1), ("y", 2)):
        self.a[value] = value if name == "x" else 3


@ends(3)
def unrolled_with_break(self: World) -> None:
    self.x = choose(0, 1, 2)
    found = -1
    for i, cell in ((0, self.cells[0]), (1, self.cells[1])):
        part = cell.parts
        if self.x == i:
            found = i
            part[1] = 2
            break
        part[0] = 1
    self.y = found


@ends(1)
def unrolled_over_components(self: World) -> None:
    for row in self.rows:
        for cell in row.cells:
            alias = cell
            alias.value += 1
    for cell in self.cells:
        cell.value = cell.ident


@ends(2)
def names_are_bound_again(self: World) -> None:
    part = self.rows[0].cells[0]
    part.value = 1
    part = self.rows[1].cells[1]
    part.value = 2
    for cell in self.cells:
        part = cell
        part.value += 1
    where = self.hub
    if choose(True, False):
        where = self.cells[0]
        where.value = 7
    else:
        where.value = 8
    for i in range(2):
        where = self.cells[1]
        where.value += i
    where.value += 10


@ends(2)
def conditions_known_when_built(self: World) -> None:
    if self.blockable and self.absent is None and LIMIT == 3:
        self.x = choose(1, 2)
    else:
        self.x = undefined_name  # type: ignore[name-defined] # noqa: F821
    if self.absent is not None:
        self.absent.lock()
    while not self.blockable:
        self.x = -1


@ends(3)
def falls_off_the_end(self: World) -> None:
    who = maybe_task(self, choose(0, 1, 2))
    self.owner = who
    maybe_task(self, 0)


def maybe_task(world: World, value: int) -> Any:
    if value == 1:
        return current()
    if value == 2:
        world.x = 3
        return None
    return None


# --- Expressions ------------------------------------------------------------------------------------


@ends(3)
def and_or_give_values(self: World) -> None:
    self.y = choose(0, 1, 4)
    self.x = self.y or 5
    self.z = self.y and 7
    self.a[0] = (self.y and self.x) or LIMIT
    self.a[1] = self.bump() if self.y and self.bump() > 11 else 2
    self.flag = self.y > 0 and self.x > 1
    if not (self.y and self.owner) or (self.owner is None and self.y):
        self.a[2] = 1


@ends(4)
def calls_in_and_or(self: World) -> None:
    self.a[0] = choose(0, 1)
    self.a[1] = choose(0, 1)
    if self.a[0] and self.put(self.a[1]):
        self.z = 1
    self.flag = bool(self.a[0]) or self.bump() > 3
    value = self.a[1] or self.bump()
    self.a[2] = value


@ends(4)
def conditional_expression(self: World) -> None:
    self.x = choose(0, 1)
    self.y = 3 if self.x else 4
    self.z = self.bump() if choose(True, False) else READ_ONCE(self.y)
    self.color = Color.BLUE if self.x else self.color


@ends(5)
def comparisons(self: World) -> None:
    x = choose(-1, 0, 1, 2, 3)
    self.flag = 0 <= x < 3
    self.x = int(x in (1, 2)) + 2 * int(x not in (0, self.y, 3)) + 4 * (x == 3) + 8 * (x != 1)
    self.y = int(x > 0 >= self.y) + 2 * (x <= 0)
    self.z = (x > 1) + (x >= 1) + -(x < 1)


@ends(4)
def arithmetic(self: World) -> None:
    a, b = choose(7, -7), choose(2, -2)
    self.x = a // b
    self.y = a % b
    self.z = a * b - a + b
    self.a[0] = (a & 5) | (b & 2)
    self.a[1] = a ^ b
    self.a[2] = ~a + -b + +a
    self.a[3] = (a << 2) + (a >> 1)


@ends(1)
def booleans(self: World) -> None:
    p, q = self.x == 0, self.y == 1
    self.flag = p & q | p ^ q
    self.x = p + p
    self.flag = not self.flag and not 0


@ends(4)
def min_max_abs_len(self: World) -> None:
    x, y = choose(1, 5), choose(2, 4)
    self.x = min(x, y, 3) + max(x, y) * 10
    self.y = abs(-LIMIT) + len(self.sizes) + len(self.a) + len(self.rows) + sum(self.sizes)
    self.z = min(*self.sizes)


# --- Arrays, components, references -----------------------------------------------------------------


@ends(6)
def nested_arrays(self: World) -> None:
    i, j = choose(0, 1), choose(0, 1, 2)
    self.rows[i].cells[j].parts[i + 1] = 5
    cell = self.rows[i].cells[j]
    i, j = 0, 0
    cell.value = 8
    self.x = cell.parts[1] + self.rows[i].cells[j].value


@ends(1)
def receiver_is_looked_up_once(self: World) -> None:
    self.z = self.cells[self.x].twice(self)
    self.ref = self.rows[1]
    self.ref.cells[self.y].value = self.put(2)


@ends(1)
def with_is_looked_up_once(self: World) -> None:
    i = choose(0, 1)
    locks = self.locked  # type: ignore[attr-defined]
    with locks[i]:
        i = 1 - i
    with locks[self.y]:
        self.y = 1


@ends(3)
def constants_of_elements(self: World) -> None:
    i = choose(0, 1, 2)
    self.x = self.cells[i].ident
    self.cells[i].hub.value = 6  # type: ignore[attr-defined]
    self.y = self.cells[i].hub.ident  # type: ignore[attr-defined]


@ends(3)
def index_out_of_range(self: World) -> None:
    self.a[choose(0, 4, 3)] = 1


@ends(2)
def component_index_out_of_range(self: World) -> None:
    self.rows[choose(-2, 2, 1)].cells[0].value = 1


@ends(2)
def none_is_dereferenced(self: World) -> None:
    if choose(True, False):
        self.ref = self.rows[0]
    self.ref.cells[1].value = 1


@ends(3)
def references(self: World) -> None:
    i = choose(0, 1)
    row = self.rows[i]
    self.ref = row
    if self.ref is self.rows[1] or self.ref == row:
        self.x += 1
    if self.ref is not None and choose(True, False):
        self.ref = None
    self.flag = self.ref is None
    other = self.rows[0] if self.ref is None else self.ref
    other.cells[0].value += 1


@ends(1)
def properties_with_loops(self: World) -> None:
    self.cells[0].parts[0] = 2
    self.cells[0].parts[2] = 3
    self.x = self.cells[0].total + self.cells[1].total


@ends(1)
def private_names(self: World) -> None:
    self.x = self.rows[1].hide()


@ends(1)
def overriding(self: World) -> None:
    self.x = self.derived.step()
    self.y = self.step_of_derived() * 10 + self.derived.doubled(4)


@ends(2)
def arguments(self: World) -> None:
    v = choose(2, 5)
    self.x = helper(v)
    self.y = helper(v, scale=2)
    self.z = helper(value=v, shift=1, scale=3)
    self.a[0] = helper(*(1,))


# --- Tasks, sets, enums, versions -------------------------------------------------------------------


@ends(2)
def tasks(self: World) -> None:
    me = current()
    self.owner = me
    self.per_task[me] = 4
    self.per_task[self.owner] += 1
    self.tasks_in.add(me)
    self.flag = me in self.tasks_in and self.owner is me and None not in self.tasks_in
    current().state = TASK_UNINTERRUPTIBLE
    self.x = current().tid + 3
    if choose(True, False):
        self.owner.state = TASK_RUNNING
        self.owner = None
        self.tasks_in.discard(me)
        self.tasks_in.discard(self.owner)


@ends(4)
def sets(self: World) -> None:
    i = choose(0, 3, 4)
    self.members.add(i)
    self.members.discard(choose(3, 9, -1))
    self.x = len(self.members) + 10 * (i in self.members) + 100 * (7 in self.members)
    self.flag = bool(self.members)
    both = self.both(self.members)  # type: ignore[attr-defined]
    self.members = self.members | self.others
    self.others = self.members - self.others
    self.members &= self.others
    self.y = both
    if not self.others:
        self.others.clear()
    self.z = len(self.members & self.others) if self.members == self.others else -1
    WRITE_ONCE(self).members.add(2)


@ends(2)
def set_member_out_of_range(self: World) -> None:
    self.members.add(choose(1, 5))


@ends(3)
def enums(self: World) -> None:
    c = choose(Color.RED, Color.GREEN, Color.BLUE)
    self.color = c
    self.flag = c is Color.RED or self.color == Color.BLUE
    self.x = 1 if c in (Color.GREEN, Color.BLUE) else 2
    d = Color.RED
    if self.x == 1:
        d = self.color
    self.cells[0].color = d


@ends(6)
def versions(self: World) -> None:
    before = self.seq
    self.seen = self.seq
    self.seen_gen = self.gen
    if choose(True, False):
        self.seq += 1
    copy = self.seen
    if choose(True, False):
        self.gen += 2
    self.flag = before == self.seq
    self.x = (self.seen != self.seq) + 10 * (self.gen != self.seen_gen) + 100 * (self.seq == copy)
    if choose(True, False):
        self.seq += 1
    self.y = (copy != self.seq) + 2 * (before != self.seq) + 4 * (self.seq == self.seen)
    self.seen = None
    self.z = int(self.seq == self.seen)


# --- Marked accesses, atomic regions, choices ---------------------------------------------------------


@ends(2)
def marked(self: World) -> None:
    WRITE_ONCE(self).x = READ_ONCE(self.m) + choose(1, 2)
    WRITE_ONCE(self.a)[READ_ONCE(self.x)] = 7
    WRITE_ONCE(self).a[0] = READ_ONCE(self.a[1])
    self.m = self.m + self.m + 1
    WRITE_ONCE(self.cells[0]).value = 3


@ends(3)
def atomic_with_guarded_choice(self: World) -> None:
    self.x = 1
    self.y = take(self)
    self.z = self.y


@atomic
def take(world: World) -> int:
    i = choose(0, 1, 2)
    wait_until(i >= world.z)
    world.a[i] += 1
    return world.a[i] * 10 + i


@ends(2)
def waits_at_last(self: World) -> None:
    wait_until(lambda: self.x == 0)
    self.x = choose(0, 1)
    wait_until(lambda: self.x == 0 and helper(self.x, shift=2) == 2)


@ends(3)
def assertions(self: World) -> None:
    x = choose(1, 2, 3)
    assert x != 2, "not two"
    self.x = x


@ends(2)
def assertion_before_anything_shared(self: World) -> None:
    assert choose(True, False)


@ends(2)
def divisions(self: World) -> None:
    self.x = 6 // choose(0, 2)


@ends(3)
def variable_out_of_range(self: World) -> None:
    self.x = choose(1000, 1001, -1000)


@ends(3)
def choices_are_all_evaluated(self: World) -> None:
    self.x = choose(self.bump(), self.bump() + self.x, 3)


def scenario_of(body: Body) -> Callable[[], Scenario]:
    """Return the scenario whose one thread runs *body*, which is compiled like any method."""

    class Case(World):
        def __init__(self) -> None:
            super().__init__()
            self.locked = (SpinLock(), SpinLock())
            self.second = SpinLock()

        def derived_lock(self) -> SpinLock:
            return self.second

        def both(self, given: Any) -> int:
            self.members.add(0)
            return len(given)

    body_ = body

    @thread()
    def run(self: Any) -> None:
        body_(self)

    Case.run = run  # type: ignore[attr-defined]
    return Case


@pytest.mark.parametrize("name", CASES)
def test_means_what_python_means(name: str) -> None:
    body, ways = CASES[name]
    assert len(assert_same(scenario_of(body))) == ways


class Own(Protocol):
    """A lock of one's own, with a trylock."""

    owner = TaskRef()

    @atomic
    def trylock(self) -> bool:
        if self.owner is not None:
            return False
        acquires(self, trylock=True)
        self.owner = current()
        return True

    @atomic
    def unlock(self) -> None:
        releases(self)
        self.owner = None


class TryTwice(Scenario):
    lock = Own()
    got = Int(0)

    @thread()
    def run(self) -> None:
        for _ in range(2):
            if self.lock.trylock():
                self.got += 1
            else:
                self.got += 10
        self.lock.unlock()


def test_trylock_returns_what_it_did() -> None:
    ((how, values),) = assert_same(TryTwice)
    assert how == "end"
    assert 11 in values
