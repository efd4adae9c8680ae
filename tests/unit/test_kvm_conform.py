"""``quiesce kvm conform``: no difference on this host, logs repeat, and what a difference is shown as."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from kvm_mutants import MUTANTS

from quiesce.cli import main
from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.conform import Wanted, conform
from quiesce.kvm.real.conform_pair import Bench, Difference
from quiesce.kvm.real.conform_probe import probe
from quiesce.kvm.real.conform_scenarios import run_scenarios
from quiesce.kvm.real.conform_script import script
from quiesce.kvm.real.conform_sides import Arena
from quiesce.kvm.real.conform_systematic import systematic_requests
from quiesce.kvm.real.device import Device
from quiesce.kvm.real.guest import RealModeGuest, Seen
from quiesce.kvm.real.requests import MEM_MAX_NR_PAGES, Host, Request

LOGS = Path(__file__).parents[1] / "data" / "kvm"

needs_kvm = pytest.mark.skipif(
    not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="this machine has no usable /dev/kvm"
)


@needs_kvm
def test_this_host_answers_as_our_memslots_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kvm", "conform", "--operations", "3000", "--seed", "7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1 and found["differences"] == []
    assert found["operations"] == 3000 and found["random"] > 500 and found["accesses"] > 3000
    assert len(found["scenarios"]) == 15 and all(s["agrees"] for s in found["scenarios"])
    assert found["kernel"] == os.uname().release
    assert any("generations" in reason for reason in found["not_compared"])
    assert set(found["errnos"]) >= {"success", "EINVAL", "EEXIST", "EFAULT"}


@needs_kvm
@pytest.mark.parametrize(("name", "updates"), [("pc", 46), ("q35", 48)])
def test_a_log_of_qemu_is_repeated(
    name: str, updates: int, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(LOGS / f"qemu-memslots-{name}.jsonl")
    assert main(["kvm", "conform", "--replay", log, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["operations"] == updates and found["differences"] == []
    assert any("get_dirty_log" in reason for reason in found["not_compared"])


@needs_kvm
def test_a_log_that_says_something_else_is_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(
        '{"slot": 0, "flags": 0, "gpa": 0, "size": 8192, "hva": 4096, "errno": null}\n'
        '{"slot": 1, "flags": 0, "gpa": 4096, "size": 4096, "hva": 4096, "errno": null}\n'
        '{"slot": 0, "flags": 0, "gpa": 0, "size": 4096, "hva": 4096, "errno": "EINVAL"}\n'
    )
    assert main(["kvm", "conform", "--replay", str(log)]) == 1
    out = capsys.readouterr().out
    assert "1 difference" in out and "line 2: set_user_memory_region(slot=0x1" in out
    assert "errno EEXIST" in out and "0 in the log" in out


@needs_kvm
def test_a_slot_that_could_lock_the_machine_up_is_not_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"slot": 0, "flags": 0, "gpa": 0, "size": 8796093018112, "hva": 4096}\n')
    assert main(["kvm", "conform", "--replay", str(log)]) == 2
    assert "is not tried" in capsys.readouterr().err


def test_no_systematic_request_is_dangerous() -> None:
    requests = list(systematic_requests(Host()))
    assert len(requests) > 4000
    assert all(r.size <= 1 << 30 or r.size // 4096 > MEM_MAX_NR_PAGES for r in requests)


@needs_kvm
def test_a_difference_is_a_script_that_shows_it() -> None:
    mutant = next(m for m in MUTANTS if m.name == "reading a log does not clear it")
    result = conform(Wanted(2000, "1", most_differences=1, scenarios=False), mutant.ours)
    (found,) = result.differences
    done = subprocess.run(
        [sys.executable, "-I", "-c", script(found)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("get_dirty_log(") and lines[-1].endswith(
        "0 bits 00 00 00 00 00 00 00 00"
    )
    assert len(lines) >= len(found.operations)


@needs_kvm
def test_a_script_does_every_kind_of_operation() -> None:
    region = ops.SetRegion(Request(1, 1, ops.WINDOW, 8192, ops.ARENA))
    second = ops.SetRegion(Request(2, 0, ops.WINDOW, 4096, ops.ARENA, version=2))
    bad = ops.SetRegion(Request(2, 0, 0, 4096, 0, readable=False))
    steps = (
        region,
        second,
        bad,
        ops.Access((ops.WINDOW, ops.WINDOW + 8192)),
        ops.Access((ops.WINDOW + 4096, ops.WINDOW - 1), b"ab"),
        ops.ClearDirtyLog(1, 0, 2, (0,)),
        ops.GetDirtyLog(1, 2),
    )
    text = script(Difference(ops.Setup(1), steps, "nothing | nothing"))
    done = subprocess.run(
        [sys.executable, "-I", "-c", text], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    answers = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert answers == [
        "0",
        "0",
        "EEXIST",
        "EFAULT",
        "data 0x00 MMIO",
        "data MMIO",
        "0",
        "0 bits 02 00 00 00 00 00 00 00",
    ]


def test_without_kvm_the_request_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = os.open

    def refuse(path: str, *rest: int) -> int:
        if path == "/dev/kvm":
            raise FileNotFoundError(2, "No such file or directory")
        return opened(path, *rest)

    monkeypatch.setattr(os, "open", refuse)
    assert main(["kvm", "conform"]) == 2
    assert "/dev/kvm cannot be opened" in capsys.readouterr().err


@needs_kvm
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_ends_when_it_is_told_to(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "quiesce", "kvm", "conform", "--operations", "10000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        workers = _workers_of(child.pid)
        begun = time.monotonic()
        child.send_signal(number)
        out, _ = child.communicate(timeout=60)
        while any(map(_is_alive, workers)):
            assert time.monotonic() - begun < 60, "a worker outlives the command"
            time.sleep(0.1)
    if number == signal.SIGKILL:
        assert child.returncode == -signal.SIGKILL
    else:
        assert child.returncode == 3 and "ended early" in out


def _workers_of(pid: int) -> list[int]:
    """Wait until the process *pid* has children; return them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(children) > 1:
            return [int(child) for child in children]
        time.sleep(0.05)
    raise AssertionError("there are no workers")


def _is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@needs_kvm
def test_the_time_limit_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    assert main(["kvm", "conform", "--operations", "10000000", "--seconds", "2"]) == 0
    assert time.monotonic() - begun < 30
    assert "the time is over" in capsys.readouterr().out


@needs_kvm
def test_a_byte_from_the_wrong_place_is_seen_while_slots_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = RealModeGuest.read
    wrong = iter([Seen("data", 0xEE)])

    def stale(self: RealModeGuest, addresses: Sequence[int]) -> list[Seen]:
        seen = read(self, addresses)
        if threading.current_thread() is threading.main_thread() or seen[0].kind != "data":
            return seen
        return [next(wrong, seen[0])]

    monkeypatch.setattr(RealModeGuest, "read", stale)
    with Device() as device, Arena() as arena:
        probed = probe(device, arena)
        bench = Bench(device, arena, probed.ours, probed.host.guest_memfd)
        outcomes = [outcome for outcome, _ in run_scenarios(bench, probed.host)]
    differ = [o for o in outcomes if o.difference is not None]
    assert [o.name for o in differ] == ["move while the guest reads"]
    assert differ[0].difference is not None and "data 0xee" in differ[0].difference.what
