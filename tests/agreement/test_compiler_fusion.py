# SPDX-License-Identifier: Apache-2.0
"""Letting plain accesses ride along changes no verdict: random protocols, with fusion and without.

Fused and unfused must agree on whether there is a data race at all. Where there is none, they must
agree on everything: the kinds of findings, and the values that the shared variables can end with.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from native_oracle import load

from quiesce.compiler import atomic_steps
from quiesce.compiler.program import Program, compile_scenario
from quiesce.errors import SourceErrors
from quiesce.explorer import Bounds, Options, check_reference
from quiesce.explorer.reference.graph import explore
from quiesce.explorer.reference.stepper import Stepper
from quiesce.protocol import Scenario

HEAD = """\
from quiesce.primitives import SpinLock
from quiesce.protocol import (
    READ_ONCE, WRITE_ONCE, Array, Bool, Int, Scenario, always, atomic, choose, eventually, sometimes, thread,
    wait_until,
)


class Generated(Scenario):
    a = SpinLock()
    b = SpinLock()
    x = Int(0, high=9)
    y = Int(0, high=9)
    m = Int(0, high=9, marked=True)
    items = Array(Int(0, high=9), 2)
    seen = Bool()

"""

MOST = 6_000


@st.composite
def accesses(draw: st.DrawFn) -> str:
    """Return a statement that reads and writes shared variables."""
    return draw(
        st.sampled_from(
            [
                "self.x = 1", "self.x = min(self.x + 1, 3)", "self.y = self.x", "self.y = 2", "t = self.y",
                "self.x = t", "t = self.x + 1", "self.items[t % 2] = 1", "t = self.items[self.y % 2]",
                "self.m = 1", "t = self.m", "WRITE_ONCE(self).x = 1", "t = READ_ONCE(self.y)",
                "self.x, self.y = self.y, t % 4", "t = choose(0, 1)", "self.m = min(self.x + self.m, 2)",
                "self.seen = self.x > 0 and READ_ONCE(self.m) > 0", "self.step()",
                "t = 1 if self.y else READ_ONCE(self.x)",
            ]
        )
    )  # fmt: skip


@st.composite
def blocks(draw: st.DrawFn, depth: int, held: str = "") -> list[str]:
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.integers(0, 9))
        if depth == 0 or kind <= 4:
            lines.append(draw(accesses()))
        elif kind <= 6:
            lock = draw(st.sampled_from([n for n in "ab" if n not in held] or [""]))
            inner = draw(blocks(depth - 1, held + lock))
            lines += [f"with self.{lock}:", *["    " + i for i in inner]] if lock else inner
        elif kind == 7:
            test = draw(
                st.sampled_from(
                    ["self.x", "t", "READ_ONCE(self.m)", "self.y == 2", "not self.seen"]
                )
            )
            lines += [f"if {test}:", *["    " + i for i in draw(blocks(depth - 1, held))]]
        elif kind == 8:
            lines += ["for _ in range(2):", *["    " + i for i in draw(blocks(0, held))]]
        else:
            waited = draw(st.sampled_from(["self.m > 0", "self.m == 0", "READ_ONCE(self.m) < 2"]))
            lines.append(f"wait_until(lambda: {waited})")
    return lines


@st.composite
def protocols(draw: st.DrawFn) -> str:
    lines = ["@atomic", "def step(self) -> None:", "    self.m = min(self.m + 1, 3)", ""]
    for name in ("first", "second", "third")[: draw(st.integers(2, 3))]:
        endless = name == "second" and draw(st.booleans())
        body = draw(blocks(2))
        lines += ["@thread()", f"def {name}(self) -> None:", "    t = 0"]
        if endless:
            lines += ["    while True:", *["        " + line for line in body], ""]
        else:
            lines += [*["    " + line for line in body], ""]
    looked_at = draw(st.sampled_from(["self.m", "self.x", "self.items[1]", "self.x + self.y"]))
    lines += [
        "@always",
        "def low(self) -> bool:",
        f"    return {looked_at} < {draw(st.integers(1, 4))}",
        "",
    ]
    lines += ["@sometimes", "def reached(self) -> bool:", f"    return {looked_at} == 1", ""]
    lines += ["@eventually()", "def comes(self) -> bool:", f"    return {looked_at} >= 1"]
    return HEAD + "\n".join("    " + line if line else "" for line in lines) + "\n"


def verdicts(program: Program) -> dict[str, str]:
    result = check_reference(program, Options(keep_going=True, bounds=Bounds(MOST)))
    assume(result.complete)
    return {p.name: p.finding.kind if p.finding else "" for p in result.properties}


def last_values(program: Program) -> set[tuple[int, ...]]:
    """Return the shared values of all states in which every thread has finished.

    A thread that waits for ever has, with fusion, not made the plain accesses just before.
    """
    stepper = Stepper(program)
    graph = explore(stepper, lambda *_: False, Bounds())
    cells = len(program.cells)
    threads = range(len(program.threads))
    return {s[:cells] for s in graph.states if all(stepper.finished(s, t) for t in threads)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fusion")


slow_settings = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
)


@slow_settings
@given(source=protocols())
def test_fusion_changes_no_verdict(source: str, folder: Path) -> None:
    note(source)
    scenario: type[Scenario] = load(folder, source).Generated
    try:
        fused, unfused = (compile_scenario(scenario(), fuse=f) for f in (True, False))
    except SourceErrors:
        assume(False)
    agree(fused, unfused)


@slow_settings
@given(source=protocols())
def test_steps_that_end_where_paths_come_together_change_no_verdict(
    source: str, folder: Path
) -> None:
    note(source)
    scenario: type[Scenario] = load(folder, source).Generated
    try:
        fused = compile_scenario(scenario())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(atomic_steps, "MOST_OVERLAP", -1)
            shorter = compile_scenario(scenario())
    except SourceErrors:
        assume(False)
    agree(fused, shorter)


def agree(one: Program, other: Program) -> None:
    """Check that two programs of one source, cut into steps differently, have the same verdicts."""
    with_, without = verdicts(one), verdicts(other)
    assert with_["no_data_race"] == without["no_data_race"]
    if with_["no_data_race"]:
        return
    if with_["no_deadlock"] and without["no_deadlock"]:
        # On the way into a deadlock threads are stuck one after the other: how many at a time depends on
        # the size of the steps.
        for name in ("no_stuck_thread", "no_starvation"):
            del with_[name], without[name]
    assert with_ == without
    if not any(
        kind in ("broken invariant", "out of range", "failed assert") for kind in with_.values()
    ):
        assert last_values(one) == last_values(other)
