# SPDX-License-Identifier: Apache-2.0
"""Every error that a user can meet: what is wrong, where, why, and how to mend it.

Two families. A :class:`SourceErrors` carries all that is wrong with a protocol file, sorted by
place, each with a caret; a :class:`UsageError` is a request that makes no sense. Both end a command
with exit code 2. Anything else that escapes is a defect of ours and ends with exit code 4.
"""

from __future__ import annotations

import linecache
import os
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from quiesce.harmless import harmless, one_line


class QuiesceError(Exception):
    """Base of all errors that are meant for the user; its text is complete and needs no traceback."""


class UsageError(QuiesceError):
    """The request is wrong: an unknown name, a file that is not there, a value out of range.

    :param what: what is wrong, naming the offending word.
    :param cure: how to mend it, as an instruction.
    """

    def __init__(self, what: str, cure: str = "") -> None:
        # Names in it are from outside: a line of theirs must not look like one of ours.
        self.what = harmless(what).replace("\n", "\n    ")
        self.cure = harmless(cure).replace("\n", "\n    ")
        super().__init__(f"{self.what}\n  help: {self.cure}" if cure else self.what)


@dataclass(frozen=True, order=True)
class Loc:
    """A place in a source file.

    :param file: path as the user gave it.
    :param line: 1-based.
    :param column: 0-based column in characters (not the UTF-8 bytes that ``ast`` counts).
    :param end_line: 1-based, inclusive.
    :param end_column: 0-based, exclusive.
    :param function: qualified name of the function around it.
    """

    file: str
    line: int
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    function: str = ""

    def __str__(self) -> str:
        return f"{one_line(self.file)}:{self.line}:{self.column + 1}"

    @property
    def short(self) -> str:
        """The place without the folders above: ``file.py:12``."""
        return f"{self.file.rpartition('/')[2]}:{self.line}"


@dataclass(frozen=True, order=True)
class Diagnostic:
    """One complaint about a protocol's source.

    :param loc: where.
    :param code: a stable short name, documented in ``docs/errors.md``.
    :param message: what is wrong.
    :param why: why the language cannot take it.
    :param help: the accepted spelling.
    :param calls: the call sites that led here, outermost first.
    """

    loc: Loc
    code: str
    message: str
    why: str = ""
    help: str = ""
    calls: tuple[Loc, ...] = field(default=())

    def render(self) -> str:
        """Return the complaint as text, with the source line and a caret under the place."""
        lines = [f"{self.loc}: error[{self.code}]: {one_line(self.message)}"]
        text = source_line(self.loc.file, self.loc.line)
        if text is not None:
            number = f"{self.loc.line:5d}"
            end = self.loc.end_column if self.loc.end_line == self.loc.line else len(text)
            width = max(1, len(harmless(text[self.loc.column : end])))
            # Tabs before the caret are kept, so that it stays under its column.
            before = harmless(text[: self.loc.column])
            pad = "".join("\t" if c == "\t" else " " for c in before)
            where = f" in {one_line(self.loc.function)}" if self.loc.function else ""
            lines += [f"{number} | {harmless(text)}", f"      | {pad}{'^' * width}{where}"]
        lines += [f"      = called from {c}" for c in reversed(self.calls)]
        if self.why:
            lines.append(f"      = why: {one_line(self.why)}")
        if self.help:
            lines.append(f"      = help: {one_line(self.help)}")
        return "\n".join(lines)


class SourceErrors(QuiesceError):
    """All that is wrong with a protocol's source, sorted by place, each complaint once."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        # What is inlined in several places is complained about once, on its first way there.
        first: dict[tuple[Loc, str, str], Diagnostic] = {}
        for d in sorted(set(diagnostics)):
            first.setdefault((d.loc, d.code, d.message), d)
        self.diagnostics = tuple(first.values())
        count = len(self.diagnostics)
        tail = f"{count} error{'s' if count != 1 else ''}; nothing was checked"
        super().__init__("\n\n".join([*(d.render() for d in self.diagnostics), tail]))


def source_line(file: str, line: int) -> str | None:
    """Return line *line* (1-based) of *file* without its newline; None if it cannot be read."""
    try:
        return source_lines(file)[line - 1]
    except (OSError, SyntaxError, UnicodeDecodeError, IndexError):
        return None


def source_lines(file: str) -> list[str]:
    """Return the lines of a source file, as :func:`file_text` reads it."""
    return _lines(file_text(file))


def file_text(file: str) -> str:
    """Return the text of a source file, in the encoding that it declares.

    What was typed in a notebook or at a prompt is not in a file: the notebook keeps it in ``linecache``.

    :raises OSError: it cannot be read.
    """
    try:
        seen = os.stat(file)
    except OSError:
        typed = linecache.getlines(file) if file in linecache.cache or file[:1] == "<" else []
        if not typed:
            raise
        return "".join(typed)
    return _text(file, seen.st_mtime_ns, seen.st_size)


@lru_cache(maxsize=256)
def _text(file: str, changed: int, size: int) -> str:
    """Read a file that was *changed* at that time: it may be edited while we run."""
    with tokenize.open(file) as opened:
        return opened.read()


@lru_cache(maxsize=256)
def _lines(text: str) -> list[str]:
    return text.split("\n")
