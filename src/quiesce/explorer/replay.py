# SPDX-License-Identifier: Apache-2.0
"""One pasted line that names a run: a scenario, its settings, a path, and the property that fails on it.

A token is a claim and not evidence. It says which question to ask (which property) and where (at the end of
which path), and nothing that is ever printed as an answer: ``prove_again.py`` computes that from the program.
The steps are named by thread, so that a path can still be walked where an edit has changed what other
threads can do.

What comes out of a token may have been written by anyone: every part has a type and a bound, and text
that could move the cursor of a terminal is refused.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from quiesce.compiler.program import Program
from quiesce.errors import UsageError
from quiesce.explorer.findings import Finding
from quiesce.explorer.reference.stepper import Stepper

_PREFIX = "q1-"
_VERSION = 2
_LONGEST = 8 << 20
"""Characters of a token, and bytes that it may unfold to; the longest counterexamples take a few thousand."""
_LONGEST_TEXT = 4096
_MOST_STEPS = 1_000_000
_MOST_NUMBER = (1 << 31) - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the program of a token comes from.

    :param file: the absolute path of its file, or one that begins with ``~/``; empty for the KVM system.
    :param given: how many parts at the end of *file* the user typed when the token was made; 0 for an
        absolute path.
    :param text: the SHA-256 of the file's text; empty for the KVM system.
    :param scenario: the name of the scenario's class.
    :param settings: ``name=value`` each.
    """

    file: str
    given: int
    text: str
    scenario: str
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """One step: *thread* takes the *choice*-th of the steps that it can take."""

    thread: str
    choice: int


@dataclass(frozen=True, slots=True)
class Token:
    """What a replay token says.

    :param program: the digest of what was compiled.
    :param fairness: what starvation was judged under.
    :param property: the name of the property that fails.
    :param thread: the thread that the finding is about, or empty.
    :param initial: the number of the initial state.
    :param loop_start: for a run that goes on forever, the number of moves before the loop; else None.
    """

    origin: Origin
    fuse: bool
    program: str
    fairness: str
    property: str
    thread: str
    initial: int
    moves: tuple[Move, ...]
    loop_start: int | None


def make_token(origin: Origin, program: Program, finding: Finding, fairness: str) -> str | None:
    """Return the token for *finding* of *program*.

    None if there is no path to repeat (a ``@sometimes`` that never is), or if the token would be refused: it
    would be too long, or a name in it has characters that are not printed.
    """
    if not finding.path:
        return None
    moves = moves_of(program, finding)
    threads = sorted({move.thread for move in moves})
    data = {
        "version": _VERSION,
        "file": origin.file,
        "given": origin.given,
        "text": origin.text,
        "scenario": origin.scenario,
        "settings": list(origin.settings),
        "fuse": program.fuse,
        "program": program.digest,
        "fairness": fairness,
        "property": finding.property,
        "thread": program.threads[finding.thread].name if finding.thread >= 0 else "",
        "initial": finding.path[0],
        "threads": threads,
        "moves": [threads.index(move.thread) for move in moves],
        "choices": [move.choice for move in moves],
        "loop": finding.loop_start,
    }
    packed = zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 9)
    token = _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")
    try:
        read_token(token)
    except UsageError:
        return None
    return token


def moves_of(program: Program, finding: Finding) -> list[Move]:
    """Return the path of *finding*, which is one of *program*, as moves."""
    stepper = Stepper(program)
    state = stepper.initial_state(finding.path[0])
    assert state is not None
    moves = []
    for action in finding.path[1:]:
        steps = stepper.successors(state)
        step = steps[action]
        first = next(i for i, s in enumerate(steps) if s.thread == step.thread)
        moves.append(Move(program.threads[step.thread].name, action - first))
        state = step.target
    return moves


# --- Reading ------------------------------------------------------------------------------------------


