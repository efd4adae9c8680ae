# SPDX-License-Identifier: Apache-2.0
"""Searches that end early, by the clock or by a signal: incomplete with the reason, never a pass."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from native_protocols import LockPair

from quiesce import stopping
from quiesce.cli import main
from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import Bounds, Options, check
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.reference.graph import Progress
from quiesce.loading import load_scenario
from quiesce.lockdep import Validator
from quiesce.lockdep.explored import ExploredLockdep
from quiesce.primitives import Mutex
from quiesce.protocol import Int, Scenario, choose, thread
from quiesce.verdict import Verdict

RWSEM = Path(__file__).parents[2] / "examples" / "rwsem_gate.py"
EXPLORERS = ("auto", "reference", "native")
NOW = 1e-9
"""Seconds that are over when the search begins."""


@pytest.fixture(scope="module")
def program() -> Program:
    return compile_scenario(LockPair(threads=3))


@pytest.fixture(params=EXPLORERS)
def explorer(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "native":
        pytest.importorskip("numba", reason="the native explorer needs numba")
    yield request.param


# --- Time -----------------------------------------------------------------------------------------


def test_time_is_a_bound(program: Program, explorer: str) -> None:
    options = Options(keep_going=True, bounds=Bounds(max_seconds=NOW))
    result = check(program, options, NativeOptions(explorer=explorer, small=3))
    assert result.verdict is Verdict.INCOMPLETE
    assert result.incomplete == "the bound of 1e-09 s was hit"
    assert {p.verdict for p in result.properties} == {Verdict.INCOMPLETE}


def test_time_that_suffices_changes_nothing(program: Program, explorer: str) -> None:
    native = NativeOptions(explorer=explorer, small=3)
    free = check(program, Options(keep_going=True), native)
    bound = check(program, Options(keep_going=True, bounds=Bounds(max_seconds=1e6)), native)
    assert (bound.states, bound.incomplete) == (free.states, "")
    assert [p.verdict for p in bound.properties] == [p.verdict for p in free.properties]


def test_time_is_a_bound_on_other_threads(program: Program) -> None:
    """There are no signals there, so the searches have to look at the clock themselves."""
    found: list[str] = []

    def search() -> None:
        options = Options(keep_going=True, bounds=Bounds(max_seconds=NOW))
        found.append(check(program, options).incomplete)

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert found == ["the bound of 1e-09 s was hit"]


def test_lockdep_that_ran_out_of_time_is_not_silent() -> None:
    program = compile_scenario(load_scenario(str(RWSEM), ()))
    hurried = ExploredLockdep(program, Validator())
    assert hurried.run(Bounds(max_seconds=NOW)) is None
    assert hurried.cut_short == "the bound of 1e-09 s was hit"
    patient = ExploredLockdep(program, Validator())
    assert patient.run(Bounds(max_seconds=1e6)) is not None
    assert patient.cut_short == ""


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e99", "many", "", "9" * 5000])
def test_seconds_that_are_no_bound(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["kvm", "check", "--max-seconds", seconds])
    assert leaving.value.code == 2
    assert "not a number of seconds above 0" in capsys.readouterr().err


def test_kvm_check_has_time_for_all_designs_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kvm", "check", "--json", "--max-seconds", "0.000001"]) == 3
    designs = json.loads(capsys.readouterr().out)["designs"]
    assert [d["incomplete_because"] for d in designs] == ["the bound of 1e-06 s was hit"] * 5
    assert all("lockdep has not seen everything" in " ".join(d["notes"]) for d in designs)
    assert main(["kvm", "check", "--max-seconds", "0.000001"]) == 3
    assert "silent" not in capsys.readouterr().out


class Choosers(Scenario):
    """More ways to begin than can ever be counted: each thread chooses before its first step."""

    lock = Mutex()
    n = Int(0)

    @thread(count=40)
    def one(self) -> None:
        amount = choose(0, 1)
        with self.lock:
            self.n += amount


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        (Bounds(max_states=200), "the bound of 200 states was hit"),
        (Bounds(max_seconds=1.0), "the bound of 1 s was hit"),
    ],
)
def test_more_ways_to_begin_than_can_be_tried(bounds: Bounds, why: str, explorer: str) -> None:
    bounds = replace(bounds, started=time.monotonic())
    program = compile_scenario(Choosers())
    result = check(program, Options(True, bounds=bounds), NativeOptions(explorer, small=50))
    assert result.incomplete == why
    assert result.verdict is Verdict.INCOMPLETE
    assert ExploredLockdep(program, Validator()).run(bounds) is None


# --- Signals --------------------------------------------------------------------------------------


def interrupting(number: int) -> Callable[[Progress], None]:
    """Return a progress callback that sends *number* to this process when it is first called."""
    sent: list[int] = []

    def progress(_progress: Progress) -> None:
        if not sent:
            sent.append(number)
            os.kill(os.getpid(), number)

    return progress


@pytest.mark.parametrize(
    ("number", "why"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
)
def test_a_signal_ends_a_search(program: Program, explorer: str, number: int, why: str) -> None:
    options = Options(keep_going=True, progress=interrupting(number))
    with stopping.orderly():
        result = check(program, options, NativeOptions(explorer=explorer, small=0))
        assert (result.incomplete, stopping.reason()) == (why, why)
        assert result.verdict is not Verdict.HOLDS
        # What comes after it in the same command ends where it begins.
        assert check(program).incomplete == why
    assert stopping.reason() == ""
    assert check(program).complete


def test_a_library_keeps_its_signals(program: Program) -> None:
    before = [signal.getsignal(n) for n in stopping.REASONS]
    options = Options(keep_going=True, progress=interrupting(signal.SIGINT))
    result = check(program, options, NativeOptions(explorer="reference"))
    assert result.incomplete == "interrupted"
    assert [signal.getsignal(n) for n in stopping.REASONS] == before
    assert check(program).complete


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping.orderly(), stopping.noted():
            os.kill(os.getpid(), signal.SIGINT)
            assert stopping.reason() == ""
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_signal_is_raised() -> None:
    with stopping.orderly(), stopping.noted():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.reason() == "terminated"
        with pytest.raises(stopping.Stopped, match="terminated"):
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(1)


def test_what_was_noted_is_raised_where_nothing_is_lost() -> None:
    with stopping.orderly(), stopping.noted():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(stopping.Stopped, match="interrupted"), stopping.immediately():
            pass
