# SPDX-License-Identifier: Apache-2.0
"""Threads that know their number, initial values of elements and from the constructor, choose(set)."""

from __future__ import annotations

import enum

import pytest

from quiesce import check
from quiesce.errors import SourceErrors, UsageError
from quiesce.protocol import (
    Array,
    Bool,
    Enum,
    Int,
    Scenario,
    Set,
    TaskRef,
    TaskSet,
    always,
    atomic,
    choose,
    current,
    sometimes,
    thread,
    wait_until,
)
from quiesce.threads.run import run

# --- Numbered threads ---------------------------------------------------------------------------------


class Peterson(Scenario):
    """Two processes; ``wrong``: each announces itself after it has looked at the turn."""

    wants = Array(Bool(marked=True), 2)
    turn = Int(0, high=1, marked=True)
    inside = Int(0, high=2)

    def __init__(self, wrong: bool = False, processes: int = 2) -> None:
        self.wrong, self.processes = wrong, processes

    @thread("processes")
    def process(self, me: int) -> None:
        other = 1 - me
        if not self.wrong:
            self.wants[me] = True
        self.turn = other
        wait_until(lambda: not self.wants[other] or self.turn == me)
        if self.wrong:
            self.wants[me] = True
        self.enter()
        self.leave()
        self.wants[me] = False

    @atomic
    def enter(self) -> None:
        self.inside += 1

    @atomic
    def leave(self) -> None:
        self.inside -= 1

    @always
    def alone(self) -> bool:
        return self.inside < 2


@pytest.mark.parametrize("explorer", ["reference", "native"])
def test_each_thread_has_its_number(explorer: str) -> None:
    if explorer == "native":
        pytest.importorskip("numba", reason="the native explorer needs numba")
    check(Peterson(), explorer=explorer).assert_holds()
    text = check(Peterson(wrong=True), explorer=explorer).assert_violates("alone").message
    assert "`alone` is false here" in text


def test_numbered_threads_run_on_threads() -> None:
    result = run(Peterson(), 0.3)
    assert result.findings == ()
    assert result.rounds > 0


def test_an_index_out_of_range_is_found() -> None:
    check(Peterson(processes=1)).assert_holds()
    check(Peterson(processes=3)).assert_violates("ranges")


class TwoNumbers(Scenario):
    @thread(2)
    def user(self, me: int, other: int) -> None:
        pass


def test_a_thread_takes_one_number_at_most() -> None:
    with pytest.raises(UsageError, match="the thread `user` takes `me`, `other`"):
        check(TwoNumbers())


class Unread(Scenario):
    x = Int(0, high=9)

    @thread(2)
    def user(self, me: int = 5) -> None:
        self.read(me)

    @atomic
    def read(self, n: int) -> None:
        assert n == 5
        self.x = n


def test_a_parameter_with_a_default_is_not_a_number() -> None:
    check(Unread()).assert_holds()


# --- Initial values -----------------------------------------------------------------------------------


class Color(enum.Enum):
    RED = 1
    GREEN = 2


class Begun(Scenario):
    ranks = Array(Int([2, 0, 1], high=5), 3)
    flags = Array(Bool([True, False]), 2)
    colors = Array(Enum([Color.GREEN, Color.RED]), 2)
    limit = Int(0, high=9)
    ready = Bool()

    def __init__(self, limit: int = 4) -> None:
        self.limit = limit
        self.ready = self.limit > 3
        self.twice = self.limit * 2

    @thread()
    def user(self) -> None:
        assert self.ranks[0] == 2 and self.ranks[1] == 0 and self.ranks[2] == 1
        assert self.flags[0] and not self.flags[1]
        assert self.colors[0] == Color.GREEN and self.colors[1] == Color.RED
        assert self.limit == 4 and self.ready and self.twice == 8


def test_variables_begin_as_they_are_told() -> None:
    scenario = Begun()
    check(scenario).assert_holds()
    # And again: the values of the run before are gone.
    check(scenario).assert_holds()
    check(Begun(5)).assert_violates("assertions")
    assert run(Begun(), 0.2).findings == ()


def test_a_value_of_the_constructor_that_is_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match="limit = 10"):
        check(Begun(10))


class Uneven(Scenario):
    ranks = Array(Int([2, 0, 1]), 2)

    @thread()
    def user(self) -> None:
        assert self.ranks[0] == 2


class Alone(Uneven):
    ranks = Int([1, 2])  # type: ignore[assignment]


def test_initial_values_fit_the_array() -> None:
    with pytest.raises(UsageError, match="3 initial values for 2 elements"):
        check(Uneven())
    with pytest.raises(UsageError, match="2 initial values for one variable"):
        check(Alone())
    with pytest.raises(ValueError, match=r"9 is not in 0\.\.3"):
        Int([1, 9], high=3)
    with pytest.raises(ValueError, match="one for each element"):
        Bool([])
    with pytest.raises(TypeError, match="neither True nor False"):
        Bool([True, 2])  # type: ignore[list-item]


# --- choose(set) --------------------------------------------------------------------------------------


class Pick(Scenario):
    tasks_here = TaskSet()
    numbers = Set(5)
    who = TaskRef()
    number = Int(0, high=9)

    def __init__(self, empty: bool = False) -> None:
        self.empty = empty

    @atomic
    def join(self) -> None:
        self.tasks_here.add(current())
        if not self.empty:
            self.numbers.add(3)
            self.numbers.add(1)

    @atomic
    def pick(self) -> None:
        wait_until(len(self.tasks_here) > 1)
        self.who = choose(self.tasks_here)
        self.number = choose(self.numbers)

    @thread(3)
    def user(self) -> None:
        self.join()

    @thread()
    def picker(self) -> None:
        self.pick()

    @sometimes
    def one(self) -> bool:
        return self.number == 1

    @sometimes
    def three(self) -> bool:
        return self.number == 3

    @always
    def only_members(self) -> bool:
        return self.number in (0, 1, 3)


@pytest.mark.parametrize("explorer", ["reference", "native"])
def test_every_member_is_chosen_and_nothing_else(explorer: str) -> None:
    if explorer == "native":
        pytest.importorskip("numba", reason="the native explorer needs numba")
    checked = check(Pick(), explorer=explorer)
    checked.assert_holds()
    # 8 sets before the choice; after it, 3 pairs with 2 x 2 choices, and all three with 3 x 2.
    assert checked.states == 8 + 3 * 4 + 3 * 2
    assert run(Pick(), 0.2).findings == ()


def test_a_choice_from_an_empty_set_is_a_violation() -> None:
    check(Pick(empty=True)).assert_violates("choose() from an empty set")


class Lonely(Scenario):
    x = Int(0, high=3)

    @thread()
    def user(self) -> None:
        self.x = choose()


def test_a_choice_from_nothing_is_refused() -> None:
    with pytest.raises(SourceErrors, match="needs something to choose from"):
        check(Lonely())
