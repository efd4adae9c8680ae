"""``quiesce kvm why``: which check, which slot, which request; and the lint of a log."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from quiesce.cli import main
from quiesce.kvm.real.requests_log import RequestLog, parse_request, read_log, six_numbers
from quiesce.kvm.real.requests_table import CHECKS
from quiesce.kvm.real.why import DETAILS
from quiesce.kvm.real.why_lint import lint

LOGS = Path(__file__).parents[1] / "data" / "kvm"
PC = str(LOGS / "qemu-memslots-pc.jsonl")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["kvm", "why", *words])
    out, err = capsys.readouterr()
    return code, out, err


def write(path: Path, *requests: dict[str, object]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in requests), encoding="utf-8")
    return str(path)


def region(slot: int, gpa: int, size: int, hva: int = 0x10000, **more: object) -> dict[str, object]:
    return {"slot": slot, "flags": 0, "gpa": gpa, "size": size, "hva": hva, **more}


def test_the_slot_in_the_way_and_the_request_that_created_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    request = ("3", "0", "0xc0000", "0x1000", "0x7f0000000000")
    code, out, _ = run(capsys, *request, "--after", PC)
    assert code == 1
    assert "refused with EEXIST" in out and "`overlap`" in out
    assert "in the way: slot 2: gpa [0xc0000, 0xca000), hva block2+0xc0000" in out
    assert "created by line 27" in out and "last changed by line 39" in out


def test_json_of_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "2 0 0xc0000 0x2000 0x1001", "--after", PC, "--json")
    found = json.loads(out)
    assert code == 1 and found["schema"] == 1 and found["errno"] == "EINVAL"
    assert found["check"]["name"] == "hva aligned"
    assert [other["name"] for other in found["also"]] == ["immutable"]
    assert found["slot"]["slot"] == 2 and found["created_by"]["line"] == 27
    assert found["in_the_way"] is False


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["1", "0", "0", "0", "0"], 1, "no slot 1 in address space 0; live ids: none"),
        (["1", "0", "0", "4096", "0"], 0, "accepted: it creates the slot"),
        (["40000", "0", "0", "4096", "0"], 1, "the VMM has 0 to 32763"),
        (["0x10001", "0", "0", "4096", "0"], 1, "KVM_CAP_MULTI_ADDRESS_SPACE"),
        (["1", "8", "0", "4096", "0"], 1, "these flags are not valid: 0x8"),
        (["1", "0", "0xfffffffff000", "8192", "0", "0"], 0, "accepted"),
        (["1", "0", "0x10000000000000", "4096", "0"], 1, "guest addresses end at 0x10000000000000"),
        (["1", "0", "0", "0x80000000000", "0"], 1, "use several slots"),
        (["1", "0", "0", "4097", "0"], 1, "0x1001 is 0x1 past a page; 0x1000 is aligned"),
        (["slot=1 flags=KVM_MEM_READONLY gpa=0 size=0x1000 ua=0"], 0, "READONLY"),
        (["1", "0", "0", "4096", "0", "-17"], 3, "one of the kernel's own"),
        (["0", "7", "0", "0", "4096", "0x7f0000000000"], 0, "slot 7, gpa [0x0, 0x1000)"),
        (["1", "7", "0", "0", "4096", "0x7f0000000000"], 1, "address space 1; this VM has 1"),
    ],
)
def test_answers(
    words: list[str], code: int, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = run(capsys, *words)
    assert (found, err) == (code, "") and part in out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "which request?"),
        (["1", "2"], "is not a request"),
        (["1", "0", "0", "99999999999999999999999", "0"], "64 bits"),
        ([f"{PC}:2", "--after", PC], "leave --after out"),
        ([f"{PC}:1"], "on lines 2 to"),
        (["--lint", PC, "1"], "--lint takes no request"),
        (["--lint", "/there/is/no/such.log"], "cannot be read"),
        (["--lint", str(LOGS.parent / "README.md")], "has no request"),
    ],
)
def test_requests_that_are_wrong(
    words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "") and part in err and "help:" in err


def test_a_line_of_a_log_with_those_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, f"{PC}:4")
    assert code == 0 and "accepted: it deletes the slot" in out and "before it: 2 requests" in out


STRACE = (
    "1720000000.100000 ioctl(11, KVM_SET_USER_MEMORY_REGION, {slot=3, flags=KVM_MEM_LOG_DIRTY_PAGES|"
    "KVM_MEM_READONLY, guest_phys_addr=0xfee00000, memory_size=4096, userspace_addr=0x7f2c4c000000})"
    " = -1 EEXIST (File exists) <0.000123>"
)
QEMU = (
    "4242@1720000000.250000:kvm_set_user_memory Slot#3 flags=0x2 gpa=0xfffc0000 size=0x40000 "
    "ua=0x7f2c4c000000 ret=-22"
)
QEMU_8 = (
    "kvm_set_user_memory AddrSpace#1 Slot#3 flags=0x0 gpa=0x0 size=0x40000 ua=0x7f2c4c000000 "
    "guest_memfd=-1 guest_memfd_offset=0x0 ret=0"
)


def test_lines_of_strace_and_qemu() -> None:
    log = RequestLog("log")
    strace, qemu, newer = (parse_request(text, log) for text in (STRACE, QEMU, QEMU_8))
    assert strace is not None and qemu is not None and newer is not None
    r = strace.request
    assert (r.slot, r.flags, r.gpa, r.size, r.hva) == (3, 3, 0xFEE00000, 4096, 0x7F2C4C000000)
    assert (strace.errno, strace.time, strace.seconds) == (17, 1720000000.1, 0.000123)
    assert (qemu.request.gpa, qemu.errno, qemu.time) == (0xFFFC0000, 22, 1720000000.25)
    assert (newer.request.as_id, newer.request.id, newer.errno, newer.request.version) == (
        1,
        3,
        0,
        1,
    )
    assert parse_request("ioctl(11, KVM_RUN, 0) = 0", log) is None
    assert six_numbers("1 2 3") is None and six_numbers("a b c d e") is None


def test_a_log_of_two_vms_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    log.write_text(f"{STRACE}\n{STRACE.replace('ioctl(11', 'ioctl(12')}\n", encoding="utf-8")
    code, _, err = run(capsys, "--lint", str(log))
    assert code == 2 and "requests of 2 VMs" in err


def test_a_request_that_cannot_be_read_says_where(tmp_path: Path) -> None:
    file = tmp_path / "log"
    for text in (
        '{"slot": 1, "flags": 0, "gpa": 0, "size": 1}',
        '{"slot": true, "flags": 0, "gpa": 0, "size": 1, "hva": 0}',
        '{"slot": 1, "flags": 0, "gpa": -1, "size": 1, "hva": 0}',
        '{"slot": 1, "flags": 0, "gpa": 0, "size": 1, "host": "block9"}',
        '{"slot": 1, "flags": 0, "gpa": 0, "size": 1, "hva": 0, "errno": "EWHAT"}',
        '{"slot": 1',
        "ioctl(1, KVM_SET_USER_MEMORY_REGION, 0x7ffe) = 0",
    ):
        file.write_text(f"something else\n{text}\n", encoding="utf-8")
        with pytest.raises(Exception, match=r"log:2: this request cannot be read"):
            read_log(str(file))


def test_a_log_and_our_memslots_that_contradict_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(
        tmp_path / "log",
        region(0, 0, 0x2000, errno=None),
        region(1, 0x1000, 0x1000, errno=None),
        region(2, 0x8000, 0x1000, errno="EEXIST"),
    )
    code, out, _ = run(capsys, f"{log}:3")
    assert code == 3 and "not decided" in out and "contradict each other" in out
    code, out, _ = run(capsys, "--lint", log)
    assert code == 1
    assert "line 2 returned success; our memslots say EEXIST (check `overlap`)" in out
    assert "line 3 returned EEXIST; our memslots say success" in out


def test_holes_of_a_real_log_and_how_long_they_last() -> None:
    found = lint(read_log(PC))
    assert not found.refused and not found.contradictions
    assert not found.ids_leak and not found.slots_leak
    assert dict(found.changes) == {"create": 23, "delete": 14, "flags": 9}
    first = found.holes[0]
    assert (first.start, first.size, first.deleted.line, first.created.line) == (0, 0xC0000, 4, 5)
    assert first.seconds == pytest.approx(0.101355 + 0.000051 - 0.101139 - 0.00015)
    assert all(hole.seconds is not None and hole.seconds > 0 for hole in found.holes)


def test_a_move_leaves_a_hole_until_the_place_is_filled(tmp_path: Path) -> None:
    log = write(
        tmp_path / "log",
        region(0, 0, 0x4000),
        region(0, 0x1000, 0x4000),
        region(1, 0, 0x1000, 0x90000),
        {**region(2, 0x20000, 0x1000), "flags": 2},
        region(2, 0x20000, 0),
        region(2, 0x20000, 0x1000),
    )
    (hole,) = lint(read_log(log)).holes
    assert (hole.start, hole.size, hole.seconds) == (0, 0x1000, None)
    assert (hole.deleted.line, hole.created.line) == (2, 3)


def test_a_long_log_is_looked_through_in_time(tmp_path: Path) -> None:
    """The time grows with the length of the log, and not with its square."""
    steps: list[dict[str, object]] = []
    for number in range(6000):
        steps.append(region(number, number * 0x4000, 0x2000))
        steps.append(region(number, 0, 0))
    found = lint(read_log(write(tmp_path / "log", *steps)))
    assert len(found.freed) == 5999 and not found.holes
    fill = [region(n, n * 0x4000 + 0x1000, 0x1000) for n in range(6000)]
    found = lint(read_log(write(tmp_path / "filled", *steps, *fill)))
    assert len(found.holes) == 6000 and found.holes[0].size == 0x1000


def test_holes_are_what_a_scan_of_all_frames_finds(tmp_path: Path) -> None:
    pick = random.Random(3)
    steps: list[dict[str, object]] = []
    lost: dict[int, int] = {}
    wanted: set[tuple[int, int, int]] = set()
    live: dict[int, range] = {}
    for line in range(1, 400):
        number = pick.randrange(6)
        if number in live:
            frames = live.pop(number)
            steps.append(region(number, 0, 0))
            lost |= dict.fromkeys(frames, line)
        else:
            start = pick.randrange(40)
            frames = range(start, start + pick.randrange(1, 9))
            steps.append(region(number, start * 0x1000, len(frames) * 0x1000))
            if any(frame in other for other in live.values() for frame in frames):
                steps[-1]["errno"] = "EEXIST"
                continue
            live[number] = frames
            wanted |= {(frame, lost.pop(frame), line) for frame in frames if frame in lost}
    found = {
        (frame, hole.deleted.line, hole.created.line)
        for hole in lint(read_log(write(tmp_path / "log", *steps))).holes
        for frame in range(hole.start >> 12, (hole.start + hole.size) >> 12)
    }
    assert found == wanted and len(wanted) > 100


def test_ids_that_are_never_used_again_leak(tmp_path: Path) -> None:
    steps: list[dict[str, object]] = []
    for number in range(8):
        steps += [region(number, 0x10000, 0x1000), region(number, 0x10000, 0)]
    found = lint(read_log(write(tmp_path / "log", *steps)))
    assert found.ids_leak and found.freed == list(range(7))
    again = [{**step, "slot": 5} for step in steps]
    assert not lint(read_log(write(tmp_path / "again", *again))).ids_leak


def test_slots_that_are_left_behind_leak(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [region(number, number * 0x2000, 0x1000, 0x50000) for number in range(6)]
    code, out, _ = run(capsys, "--lint", write(tmp_path / "log", *steps))
    assert code == 1 and "slots leak: 6 slots map the same host memory at 0x50000" in out
    code, out, _ = run(capsys, "--lint", write(tmp_path / "few", *steps[:2]))
    assert code == 0 and "slots leak" not in out


def test_refused_requests_and_limits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log", region(0, 0, 0x4000), region(1, 0, 0x1000, errno="EEXIST"))
    code, out, _ = run(capsys, "--lint", log, "--json")
    found = json.loads(out)
    assert code == 1 and found["refused"] == [{"line": 2, "errno": "EEXIST"}]
    assert found["limits"][0] == {"what": "slots at a time", "reached": 1, "limit": 32764}


def test_each_check_that_a_request_can_run_into_has_details() -> None:
    without = {c.name for c in CHECKS} - DETAILS.keys()
    assert all(
        c.errno == 12
        for c in CHECKS
        if c.name in without - {"dead VM", "version 2", "unreadable"}
        if c.name
        not in ("slot id", "page count", "total pages", "page tracking", "memfd of this VM")
    )
    assert DETAILS.keys() <= {c.name for c in CHECKS}


def test_without_the_container_library_the_surroundings_are_wrong() -> None:
    script = (
        "import sys\n"
        "sys.modules['sortedcontainers'] = None\n"
        "from quiesce.cli import main\n"
        "sys.exit(main(['kvm', 'why', '1', '0', '0', '4096', '0']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "pip install 'quiesce[kvm]'" in done.stderr
