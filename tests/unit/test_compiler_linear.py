# SPDX-License-Identifier: Apache-2.0
"""Twice the statements are twice the work: no pass of the compiler looks at everything for each statement.

The work is counted and not timed: every line that quiesce executes while it compiles a thread of n, 2n and
4n statements, makes the reference stepper, the native instructions and the tables of partial order. If
the work is linear, the step from 2n to 4n is twice the step from n to 2n; what is over is the square.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import quiesce
from quiesce.compiler.program import compile_scenario
from quiesce.explorer.analysis.partial_order import find_ample_steps
from quiesce.explorer.native.program.emit_table import emit_table
from quiesce.explorer.native.program.pack_state import pack_program
from quiesce.explorer.reference.stepper import Stepper
from quiesce.loading import load_scenario
from quiesce.protocol import Scenario

SMALL = 48
"""Statements of the smallest thread."""

SHARE = 0.02
"""How much of the largest thread's work may be over."""

HEAD = """\
from quiesce.primitives import SpinLock
from quiesce.protocol import *


class Long(Scenario):
    x = Int(0, high=9)
    y = Int(0, high=9)
    watched = Int(0, high=9)
    items = Array(Int(0), 3)
    seq = Version()
    lock = SpinLock()

    def put(self, n: int) -> int:
        self.x = n
        return n

    @atomic
    def step(self, n: int) -> None:
        self.x = n

    @always
    def low(self) -> bool:
        return self.watched < 9

"""

SHAPES = {
    "plain accesses": ["self.x = (self.x + 1) % 5"],
    "writes that a property reads": ["self.watched = {i} % 5"],
    "marked accesses": ["WRITE_ONCE(self).x = READ_ONCE(self.y) % 3"],
    "locks": ["with self.lock:", "    self.x = {i} % 5"],
    "calls": ["self.put({i} % 3)"],
    "atomic calls": ["self.step({i} % 3)"],
    "waits": ["wait_until(lambda: self.x < 9)"],
    "choices": ["self.x = choose(1, 2, 3)"],
    "asserts": ["assert self.x >= 0"],
    "branches": ["if self.x == {i} % 3:", "    self.y = 2", "else:", "    self.x = 1"],
    "polling loops": ["while self.x > {i} % 9:", "    self.x -= 1"],
    "loops over a range": ["for i in range(3):", "    self.x = i"],
    "one local that grows": ["t = t + {i}", "self.x = t % 4"],
    "locals of their own": ["v{i} = self.x % 3", "self.y = v{i}"],
    "a chain of locals": ["v{i} = v{before} + 1 if self.x else {i}", "self.step(v{i} % 3)"],
    "names on both branches": ["if self.x:", "    w{i} = 1", "else:", "    w{i} = 2", "self.y = w{i}"],
    "versions": ["seen = self.seq", "if seen == self.seq:", "    self.seq += 1"],
    "versions of their own": ["s{i} = self.seq", "self.seq += 1", "self.x = int(s{i} == self.seq)"],
    "indices": ["self.items[self.x % 3] = self.items[{i} % 3]"],
}  # fmt: skip


def thread_of(lines: list[str]) -> str:
    body = "".join(f"        {line}\n" for line in lines)
    return f"{HEAD}    @thread(count=2)\n    def run(self) -> None:\n        t = v0 = 0\n{body}"


def in_a_row(shape: str, size: int) -> str:
    """Return a thread of about *size* statements, one after the other."""
    lines: list[str] = []
    number = 1
    while len(lines) < size:
        lines += [line.format(i=number, before=number - 1) for line in SHAPES[shape]]
        number += 1
    return thread_of(lines)


def arms(size: int) -> str:
    """Return a loop that dispatches to many arms, each with plain accesses of its own."""
    lines = ["while True:"]
    for i in range(size // 3):
        lines += [f"    if t == {i}:", "        self.x = 1", "        continue"]
    return thread_of([*lines, "    t = choose(0, 1)"])


def ways_out(size: int) -> str:
    """Return a loop with many ways out, and a long way to a lock behind it."""
    lines = ["while True:"]
    for i in range(size // 4):
        lines += [f"    if self.x == {i} % 9:", "        break"]
    lines += ["    self.x = 2", *["t = t + 1"] * (size // 4), *["self.y = 1"] * (size // 4)]
    return thread_of([*lines, "with self.lock:" if size else "", "    pass"])


def split(size: int) -> str:
    """Return many plain accesses after which one of two locks is taken: each is a step of its own."""
    lines = [*["self.x = 1"] * size, "if t:", "    self.step(1)", "else:", "    self.put(2)"]
    return thread_of([*lines, "self.step(2)"])


SOURCES: dict[str, Callable[[int], str]] = {
    **{shape: lambda size, shape=shape: in_a_row(shape, size) for shape in SHAPES},  # type: ignore[misc]
    "arms of a loop": arms,
    "ways out of a loop": ways_out,
    "split steps": split,
}

PACKAGE = str(Path(quiesce.__file__).parent)


def lines_executed(action: Callable[[], object]) -> int:
    """Return how many lines of quiesce *action* executes."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if event == "call" and not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def compile_all(scenario: Scenario) -> None:
    for fuse in (True, False):
        program = compile_scenario(scenario, fuse=fuse)
        emit_table(program, pack_program(program))
        Stepper(program)
        find_ample_steps(program)


@pytest.mark.parametrize("shape", SOURCES)
def test_the_work_is_linear(shape: str, tmp_path: Path) -> None:
    work = []
    for size in (SMALL, 2 * SMALL, 4 * SMALL):
        path = tmp_path / f"long{size}.py"
        path.write_text(SOURCES[shape](size), encoding="utf-8")
        scenario = load_scenario(str(path), [])
        work.append(lines_executed(lambda scenario=scenario: compile_all(scenario)))  # type: ignore[misc]
    small, middle, large = work
    over = (large - middle) - 2 * (middle - small)
    assert over <= SHARE * large, f"{work}: {over} lines of {large} are more than linear"
