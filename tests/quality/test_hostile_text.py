# SPDX-License-Identifier: Apache-2.0
"""Names that a terminal, a browser or a reader would obey, through every command and every format."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiesce.cli import main
from quiesce.commands.streams import HarmlessStream
from quiesce.explorer.reference.graph import Progress
from quiesce.harmless import harmless, harmless_data, json_text, one_line
from quiesce.report.progress import ProgressLine

CLEAR = "\x1b[2J"
CLIPBOARD = "\x1b]52;c;cm0gLXJmIH4=\x07"
TITLE = "\x9d0;taken\x9c"
REVERSED = "\u202egnol\u2066"
UNSEEN = "\u200b\u2060\ufeff\U000e0041"
HALF = "\udc80\ud800"
LINES = "\r\x0b\x0c\x85\u2028\u2029"
HOSTILE = CLEAR + CLIPBOARD + TITLE + REVERSED + UNSEEN + HALF + LINES + "\x08\x7f"
NAME = "n\u00e4me" + HOSTILE + "end"
"""A name with all of it."""

IN_UTF8 = NAME.replace(HALF, "")
"""The same, as a file can hold it."""


def dangers(text: str) -> set[str]:
    """Return the characters of *text* that are not to be shown."""
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co")
    return {c for c in text if unicodedata.category(c) in kinds} - set("\n\t")


# --- The one place --------------------------------------------------------------------------------


def test_every_character_is_seen_or_spelled_out() -> None:
    everything = [chr(n) for n in range(0x110000)]
    for char in everything:
        shown = harmless(char)
        assert not dangers(shown)
        if not dangers(char):
            assert shown == char
        else:
            assert shown.encode().decode("unicode_escape") == char
    assert one_line("a\n\tb") == "a\\x0a\\x09b"


@given(st.text(), st.text())
def test_text_is_taken_piece_by_piece(first: str, second: str) -> None:
    assert harmless(first + second) == harmless(first) + harmless(second)
    assert harmless(harmless(first)) == harmless(first)


def test_data_is_harmless_through_and_through() -> None:
    data = {NAME: [NAME, {"a": (NAME, 1, None, True)}]}
    assert not dangers(str(harmless_data(data)))
    assert json.loads(json_text(data)) == harmless_data(data)
    assert json_text(data).isascii()


# --- Every command --------------------------------------------------------------------------------

LOG = f"""\
======================================================
WARNING: possible circular locking dependency detected
6.1.0-{IN_UTF8.replace(LINES, "")} #6 Tainted: G           OE
------------------------------------------------------
qe{CLEAR}mu/3069 is trying to acquire lock:
ffffffff9c775ca0 (A{NAME}_LOCK){{+.+.}}-{{0:0}}, at: FUN_A+0x5/0x190

but task is already holding lock:
ffffaff7410a9160 (B{NAME}_lock){{.+.+}}-{{3:3}}, at: FUN_B{REVERSED}+0x36d/0x4f0 [kv{TITLE}m]

which lock already depends on the new lock.

the existing dependency chain (in reverse order) is:

-> #1 (B{NAME}_lock){{.+.+}}-{{3:3}}:
       down_read+0x48/0x250
       FUN_B{REVERSED}+0x36d/0x4f0 [kv{TITLE}m]
       FUN_C{CLIPBOARD}+0x1/0x2

-> #0 (A{NAME}_LOCK){{+.+.}}-{{0:0}}:
       __lock_acquire+0x1/0x2
       lock_acquire+0x1/0x2
       FUN_A+0x5/0x190

