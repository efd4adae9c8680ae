# SPDX-License-Identifier: Apache-2.0
"""From source to steps: where other threads can come in, the ranges of locals, what a state keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quiesce.compiler.ir_text import dump
from quiesce.compiler.program import Program, compile_scenario
from quiesce.compiler.ranges import arithmetic
from quiesce.explorer import Options, check_reference
from quiesce.explorer.reference.stepper import Stepper
from quiesce.primitives import SpinLock
from quiesce.protocol import (
    READ_ONCE,
    WRITE_ONCE,
    Array,
    Int,
    Scenario,
    Version,
    always,
    atomic,
    choose,
    thread,
    wait_until,
)


class Shared(Scenario):
    lock = SpinLock()
    x = Int(0)
    y = Int(0)
    m = Int(0, marked=True)
    items = Array(Int(0), 2)
    seq = Version()

    def __init__(self) -> None:
        pass


def lines_of_steps(program: Program) -> list[int]:
    """Return the lines at which steps begin, relative to the thread's ``def``."""
    (kind,) = program.kinds
    first = kind.code.ops[0].loc.line
    ops = kind.code.ops
    return [ops[at.position].loc.line - first for at in kind.locations[1:] if not at.final]


class Statements(Shared):
    @thread()
    def run(self) -> None:
        self.x = 1
        self.y = 2
        with self.lock:
            self.x = 3
            local = self.x + 1
            self.y = local
        self.m = 1
        WRITE_ONCE(self).x = READ_ONCE(self.y) + self.x


def test_without_fusion_each_statement_is_a_step() -> None:
    unfused = lines_of_steps(compile_scenario(Statements(), fuse=False))
    # The last statement: read y marked; then x plain, before the marked write; the release is the `with`'s.
    assert unfused == [1, 2, 3, 4, 5, 6, 3, 7, 8, 8]


def test_with_fusion_plain_accesses_ride_along() -> None:
    fused = lines_of_steps(compile_scenario(Statements()))
    # Plain accesses and the lock; plain accesses and the release; m; y; x.
    assert fused == [1, 4, 7, 8, 8]


class Watched(Statements):
    @always
    def looked_at(self) -> bool:
        return self.y < 9


def test_what_a_property_looks_at_is_not_fused() -> None:
    fused = lines_of_steps(compile_scenario(Watched()))
    assert fused == [1, 3, 4, 3, 7, 8, 8]


class Polling(Shared):
    @thread()
    def run(self) -> None:
        while self.x == 0:
            pass


@pytest.mark.parametrize("fuse", [True, False])
def test_a_polling_loop_lets_others_in(fuse: bool) -> None:
    program = compile_scenario(Polling(), fuse=fuse)
    stepper = Stepper(program)
    (state,) = stepper.initial_states()
    (step,) = stepper.successors(state)
    assert step.failure is None


class Locals(Shared):
    @thread()
    def run(self) -> None:
        a = READ_ONCE(self.x)
        b = READ_ONCE(self.y)
        self.m = a + b
        c = READ_ONCE(self.x)
        self.m = c
        self.m = 0


def test_dead_locals_are_no_part_of_a_state() -> None:
    program = compile_scenario(Locals())
    (kind,) = program.kinds
    # a and b are live together, c takes the place of one of them.
    assert len(kind.stored) == 2
    assert kind.live[-2] == {}


def _counting(limit: int, start: int = 0) -> type[Scenario]:
    class Counting(Shared):
        @thread()
        def run(self) -> None:
            n = start
            for i in range(limit):
                n += 1
                self.m = i % 200

    return Counting


@pytest.mark.parametrize("limit", [3, 200, 255])
def test_a_counter_has_room(limit: int) -> None:
    result = check_reference(compile_scenario(_counting(limit)()), Options())
    assert result.finding is None


def test_a_counter_that_nothing_stops_is_found() -> None:
    class Endless(Shared):
        @thread()
        def run(self) -> None:
            n = 0
            while True:
                n += 1
                self.m = n % 3

    result = check_reference(compile_scenario(Endless()), Options())
    (finding,) = result.of_kind("out of range")
    assert "a local variable became 256" in finding.message


def test_ranges_of_a_long_chain() -> None:
    """Assignments against the order of the text: the ranges go on until nothing changes."""

    class Chain(Shared):
        @thread()
        def run(self) -> None:
            a = b = c = d = e = f = g = h = i = 0
            for _ in range(12):
                self.m = a % 9
                a = b
                b = c
                c = d
                d = e
                e = f
                f = g
                g = h
                h = i
                i = 7

    assert check_reference(compile_scenario(Chain()), Options()).finding is None


OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
}


@pytest.mark.parametrize("symbol", OPERATORS)
def test_intervals_hold_every_value(symbol: str) -> None:
    """All intervals with ends from -4 to 4, and all values in them."""
    ends = [(low, high) for low in range(-4, 5) for high in range(low, 5)]
    for a in ends:
        for b in ends:
            low, high = arithmetic(symbol, a, b)
            for x in range(a[0], a[1] + 1):
                for y in range(b[0], b[1] + 1):
                    if (symbol in ("//", "%") and y == 0) or (symbol in ("<<", ">>") and y < 0):
                        continue
                    assert low <= OPERATORS[symbol](x, y) <= high, (symbol, a, b)


class Everything(Shared):
    @thread()
    def run(self) -> None:
        seen = self.seq
        x = choose(1, 2)
        with self.lock:
            self.items[x % 2] += 1
        if self.take(x) and self.seq == seen:
            self.seq += 1
        wait_until(lambda: self.m < 3)
        assert x > 0, "positive"

    @atomic(label="take", queued=True)
    def take(self, x: int) -> bool:
        wait_until(self.m < x)
        self.m += x
        return self.m > 2


def test_intermediate_representation(golden: Callable[[str, str], None]) -> None:
    (kind,) = compile_scenario(Everything()).kinds
    # Without the line numbers, which move with this file.
    lines = [line.partition("  ; ")[0].rstrip() for line in dump(kind.code).splitlines()]
    golden("compiler/everything.txt", "\n".join(lines) + "\n")


def test_a_program_can_be_compiled_again() -> None:
    scenario: Any = Everything()
    assert compile_scenario(scenario).digest == compile_scenario(scenario).digest
    assert compile_scenario(Everything()).digest == compile_scenario(scenario).digest
