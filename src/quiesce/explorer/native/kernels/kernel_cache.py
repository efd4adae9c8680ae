# SPDX-License-Identifier: Apache-2.0
"""Where compiled kernels are kept: a directory that no other user can have written to.

numba unpickles what it finds in its cache, so that a user who can put a file there runs code as us. So a
directory is used only if it is a real one, ours, closed to others, and no other user can exchange it or a
folder above it. Else the kernels go into a fresh one, which is removed at the end.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_PRIVATE = 0o700


def cache_directory() -> Path | None:
    """Return a directory in which kernels can be kept safely; None if there is none.

    It is named after a digest of the native explorer's source: numba does not see that a kernel must be
    compiled again since another one, which it calls, has changed.
    """
    return lasting_directory() or _fresh()


def lasting_directory() -> Path | None:
    """Return the directory in which kernels outlive this process; None if there is none."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.read_bytes())
    for base in _bases():
        ours = base / "quiesce"
        leaf = ours / f"native-{digest.hexdigest()[:12]}"
        try:
            _make(leaf)
            if _is_safe(leaf, ours) and _can_be_written(leaf):
                return leaf
        except OSError:
            continue
    return None


def sources() -> list[Path]:
    """Return the files of the native explorer."""
    return sorted(Path(__file__).parents[1].rglob("*.py"))


def _bases() -> Iterator[Path]:
    user = getattr(os, "getuid", lambda: 0)()
    try:
        temporary = tempfile.gettempdir()
    except OSError:
        temporary = ""
    for text in (
        os.environ.get("NUMBA_CACHE_DIR", ""),
        os.environ.get("XDG_CACHE_HOME", ""),
        os.path.join(os.path.expanduser("~"), ".cache"),
        temporary and os.path.join(temporary, f"quiesce-{user}"),
    ):
        if os.path.isabs(text):
            yield Path(os.path.normpath(text))


def _make(leaf: Path) -> None:
    """Make *leaf* and what is missing above it, for us alone."""
    for folder in (*reversed(leaf.parents), leaf):
        if not os.path.lexists(folder):
            folder.mkdir(mode=_PRIVATE, exist_ok=True)


def _is_safe(leaf: Path, ours: Path) -> bool:
    """Tell whether only we can have put anything into *leaf*; close it and *ours* to other readers.

    :param ours: a folder above it that is ours alone, too.
    """
    if not hasattr(os, "geteuid"):
        return True
    above = {*ours.parents, *Path(os.path.realpath(leaf)).parents} - {ours, leaf}
    if not all(map(_cannot_be_exchanged, above)) or not all(map(_is_own_folder, (ours, leaf))):
        return False
    # One that others may write to is not mended: what is in it is not to be trusted tomorrow, either.
    if os.lstat(leaf).st_mode & _BY_OTHERS or not all(map(_is_own, leaf.rglob("*"))):
        return False
    for folder in (ours, leaf):
        if stat.S_IMODE(os.lstat(folder).st_mode) != _PRIVATE:
            os.chmod(folder, _PRIVATE)
    return True


def _cannot_be_exchanged(path: Path) -> bool:
    """Tell whether *path*, a folder or a link, is safe from other users than root.

    A folder that all may write to is, if its sticky bit keeps each user's entries from the others.
    """
    found = os.lstat(path)
    if found.st_uid not in (0, os.geteuid()):
        return False
    if stat.S_ISLNK(found.st_mode):
        return True
    return not found.st_mode & _BY_OTHERS or bool(found.st_mode & stat.S_ISVTX)


def _is_own_folder(path: Path) -> bool:
    found = os.lstat(path)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _is_own(path: Path) -> bool:
    """Tell whether *path* is a file or a folder of this user, and not a link."""
    found = os.lstat(path)
    kind = stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)
    return kind and found.st_uid == os.geteuid()


def _can_be_written(path: Path) -> bool:
    with tempfile.TemporaryFile(dir=path) as file:
        file.write(b"0")
        file.flush()
    return True


def _fresh() -> Path | None:
    """Return a new directory, which is removed when the process ends; None if none can be made."""
    try:
        path = Path(tempfile.mkdtemp(prefix="quiesce-"))
    except OSError:
        return None
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path if all(map(_cannot_be_exchanged, Path(os.path.realpath(path)).parents)) else None
