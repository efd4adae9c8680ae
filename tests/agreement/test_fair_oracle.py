# SPDX-License-Identifier: Apache-2.0
"""Starvation, livelock and ``@eventually`` on random protocols: both engines against the definition.

Every combination of fusion, symmetry and partial order, and one core or two, must give the verdict of
:mod:`fair_oracle`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fair_oracle import Space, TooLarge
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from native_generator import build, fair_sources

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import Options, check
from quiesce.explorer.native.options import NativeOptions
from quiesce.verdict import Verdict

pytest.importorskip("numba", reason="the native explorer needs numba")

MOST = 300
"""States of a generated protocol, without any reduction."""

WAYS = [NativeOptions("reference")] + [
    NativeOptions("native", symmetry, partial_order, cores)
    for symmetry, partial_order, cores in itertools.product((True, False), (True, False), (1, 2))
]


generated = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


def expected(space: Space, fairness: str) -> dict[str, bool]:
    """Return for each property about runs that go on forever whether it is violated."""
    program = space.program
    found = {"no_starvation": space.starves(fairness), "no_livelock": space.livelocks(fairness)}
    for index, declared in enumerate(program.properties):
        found[declared.name] = space.lost(index, fairness)
    return found


def programs(source: str, folder: Path) -> Iterator[Program]:
    """Yield the protocol fused and step by step."""
    for fuse in (True, False):
        yield compile_scenario(build(source, folder), fuse=fuse)


@generated
@given(source=fair_sources(), fairness=st.sampled_from(["strong", "strong", "weak", "none"]))
def test_every_way_gives_the_verdict_of_the_definition(
    source: str, fairness: str, folder: Path
) -> None:
    note(source)
    fused, unfused = programs(source, folder)
    try:
        space = Space(unfused, MOST)
    except TooLarge:
        assume(False)
    assume(not any(space.fails))
    wanted = expected(space, fairness)
    for program, native in itertools.product((fused, unfused), WAYS):
        result = check(program, Options(keep_going=True, fairness=fairness), native)
        assert result.complete
        verdicts = {name: result.property(name).verdict for name in wanted}
        assert verdicts == {
            name: Verdict.VIOLATION if violated else Verdict.HOLDS
            for name, violated in wanted.items()
        }, (program is fused, native)


WAITING = """    @atomic
    def wait(self) -> None:
        wait_until({condition})
        {effect}
"""


def with_waits(source: str) -> str:
    """Return the protocol with a ``wait_until`` in the place of its loop without a body."""
    lines = source.splitlines()
    start = lines.index("    def spin(self) -> bool:")
    condition = lines[start + 1].strip().removeprefix("if ").removesuffix(":")
    waiting = WAITING.format(condition=condition, effect=lines[start + 2].strip())
    rest = "\n".join([*lines[: start - 1], waiting, *lines[start + 5 :]]) + "\n"
    return re.sub(r"while not self\.spin\(\):\n +pass", "self.wait()", rest)


@generated
@given(source=fair_sources().filter(lambda source: "while not" in source), strong=st.booleans())
def test_spinning_and_waiting_get_the_same_verdicts(
    source: str, strong: bool, folder: Path
) -> None:
    note(source)
    options = Options(keep_going=True, fairness="strong" if strong else "weak")
    names = ["no_deadlock", "no_stuck_thread", "no_starvation"]
    names += ["again"] if "def again" in source else []
    kinds = []
    for text in (source, with_waits(source)):
        for fuse, native in ((True, WAYS[0]), (False, WAYS[0]), (True, WAYS[1])):
            program = compile_scenario(build(text, folder), fuse=fuse)
            result = check(program, options, native)
            assert result.complete
            kinds.append({name: result.property(name).verdict for name in names})
    assert all(found == kinds[0] for found in kinds), kinds
