# SPDX-License-Identifier: Apache-2.0
"""Protocols with data races: fusion, symmetry, partial order and the engine change no cell.

Fusion is sound only without races. So where one is found all else must be decided without fusion, or is not
decided.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from fuzz.compare import load

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import Bounds, CheckResult, check
from quiesce.explorer.findings import Finding
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.prove_again import prove_again
from quiesce.explorer.reference.checker import Options
from quiesce.explorer.reference.races import RACED
from quiesce.explorer.reference.stepper import Stepper
from quiesce.explorer.replay import Origin, make_token, read_token
from quiesce.explorer.walk import walk
from quiesce.explorer.without_fusion import NOTE
from quiesce.properties import FindingKind
from quiesce.verdict import Verdict

HEAD = """
from quiesce.protocol import *


class Generated(Scenario):
    a = Int(0, high=3)
    b = Int(0, high=2)
    seen = Int(0, high=2)
    flag = Bool(marked=True)

    @always
    def seen_is_small(self) -> bool:
        return self.seen < 2

    @sometimes
    def seen_at_all(self) -> bool:
        return self.seen == 1
"""

THREAD = """
    @thread(count={count})
    def {name}(self) -> None:
{body}
"""

STATEMENTS = (
    ["self.a = {v}"],
    ["self.b = {v}"],
    ["self.a = self.b"],
    ["self.b = (self.b + 1) % 3"],
    ["self.seen = self.b"],
    ["self.flag = not self.flag"],
    ["wait_until(lambda: self.a == {v})"],
    ["wait_until(lambda: self.b != {v})"],
    ["while READ_ONCE(self.a) != {v}:", "    self.b = {v}", "    self.b = {w}"],
    ["while self.a == {v}:", "    self.b = {w}"],
    ["if self.b == {v}:", "    self.a = {w}"],
    ["WRITE_ONCE(self).a = {w}"],
    ["assert self.a != {v} or self.b != {w}"],
)
"""Plain and marked accesses of the same variables."""


def racy(seed: int) -> str:
    """Return the text of a small protocol that probably has a data race."""
    draw = random.Random(seed)
    parts = [HEAD]
    for name in "uv"[: draw.randint(1, 2)]:
        lines = [
            line.format(v=draw.randint(0, 2), w=draw.randint(0, 2))
            for statement in draw.choices(STATEMENTS, k=draw.randint(2, 4))
            for line in statement
        ]
        body = "\n".join(f"        {line}" for line in lines)
        parts.append(THREAD.format(count=draw.randint(1, 2), name=name, body=body))
    return "".join(parts)


def cells(result: CheckResult) -> dict[str, tuple[str, str]]:
    """Return the verdict and the kind of finding of each property, and what never executed."""
    found = {
        p.name: (p.verdict.value, p.finding.kind if p.finding else "") for p in result.properties
    }
    return {**found, "never executed": (repr(result.never_executed), "")}


SETTINGS = [("reference", fuse, True, True) for fuse in (True, False)] + [
    ("native", *reductions) for reductions in itertools.product((True, False), repeat=3)
]


def checked(text: str, folder: Path, explorer: str, fuse: bool, *reductions: bool) -> CheckResult:
    program = compile_scenario(load(text, folder), fuse=fuse)
    symmetry, partial_order = reductions or (True, True)
    native = NativeOptions(explorer=explorer, symmetry=symmetry, partial_order=partial_order)
    return check(program, Options(keep_going=True), native)


def test_all_combinations_give_the_same_cells(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="the native explorer needs numba")
    seen: Counter[str] = Counter()
    for seed in range(60):
        text = racy(seed)
        expected = cells(checked(text, tmp_path, *SETTINGS[1]))
        for setting in SETTINGS:
            assert cells(checked(text, tmp_path, *setting)) == expected, f"{setting}\n{text}"
        if expected["no_data_race"][0] == "violation":
            seen.update(kind or verdict for verdict, kind in expected.values())
    assert seen["data race"] >= 30
    kinds = ("deadlock", "starvation", "livelock", "failed assert", "broken invariant", "vacuous")
    assert all(seen[kind] for kind in (*kinds, "holds", "incomplete")), seen


# --- By hand ------------------------------------------------------------------------------------------

FALSE_DEADLOCK = """
from quiesce.protocol import *


class Generated(Scenario):
    x = Int(0)
    y = Int(0)

    @thread()
    def first(self) -> None:
        self.x = 1
        wait_until(lambda: self.y == 1)

    @thread()
    def second(self) -> None:
        wait_until(lambda: self.x == 1)
        self.y = 1
