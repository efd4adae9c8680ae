# SPDX-License-Identifier: Apache-2.0
"""A damaged log must read like the clean one: every report of ours, every kind of damage.

Each damage is a function from the lines of a clean report to the lines of a log that contains it, as
mail programs, consoles and log daemons make it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import DATA

from quiesce.explain.read.model import PrintedFrame, PrintedLock, PrintedReport
from quiesce.explain.read.read_log import read_text

Damage = Callable[[list[str]], list[str]]


def _prefix(stamp: str) -> Damage:
    def damage(lines: list[str]) -> list[str]:
        return [stamp.replace("@", f"{100 + n / 8:11.6f}") + line for n, line in enumerate(lines)]

    return damage


def _quoted(mark: str) -> Damage:
    return lambda lines: ["On Monday somebody wrote:", *(mark + line for line in lines), "Thanks,"]


def _escaped(lines: list[str]) -> list[str]:
    return [line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for line in lines]


def _wrapped(width: int, indent: str = "", mark: str = "") -> Damage:
    """Break lines at the last blank before *width*, as a mail program does."""

    def damage(lines: list[str]) -> list[str]:
        result: list[str] = []
        for line in lines:
            rest = mark + line
            while len(rest) > width and (cut := rest.rfind(" ", len(mark) + 12, width)) > 0:
                result.append(rest[:cut])
                rest = indent + rest[cut + 1 :]
            result.append(rest)
        return result

    return damage


def _carriage_returns(lines: list[str]) -> list[str]:
    return [line + "\r" for line in lines]


def _hard_blanks(lines: list[str]) -> list[str]:
    return [line.replace("  ", "\u00a0 ").replace("\u00a0 \u00a0", "\u00a0 ") for line in lines]


def _all_blanks_hard(lines: list[str]) -> list[str]:
    return [line.replace(" ", "\u00a0") for line in lines]


def _rsyslog(lines: list[str]) -> list[str]:
    """A blank line and the next are one printk; rsyslog writes its newline as #012."""
    result: list[str] = []
    for line in lines:
        if result and result[-1] == "kernel: ":
            result[-1] = f"kernel: #012{line}"
        else:
            result.append(f"kernel: {line}")
    return result


def _embedded_newlines(lines: list[str]) -> list[str]:
    """The text after an embedded newline comes without a prefix, indented to its width."""
    result: list[str] = []
    blank = False
    for number, line in enumerate(lines):
        stamp = f"[{100 + number / 8:12.6f}] "
        result.append(" " * len(stamp) + line if blank else stamp + line)
        blank = not line
    return result


def _doubled_blanks(lines: list[str]) -> list[str]:
    return [
        line
        for one in _prefix("[@] ")(lines)
        for line in ([one, one] if one[-2:] == "] " else [one])
    ]


def _other_messages(lines: list[str]) -> list[str]:
    """Another task prints a line after each third one; its caller id tells."""
    result: list[str] = []
    for number, line in enumerate(lines):
        result.append(f"[{100 + number / 8:12.6f}][ T4242] {line}")
        if number % 3 == 1:
            result.append(
                f"[{100 + number / 8:12.6f}][  T977] gizmo_other+0x{number:x}/0x99 [gizmo]"
            )
    return result


def _unmarked_messages(lines: list[str]) -> list[str]:
    """Other programs and drivers print between the lines; nothing but the words tells."""
    result: list[str] = []
    for number, line in enumerate(lines):
        result.append(line)
        if number % 5 == 2:
            result.append("2019/05/12 06:52:29 executing program 1:")
        if number % 7 == 3:
            result.append("usb 1-1: new high-speed USB device number 4")
    return result


def _in_pieces(between: str) -> Damage:
    """4.9 and older consoles: each printk of a held lock on a line and with a stamp of its own.

    :param between: what another CPU prints after the "(" and after the usage of each lock.
    """

    def damage(lines: list[str]) -> list[str]:
        result: list[str] = []
        for number, line in enumerate(lines):
            stamp = f"[{100 + number / 8:12.6f}] "
            head, brace, tail = line.partition("){")
            if not line.startswith(" #") or not brace:
                result.append(stamp + line)
                continue
            mark, _, name = head.partition("(")
            usage, _, place = tail.partition(", at: ")
            first, second = [mark, "("], [name, f"){{{usage}"]
            stray = [between] if between else []
            pieces = [*first, *stray, *second, *stray, ", at: ", place]
            result += [stamp + piece for piece in pieces]
        return result

    return damage


