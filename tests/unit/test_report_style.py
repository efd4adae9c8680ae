# SPDX-License-Identifier: Apache-2.0
"""Colors, width and progress: on a terminal, elsewhere, and as the environment asks."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from typing import TextIO, cast

import pytest

from quiesce.commands.formats import Output, Outputs
from quiesce.commands.streams import HarmlessStream
from quiesce.report.document import (
    BlockGroup,
    Document,
    Headline,
    LadderBlock,
    Paragraph,
    Rung,
    TableBlock,
    Tone,
    Word,
)
from quiesce.report.live_line import LiveLine
from quiesce.report.style import style_of
from quiesce.verdict import Verdict

ESCAPE = "\x1b["


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)


def document(name: str = "lock") -> Document:
    """Return a document with everything that has a color."""
    rows = ((Word(name), Word("VIOLATED", Tone.BAD)), (Word("b"), Word("holds", Tone.GOOD)))
    sections = [
        BlockGroup((Headline(Word("VIOLATION", Tone.BAD), name),)),
        BlockGroup((TableBlock((), rows),)),
        BlockGroup((LadderBlock((Rung("  1  a", "<- 2"),), 20),)),
        BlockGroup((Paragraph("word " * 30),)),
    ]
    return Document("t", Verdict.VIOLATION, lambda: sections, dict, lambda: (), lambda: ())


def shown(stream: io.StringIO, name: str = "lock") -> str:
    """Return what is printed on *stream*, through what makes outside text harmless."""
    Outputs().write(document(name), cast(TextIO, HarmlessStream(stream)))
    return stream.getvalue()


def without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_terminal_has_colors() -> None:
    text = shown(Terminal())
    for colored in ("\x1b[1;31mVIOLATION\x1b[0m", "\x1b[32mholds\x1b[0m", "\x1b[36m<- 2\x1b[0m"):
        assert colored in text
    assert without_colors(text) == shown(io.StringIO())


@pytest.mark.parametrize(
    ("terminal", "environment", "colors"),
    [
        (False, {}, False),
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_the_environment_decides(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], colors: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    text = shown(Terminal() if terminal else io.StringIO())
    assert (ESCAPE in text) == colors


def test_a_name_cannot_bring_colors() -> None:
    text = shown(Terminal(), name="\x1b[31mred\x1b[2J")
    assert "\\x1b[31mred\\x1b[2J" in text
    assert "\x1b[2J" not in text


def test_a_file_has_no_colors(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    file = f"{tmp_path}/out.txt"
    Outputs([Output("text", file, "--format text")]).write(document(), io.StringIO())
    with open(file, encoding="utf-8") as written:
        assert ESCAPE not in written.read()


@pytest.mark.parametrize(
    ("columns", "longest"), [("60", 60), ("200", 79), ("10", 40), ("none", 79)]
)
def test_sentences_fit_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str, longest: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = without_colors(shown(Terminal())).splitlines()
    assert longest - 5 < max(map(len, lines)) <= longest
    # A pipe has no width: what it gets is the same everywhere.
    assert style_of(io.StringIO()).columns == 0


def test_progress_is_written_over_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    line = LiveLine(0.0, quiet=False)
    assert line.due
    line.show("x" * 100 + "\n")
    line.clear()
    line.clear()
    assert stream.getvalue() == f"\r\x1b[K{'x' * 49}\r\x1b[K"


def test_progress_elsewhere_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    line = LiveLine(0.0, quiet=False)
    assert not line.due
    begin = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: begin + 6)
    assert line.due and not LiveLine(0.0, quiet=True).due
    line.show("so far")
    line.clear()
    assert stream.getvalue() == "so far\n"


def test_help_needs_no_document() -> None:
    """The parser lists the formats; what writes them is imported when there is something to write."""
    script = (
        "import sys\n"
        "from quiesce.cli import main\n"
        "try:\n"
        "    main(['run', '--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert "--format NAME[=FILE]" in done.stdout and "sarif" in done.stdout
    loaded = done.stdout.split()
    assert {"quiesce.report.document", "quiesce.report.style", "rich"}.isdisjoint(loaded)
