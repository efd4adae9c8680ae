# SPDX-License-Identifier: Apache-2.0
"""The file that a replay token names: how it is written down, how it is found again, when it may be executed.

A protocol is a Python file, and checking it executes it. ``quiesce check FILE`` names the file; in a token
the file was named by the writer of the token. So, unless ``--file`` names it, a file is executed only if

* it and the directories above it belong to this user or to root, and are not writable for everyone;
* its text, which is read first, imports quiesce and defines the class that the token names; and
* that text is the one that the token was made from, or the file lies in the current directory, below it, or
  in a directory above it.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from quiesce.errors import UsageError
from quiesce.explorer.replay import Origin
from quiesce.harmless import one_line

_LONGEST_TEXT = 16 << 20
_MOST_PARTS = 64


@dataclass(frozen=True, slots=True)
class _Text:
    """What is in a file, and whose the file is that it was read from."""

    text: bytes
    status: os.stat_result

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text).hexdigest()


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The file of a token.

    :param name: its path, as it is to be shown and opened.
    :param text: what is in it.
    :param changed: the text is another than when the token was made.
    """

    name: str
    text: bytes
    changed: bool


def origin_of(file: str, scenario: str, settings: Sequence[str]) -> Origin:
    """Return what a token says about the protocol *file*, which is there."""
    path = PurePosixPath(os.path.abspath(file))
    typed = PurePosixPath(file)
    given = 0 if typed.is_absolute() or ".." in typed.parts else len(typed.parts)
    home = _home()
    written = str(path)
    if home is not None and home != PurePosixPath("/") and path.is_relative_to(home):
        written = f"~/{path.relative_to(home)}"
    read = _read(Path(file))
    if read is None:
        raise UsageError(f"{file} cannot be read any more")
    return Origin(written, given, read.digest, scenario, tuple(settings))


def find_file(origin: Origin, chosen: str) -> TokenFile:
    """Return the file that *origin* names; nothing is executed.

    :param chosen: the file that the user names instead, or empty.
    :raises UsageError: it is not there, or may not be executed.
    """
    if chosen:
        read = _read(Path(chosen))
        if read is None:
            raise UsageError(f"there is no file {chosen}", "give the path of a Python file")
        return TokenFile(chosen, read.text, read.digest != origin.text)
    places = dict.fromkeys([*_written_place(origin), *_upward(origin)])
    texts = {place: read for place in places if (read := _read(place)) is not None}
    same = [place for place, read in texts.items() if read.digest == origin.text]
    changed = [place for place in texts if _is_near(place)]
    for place in [*same, *changed]:
        read = texts[place]
        _require_ours(place, read.status)
        _require_protocol(place, read.text, origin.scenario)
        return TokenFile(_name(origin, place), read.text, read.digest != origin.text)
    for place, read in texts.items():
        raise UsageError(
            f"{_shown(place)} has changed since this counterexample was found "
            f"(SHA-256 {origin.text[:16]}..., now {read.digest[:16]}...), so it is not executed",
            _with_file(place),
        )
    name = PurePosixPath(origin.file).name
    raise UsageError(
        f"the token is of {origin.file}, which is not there; there is no {name} here or above, either",
        "quiesce replay --file FILE TOKEN",
    )


# --- Where it may be ----------------------------------------------------------------------------------


def _home() -> PurePosixPath | None:
    try:
        return PurePosixPath(Path.home())
    except RuntimeError:
        return None


def _here() -> Path:
    """Return the current directory; the root if it has been deleted."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def _written_place(origin: Origin) -> Iterator[Path]:
    """Yield the path that the token says, if there is a home directory that it can begin in."""
    home = _home()
    if not origin.file.startswith("~/"):
        yield Path(origin.file)
    elif home is not None:
        yield Path(home, origin.file[2:])


def _is_near(place: Path) -> bool:
    """Whether *place* lies in the current directory, below it, or in a directory above it."""
    here = _here()
    below = place.is_relative_to(here) and here != Path("/")
    return below or here.is_relative_to(place.parent)


def _upward(origin: Origin) -> Iterator[Path]:
    """Yield where the file can be, from the current directory upward: the end of its path, longest first."""
    parts = PurePosixPath(origin.file).parts[1:][-_MOST_PARTS:]
    here = _here()
    for folder in [here, *list(here.parents)[:_MOST_PARTS]]:
        for first in range(len(parts)):
            yield folder.joinpath(*parts[first:])


def _name(origin: Origin, place: Path) -> str:
    """Return how *place* is named: as when the token was made, if that names it here, too."""
    if origin.given:
        typed = Path(*PurePosixPath(origin.file).parts[-origin.given :])
        if _here() / typed == place:
            return str(typed)
    return str(place)


def _read(place: Path) -> _Text | None:
    """Return what is in a file; None if there is no regular file that can be read, or it is very long."""
    try:
        if not place.is_file():
            return None
        with open(place, "rb") as file:
            text, status = file.read(_LONGEST_TEXT + 1), os.fstat(file.fileno())
    except (OSError, ValueError):
        return None
    return _Text(text, status) if len(text) <= _LONGEST_TEXT else None


def _shown(place: Path) -> str:
    return one_line(str(place))


def _with_file(place: Path) -> str:
    return f"quiesce replay --file {shlex.quote(_shown(place))} TOKEN"


# --- Whether it may be executed -----------------------------------------------------------------------


def _require_ours(place: Path, file: os.stat_result) -> None:
    """Refuse a file that another user could have written or exchanged, or a module beside it."""
    folders = {*place.resolve().parents, place.parent.resolve(), *place.parent.resolve().parents}
    statuses = {
        place: file,
        **{folder: os.stat(folder) for folder in sorted(folders, reverse=True)},
    }
    for path, status in statuses.items():
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if status.st_uid not in (os.geteuid(), 0) or (status.st_mode & stat.S_IWOTH and not sticky):
            raise UsageError(
                f"{_shown(place)} is not executed: another user can write to {_shown(path)}",
                f"if you trust it: {_with_file(place)}",
            )


def _require_protocol(place: Path, text: bytes, scenario: str) -> None:
    """Refuse a file that is not a protocol with that scenario, as far as its text tells.

    A file that is not valid Python passes: loading it executes nothing and says what is wrong.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    imports, defines = False, False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= any(alias.name.split(".")[0] == "quiesce" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports |= not node.level and (node.module or "").split(".")[0] == "quiesce"
        elif isinstance(node, ast.ClassDef):
            defines |= node.name == scenario
    if not imports or not defines:
        lacking = f"does not define {scenario}" if imports else "does not import quiesce"
        raise UsageError(
            f"{_shown(place)} is not executed: it {lacking}, so it is not the protocol of this token",
            f"if it is: {_with_file(place)}",
        )
