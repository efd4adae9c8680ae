# SPDX-License-Identifier: Apache-2.0
"""A step that offers choices without end: both engines call it endless, and lose nothing else.

A loop that the step's own ``choose`` can leave is left in some of its ways, so it never ends in others: after
2,000 choices it counts as endless.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.compare import load
from native_agreement import assert_same_findings

from quiesce.compiler.program import compile_scenario
from quiesce.explorer.findings import CheckResult
from quiesce.verdict import Verdict

pytest.importorskip("numba", reason="the native explorer needs numba")

from quiesce.explorer.native.options import NativeOptions

HEAD = """
from quiesce.protocol import *


class Generated(Scenario):
    a = Int(0, high=3)
    b = Int(0, high=3, marked=True)
    arr = Array(Int(1, high=3), 3)
"""

SPINS = {
    "two options": """
    @atomic
    def spin(self) -> None:
        while choose(True, False):
            pass
""",
    "many options": """
    @atomic
    def spin(self) -> None:
        while choose(0, 1, 2, 3, 4) != 0:
            pass
""",
    "a choice within": """
    @atomic
    def spin(self) -> None:
        while choose(0, 1) != 0:
            self.b = choose(1, 2, 3)
""",
    "many accesses": """
    @atomic
    def spin(self) -> None:
        while choose(0, 1) != 0:
            for i in range(3):
                self.arr[i] = self.arr[(i + 1) % 3]
""",
    "no atomic method": """
    def spin(self) -> None:
        self.a = 2
        while choose(0, 1, 2) != 0:
            pass
""",
}

REST = """
    @thread(count={count})
    def u(self) -> None:
        self.b = 3
        self.spin()

    @thread()
    def v(self) -> None:
        self.b = 2

    @always
    def never_two(self) -> bool:
        return self.b != 2
"""


def checked(spin: str, count: int, folder: Path, native: NativeOptions) -> CheckResult:
    program = compile_scenario(load(HEAD + SPINS[spin] + REST.format(count=count), folder))
    return assert_same_findings(program, native)


@pytest.mark.parametrize("spin", SPINS)
def test_of_one_thread(spin: str, tmp_path: Path) -> None:
    native = NativeOptions(symmetry=False, partial_order=False)
    result = checked(spin, 1, tmp_path, native)
    endless = result.property("ranges").finding
    assert endless is not None and endless.kind == "endless step"
    assert result.property("never_two").verdict is Verdict.VIOLATION
    assert "fail" in result.incomplete and "room" not in result.incomplete


def test_of_two_that_race(tmp_path: Path) -> None:
    """The accesses of all ways are compared, more than four thousand of them."""
    native = NativeOptions(symmetry=False, partial_order=False)
    text = HEAD + SPINS["many accesses"].replace("    @atomic\n", "") + REST.format(count=1)
    text = text.replace("self.b = 2", "self.arr[1] = 2")
    program = compile_scenario(load(text, tmp_path), fuse=False)
    result = assert_same_findings(program, native)
    assert result.property("no_data_race").verdict is Verdict.VIOLATION


def test_as_many_choices_as_are_allowed(tmp_path: Path) -> None:
    """Ten choices of two are 1,023 on all ways together, eleven are 2,047."""
    native = NativeOptions(symmetry=False, partial_order=False)
    spin = "\n    @atomic\n    def spin(self) -> None:\n        n = 0\n"
    for count, verdict in ((10, Verdict.HOLDS), (11, Verdict.VIOLATION)):
        body = f"        for i in range({count}):\n            n = (n + choose(0, 1)) % 2\n"
        program = compile_scenario(load(HEAD + spin + body + REST.format(count=1), tmp_path))
        assert assert_same_findings(program, native).property("ranges").verdict is verdict