""".replace(HALF, "").replace(LINES, "")

SLEEPS = {"wait_inner": "SLEEP", "wait_outer": "SLEEP"}

CASES = [
    {
        "name": NAME,
        "locks": {
            "a": {"class_key": NAME, "map_name": NAME + "\nHOLDS", **SLEEPS},
            "b": {"class_key": "b", **SLEEPS},
        },
        "sequence": [
            ["acquire", "a", "W", "--hs", [NAME + "\nHOLDS"]], ["acquire", "b", "W"], ["release", "b"],
            ["release", "a"], ["acquire", "b", "W"], ["acquire", "a", "W"],
        ],
    }
]  # fmt: skip

PROTOCOL = f'''\
"""{IN_UTF8.replace(LINES, "")}"""
import enum
import sys
from quiesce.primitives import Mutex
from quiesce.protocol import Enum, Int, Scenario, always, sometimes, thread

NAME = {NAME!r}
print(NAME)
print(NAME, file=sys.stderr)
State = enum.Enum("State", {{NAME: 1, "B": 2}})
EVIL = State(1)


class Evil(Scenario):
    comm = NAME + "\\nHOLDS"
    n = Int(0)
    state = Enum(State(2))
    first = Mutex()
    second = Mutex()

    def __init__(self, label: str = NAME, fail: bool = False, deep: bool = False) -> None:
        if fail:
            raise ValueError(NAME)
        self.deep = deep

    @thread()
    def one(self) -> None:
        with self.first:  # {IN_UTF8.replace(LINES, "")}
            with self.second:
                self.state = EVIL
                self.n += 1
                assert self.n < 2, "{IN_UTF8.replace(LINES, "")}"

    @thread()
    def two(self) -> None:
        with self.second:
            with self.first:
                self.n += 1

    @always
    def fine(self) -> bool:
        return self.n < 2

    @sometimes
    def never(self) -> bool:
        return self.n > 5


Evil.__name__ = Evil.__qualname__ = {IN_UTF8!r}
'''

WRONG = f'''\
from quiesce.protocol import *


class Evil(Scenario):
    n = Int(0)

    @thread()
    def one(self) -> None:
        self.n = "{IN_UTF8.replace(LINES, "")}" / 2  # {REVERSED}
'''

Run = Callable[..., tuple[int, str, str]]

FILE = f"evil{CLEAR}{REVERSED}\udc80\n.py"


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Return a function that runs a command among files full of hostile names, and looks at all it wrote."""
    monkeypatch.chdir(tmp_path)
    Path("log.txt").write_text(LOG, encoding="utf-8")
    Path("logs").mkdir()
    for name in (FILE, "b.log"):
        Path("logs", name).write_text(LOG, encoding="utf-8")
    Path("cases.json").write_text(json.dumps(CASES), encoding="utf-8")
    for name in ("evil.py", FILE):
        Path(name).write_text(PROTOCOL, encoding="utf-8")
    Path("wrong.py").write_text(WRONG, encoding="utf-8")
    Path("raises.py").write_text(f"raise BaseException({NAME!r})\n", encoding="utf-8")
    before = set(tmp_path.iterdir())

    def command(*argv: str) -> tuple[int, str, str]:
        try:
            code = main(argv)
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        out, err = capsys.readouterr()
        written = [p.read_bytes().decode() for p in tmp_path.iterdir() if p not in before]
        for text in (out, err, *written):
            assert not dangers(text)
        assert code in (0, 1, 2, 3), err
        return code, out, err

    yield command


