# SPDX-License-Identifier: Apache-2.0
"""Local names where several ways come together: CPython and the compiled program agree.

A name that is first assigned on several ways has one value where they meet; what a tuple keeps of a
name does not change when the name is assigned again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from native_oracle import assert_same
from test_language_semantics import Color, World, scenario_of

from quiesce.compiler.program import compile_scenario
from quiesce.errors import SourceErrors
from quiesce.protocol import choose, current

Body = Callable[[World], None]
CASES: dict[str, tuple[Body, int]] = {}


def ends(ways: int) -> Callable[[Body], Body]:
    """Make a function a case that ends in *ways* different ways."""

    def note(body: Body) -> Body:
        CASES[body.__name__] = body, ways
        return body

    return note


@ends(2)
def both_branches(self: World) -> None:
    if choose(True, False):
        w = 1
    else:
        w = 0
    self.x = 1 - w


@ends(2)
def both_branches_of_a_called_function(self: World) -> None:
    self.x = 10 + looked(self, choose(True, False))


def looked(world: World, flag: bool) -> int:
    with world.lock:
        if flag:
            w = world.a[0] + 1
        else:
            w = 0
    return w


@ends(4)
def a_chain_of_branches(self: World) -> None:
    c = choose(0, 1, 2, 3)
    if c == 0:
        w = 3
    elif c == 1:
        w = self.y + 5
    elif c == 2:
        if self.flag:
            w = 100
        else:
            w = 7
    else:
        w = c
        w += 8
    self.x = w


@ends(2)
def an_integer_and_a_boolean(self: World) -> None:
    if choose(True, False):
        w = 5
    else:
        w = False
        self.flag = w
    self.x = w + 1


@ends(2)
def a_boolean_and_an_integer(self: World) -> None:
    if choose(True, False):
        w: Any = True
        self.flag = w
    else:
        w = 4
    self.x = w + 1


@ends(2)
def different_things_that_never_meet(self: World) -> None:
    if choose(True, False):
        w: Any = 5
        self.x = w
    else:
        w = self.locked[0]  # type: ignore[attr-defined]
        with w:
            self.x = 9


@ends(2)
def types_that_never_meet(self: World) -> None:
    if choose(True, False):
        w: Any = Color.RED
        self.color = w
    else:
        w = 8
        self.x = w


@ends(2)
def a_task_and_none(self: World) -> None:
    if choose(True, False):
        t = None
    else:
        t = current()
    self.owner = t


@ends(2)
def none_after_a_reference(self: World) -> None:
    if choose(True, False):
        r: Any = self.rows[1]
        r.cells[0].value = 2
    else:
        r = None
    self.ref = r


@ends(3)
def elements_of_two_arrays(self: World) -> None:
    c = choose(0, 1, 2)
    if c == 0:
        e = self.rows[0].cells[c]
        e.value = 1
    else:
        e = self.cells[c]
        e.value = 2


@ends(2)
def a_tuple_on_both_branches(self: World) -> None:
    if choose(True, False):
        t = (self.x + 1, True)
    else:
        t = (7, self.flag)
    self.y, self.flag = t


@ends(3)
def out_of_a_loop(self: World) -> None:
    c, i = choose(0, 1, 5), 0
    while True:
        if c == 0:
            w = i + 20
            break
        if i == c:
            w = 30
            break
        if i == 3:
            w = 40
            break
        i += 1
    self.x = w


@ends(2)
def out_of_an_endless_loop(self: World) -> None:
    while True:
        if choose(True, False):
            w = 1
            break
        w = 2
        if self.x == 0:
            break
    self.y = w


@ends(1)
def a_tuple_keeps_its_values_in_an_unrolled_loop(self: World) -> None:
    self.x = 1
    for size in self.sizes:
        w = self.x
        if size == 3:
            t = (w, 5)
            self.x = 7
        else:
            self.a[0] = t[0]
            self.a[1] = w


@ends(1)
def a_bound_keeps_its_value_in_an_unrolled_loop(self: World) -> None:
    self.x = 2
    for size in self.sizes:
        w = self.x
        if size == 3:
            bounds = range(w)
            self.x = 4
    for _ in bounds:
        self.y += 1


@ends(2)
def assigned_again_after_the_branches(self: World) -> None:
    if choose(True, False):
        w = 1
        kept = (w, 2)
    else:
        w = 3
        kept = (4, w)
    w = 50
    self.x, self.y = kept
    self.z = w


@pytest.mark.parametrize("name", CASES)
def test_means_what_python_means(name: str) -> None:
    body, ways = CASES[name]
    assert len(assert_same(scenario_of(body))) == ways


def still_ambiguous(self: World) -> None:
    if choose(True, False):
        lock = self.locked[0]  # type: ignore[attr-defined]
    else:
        lock = self.lock
    with lock:
        self.x = 1


def not_on_every_way(self: World) -> None:
    c = choose(0, 1, 2)
    if c == 0:
        w = 1
    elif c == 1:
        w = 2
    self.x = w


@pytest.mark.parametrize(
    ("body", "code"), [(still_ambiguous, "alias"), (not_on_every_way, "unassigned")]
)
def test_what_has_no_value_of_its_own_is_refused(body: Body, code: str) -> None:
    with pytest.raises(SourceErrors) as error:
        compile_scenario(scenario_of(body)())
    assert [d.code for d in error.value.diagnostics] == [code]