def read_token(text: str) -> Token:
    """Return what the token *text* says.

    :raises UsageError: it is not a token, or a part is missing or is nothing that we would have written.
    """
    try:
        data = json.loads(_unpacked(text.strip()))
        if isinstance(data, dict) and "version" not in data and "finding" in data:
            raise UsageError(
                "this replay token was written by an older version of quiesce, and cannot be checked",
                "check the scenario again, which prints a new one",
            )
        return _TokenParts(data).token()
    except (ValueError, RecursionError, zlib.error) as error:
        raise UsageError(
            "this is not a complete replay token", "paste the whole word that begins with q1-"
        ) from error


def _unpacked(text: str) -> str:
    """Return the JSON text that is packed in a token.

    :raises ValueError, zlib.error: it is damaged, cut, or unfolds to too much.
    """
    if not text.startswith(_PREFIX) or len(text) > _LONGEST:
        raise ValueError("the prefix is missing, or it is too long")
    body = text[len(_PREFIX) :]
    packed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    opened = zlib.decompressobj()
    unfolded = opened.decompress(packed, _LONGEST)
    if not opened.eof or opened.unused_data:
        raise ValueError("it does not end where it should")
    return unfolded.decode()


class _TokenParts:
    """The parts of a token, each checked as it is taken out; ValueError if it is not what it should be."""

    def __init__(self, data: object) -> None:
        if not isinstance(data, dict) or data.get("version") != _VERSION:
            raise ValueError("not an object of this version")
        self._data: dict[str, object] = data

    def token(self) -> Token:
        file, given = self._path(), self._number("given")
        digest, scenario = self._matching("text", r"[0-9a-f]{64}|"), self._text("scenario")
        if bool(file) != bool(digest) or given >= max(1, len(PurePosixPath(file).parts)):
            raise ValueError("the parts that are about the file do not fit")
        settings = tuple(self._list("settings", _text))
        fuse = self._data.get("fuse")
        loop = None if self._data.get("loop") is None else self._number("loop")
        moves = self._moves()
        if not isinstance(fuse, bool) or not scenario.isidentifier():
            raise ValueError("a part is nothing that we would write")
        if loop is not None and loop > len(moves):
            raise ValueError("the loop begins behind the end")
        return Token(
            Origin(file, given, digest, scenario, settings), fuse,
            self._matching("program", r"[0-9a-f]{16}"), self._matching("fairness", "strong|weak|none"),
            self._text("property"), self._thread(), self._number("initial"), moves, loop,
        )  # fmt: skip

    def _thread(self) -> str:
        name = self._data.get("thread")
        return "" if name == "" else _text(name)

    def _moves(self) -> tuple[Move, ...]:
        threads = self._list("threads", _text)
        moves, choices = self._list("moves", _number), self._list("choices", _number)
        if len(moves) != len(choices) or not all(m < len(threads) for m in moves):
            raise ValueError("the moves do not fit")
        return tuple(Move(threads[m], c) for m, c in zip(moves, choices, strict=True))

    def _path(self) -> str:
        """Return the path of the file: absolute or below the home directory, without steps upward."""
        path = self._data.get("file")
        if path == "":
            return ""
        path = _text(path)
        pure = PurePosixPath(path)
        if not path.startswith(("/", "~/")) or str(pure) != path or ".." in pure.parts:
            raise ValueError("not a path that we would write")
        return path

    def _text(self, name: str) -> str:
        return _text(self._data.get(name))

    def _number(self, name: str) -> int:
        return _number(self._data.get(name))

    def _matching(self, name: str, pattern: str) -> str:
        value = self._data.get(name)
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f"{name} is nothing that we would write")
        return value

    def _list(self, name: str, item: Callable[[object], T]) -> list[T]:
        values = self._data.get(name)
        if not isinstance(values, list) or len(values) > _MOST_STEPS:
            raise ValueError(f"{name} is not a list, or is too long")
        return [item(value) for value in values]


def _text(value: object) -> str:
    """Return *value* if it is a text of some characters, all of which are printed as they are."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT or not value.isprintable():
        raise ValueError("not a text that can be printed")
    return value


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_NUMBER:
        raise ValueError("not a number in its range")
    return value