"""
"""With fusion the first thread would have to wait before it writes: no thread could move."""


@pytest.mark.parametrize("explorer", ["reference", "native", "auto"])
def test_a_deadlock_that_only_fusion_sees_is_none(explorer: str, tmp_path: Path) -> None:
    if explorer == "native":
        pytest.importorskip("numba", reason="the native explorer needs numba")
    result = checked(FALSE_DEADLOCK, tmp_path, explorer, True)
    assert result.property("no_deadlock").verdict is Verdict.HOLDS
    assert result.property("no_data_race").verdict is Verdict.VIOLATION
    assert result.complete and not result.program.fuse and NOTE in result.notes


@pytest.mark.parametrize("explorer", ["reference", "native"])
def test_nor_is_it_one_where_the_search_stops_at_the_first_violation(
    explorer: str, tmp_path: Path
) -> None:
    if explorer == "native":
        pytest.importorskip("numba", reason="the native explorer needs numba")
    program = compile_scenario(load(FALSE_DEADLOCK, tmp_path))
    result = check(program, Options(keep_going=False), NativeOptions(explorer=explorer))
    assert result.property("no_deadlock").verdict is not Verdict.VIOLATION
    assert result.property("no_data_race").verdict is Verdict.VIOLATION


def test_without_a_race_nothing_is_decided_again(tmp_path: Path) -> None:
    marked = FALSE_DEADLOCK.replace("Int(0)", "Int(0, marked=True)")
    result = checked(marked, tmp_path, "reference", True)
    assert result.verdict is Verdict.HOLDS and result.program.fuse and NOTE not in result.notes


LARGE = """
from quiesce.protocol import *


class Generated(Scenario):
    p = Int(0)
    q = Int(0)
    bad = Bool()

    @thread(count=3)
    def u(self) -> None:
        self.p = 1
        self.p = 2
        self.p = 3
        self.q = 1
        self.q = 2
        self.bad = True

    @always
    def never_bad(self) -> bool:
        return not self.bad

    @sometimes
    def fine(self) -> bool:
        return not self.bad
"""


@pytest.mark.parametrize("explorer", ["reference", "native"])
def test_what_does_not_fit_without_fusion_is_not_decided(explorer: str, tmp_path: Path) -> None:
    """But what was seen with fusion is a run of the protocol, and stays found."""
    if explorer == "native":
        pytest.importorskip("numba", reason="the native explorer needs numba")
    program = compile_scenario(load(LARGE, tmp_path))
    options = Options(keep_going=True, bounds=Bounds(max_states=30))
    result = check(program, options, NativeOptions(explorer=explorer))
    assert "the bound of 30 states was hit" in result.incomplete
    assert result.property("no_deadlock").verdict is Verdict.INCOMPLETE
    assert result.property("assertions").verdict is Verdict.INCOMPLETE
    assert result.property("fine").verdict is Verdict.HOLDS
    assert result.never_executed is None
    broken = result.property("never_bad").finding
    assert broken is not None and result.program_of(broken).fuse and not result.program.fuse
    assert _proved_again(result, broken)
    race = result.property("no_data_race").finding
    assert race is not None and _proved_again(result, race)


def _proved_again(result: CheckResult, finding: Finding) -> bool:
    program = result.program_of(finding)
    text = make_token(Origin("", 0, "", "Generated", ()), program, finding, "strong")
    assert text is not None
    token = read_token(text)
    run = walk(program, token.initial, token.moves)
    return prove_again(program, run, token, Options()).finding == finding


SPIN = """
from quiesce.protocol import *


class Generated(Scenario):
    a = Int(0)
    pp = Int(0)

    @thread(count=2)
    def u(self) -> None:
        while READ_ONCE(self.a) != 2:
            self.pp = 3
            self.pp = 2
"""


def test_a_loop_of_fused_steps_that_race_is_not_proved_again(tmp_path: Path) -> None:
    """A token that claims one, as of a protocol that has changed since."""
    program = compile_scenario(load(SPIN, tmp_path))
    loop = _round(program)
    claim = Finding(FindingKind.STARVATION, "no_starvation", "", loop, 3, 0)
    text = make_token(Origin("", 0, "", "Generated", ()), program, claim, "none")
    assert text is not None
    token = read_token(text)
    proof = prove_again(program, walk(program, token.initial, token.moves), token, Options())
    assert proof.finding is None and not proof.decided and proof.why == RACED
    unfused = replace(program, fuse=False)
    proof = prove_again(
        unfused, walk(unfused, token.initial, token.moves), token, Options(fairness="none")
    )
    assert proof.decided


def _round(program: Program) -> tuple[int, ...]:
    """Return a run in which thread 0 goes round its loop; thread 1 stands before its writes."""
    stepper = Stepper(program)
    state, path = stepper.initial_states()[0], [0]
    for thread in (1, 0, 0, 0, 0):
        steps = stepper.successors(state)
        action = next(i for i, step in enumerate(steps) if step.thread == thread)
        path.append(action)
        state = steps[action].target
    return tuple(path)
