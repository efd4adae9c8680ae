# SPDX-License-Identifier: Apache-2.0
"""Readers of traces, and the command ``quiesce kvm trace``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quiesce.cli import main
from quiesce.errors import UsageError
from quiesce.kvm.real.trace_check import check_trace
from quiesce.kvm.real.trace_events import Kind
from quiesce.kvm.real.trace_read import read_trace
from quiesce.kvm.real.trace_record import record_kprobes

RECORDED = Path(__file__).parents[1] / "data" / "kvm" / "trace-kprobes-6.1.192.txt"

FTRACE = """\
# tracer: nop
#
# entries-in-buffer/entries-written: 9/9   #P:2
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
   qemu-system-x86-411     [001] d..2. 1201.000100: start: (kvm_mmu_notifier_invalidate_range_start+0x0/0x160)
             <...>-412     [000] d..2. 1201.000150: myswap: (kvm_swap_active_memslots+0x4/0x150) vm=0xff01
   qemu-system-x86-411     [001] d..2. 1201.000200: x: (__mmu_notifier_invalidate_range_start+0x8c/0x150 <- kvm_mmu_notifier_invalidate_range_start)
       kworker/0:1-9       [000] d..2. 1201.000210: g: (synchronize_srcu_expedited+0x0/0x20)
       kworker/0:1-9       [000] d..2. 1201.000220: sched_switch: prev_comm=kworker/0:1 prev_pid=9
   qemu-system-x86-411     [001] d..2. 1201.000300: z: (kvm_mmu_notifier_invalidate_range_end+0x0/0xa0)
   qemu-system-x86-411     [001] d..2. 1201.000310: z2: (__mmu_notifier_invalidate_range_end+0x7c/0x110 <- kvm_mmu_notifier_invalidate_range_end)
   CPU 0/KVM-412     [000] d..2. 1201.000350: g: (synchronize_srcu_expedited+0x0/0x20)
             <...>-412     [000] d..2. 1201.000400: w2: (kvm_set_memslot+0x160/0x4a0 <- kvm_swap_active_memslots)
"""  # noqa: E501


def test_ftrace_is_read_by_the_functions_that_it_names() -> None:
    trace = read_trace(FTRACE, "f")
    assert [(e.kind.value, e.task.rpartition("-")[2]) for e in trace.events] == [
        ("start", "411"),
        ("swap", "412"),
        ("start_done", "411"),
        ("end", "411"),
        ("end_done", "411"),
        ("published", "412"),
        ("grace_done", "412"),
    ]
    assert (trace.source, trace.unit, trace.events[0].time) == ("ftrace", "us", 1201000100)
    assert trace.notes == [
        "not every call names its VM, so all are taken to be of one VM",
        "2 events of other kinds are left out",
    ]
    assert {e.vm for e in trace.events} == {"0"}
    assert check_trace(trace).refused == {}
    named = FTRACE.replace("0x160)", "0x160) vm=0xff01").replace("0xa0)", "0xa0) vm=0xff01")
    assert {e.vm for e in read_trace(named, "f").events} == {"0xff01"}


def test_ftrace_that_was_overwritten_or_lost_says_so() -> None:
    assert not read_trace(FTRACE, "f").begins_late
    assert read_trace(FTRACE.replace("written: 9/9", "written: 9/12"), "f").begins_late
    lines = FTRACE.splitlines()
    lost = "\n".join([*lines[:8], "CPU:1 [LOST 23 EVENTS]", *lines[8:]])
    assert read_trace(lost, "f").lost == [3]
    garbage = "\n".join([*lines[:8], "#$%& \x00 half a li", *lines[8:]])
    read = read_trace(garbage.replace("#$", "$"), "f")
    assert read.lost == [3]
    assert "line 9 is not understood" in read.notes[0]
    cut = read_trace(FTRACE[: FTRACE.rindex("[000]")], "f")
    assert not cut.lost
    assert any("the last one, is not complete" in note for note in cut.notes)


BPFTRACE = """\
Attaching 7 probes...
300 12 7 end
100 12 7 start
200 12 7 start_done

350 12 7 end_done
@lost: 0
"""


def test_bpftrace_lines_are_put_in_the_order_of_their_times() -> None:
    trace = read_trace(BPFTRACE, "b")
    assert trace.source == "bpftrace"
    assert [e.kind for e in trace.events] == [
        Kind.START,
        Kind.START_DONE,
        Kind.END,
        Kind.END_DONE,
    ]
    assert read_trace(BPFTRACE.replace("\n\n", "\nLost 3 events\n"), "b").lost == [3]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no event"),
        ("hello\nworld\n", "has no event"),
        ("{", "is not JSON"),
        ("{}", "is JSON, but not of"),
        ('{"designs": [{"design": "phased", "counterexample": null}]}', "no check of the design"),
        ('{"counterexample": null}', "has no counterexample"),
        ('{"counterexample": {"steps": [{"thread": "a"}]}}', "lacks"),
        ('{"counterexample": {"steps": [3]}}', "lacks"),
        ('{"counterexample": {"steps": []}}', "has no invalidation"),
        ("[" * 100_000, "has no event"),
        ('{"a":' * 100_000, "is not JSON"),
    ],
)
def test_what_is_not_a_trace_is_refused_with_a_reason(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_trace(text, "some.txt")


# --- The command --------------------------------------------------------------------------------------


def test_the_command_accepts_the_recorded_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kvm", "trace", "check", str(RECORDED)]) == 0
    out = capsys.readouterr().out
    assert "329 updates, 1,253 invalidations" in out
    assert "The trace can be a run of `count`." in out


def test_the_command_refuses_with_the_first_event(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if line.endswith(" re:"))
    file = tmp_path / "cut.txt"
    file.write_text("\n".join(lines[: at - 1] + lines[at + 1 :]), encoding="utf-8")
    assert main(["kvm", "trace", "check", str(file), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["schema"], data["verdict"], data["source"]) == (1, "violation", "ftrace")
    assert sorted(data["ruled_out"]) == ["count", "phased", "rwsem"]
    assert main(["kvm", "trace", "check", str(file), "--design", "always_lock", "-q"]) == 0
    assert main(["kvm", "trace", "check", str(file), "--design", "nothing"]) == 2
    assert main(["kvm", "trace", "check", str(tmp_path / "none")]) == 2


def test_a_trace_with_a_gap_is_not_decided(tmp_path: Path) -> None:
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    file = tmp_path / "gap.txt"
    file.write_text("\n".join([*lines[:900], "CPU:0 [LOST 5 EVENTS]", *lines[905:]]), "utf-8")
    assert main(["kvm", "trace", "check", str(file)]) == 3


# --- Recording: against a directory that looks like tracefs ---------------------------------------------


def test_a_kernel_without_kprobes_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tracefs"):
        record_kprobes(0.01, root=tmp_path / "none")
    (tmp_path / "trace").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="refuses function hooks"):
        record_kprobes(0.01, root=tmp_path)


def test_a_kernel_that_refuses_a_probe_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "kprobe_events").mkdir()  # It exists, and cannot be written.
    with pytest.raises(
        UsageError, match="a probe on kvm_mmu_notifier_invalidate_range_start fails"
    ):
        record_kprobes(0.01, root=tmp_path)
