"""Work in several processes: results come back, errors too, and a killed worker is noticed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from quiesce.errors import UsageError
from quiesce.kvm.real.conform_workers import Counters, Workers


def run(*jobs: Callable[[], int]) -> list[int | None]:
    return Workers(jobs, lambda: None).results()


def test_results_come_back_in_the_order_of_the_jobs() -> None:
    assert run(lambda: 1, lambda: 2, lambda: 3) == [1, 2, 3]


def test_a_large_result_comes_back() -> None:
    (text,) = Workers([lambda: "x" * 1_000_000], lambda: None).results()
    assert text == "x" * 1_000_000


def test_an_error_comes_back_with_its_cure() -> None:
    def refuse() -> int:
        raise UsageError("what is wrong", "how to fix it")

    with pytest.raises(UsageError, match="what is wrong\n  help: how to fix it"):
        run(lambda: 1, refuse)


def test_a_worker_that_is_killed_has_no_result() -> None:
    def die() -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 1

    assert run(die, lambda: 2) == [None, 2]


def test_no_worker_and_no_pipe_is_left() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    others = children.read_text()
    run(lambda: 1, lambda: 2)
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert children.read_text() == others


def test_what_workers_note_is_seen_here() -> None:
    counters = Counters(2)

    def count(worker: int) -> Callable[[], int]:
        def work() -> int:
            counters.note(worker, 10 + worker)
            return 0

        return work

    assert run(count(0), count(1)) == [0, 0]
    assert counters.total() == 21
