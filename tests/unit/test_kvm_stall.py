# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm stall``: what is computed, what is said, and that everything ends in time."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quiesce.cli import main
from quiesce.kvm.real.stall import Host, Request, StallResult
from quiesce.kvm.real.stall_looks import between, functions_of, waits_for
from quiesce.kvm.real.stall_result import (
    BOUNDS,
    Group,
    Looks,
    Measured,
    histogram,
    predicted_ms,
    provoked,
    quantile,
)
from quiesce.kvm.real.stall_show import stall_html, stall_json, stall_text
from quiesce.kvm.real.stall_storm import STORMS, PlainStorm, load, storm_memory

needs_kvm = pytest.mark.skipif(
    not os.access("/dev/kvm", os.R_OK | os.W_OK),
    reason="needs /dev/kvm, which cannot be opened here",
)


def test_quantiles_and_classes() -> None:
    assert quantile([], 0.5) == 0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile(list(map(float, range(1, 101))), 0.99) == 99.0
    assert quantile([7.0], 0.99) == 7.0
    counts = histogram([0.0, 0.05, 2.0, 2.5, 20_000.0])
    assert sum(counts) == 5
    assert counts[BOUNDS.index(3.0)] == 2
    assert counts[-1] == 1


def test_the_excess_is_over_the_rejected_request_of_the_same_moment() -> None:
    measured = Measured("dontneed", 4, [10.0, 2.0, 1.0], [9.0, 0.5, 3.0])
    assert measured.excess == [1.0, 1.5, 0.0]
    assert Measured("count", 4, [10.0]).excess == [10.0]


@pytest.mark.parametrize(
    ("storm", "control", "expected"),
    [
        ([900.0], [20.0], True),
        ([900.0], [400.0], False),
        ([0.4], [0.1], False),
        ([6.0], None, True),
        ([], [1.0], False),
    ],
)
def test_a_stall_is_what_competing_for_the_cores_does_not_explain(
    storm: list[float], control: list[float] | None, expected: bool
) -> None:
    beside = None if control is None else Measured("spin", 4, control)
    assert provoked(Measured("dontneed", 4, storm), beside) == expected


def test_the_expected_wait_grows_with_each_thread_that_waits_for_a_core() -> None:
    assert predicted_ms(None, 8, 2, 3.0) is None
    assert predicted_ms(0.5, 2, 2, 3.0) == 0.0
    assert predicted_ms(0.5, 3, 2, 3.0) == 6.0
    assert predicted_ms(0.5, 12, 2, 3.0) == 3.0 * 1024
    assert predicted_ms(0.0, 12, 2, 3.0) == 3.0
    assert predicted_ms(1.0, 12, 2, 3.0) == math.inf


PARKED = """\
[<0>] unmap_page_range+0x6fb/0x1460
[<0>] zap_page_range_single_batched+0xc8/0x1a0
[<0>] do_madvise+0xcc/0x140
"""
WAITING = """\
[<0>] kvm_swap_active_memslots+0xcc/0x180
[<0>] kvm_set_memslot+0x3ec/0x680
"""
GRACE = "[<0>] __synchronize_srcu.part.0+0x81/0xb0\n" + WAITING


def test_stacks_say_where_a_thread_is() -> None:
    assert between(functions_of(PARKED)) == "unmap_page_range"
    assert between(functions_of("[<0>] exit_to_user_mode_loop+0x51/0xe0\n")) == ""
    assert between(functions_of("[<0>] copy_page_range.isra.0+0x51/0xe0\n")) != ""
    assert waits_for(functions_of(WAITING)) == "count"
    assert waits_for(functions_of(GRACE)) == "grace"
    assert waits_for(functions_of("[<0>] futex_do_wait+0x46/0x90\n")) == ""
    assert functions_of("") == []


def made_up() -> StallResult:
    looks = Looks(True, 30, 70, 12, 1, 0, (812.0, 3, {"unmap_page_range": 3}))
    storm = Measured("dontneed", 8, [1.0, 900.0], [0.01, 0.01], 9e4, 3.0, True, 4.0, looks)
    group = Group(8, [storm], Measured("spin", 8, [0.02, 9.0], [0.01, 0.01], 1e6, 1.0))
    group.gates = [Measured("phased", 8, [0.1], [], 8e4, 1.0)]
    where = Host("6.18.1", "kvm_intel, tdp", 2, "voluntary", 3.0, True)
    quiet = Measured("none", 0, [0.02])
    return StallResult(Request([8], ["dontneed"], load=4), where, quiet, [group], "", 5.0)


