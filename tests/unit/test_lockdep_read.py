# SPDX-License-Identifier: Apache-2.0
"""``quiesce lockdep read``: every format that a kernel exports, and what two exports differ in."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from quiesce.cli import main
from quiesce.lockdep.read.export import cycles

DATA = Path(__file__).resolve().parents[1] / "data" / "kernel_exports"


def read(capsys: pytest.CaptureFixture[str], *files: object) -> tuple[int, dict[str, Any]]:
    code = main(["lockdep", "read", "--json", *map(str, files)])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


@pytest.mark.parametrize(
    ("file", "kind", "says"),
    [
        ("proc_lockdep.txt", "lockdep", "3 classes, 12 direct dependencies"),
        ("proc_lockdep_2016.txt", "lockdep", "3 classes, 6 direct dependencies"),
        ("proc_lockdep_debug.txt", "lockdep", "2 classes, 5 direct dependencies"),
        ("proc_lockdep_stats.txt", "lockdep_stats", "direct dependencies: 17774 of 32768 (54%)"),
        ("proc_lock_stat.txt", "lock_stat", "vmap_area_lock: waited 11.720 s in all"),
        ("perf_script_contention_6.18.txt", "trace", "15 contention_begin, 15 contention_end"),
    ],
)
def test_every_format(file: str, kind: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lockdep", "read", str(DATA / file)]) == 0
    assert says in capsys.readouterr().out
    assert read(capsys, DATA / file)[1]["kind"] == kind


def test_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.TextIOWrapper(io.BytesIO((DATA / "proc_lockdep_stats.txt").read_bytes()))
    monkeypatch.setattr("sys.stdin", text)
    assert read(capsys, "-")[1]["values"]["lock-classes"] == {"value": 1831, "max": 8192}


def test_full_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "stats"
    path.write_text(" lock-classes:   8000 [max: 8192]\n stack-trace entries: 5 [max: 10]\n")
    assert read(capsys, path)[1]["nearly_full"] == ["lock-classes"]


def classes(*orders: str) -> str:
    text = "all lock classes:\n"
    for order in orders:
        near, _, far = order.partition(">")
        text += f"ffffffff00000001 FD:    2 BD:    1 +.+.: {near}\n -> [ffffffff00000002] {far}\n\n"
    return text


def test_cycle_and_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_text(classes("a>b", "b>c"))
    after.write_text(classes("a>b", "c>a", "b>c"))
    assert read(capsys, before)[0] == 0
    code, found = read(capsys, after)
    assert (code, found["cycles"]) == (1, [["a", "b", "c"]])
    code, found = read(capsys, before, after)
    assert (code, found["new"], found["gone"]) == (1, [["c", "a"]], [])
    assert found["cycles"] == [["a", "b", "c"]]
    only = tmp_path / "only"
    only.write_text(classes("c>a"))
    assert read(capsys, before, only)[1]["cycles_of_both"] == [["a", "b", "c"]]


def test_chains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chains"
    path.write_text(
        "all lock chains:\nirq_context: 0\n[ffffffff00000001] a\n[ffffffff00000002] b\n\n"
        "irq_context: hardirq|softirq\n[ffffffff00000002] b\n[ffffffff00000003] c\n"
        "[ffffffff00000001] a\n\n"
    )
    code, found = read(capsys, path)
    assert code == 1
    assert found["chains"] == {"0": 1, "hardirq|softirq": 1}
    assert found["longest"] == ["b", "c", "a"]
    assert found["cycles"] == [["a", "b"]] or found["cycles"] == [["a", "b", "c"]]


PERF = "{comm} {pid} [000] {n}.000001: lock:{event}: 0x{lock} {how}{name}"
FTRACE = "{comm}-{pid}   [000] {flags} {n}.000001: {event}: 0x{lock} {how}{name}"


def trace(form: str, *events: str, flags: str = "....1") -> str:
    """Return lines for events ``pid +name``, ``pid +r name``, ``pid -name``."""
    lines = []
    for n, event in enumerate(events):
        pid, _, rest = event.partition(" ")
        how = "read " if rest[1:].startswith("r ") else "try " if rest[1:].startswith("t ") else ""
        name = rest[1:].removeprefix("r ").removeprefix("t ")
        lines.append(
            form.format(
                comm="task",
                pid=pid,
                n=n,
                how=how,
                name=name,
                flags=flags,
                event="lock_acquire" if rest[0] == "+" else "lock_release",
                lock=f"ffff{ord(name[0]):04x}",
            )
        )
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("form", [PERF, FTRACE])
def test_trace_with_an_inversion(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace"
    path.write_text(trace(form, "1 +a", "1 +b", "1 -b", "1 -a", "2 +b", "2 +a", "2 -a", "2 -b"))
    code, found = read(capsys, path)
    assert code == 1
    assert [one["kind"] for one in found["reports"]] == ["circular"]
    # The edge that closes the cycle is in the graph, too.
    assert found["orders"] == [["a", "b"], ["b", "a"]]


@pytest.mark.parametrize("form", [PERF, FTRACE])
@pytest.mark.parametrize(
    "events",
    [
        ("1 +a", "1 +b", "1 -b", "1 -a", "2 +a", "2 +b"),
        ("1 +a", "1 +b", "1 -b", "1 -a", "2 +b", "2 +t a"),
        ("1 +r a", "1 +b", "1 -b", "1 -a", "2 +b", "2 +r a"),
        ("1 -b", "1 -a", "2 +b", "2 -b", "2 +a"),
    ],
)
def test_trace_without_one(
    form: str, events: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace"
    path.write_text(trace(form, *events))
    assert read(capsys, path)[0] == 0


def test_trace_with_interrupts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """trace-cmd's flags say that a lock is acquired in a hard interrupt and elsewhere with them on."""
    path = tmp_path / "trace"
    path.write_text(trace(FTRACE, "1 +a", "1 -a") + trace(FTRACE, "1 +a", "1 -a", flags="d.h1."))
    code, found = read(capsys, path)
    assert (code, [one["kind"] for one in found["reports"]]) == (1, ["inconsistent"])


