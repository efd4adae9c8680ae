# SPDX-License-Identifier: Apache-2.0
"""Every source of a log reads like the plain text: compression, encodings, records of daemons."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from explain_reports import Step, circular

from quiesce.commands.explain import explain_command
from quiesce.errors import UsageError
from quiesce.explain.judge.answer import Judgement
from quiesce.explain.log import explain_text
from quiesce.explain.read.demangle import demangled
from quiesce.explain.read.model import PrintedReport
from quiesce.explain.read.read_log import read_bytes, read_text

SPLATS = Path(__file__).parents[1] / "data" / "splats"
NAMES = ("circular_five_links", "inconsistent_hardirq", "recursive_two_objects", "hung_two_tasks")


def _clean(name: str) -> str:
    return (SPLATS / f"{name}.txt").read_text(encoding="utf-8")


def _places(report: PrintedReport) -> str:
    """All that a report says, without the lines where it says it."""
    return re.sub(r"\b(end_)?line=\d+", "", repr(report))


def _read(data: bytes) -> tuple[PrintedReport, ...]:
    return read_bytes(io.BytesIO(data), "the log").reports


# ---- bytes -----------------------------------------------------------------------------------------


def _zstd(data: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("there is no zstd on this machine")
    return subprocess.run(["zstd", "-q"], input=data, capture_output=True, check=True).stdout


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": _zstd,
    "utf-8-sig": lambda data: data.decode().encode("utf-8-sig"),
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "utf-16-le": lambda data: data.decode().encode("utf-16-le"),
    "utf-16-be": lambda data: data.decode().encode("utf-16-be"),
    "utf-32": lambda data: data.decode().encode("utf-32"),
    "gzip of utf-16": lambda data: gzip.compress(data.decode().encode("utf-16")),
    "two gzip members": lambda data: gzip.compress(data[:500]) + gzip.compress(data[500:]),
}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("name", NAMES)
def test_packed_reads_like_plain(name: str, packer: str) -> None:
    clean = _clean(name)
    (report,) = _read(PACKERS[packer](clean.encode()))
    assert _places(report) == _places(read_text(clean).reports[0])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"\x7fELF\x02\x01" + bytes(100), "an ELF file"),
        (b"%PDF-1.7\n" + bytes(100), "a PDF file"),
        (b"KDUMP   " + bytes(100), "a kernel dump"),
        (b"LPKSHHRH" + bytes(100), "a journal file"),
        (bytes(range(256)) * 8 + bytes(4000), "full of zero bytes"),
        (gzip.compress(b"a log\n" * 1000)[:-20], "cannot unpack"),
        (lzma.compress(b"a log\n" * 1000)[:-20], "cannot unpack"),
        (gzip.compress(b"a log\n" * 1000)[:40] + b"\xff" * 40, "cannot unpack"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 40, "zstd|unpack"),
    ],
)
def test_what_is_no_log_is_an_error(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "dump"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=says):
        explain_command(str(path), out=io.StringIO(), err=io.StringIO())


def test_lost_bytes_are_still_text() -> None:
    data = _clean("circular_five_links").encode().replace(b"[", b"\x00[", 3) + b"\xff\xfe\x80"
    (report,) = _read(data)
    assert report.kind == "circular" and len(report.links) == 5


def test_a_block_may_end_inside_a_character() -> None:
    clean = _clean("inconsistent_hardirq")
    padding = "é" * ((1 << 19) + 7) + "\n"
    for shift in ("", "x"):
        (report,) = _read((shift + padding + clean).encode())
        assert _places(report) == _places(read_text(clean).reports[0])


# ---- records ---------------------------------------------------------------------------------------

Wrap = Callable[[list[str]], str]


def _kmsg(extra: str = "") -> Wrap:
    def wrap(lines: list[str]) -> str:
        made = []
        for number, line in enumerate(lines):
            text = line.replace("\t", r"\x09")
            made.append(f"4,{1000 + number},{95314279 + number},-{extra};{text}")
            if number == 3:
                made += [" SUBSYSTEM=block", " DEVICE=b8:0"]
        return "\n".join(made)

    return wrap


def _journald_json(lines: list[str]) -> str:
    made = []
    for number, line in enumerate(lines):
        message: object = list(line.encode()) if number % 7 == 3 else line
        record = {"__REALTIME_TIMESTAMP": str(1700000000000000 + number), "PRIORITY": "4"}
        record |= {"_TRANSPORT": "kernel", "SYSLOG_IDENTIFIER": "kernel"}
        made.append(json.dumps({**record, "MESSAGE": message}))
        if number % 9 == 5:
            made.append(
                json.dumps({"_TRANSPORT": "syslog", "SYSLOG_IDENTIFIER": "cron", "MESSAGE": "tick"})
            )
    return "\n".join(made)


def _journald_pretty(lines: list[str]) -> str:
    return "\n".join(
        json.dumps(
            {"PRIORITY": "4", "MESSAGE": line, "_TRANSPORT": "kernel"}, indent="\t", sort_keys=True
        )
        for line in lines
    )


def _journald_export(lines: list[str]) -> str:
    return "\n".join(
        f"__REALTIME_TIMESTAMP={1700000000 + number}\n_TRANSPORT=kernel\nPRIORITY=4\nMESSAGE={line}\n"
        for number, line in enumerate(lines)
    )


def _dmesg_json(lines: list[str]) -> str:
    records = [
        {"pri": 4, "time": 95.314 + number / 1000, "msg": line} for number, line in enumerate(lines)
    ]
    return json.dumps({"dmesg": records}, indent=3)


def _docker_json(lines: list[str]) -> str:
    return "\n".join(
        json.dumps({"log": line + "\n", "stream": "stdout", "time": "2026-01-01T00:00:00.1Z"})
        for line in lines
    )


def _docker_of_dmesg(lines: list[str]) -> str:
    return _docker_json([f"[{100 + n / 8:11.6f}] {line}" for n, line in enumerate(lines)])


RECORDS: dict[str, Wrap] = {
    "kmsg": _kmsg(),
    "netconsole with a caller": _kmsg(",caller=T42"),
    "netconsole of a fragment": _kmsg(",ncfrag=0/33"),
    "journald json": _journald_json,
    "journald json-pretty": _journald_pretty,
    "journald export": _journald_export,
    "dmesg --json": _dmesg_json,
    "docker json": _docker_json,
    "docker json of dmesg": _docker_of_dmesg,
}


@pytest.mark.parametrize("wrap", RECORDS)
@pytest.mark.parametrize("name", NAMES)
def test_records_read_like_plain(name: str, wrap: str) -> None:
    clean = _clean(name)
    (report,) = read_text(RECORDS[wrap](clean.split("\n"))).reports
    assert _places(report) == _places(read_text(clean).reports[0])


def test_a_record_is_no_more_than_a_line() -> None:
    """A message with a newline cannot smuggle in a record of its own."""
    record = {"MESSAGE": "a\nb\u2028c\r\nd", "_TRANSPORT": "kernel"}
    assert read_text(json.dumps(record)).reports == ()
    assert read_text('{"MESSAGE": ' * 2000).reports == ()
    assert read_text("[" * 100000 + "\n" + '{"a":' * 100000).reports == ()


# ---- two reports at once, and lost characters --------------------------------------------------------


def _zip(one: list[str], other: list[str]) -> list[str]:
    mixed: list[str] = []
    for number in range(max(len(one), len(other))):
        mixed += one[number : number + 1] + other[number : number + 1]
    return mixed


A = circular(
    [
        Step("&a->lock", "__mutex_lock toy_a_locks toy_a_outer toy_a_write"),
        Step("&b->lock", "__mutex_lock toy_b_locks toy_b_outer toy_b_write"),
    ],
    task="left/41",
)
B = circular(
    [
        Step("&c->lock", "__mutex_lock toy_c_locks toy_c_outer toy_c_write"),
        Step("&d->lock", "__mutex_lock toy_d_locks toy_d_outer toy_d_write"),
    ],
    task="right/43",
)


def test_two_cpus_without_caller_ids_are_never_mixed_up() -> None:
    log = explain_text("\n".join(_zip(A.split("\n"), B.split("\n"))))
    assert log.exit_code == 3 and log.reports
    for one in log.reports:
        assert one.explanation.answer.verdict is Judgement.UNDECIDED
        assert "two reports are mixed in lines" in one.explanation.answer.text
        assert not one.report.complete
        names = set(re.findall(r"name='(&\w->lock)'", repr(one.report)))
        assert not (names & {"&a->lock", "&b->lock"} and names & {"&c->lock", "&d->lock"})


def test_two_cpus_with_caller_ids_are_told_apart() -> None:
    left = [f"[  100.000001][  T41] {line}" for line in A.split("\n")]
    right = [f"[  100.000001][  T43] {line}" for line in B.split("\n")]
    log = explain_text("\n".join(_zip(left, right)))
    assert [one.report.task for one in log.reports] == ["left/41", "right/43"]
    for text, one in zip((A, B), log.reports, strict=True):
        assert _places(one.report) == _places(read_text(text).reports[0])


@pytest.mark.parametrize(
    ("phrase", "garbled"),
    [
        ("possible circular locking dependency detected", "possible circuar lockng dependency detecte"),
        ("possible circular locking dependency detected", "possible c\x00rcular locking depend?ncy detected"),
        ("the existing dependency chain", "the exsting dependency chin"),
        ("but task is already holding lock:", "but task is alredy holdng lock:"),
        ("is trying to acquire lock:", "is tryng to acqure lock:"),
        ("which lock already depends on the new lock.", "which lok already deends on the new lock."),
    ],
)  # fmt: skip
def test_lost_characters(phrase: str, garbled: str) -> None:
    assert phrase in A
    (report,) = read_text(A.replace(phrase, garbled)).reports
    (clean,) = read_text(A).reports
    assert _places(report) == _places(clean)


def test_other_words_are_no_garbled_report() -> None:
    for line in (
        "possible circular import detected",
        "WARNING: possible circular reference dependency in the module graph",
        "possible recursive fault detected, no lock is involved",
        "the existing chain of dependencies is printed below",
    ):
        assert read_text(f"{line}\nf is trying to acquire a lease:\n").reports == ()


# ---- Rust ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "path"),
    [
        ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
        ("_RNvMs_NtCsabc_6kernel4syncNtB4_5Mutex4lock", "kernel::sync::Mutex::lock"),
        ("_RNvNtCs1_6kernel5print11call_printk", "kernel::print::call_printk"),
        ("_RNCNvCs1_7mycrate3foo0B3_", "mycrate::foo::{closure#0}"),
        ("_RNvXs_Cs1_5rnullNtB4_5QueueNtNtNtCs2_6kernel5block2mq10Operations10commit_rqs",
         "rnull::Queue::commit_rqs"),
        ("_RINvNtCs1_4core3ptr13drop_in_placeNtCs2_5rnull5QueueEB1_", "core::ptr::drop_in_place"),
        ("_ZN6kernel4sync4lock17h0123456789abcdefE", "kernel::sync::lock"),
        ("_ZN4core3ptr33drop_in_place$LT$rnull..Queue$GT$17h0123456789abcdefE",
         "core::ptr::drop_in_place<rnull::Queue>"),
        ("_ZN44_$LT$rnull..Queue$u20$as$u20$kernel..Ops$GT$6commit17h0123456789abcdefE",
         "rnull::Queue::commit"),
        ("mutex_lock", "mutex_lock"),
        ("_raw_spin_lock", "_raw_spin_lock"),
        ("_Raw", "_Raw"),
        ("_R", "_R"),
        ("_ZN3foo3barEv", "_ZN3foo3barEv"),
        ("_ZN3foo3bar17h0123E", "_ZN3foo3bar17h0123E"),
        ("_RNvC", "_RNvC"),
        ("_RB_", "_RB_"),
        ("_RNvB0_3foo", "_RNvB0_3foo"),
        ("_RNvCs1_999x3foo", "_RNvCs1_999x3foo"),
    ],
)  # fmt: skip
def test_rust_names(symbol: str, path: str) -> None:
    assert demangled(symbol) == path


def test_rust_frames_in_a_report() -> None:
    rust = "_RNvMs_NtCsabc_6kernel4syncNtB4_5Mutex4lock"
    text = A.replace("toy_a_locks", rust)
    (report,) = read_text(text).reports
    link = next(link for link in report.links if link.number == 0)
    assert "kernel::sync::Mutex::lock" in [frame.function for frame in link.frames]


def test_names_of_all_lengths_are_survived() -> None:
    for size in range(1, 60):
        demangled("_RNv" + "B" * size)
        demangled("_ZN" + "9a" * size + "E")
        demangled("_RNvC" + base64.b64encode(bytes(range(size))).decode().replace("=", "_"))