def strings(data: Any) -> Iterator[str]:
    """Yield every string in what JSON holds."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from (key, *strings(value))
    elif isinstance(data, list):
        for value in data:
            yield from strings(value)


SPELLED = "\\x1b"

COMMANDS: list[tuple[list[str], int]] = [
    (["explain", "log.txt"], 3),
    (["explain", "log.txt", "--quiet"], 3),
    (["explain", "log.txt", "--json"], 3),
    (["explain", "log.txt", "--markdown"], 3),
    (["explain", "log.txt", "--html", "page.html", "--model", "model.py"], 3),
    (["explain", "log.txt", "--jsonl"], 3),
    (["explain", "log.txt", "--commit"], 3),
    (["explain", "log.txt", "--verbose"], 3),
    (["explain", "log.txt", "--compare", "logs/b.log"], 0),
    (["explain", "logs"], 3),
    (["lockdep", "replay", "cases.json"], 1),
    (["lockdep", "replay", "cases.json", "--text"], 1),
    *(
        (["check", file, *more], code)
        for file in ("evil.py", FILE)
        for more, code in (
            ([], 1),
            (["--all"], 1),
            (["--all", "--json"], 1),
            (["--all", "--html", "page.html"], 1),
            (["--show-steps"], 0),
            (["--lockdep"], 1),
            (["--lock-graph", "text"], 0),
            (["--lock-graph", "dot"], 0),
            (["--lock-graph", "mermaid"], 0),
            (["--max-states", "3", "--explorer", "reference"], 3),
        )
    ),
]


@pytest.mark.parametrize(("argv", "expected"), COMMANDS, ids=[" ".join(a) for a, _ in COMMANDS])
def test_nothing_hostile_is_shown(argv: list[str], expected: int, run: Run) -> None:
    code, out, err = run(*argv)
    assert code == expected, err
    if "--json" in argv or argv[-1] == "cases.json":
        for line in out.splitlines() if argv[0] == "lockdep" else [out]:
            assert not any(map(dangers, strings(json.loads(line))))
    if argv[0] == "check" and "--html" not in argv:
        assert SPELLED in err, "what the file prints"


def test_a_page_is_harmless_when_its_script_has_read_it(run: Run) -> None:
    run("check", "evil.py", "--all", "--html", "page.html")
    page = Path("page.html").read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert data is not None
    assert not any(map(dangers, strings(json.loads(data[1]))))
    assert SPELLED in page


@pytest.mark.parametrize("option", ["run", "check"])
def test_on_threads(option: str, run: Run) -> None:
    for more in ([], ["--json"]):
        code, out, _ = run("run", "evil.py", "--seconds", "0.2", *more)
        assert code in (0, 1, 3)
        assert out


def test_no_token_is_made_of_such_names(run: Run) -> None:
    """A token that named them would be refused, and pasted by people."""
    _, out, _ = run("check", "evil.py", "--all", "--json")
    assert json.loads(out)["replay"] is None
    _, out, _ = run("check", "evil.py")
    assert "quiesce replay" not in out


REQUESTS: list[list[str]] = [
    ["check", NAME],
    ["check", f"{NAME}.py:Evil"],
    ["check", f"evil.py:{NAME}"],
    ["check", "evil.py", "--set", NAME],
    ["check", "evil.py", "--set", f"{NAME}=1"],
    ["check", "evil.py", "--set", f"deep={NAME}"],
    ["check", "evil.py", "--set", "fail=true"],
    ["check", "evil.py", "--max-states", NAME],
    ["check", "evil.py", "--max-memory", NAME],
    ["check", "evil.py", "--max-seconds", NAME],
    ["check", "evil.py", "--cores", NAME],
    ["check", "evil.py", "--fairness", NAME],
    ["check", "evil.py", "--html", f"{NAME}/page"],
    ["check", "evil.py", f"--{NAME}"],
    ["check", "wrong.py"],
    ["check", "raises.py"],
    ["run", "raises.py"],
    ["run", NAME],
    ["run", "evil.py", "--seconds", NAME],
    ["replay", NAME],
    ["explain", NAME],
    ["explain", "log.txt", "--html", f"{NAME}/page"],
    ["explain", "log.txt", "--model", f"{NAME}/model"],
    ["lockdep", "replay", NAME],
    ["kvm", "check", "--design", NAME],
    ["kvm", "check", "--set", f"{NAME}=1"],
    ["kvm", "check", "--notifiers", NAME],
    ["kvm", "run", "--design", NAME],
    ["kvm", NAME],
    [NAME],
]


@pytest.mark.parametrize("argv", REQUESTS, ids=[ascii(a) for a in REQUESTS])
def test_a_wrong_request_is_repeated_harmlessly(argv: list[str], run: Run) -> None:
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert err


def test_a_name_is_not_a_line_of_ours(run: Run) -> None:
    """What stands on a line of its own was written by us."""
    for argv in (
        ["check", "no\nHOLDS all.py"],
        ["kvm", "check", "--design", "\nHOLDS"],
        ["\nHOLDS"],
    ):
        _, _, err = run(*argv)
        assert not any(line.startswith("HOLDS") for line in err.splitlines())
    _, out, _ = run("lockdep", "replay", "cases.json", "--text")
    assert not any(line.startswith("HOLDS") for line in out.splitlines())


def test_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the only control sequences are those that clear our own line."""
    for live in (True, False):
        line = ProgressLine(NAME, quiet=False)
        monkeypatch.setattr(line._line, "_live", live)
        monkeypatch.setattr(line._line, "_last", -1e9)
        line(Progress(1, 2, 3, 4, 5.0))
        line.clear()
        line.warn(one_line(NAME))
    shown = capsys.readouterr().err.replace("\r\x1b[K", "")
    assert "1 states" in shown and not dangers(shown)


def test_the_streams_pass_nothing_through(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    stream = HarmlessStream(sys.stdout)
    stream.write(NAME)
    stream.flush()
    assert capsys.readouterr().out == harmless(NAME)