def _split_by_others(lines: list[str]) -> list[str]:
    """A message of a program falls into the middle of a lock's line, and the rest comes later."""
    result: list[str] = []
    for number, line in enumerate(lines):
        stamp = f"kern  :warn  : [  {282 + number / 100:.6f}] [   T4242] "
        head, brace, tail = line.partition("){")
        if line.startswith(" #") and brace:
            result.append(stamp + head)
            result.append(f"user  :notice: [  {282 + number / 100:.6f}] [    T979]     main()")
            result += [f"{stamp}){{{tail}", ""]
        else:
            result.append(stamp + line)
    return result


def _soft_breaks(lines: list[str]) -> list[str]:
    """Quoted-printable that nobody decoded: long lines end in "=" and go on."""
    result: list[str] = []
    for line in lines:
        while len(line) > 76 and not line.startswith(("=", "-")):
            cut = line.rfind(" ", 0, 74) + 1 or 74
            result.append(line[:cut] + "=")
            line = line[cut:]
        result.append(line)
    return result


def _in_a_commit(lines: list[str]) -> list[str]:
    return [
        "commit 0123456789ab",
        "",
        "    Fix the lock order.",
        "",
        *(f"    {line}" for line in lines),
        "",
        "diff --git a/a.c b/a.c",
    ]


def _without_indentation(lines: list[str]) -> list[str]:
    return [line.strip() for line in lines]


def _reply_in_between(lines: list[str]) -> list[str]:
    """A reply of two lines after every tenth quoted one."""
    result: list[str] = []
    for number, line in enumerate(lines):
        result.append(f"> {line}")
        if number % 10 == 9:
            result += ["", "And given this one, I think the report is wrong.", ""]
    return result


def _one_line(lines: list[str]) -> list[str]:
    return [" ".join(line.strip() for line in lines if line.strip())]


DAMAGES: dict[str, Damage] = {
    "dmesg": _prefix("[@] "),
    "caller id": _prefix("[@][ T4242] "),
    "caller id apart": _prefix("[@] [   T4242] "),
    "hard interrupt": _prefix("[@][    C1] "),
    "priority": _prefix("<4>[@] "),
    "lkp": _prefix("kern  :warn  : [@] [   T4242] "),
    "syslog": _prefix("Feb 20 23:47:01 host-1 kernel: "),
    "journal with time": _prefix("Feb 20 23:47:01 host-1 kernel: [@] "),
    "numbered": _prefix("    318 Nov 12 10:40:51 host-1 kernel: "),
    "monotonic journal": _prefix("[@] kernel: "),
    "monotonic journal with host": _prefix("[@] host-1 kernel: "),
    "ISO time": _prefix("2016-03-26T20:52:22.526357+00:00 mira108 kernel: "),
    "CI": _prefix("2024-01-02T03:04:05.1234567Z [@] "),
    "human time": _prefix("[Thu Jan 10 12:00:00 2019] "),
    "delta time": _prefix("[  +0.000002] "),
    "bare kernel": _prefix("kernel: "),
    "unknown prefix": _prefix("kswapd0: "),
    "unknown prefix with numbers": _prefix("c0  1234 @ "),
    "teuthology": _prefix("2016-03-26T20:52:22.526 INFO:tasks.run.mira108.stdout:[@] "),
    "web page": _escaped,
    "leading carriage returns": lambda lines: ["\r" + line for line in lines],
    "initials": _quoted("PZ> "),
    "quoted": _quoted("> "),
    "quoted twice": _quoted("> > "),
    "quoted mixed": _quoted(">> | "),
    "quoted with time": _prefix("> [@] "),
    "wrapped": _wrapped(72),
    "wrapped and indented": _wrapped(72, indent="  "),
    "wrapped, then quoted": lambda lines: _quoted("> ")(_wrapped(72)(lines)),
    "quoted, then wrapped": _wrapped(74, mark="> "),
    "CRLF": _carriage_returns,
    "some hard blanks": _hard_blanks,
    "hard blanks": _all_blanks_hard,
    "rsyslog": _rsyslog,
    "embedded newlines": _embedded_newlines,
    "doubled blanks": _doubled_blanks,
    "other tasks": _other_messages,
    "other programs": _unmarked_messages,
    "printk pieces": _in_pieces(""),
    "pieces among frames": _in_pieces(" ? other_task+0x51/0x2000"),
    "split by others": _split_by_others,
    "soft breaks": _soft_breaks,
    "in a commit": _in_a_commit,
    "no indentation": _without_indentation,
    "reply in between": _reply_in_between,
    "one line": _one_line,
}