def test_the_text_says_what_was_measured_and_what_it_depends_on() -> None:
    text = stall_text(made_up())
    for part in (
        "Linux 6.18.1, kvm_intel, tdp, 2 cores, preemption voluntary",
        "4 busy processes",
        "Updates stall.",
        "worst excess over the rejected request 900 ms; of the spin control: 8.99 ms",
        "until the storm was stopped",
        "preemptions between start and end: 30%",
        "waiting for the count 12 times, for the grace period 1",
        "3 invalidators between start and end: unmap_page_range 3",
        "gate phased",
    ):
        assert part in text, text
    calm = made_up()
    calm.groups[0].storms[0].updates = [0.1, 0.2]
    assert "Not provoked here." in stall_text(calm)
    assert "preemptions between start and end: 30%" in stall_text(calm)


def test_the_json_and_the_page_have_it_all() -> None:
    data = json.loads(json.dumps(stall_json(made_up())))
    assert (data["schema"], data["kernel"], data["native"]) == (1, "6.18.1", True)
    storm = data["groups"][0]["kernel"][0]
    assert (storm["ms"]["max"], storm["provoked"], storm["looks"]["share"]) == (900.0, True, 0.3)
    assert storm["predicted_ms"] == pytest.approx(3.0 / 0.7**6, abs=0.001)
    assert sum(storm["excess_ms"]["histogram"]) == storm["updates"] == 2
    assert data["groups"][0]["gates"]["phased"]["ms"]["p50"] == 0.1
    page = stall_html(made_up())
    assert page.count("<polyline") == 3
    assert "kernel, dontneed" in page


@pytest.mark.parametrize("kind", [*STORMS, "spin"])
def test_plain_threads_make_a_storm_where_numba_is_missing(kind: str) -> None:
    with storm_memory(2) as regions:
        storm = PlainStorm(kind, 2, time.monotonic() + 0.3, regions)
        storm.start()
        assert len(storm.thread_ids) == 2
        assert storm.wait() > 0


def test_the_load_ends_with_the_measurement() -> None:
    with load(2, 30):
        assert count_children() >= 2
    assert count_children() == 0


def count_children() -> int:
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return len(listed.split())


@pytest.mark.parametrize(
    "words",
    [
        ["--threads", "0"],
        ["--threads", ""],
        ["--threads", "2,x"],
        ["--threads", "9999"],
        ["--threads", "²"],
        ["--storm", "hail"],
        ["--storm", ","],
        ["--load", "-1"],
        ["--load", "100000"],
    ],
)
def test_a_wrong_request_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kvm", "stall", *words]) == 2
    assert "help:" in capsys.readouterr().err


COMMAND = [sys.executable, "-m", "quiesce", "kvm", "stall"]


@needs_kvm
def test_the_real_kernel_is_measured_in_the_time_that_was_given() -> None:
    done = subprocess.run(
        [*COMMAND, "--threads", "2,4", "--seconds", "6", "--related", "--vcpu", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["seconds"] < 8
    assert data["quiet"]["updates"] > 0
    for group in data["groups"]:
        for storm in group["kernel"]:
            assert storm["updates"] > 0
            assert storm["invalidations_per_second"] > 0
            assert len(storm["excess_ms"]["histogram"]) == len(BOUNDS) + 1


@needs_kvm
def test_little_time_is_enough_for_a_little() -> None:
    command = [*COMMAND, "--threads", "2,4,8", "--seconds", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["seconds"] < 3
    assert not data["native"]
    assert "no time to load numba" in data["native_missing"]


@needs_kvm
def test_ctrl_c_ends_the_storm_and_the_load() -> None:
    running = subprocess.Popen(
        [*COMMAND, "--threads", "8", "--seconds", "60", "--load", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(6)
    began = time.monotonic()
    running.send_signal(signal.SIGINT)
    _out, err = running.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert running.returncode == 3, err
    assert "interrupted" in err
