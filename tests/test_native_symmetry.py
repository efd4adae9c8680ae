# SPDX-License-Identifier: Apache-2.0
"""Symmetry: found where threads are alike, refused where something tells them apart."""

from __future__ import annotations

import pytest
from native_protocols import Handover, LockPair

from benchmarks.models.count import CountProtocol
from quiesce.compiler.program import compile_scenario
from quiesce.protocol import Bool, Int, PerTask, Scenario, TaskRef, always, atomic, current, thread

pytest.importorskip("numba", reason="the native explorer needs numba")

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
    return int(find_symmetry(search.compiled).symmetry.sizes[5])


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
