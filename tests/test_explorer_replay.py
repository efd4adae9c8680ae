# SPDX-License-Identifier: Apache-2.0
"""Replay tokens: exact, or refused."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_explorer_findings import Circle, Counters, Invalidations

from quiesce.compiler.program import Program, compile_scenario
from quiesce.errors import UsageError
from quiesce.explorer import Finding, Options, check_reference
from quiesce.explorer.replay import make_token, read_token, require_same_source
from quiesce.explorer.trace import StalePath, follow
from quiesce.loading import load_scenario
from quiesce.protocol import Scenario

SOURCE = """\
from limits import LIMIT
from quiesce.protocol import WRITE_ONCE, Int, Scenario, always, thread


class Example(Scenario):
    n = Int(0)

    def __init__(self, rounds: int = 2) -> None:
        self.rounds = rounds

    @thread()
    def run(self) -> None:
        for i in range(self.rounds):
            WRITE_ONCE(self).n = i + 1

    @always
    def small(self) -> bool:
        return self.n < LIMIT
"""


def violated(scenario: Scenario) -> tuple[Program, Finding]:
    program = compile_scenario(scenario)
    finding = check_reference(program, Options(keep_going=True)).finding
    assert finding is not None
    return program, finding


@pytest.mark.parametrize("scenario", [Circle(), Counters("assert"), Invalidations()])
def test_round_trip(scenario: Scenario) -> None:
    program, finding = violated(scenario)
    text = make_token("idea.py:Example", ("rounds=2",), program, finding)
    assert text.startswith("q1-")
    token = read_token(f"  {text}\n")
    assert token.finding == finding
    assert (token.target, token.settings, token.fuse) == ("idea.py:Example", ("rounds=2",), True)
    require_same_source(token, program)
    assert follow(program, token.finding).last == follow(program, finding).last


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "idea.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "limits.py").write_text("LIMIT = 2\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fresh(settings: tuple[str, ...] = (), fuse: bool = True) -> Program:
    """Compile the file in the current folder, imported anew."""
    import sys

    sys.modules.pop("limits", None)
    return compile_scenario(load_scenario("idea.py", settings), fuse=fuse)


def test_same_source_in_another_process_is_accepted(folder: Path) -> None:
    assert fresh().digest == fresh().digest


@pytest.mark.parametrize("what", ["source", "comment", "other module", "settings", "fusion"])
def test_a_change_is_refused(folder: Path, what: str) -> None:
    program = fresh()
    finding = check_reference(program, Options()).finding
    assert finding is not None
    token = read_token(make_token("idea.py", (), program, finding))
    require_same_source(token, fresh())
    settings: tuple[str, ...] = ()
    if what == "source":
        (folder / "idea.py").write_text(SOURCE.replace("i + 1", "i + 2"), encoding="utf-8")
    elif what == "comment":
        (folder / "idea.py").write_text(SOURCE + "# later\n", encoding="utf-8")
    elif what == "other module":
        # The text of the protocol is as before; what it is compiled to is not.
        (folder / "limits.py").write_text("LIMIT = 30\n", encoding="utf-8")
        _forget_bytecode(folder)
    elif what == "settings":
        settings = ("rounds=3",)
    changed = fresh(settings, fuse=what != "fusion")
    with pytest.raises(UsageError, match="has changed since"):
        require_same_source(token, changed)


def _forget_bytecode(folder: Path) -> None:
    for path in folder.glob("__pycache__/limits*"):
        path.unlink()


def test_a_path_that_does_not_fit_is_refused() -> None:
    program, finding = violated(Circle())
    for path in [(7,), (0, 99), (*finding.path, 0, 0, 0, 0)]:
        with pytest.raises(StalePath):
            follow(program, Finding("deadlock", "no_deadlock", "", path))


def packed(data: object) -> str:
    text = json.dumps(data).encode()
    return "q1-" + base64.urlsafe_b64encode(zlib.compress(text)).decode().rstrip("=")


GOOD: dict[str, Any] = {
    "target": "idea.py", "settings": [], "fuse": True, "digest": "0" * 16,
    "finding": {
        "kind": "deadlock", "property": "no_deadlock", "message": "", "path": [0, 1], "loop_start": None,
        "thread": -1,
    },
}  # fmt: skip


def test_the_token_that_the_bad_ones_are_made_of_is_good() -> None:
    assert read_token(packed(GOOD)).finding.path == (0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "", "q1-", "hello", "q2-abc", "q1-!!!!", "q1-äöü", "q1-AAAA", packed(GOOD)[:-9], packed(GOOD)[3:],
        packed([]), packed("text"), packed(None), packed({}), packed(7),
        packed({**GOOD, "target": 7}), packed({**GOOD, "fuse": "yes"}), packed({**GOOD, "settings": [1]}),
        packed({**GOOD, "finding": []}), packed({**GOOD, "finding": {}}),
        packed({**GOOD, "finding": {**GOOD["finding"], "path": [0, "1"]}}),
        packed({**GOOD, "finding": {**GOOD["finding"], "path": [-1]}}),
        packed({**GOOD, "finding": {**GOOD["finding"], "path": 5}}),
        packed({**GOOD, "finding": {**GOOD["finding"], "loop_start": 2}}),
        packed({**GOOD, "finding": {**GOOD["finding"], "kind": None}}),
        "q1-" + base64.urlsafe_b64encode(zlib.compress(b"[" * 100_000)).decode(),
        "q1-" + base64.urlsafe_b64encode(zlib.compress(b"\xff\xfe")).decode(),
    ],
)  # fmt: skip
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no replay token"):
        read_token(text)


@given(st.text(max_size=60))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_token("q1-" + text)


@given(st.integers(0, 500), st.integers(0, 255))
def test_a_token_with_a_wrong_letter_is_refused_or_the_same(place: int, letter: int) -> None:
    good = packed(GOOD)
    place %= len(good)
    bad = good[:place] + chr(letter) + good[place + 1 :]
    try:
        token = read_token(bad)
    except UsageError:
        return
    assert token == read_token(good)
