# SPDX-License-Identifier: Apache-2.0
"""The files that a command writes: never onto what it reads, and never half of one.

A file is written beside its place and then renamed, so that a full disk or a signal leaves what was there
before. Only ordinary files are replaced: a rename would replace a device, too.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import IO

from quiesce.errors import UsageError
from quiesce.harmless import harmless


def require_writable(option: str, path: str, inputs: Iterable[str] = ()) -> None:
    """Find out before a long search that its result could not be written to *path*.

    :param option: which option names it, as ``--html``.
    :param inputs: files that the command reads or writes besides. Standard input and the files of all
        loaded modules are added to them, since a protocol may import others.
    :raises UsageError: it cannot be written, or must not be.
    """
    given = f"{option} {path}"
    try:
        target = _resolved(path)
        kind = _kind(target)
        if kind:
            raise UsageError(f"{given} cannot be written: it is {kind}", f"{option} NAME")
        used: list[str | int] = [*inputs, 0, *_module_files()]
        for name in used:
            if _is_same(target, name):
                what = "standard input" if name == 0 else name
                raise UsageError(
                    f"{given} would be written over {what}, which this command uses",
                    f"{option} NAME, with the name of another file",
                )
        beside = _beside(target)
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.unlink(beside)
    except (OSError, ValueError) as error:
        raise UsageError(f"{given} cannot be written: {_reason(error)}") from None


def _kind(target: str) -> str:
    """Say what *target* is if it is there and not an ordinary file; else nothing."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return ""
    if stat.S_ISREG(mode):
        return ""
    return "a directory" if stat.S_ISDIR(mode) else "not an ordinary file"


def write_file(path: str, text: str) -> None:
    """Write *text*, harmless, to *path*; what was there before stays if that fails.

    :raises UsageError: it cannot be written.
    """
    try:
        with replacing(_resolved(path)) as file:
            file.write(harmless(text).encode())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be written: {_reason(error)}", "nothing of it was left behind"
        ) from None


@contextlib.contextmanager
def replacing(target: str, mode: int | None = None) -> Iterator[IO[bytes]]:
    """Yield a new file that takes the name *target* when it is complete; if that fails, it is deleted.

    Until then its name cannot be guessed, and no link is followed: in a directory that others can write to,
    nothing that they prepared is opened.

    :param mode: its permissions; None: as with the file that it replaces, or as is usual.
    :raises OSError: it cannot be written.
    """
    beside = _beside(target)
    try:
        number = os.open(
            beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else mode
        )
        with open(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(number)
        if mode is None:
            with contextlib.suppress(OSError):
                os.chmod(beside, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _resolved(path: str) -> str:
    """Return the place of *path* with links followed, so that a link stays one."""
    return os.path.realpath(path)


def _beside(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name[:100]}.{secrets.token_hex(8)}.partial")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _is_same(target: str, name: str | int) -> bool:
    """Tell whether *name*, a path or the number of an open file, is *target*, there already or not."""
    try:
        if isinstance(name, str) and _resolved(name) == target:
            return True
        return os.path.samestat(os.stat(name), os.stat(target))
    except (OSError, ValueError):
        return False


def _module_files() -> list[str]:
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return [file for file in files if isinstance(file, str)]
