# SPDX-License-Identifier: Apache-2.0
"""Nothing holds beyond what was searched: each case once said more than was known."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import DATA

from quiesce.compiler.program import compile_scenario
from quiesce.explorer.findings import CheckResult
from quiesce.explorer.native.check import check_native
from quiesce.explorer.reference.checker import Options, check_reference
from quiesce.primitives import RawSpinLock, SpinLock
from quiesce.protocol import (
    READ_ONCE,
    WRITE_ONCE,
    Int,
    Scenario,
    always,
    atomic,
    choose,
    sometimes,
    thread,
    wait_until,
)
from quiesce.report.check_sections import check_sections
from quiesce.report.formats.text import text_of
from quiesce.verdict import Verdict

Check = Callable[[Scenario], CheckResult]


def by_reference(scenario: Scenario) -> CheckResult:
    return check_reference(compile_scenario(scenario), Options(keep_going=True))


def unfused(scenario: Scenario) -> CheckResult:
    return check_reference(compile_scenario(scenario, fuse=False), Options(keep_going=True))


def natively(scenario: Scenario) -> CheckResult:
    return check_native(compile_scenario(scenario), Options(keep_going=True))


@pytest.fixture(params=[by_reference, unfused, natively])
def check(request: pytest.FixtureRequest) -> Check:
    found: Check = request.param
    return found


def verdicts(result: CheckResult) -> dict[str, str]:
    return {p.name: p.verdict.value for p in result.properties}


class AfterIt(Scenario):
    """Something is wrong first; a certain deadlock, and a state that is wanted, come after it.

    :param wrong: ``invariant``, ``assert`` or ``nothing``.
    """

    lock = SpinLock()
    n = Int(0, high=3)

    def __init__(self, wrong: str) -> None:
        self.asserts = wrong == "assert"
        self.bound = 0 if wrong == "invariant" else 3

    @atomic
    def step(self) -> None:
        self.n += 1
        if self.asserts:
            assert self.n == 0, "n was changed"

    @thread()
    def only(self) -> None:
        self.step()
        self.step()
        self.lock.lock()
        self.lock.lock()

    @always
    def small(self) -> bool:
        return self.n <= self.bound

    @sometimes
    def two(self) -> bool:
        return self.n == 2


def test_a_false_invariant_ends_nothing(check: Check) -> None:
    result = check(AfterIt("invariant"))
    assert result.complete
    found = verdicts(result)
    assert found["small"] == found["no_deadlock"] == "violation"
    assert found["two"] == "holds"
    assert found["no_starvation"] == "holds"


def test_a_failed_step_leaves_the_rest_open(check: Check) -> None:
    result = check(AfterIt("assert"))
    assert not result.complete
    assert result.incomplete.startswith("1 step fails")
    found = verdicts(result)
    assert found.pop("assertions") == "violation"
    assert set(found.values()) == {"incomplete"}
    text = text_of(check_sections(result, "AfterIt", None))
    assert "not decided: 1 step fails" in " ".join(text.split())
    assert "a part of the space" in text


def test_nothing_wrong_and_the_same_is_decided(check: Check) -> None:
    result = check(AfterIt("nothing"))
    assert result.complete
    assert verdicts(result)["no_deadlock"] == "violation"
    assert verdicts(result)["small"] == verdicts(result)["two"] == "holds"


class Enough(Scenario):
    """A step fails on one choice only; what holds on all other runs is still not decided."""

    n = Int(0, high=1)

    def __init__(self, fails: bool) -> None:
        self.fails = fails

    @atomic
    def pick(self) -> None:
        if self.fails:
            self.n = choose(0, 2)
        else:
            self.n = choose(0, 1)

    @thread(count=2)
    def user(self) -> None:
        self.pick()

    @sometimes
    def zero(self) -> bool:
        return self.n == 0

    @sometimes
    def one(self) -> bool:
        return self.n == 1


def test_what_was_seen_is_decided_all_the_same(check: Check) -> None:
    found = verdicts(check(Enough(fails=True)))
    assert found["ranges"] == "violation"
    assert found["zero"] == "holds"
    assert found["one"] == found["no_deadlock"] == "incomplete"
    assert check(Enough(fails=False)).verdict is Verdict.HOLDS


class Told(Scenario):
    """A thread is stuck before the others come to rest, for one step or for none, as steps are cut."""

    lock = RawSpinLock()
    a = Int(0, high=3)
    marked = Int(0, high=2, marked=True)
    plain = Int(0, high=1)

    @atomic
    def never(self) -> None:
        wait_until(self.a == 2)

    @thread()
    def waits(self) -> None:
        WRITE_ONCE(self).marked = 2
        self.never()

    @thread(daemon=True)
    def passes(self) -> None:
        x = READ_ONCE(self.marked)
        with self.lock:
            self.plain = x % 2
        self.marked = 1


def test_granularity_does_not_change_who_is_stuck(check: Check) -> None:
    found = verdicts(check(Told()))
    assert found["no_deadlock"] == "violation"
    assert found["no_stuck_thread"] == "holds"


# --- Inputs that once said more than was known ------------------------------------------------------------


def rows_of_protocols() -> list[tuple[str, str, str]]:
    readme = DATA / "protocols" / "README.md"
    rows, name = [], ""
    for line in readme.read_text(encoding="utf-8").splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if len(cells) < 9 or cells[4] not in ("HOLDS", "VIOLATION"):
            continue
        name = cells[0] or name
        rows.append((name, cells[3], cells[4]))
    return rows


# The column is about safety. A reader of QRCU tries again as long as each try meets a flip, which a
# fair run can do forever while the updaters live: starvation by spinning.
STARVES = {("qrcu", "default")}


@pytest.mark.parametrize(("name", "options", "expected"), rows_of_protocols())
def test_protocols_from_public_sources(name: str, options: str, expected: str) -> None:
    file = DATA / "protocols" / f"{name}.py"
    found = checked(file, *([] if options == "default" else options.split()))
    if (name, options) in STARVES:
        violated = re.findall(r"^  (\w+) +VIOLATED ", found, re.MULTILINE)
        assert violated == ["no_starvation"]
    else:
        assert found.startswith(expected)


TRUST = [
    ("cut.py", r"no_deadlock +VIOLATED"),
    ("cutassert.py", r"no_deadlock +not decided"),
    ("cutsome.py", r"two +holds"),
    ("threads_vs_all_700074.py", r"no_deadlock +VIOLATED"),
    ("threads_vs_all_700165.py", r"no_deadlock +not decided"),
]


@pytest.mark.parametrize(("name", "line"), TRUST)
def test_inputs_that_said_more_than_was_known(name: str, line: str) -> None:
    file = DATA / "inputs" / "trust" / name
    assert re.search(line, checked(file, "--all"))


def test_fusion_does_not_change_the_input_that_it_changed() -> None:
    file = DATA / "inputs" / "trust" / "fusion_stuck_1007.py"
    fused, apart = (
        re.findall(r"^  (\w+) +(holds|VIOLATED|not decided) ", text, re.MULTILINE)
        for text in (checked(file, "--all"), checked(file, "--all", "--no-fusion"))
    )
    assert fused == apart and fused


def checked(file: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "quiesce", "check", str(file), "--quiet", *options],
        cwd=file.parent, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, 1, 3), done.stderr
    return done.stdout