def test_wrong_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = tmp_path / "nothing"
    nothing.write_text("hello\n")
    assert main(["lockdep", "read", str(nothing)]) == 2
    assert "nothing that a kernel exports" in capsys.readouterr().err
    assert main(["lockdep", "read", str(tmp_path / "missing")]) == 2
    stats = DATA / "proc_lockdep_stats.txt"
    assert main(["lockdep", "read", str(stats), str(stats)]) == 2
    assert "no lock orders" in capsys.readouterr().err


def test_cycles() -> None:
    assert cycles([("a", "b"), ("b", "c")]) == []
    assert cycles([("a", "a")]) == [["a"]]
    assert cycles([("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")]) == [["a", "b"], ["c", "d"]]


def replay(
    capsys: pytest.CaptureFixture[str], path: Path, *args: str
) -> tuple[int, list[dict[str, Any]]]:
    code = main(["lockdep", "replay", str(path), *args])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


LOCKS = {"a": {"class_key": "a"}, "b": {"class_key": "b"}}


def step(op: str, lock: str, task: str, **more: object) -> dict[str, object]:
    return {"op": op, "lock": lock, "task": task, **more}


def test_replay_of_lines_with_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two tasks that hold one lock each do not hold both."""
    apart = [step("acquire", "a", "x/1"), step("acquire", "b", "y/2")]
    inverted = [
        *(step("acquire", lock, "x/1") for lock in "ab"),
        *(step("acquire", lock, "y/2", cpu=1, time=2.5) for lock in "ba"),
    ]
    path = tmp_path / "cases.jsonl"
    cases = [
        {"name": str(n), "locks": LOCKS, "sequence": s} for n, s in enumerate((apart, inverted))
    ]
    path.write_text("".join(f"{json.dumps(case)}\n" for case in cases))
    code, outcomes = replay(capsys, path)
    assert code == 1
    assert [one["verdict"] for one in outcomes] == ["pass", "fail"]
    assert outcomes[1]["step"] == 3
    assert {name: outcomes[1][name] for name in ("task", "cpu", "time")} == {
        "task": "y/2",
        "cpu": 1,
        "time": 2.5,
    }


def test_kernel_of_a_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Since 6.13 a spinlock_t under a raw_spinlock_t is reported by default."""
    locks = {
        "raw": {"class_key": "raw", "wait_inner": "SPIN"},
        "spin": {"class_key": "spin", "wait_inner": "CONFIG"},
    }
    path = tmp_path / "case.json"
    sequence = [["acquire", "raw"], ["acquire", "spin"]]
    path.write_text(json.dumps([{"name": "n", "locks": locks, "sequence": sequence}]))
    assert replay(capsys, path)[0] == 0
    assert replay(capsys, path, "--kernel", "6.12")[0] == 0
    assert replay(capsys, path, "--kernel", "6.18")[0] == 1
    assert main(["lockdep", "replay", str(path), "--text", "--kernel", "6.18.3"]) == 1
    assert "6.18.3 #1 Not tainted" in capsys.readouterr().out
    assert main(["lockdep", "replay", str(path), "--kernel", "new"]) == 2


@pytest.mark.parametrize(
    "wrong", [{"task": "a/b"}, {"cpu": -1}, {"cpu": True}, {"time": "now"}, {"more": 1}]
)
def test_wrong_steps(
    wrong: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "case.json"
    sequence = [{"op": "acquire", "lock": "a", **wrong}]
    path.write_text(json.dumps([{"name": "n", "locks": LOCKS, "sequence": sequence}]))
    assert main(["lockdep", "replay", str(path)]) == 2
    assert "case n: step 0" in capsys.readouterr().err
