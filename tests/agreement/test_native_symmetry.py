# SPDX-License-Identifier: Apache-2.0
"""Symmetry: found where threads are alike, refused where something tells them apart."""

from __future__ import annotations

import pytest
from native_protocols import Handover, LockPair

from benchmarks.models.count import CountProtocol
from quiesce.compiler.program import compile_scenario
from quiesce.explorer import Options, check
from quiesce.protocol import (
    Bool,
    Int,
    PerTask,
    Scenario,
    TaskRef,
    TaskSet,
    always,
    atomic,
    current,
    thread,
)
from quiesce.verdict import Verdict

pytest.importorskip("numba", reason="the native explorer needs numba")

from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.native.search import Search, SearchOptions
from quiesce.explorer.native.symmetry import find_symmetry


class Marks(Scenario):
    """Each thread marks itself; what is said about it decides whether the threads are alike."""

    mark = PerTask(Int(0, high=2))
    first = TaskRef()
    done = Bool(False)

    def __init__(self, about: str = "all") -> None:
        self.about = about

    @atomic
    def set_mark(self) -> None:
        self.mark[current()] = 1
        if self.about == "named in code" and self.mark[self.tasks[0]] == 1:
            self.done = True
        if self.first is None:
            self.first = current()

    @thread(count=3)
    def marker(self) -> None:
        self.set_mark()

    @always
    def marks(self) -> bool:
        if self.about == "one":
            return self.mark[self.tasks[1]] != 2
        if self.about == "in order":
            return self.mark[self.tasks[0]] != 2 or self.mark[self.tasks[1]] != 1
        if self.about == "compared":
            return self.first is not self.tasks[2] or self.mark[self.tasks[2]] == 1
        total = 0
        for task in self.tasks:
            if self.mark[task] == 2:
                return False
            total += self.mark[task]
        return total <= 3


def groups(scenario: Scenario) -> int:
    """Return how many groups of threads are treated alike."""
    search = Search(compile_scenario(scenario), SearchOptions())
    return find_symmetry(search.compiled).symmetry.group_count


def reduced(scenario: Scenario, symmetry: bool) -> int:
    """Return how many states a search visits."""
    search = Search(compile_scenario(scenario), SearchOptions(keep_going=True))
    if symmetry:
        search.use_symmetry(find_symmetry(search.compiled).symmetry)
    search.run()
    return search.states


def test_what_treats_all_alike_keeps_symmetry() -> None:
    assert groups(Marks("all")) == 1


@pytest.mark.parametrize("about", ["one", "in order", "compared", "named in code"])
def test_what_tells_threads_apart_ends_symmetry(about: str) -> None:
    assert groups(Marks(about)) == 0


@pytest.mark.parametrize(
    ("scenario", "whole", "representatives"),
    [
        (CountProtocol(3), 6_714, 1_442),
        (CountProtocol(4), 55_762, 3_989),
        # Published, for another tool with symmetry, too.
        (CountProtocol(6), 3_568_650, 19_985),
    ],
)
def test_the_count_protocol_is_reduced(
    scenario: Scenario, whole: int, representatives: int
) -> None:
    assert reduced(scenario, False) == whole
    assert reduced(scenario, True) == representatives


def test_three_lockers_in_any_order_are_one_state() -> None:
    """No more representatives than states that differ in more than names: at least a sixth of them."""
    whole = reduced(LockPair(threads=3), False)
    found = reduced(LockPair(threads=3), True)
    assert whole / 6 <= found <= whole / 2


def test_threads_that_name_each_other_are_still_reduced() -> None:
    whole, found = reduced(Handover(3), False), reduced(Handover(3), True)
    assert whole / 6 <= found < whole


class Named(Scenario):
    """Several identical threads take the same step; only one is named, and the others are counted.

    All of them stand at one place. So only what names them tells which two may be exchanged.

    :param by_set: named by a set of tasks, not by a reference.
    """

    owner = TaskRef()
    members = TaskSet()
    others = Int(0, high=3)

    def __init__(self, threads: int = 2, by_set: bool = False) -> None:
        self.threads = threads
        self.by_set = by_set

    @atomic
    def come(self) -> None:
        if self.by_set:
            if len(self.members) == 0:
                self.members.add(current())
            elif current() not in self.members:
                self.count()
        elif self.owner is None:
            self.owner = current()
        elif self.owner is not current():
            self.count()

    def count(self) -> None:
        if self.others < 2:
            self.others += 1

    @thread("threads")
    def visitor(self) -> None:
        while True:
            self.come()

    @always
    def few_others(self) -> bool:
        return self.others < 2


@pytest.mark.parametrize("by_set", [False, True])
@pytest.mark.parametrize("threads", [2, 3, 4])
def test_who_is_named_is_not_exchanged(threads: int, by_set: bool) -> None:
    scenario = Named(threads, by_set)
    expected = check(scenario, Options(keep_going=True), NativeOptions(explorer="reference"))
    assert expected.property("few_others").verdict is Verdict.VIOLATION
    for partial_order in (False, True):
        native = NativeOptions("native", symmetry=True, partial_order=partial_order)
        found = check(scenario, Options(keep_going=True), native)
        assert found.property("few_others").verdict is Verdict.VIOLATION
    # The name and the count are all that a representative tells: no name, or one and 0, 1 or 2 others.
    assert groups(scenario) == 1
    assert reduced(scenario, True) == 4
    assert reduced(scenario, False) == 1 + 3 * threads
