# SPDX-License-Identifier: Apache-2.0
"""The shared corpus of real reports: kinds, kernels, links against its index, and goldens.

The index was made by regular expressions and errs in some files. Those are listed here with what is
really in them, read by eye; they count as right only when we read what is written here.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA

from quiesce.explain.log import explain_text
from quiesce.explain.read.model import PrintedLock, ReadLog
from quiesce.explain.read.read_log import read_text

_ONE_RCU = (
    # One headline each; the index counts its second line, "... suspicious rcu_dereference...!", too.
    "lore-linux-arch-rcu-92485d0d.txt",
    "lore-linux-block-rcu-5ccad5a0.txt",
    "lore-linux-btrfs-rcu-fb44d71a.txt",
    "lore-linux-tip-commits-rcu-593a4613.txt",
    "lore-linux-wireless-rcu-2671d01d.txt",
    "lore-linux-wireless-rcu-6b114e23.txt",
    "lore-linux-wireless-rcu-b14e2922.txt",
    "lore-linux-wireless-rcu-bd6ddfac.txt",
    "lore-linux-wireless-rcu-cdcb23af.txt",
    "35",
    "91",
)
INDEX_ERRS = {
    **{name: ["rcu"] for name in _ONE_RCU},
    # "... with locks still held!" is a line of these reports, not a report of its own.
    "257": ["held-returning-user"],
    "258": ["held-returning-user"],
    "396": ["held-freed"],
    "397": ["held-freed"],
    # A boot log that prints lockdep's table sizes; there is no report in it.
    "317": [],
}
LINKS_ERR = {
    # Only link #2 is in the text; elsewhere the index counts by lockdep's numbers, which makes 3.
    "648": 3,
}
RATE_REACHED = 1.0
NOT_IN_THE_INDEX = (
    "hung-task", "blocked-tasks", "soft-lockup", "hard-lockup", "rcu-stall", "sleeping-while-atomic",
    "dept", "witness",
)  # fmt: skip
"""Kinds of which the index does not know."""

GOLDEN = (
    "kvm-mmu_notifier_slots_lock-5.12.txt",
    "linux-mm-2.6.36-irq-inversion-truncated.txt",
    "lore-io-uring-irq-inversion-44a08207.txt",
    "lore-kvmarm-circular-37d76073.txt",
    "lore-kvmarm-safe-unsafe-46258df2.txt",
    "lore-linux-arch-rcu-d1dcb770.txt",
    "lore-linux-block-circular-12793a4e.txt",
    "lore-linux-block-circular-475e0380.txt",
    "lore-linux-block-circular-57c38fae.txt",
    "lore-linux-block-circular-f8d1061b.txt",
    "lore-linux-block-inconsistent-76a73bd0.txt",
    "lore-linux-block-recursive-fad108c3.txt",
    "lore-linux-btrfs-circular-21a5e11a.txt",
    "lore-linux-btrfs-circular-3d4f0d71.txt",
    "lore-linux-btrfs-circular-529ae3a1.txt",
    "lore-linux-btrfs-circular-ad241fd0.txt",
    "lore-linux-btrfs-rcu-fb44d71a.txt",
    "lore-linux-btrfs-recursive-84f4c9b9.txt",
    "lore-linux-ext4-circular-8f1689be.txt",
    "lore-linux-ext4-inconsistent-41dd5a98.txt",
    "lore-linux-ext4-wait-context-95c39144.txt",
    "lore-linux-mips-rcu-8c4add74.txt",
    "lore-linux-next-held-freed-26de2eb5.txt",
    "lore-linux-next-recursive-ef0dcc5d.txt",
    "lore-linux-s390-recursive-dae14f1f.txt",
    "lore-linux-tip-commits-recursive-59c7b462.txt",
    "lore-linux-usb-inconsistent-2d93b3e3.txt",
    "lore-linux-usb-recursive-8704a746.txt",
    "lore-linux-wireless-circular-868b2d3c.txt",
    "lore-linux-wireless-safe-unsafe-004d6161.txt",
    "lore-linuxppc-dev-circular-524f2ed5.txt",
    "lore-linuxppc-dev-irq-inversion-5755e750.txt",
    "satyr-gitlog-14.log",
    "satyr-gitlog-31.log",
    "35",
    "187",
    "343",
    "557",
    "655",
    "747",
)


@dataclass(frozen=True)
class Entry:
    """A line of one of the two index files."""

    path: Path
    kinds: list[str]
    kernel: str
    links: int


def _entries(reference: Path) -> Iterator[Entry]:
    splats = reference / "splats"
    for row in _rows(splats / "other" / "index.tsv"):
        kinds = row["kinds"].split("+")
        path = splats / "other" / row["file"]
        yield Entry(path, kinds, row["kernel"], int(row["max_chain_links"] or 0))
    for row in _rows(splats / "syzkaller" / "index.tsv"):
        kinds = []
        for word in row["kinds_in_log"].split("+"):
            kind, _, times = word.partition("*")
            kinds += [kind] * int(times or 1)
        path = splats / "syzkaller" / row["file"]
        yield Entry(path, kinds, row["kernel"], int(row["chain_links"] or 0))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def _read(path: Path) -> ReadLog:
    return read_text(path.read_text(encoding="utf-8", errors="replace"))


def test_kinds_kernels_and_links_are_those_of_the_index(reference: Path) -> None:
    wrong: list[str] = []
    entries = list(_entries(reference))
    for entry in entries:
        name = entry.path.name
        reports = [r for r in _read(entry.path).reports if r.kind not in NOT_IN_THE_INDEX]
        kinds = INDEX_ERRS.get(name, entry.kinds)
        links = LINKS_ERR.get(name, entry.links)
        found = [report.kind for report in reports]
        if found != kinds:
            wrong.append(f"{name}: kinds {found}, not {kinds}")
        elif max((report.chain_length for report in reports), default=0) != links:
            wrong.append(f"{name}: links, not {links}")
        elif kinds and entry.kernel and entry.kernel not in [r.kernel for r in reports]:
            wrong.append(f"{name}: kernel {[r.kernel for r in reports]}, not {entry.kernel}")
    rate = 1 - len(wrong) / len(entries)
    print(f"{len(entries)} files, {rate:.1%} as the index says (its own errors corrected)")
    assert rate >= RATE_REACHED, "\n".join(wrong)


def test_held_locks_are_as_many_as_announced(reference: Path) -> None:
    """Whatever is announced is either read or listed as missing."""
    for entry in _entries(reference):
        for report in _read(entry.path).reports:
            announced = report.declared_held or 0
            missed = any("held locks" in missing.what for missing in report.missing)
            assert len(report.held) >= announced or missed, entry.path.name


def test_what_the_kernel_prints_today_is_read_whole() -> None:
    """Console texts of a 6.12 kernel, each one whole report: nothing may be missing."""
    texts = sorted((DATA / "lockdep" / "reports").glob("*.txt"))
    with_reports = 0
    for path in texts:
        reports = _read(path).reports
        with_reports += bool(reports)
        for report in reports:
            assert report.missing == (), path.name
    assert with_reports >= 25


def test_every_report_of_the_corpus_is_explained(reference: Path) -> None:
    for entry in _entries(reference):
        text = entry.path.read_text(encoding="utf-8", errors="replace")
        for one in explain_text(text).reports:
            answer = one.explanation.answer
            assert answer.text.endswith((".", "?")), entry.path.name
            assert answer.fixes or one.report.kind in NOT_IN_THE_INDEX, entry.path.name


def _lock(lock: PrintedLock | None) -> str:
    if lock is None:
        return "-"
    where = f" at {lock.where.function}" if lock.where else ""
    return f"{lock.name} {{{lock.usage}}}{where}"


def _summary(text: str) -> str:
    """Return what was read, without quoting the report: names, modes, counts, what is missing."""
    reports: list[dict[str, Any]] = []
    for one in explain_text(text).reports:
        report = one.report
        reports.append(
            {
                "kind": report.kind,
                "kernel": report.kernel,
                "task": report.task,
                "lines": f"{report.line}-{report.end_line}",
                "wanted": _lock(report.wanted),
                "holding": _lock(report.holding),
                "links": [f"#{x.number} {x.lock.name}: {len(x.frames)}" for x in report.links],
                "held": [_lock(lock) for lock in report.held],
                "locks": [f"{n.name}: {n.nature}, {n.mode}" for n in one.explanation.locks],
                "verdict": one.explanation.answer.verdict.value,
                "missing": [missing.what for missing in report.missing],
            }
        )
    return json.dumps(reports, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", GOLDEN)
def test_read_by_eye(name: str, reference: Path, golden: Callable[[str, str], None]) -> None:
    for folder in ("other", "syzkaller"):
        path = reference / "splats" / folder / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            golden(f"explain/corpus/{name}.json", _summary(text))
            return
    pytest.fail(f"{name} is not in the corpus")