def essence(report: PrintedReport) -> dict[str, object]:
    """Return what *report* says without the line numbers, which damage changes."""
    return {
        "kind": report.kind,
        "title": report.title,
        "kernel": report.kernel,
        "task": report.task,
        "wanted": _lock(report.wanted),
        "holding": _lock(report.holding),
        "links": [(x.number, _lock(x.lock), _frames(x.frames)) for x in report.links],
        "declared": report.declared_held,
        "held": [_lock(lock) for lock in report.held],
        "chain": report.chain_names,
        "scenario": [(step.op, step.name) for step in report.scenario],
        "backtrace": _frames(report.backtrace),
        "facts": report.facts,
        "traces": {name: _frames(frames) for name, frames in report.traces.items()},
        "subjects": {name: _lock(lock) for name, lock in report.subjects.items()},
        "blocks": [
            (_lock(b.lock), [(u.state, _frames(u.frames)) for u in b.usages], _frames(b.acquired))
            for b in report.blocks
        ],
        "tasks": [
            (
                t.name,
                t.state,
                t.seconds,
                t.owner,
                t.work,
                _frames(t.frames),
                [_lock(x) for x in t.held],
            )
            for t in report.tasks
        ],
        "missing": [m.what for m in report.missing],
    }


def _lock(lock: PrintedLock | None) -> object:
    if lock is None:
        return None
    return (
        lock.name,
        lock.detail,
        lock.usage,
        lock.outer,
        lock.inner,
        lock.address,
        _frames(lock.at),
    )


def _frames(frames: tuple[PrintedFrame, ...]) -> list[str]:
    return [f"{'' if frame.reliable else '? '}{frame}" for frame in frames]


FIXTURES = sorted((DATA / "splats").glob("*.txt"))
NOT_FOR = {
    # One line: only what a circular or recursive report is made of is cut apart again.
    "one line": lambda name: not name.startswith(("circular_two", "circular_all", "recursive_two")),
}


def _only(text: str) -> PrintedReport:
    reports = read_text(text).reports
    assert len(reports) == 1, [report.title for report in reports]
    return reports[0]


def _damaged() -> Iterator[tuple[str, str, str]]:
    """Yield each report that a damage touches without destroying what it says: name, damage, text."""
    for path in FIXTURES:
        clean = path.read_text(encoding="utf-8")
        for damage, apply in DAMAGES.items():
            destroys = NOT_FOR.get(damage)
            damaged = "\n".join(apply(clean.rstrip("\n").split("\n"))) + "\n"
            if damaged != clean and not (destroys is not None and destroys(path.stem)):
                yield path.stem, damage, damaged


@pytest.mark.parametrize(
    ("name", "damaged"),
    [pytest.param(name, text, id=f"{name}-{damage}") for name, damage, text in _damaged()],
)
def test_damage_changes_nothing(name: str, damaged: str) -> None:
    clean = (DATA / "splats" / f"{name}.txt").read_text(encoding="utf-8")
    assert essence(_only(damaged)) == essence(_only(clean))


def test_each_damage_touches_some_report() -> None:
    assert {damage for _, damage, _ in _damaged()} == set(DAMAGES)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_line_numbers_are_those_of_the_log(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    before, after = _only(text), _only("noise\n" * 40 + text)
    assert after.line == before.line + 40
    assert after.end_line == before.end_line + 40
    assert [lock.line for lock in after.held] == [lock.line + 40 for lock in before.held]


def test_two_reports_printed_by_two_tasks_at_once() -> None:
    """With caller ids each line goes to its own report."""
    texts = [path.read_text(encoding="utf-8").rstrip("\n").split("\n") for path in FIXTURES[1:3]]
    mixed: list[str] = []
    for number in range(max(len(text) for text in texts)):
        for caller, text in zip(("T10", "T20"), texts, strict=True):
            if number < len(text):
                mixed.append(f"[{number:5d}.000000][  {caller}] {text[number]}")
    reports = read_text("\n".join(mixed)).reports
    clean = [_only("\n".join(text)) for text in texts]
    assert sorted(str(essence(r)) for r in reports) == sorted(str(essence(r)) for r in clean)


RATE_ON_REAL_REPORTS = 0.96
"""Of real reports, which are damaged already; what is lost is mostly a source line or a module."""


def test_real_reports_survive_further_damage(reference: Path) -> None:
    survived = tried = 0
    lost: list[str] = []
    for path in sorted((reference / "splats").glob("*/*")):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        for report in read_text("\n".join(lines)).reports:
            body = lines[max(0, report.line - 2) : report.end_line]
            alone = read_text("\n".join(body)).reports
            if report.missing or len(alone) != 1 or body[1][:1] in "[<>|kA {0123456789":
                continue  # only what stands in the file without a prefix can be given one
            for name, damage in DAMAGES.items():
                if name == "one line":
                    continue
                tried += 1
                again = read_text("\n".join(damage(body))).reports
                if len(again) == 1 and essence(again[0]) == essence(alone[0]):
                    survived += 1
                else:
                    lost.append(f"{path.name}: {name}")
    print(f"{survived} of {tried} damaged real reports read as before")
    assert tried > 500
    assert survived / tried >= RATE_ON_REAL_REPORTS, "\n".join(lost)
