# SPDX-License-Identifier: Apache-2.0
"""A search kept in a file, so that it can be continued after Ctrl-C, a crash or ``kill -9``.

The file is written under a new name in the same directory and then renamed, so there is always a complete
one. After its header (``checkpoint_header.py``) come the vectors of each worker, raw. The hash table is not
kept: it is rebuilt from the states. A file of another program, of other options or with a changed byte is
refused and left as it is, so that it never yields a wrong verdict.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np

import quiesce
from quiesce.errors import UsageError
from quiesce.explorer.native.checkpoint_header import (
    BadHeader,
    Header,
    Identity,
    NotACheckpoint,
    Progressed,
    read_header,
)
from quiesce.explorer.native.kernels.stored import STRIDE
from quiesce.explorer.native.search import Search
from quiesce.explorer.native.table import VisitedTable
from quiesce.explorer.native.worker import Worker
from quiesce.outputs import replacing

_OTHER_FILE = "give another file, or delete this one"


_PRIVATE = 0o600
SAVE_EVERY = 30.0
"""Seconds between two times that a checkpoint is written."""


class Checkpoint:
    """The file that a search continues from and is written to.

    A file that cannot be written does not stop the search: that is a warning, told once.

    :param path: the name of the file; it need not exist.
    :param warn: is told why the file cannot be written.
    """

    def __init__(self, path: str, warn: Callable[[str], None] | None = None) -> None:
        self.path = path
        self.warnings: list[str] = []
        self._warn = warn
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """True if it was last written some time ago."""
        return time.monotonic() - self._saved > SAVE_EVERY

    def load(self, search: Search) -> bool:
        """Continue *search* from the file; return False if there is no such file.

        :raises UsageError: it is a checkpoint of something else, or damaged, or of another user.
        """
        found = _load_file(search, self.path)
        if not found:
            self._note(_trouble_with(self.path))
        return found

    def save(self, search: Search) -> None:
        """Write *search*, in which no worker is busy. If that fails the file is what it was before."""
        self._note(_save_file(search, self.path))
        self._saved = time.monotonic()

    def _note(self, trouble: str) -> None:
        warning = f"the checkpoint {self.path} cannot be written: {trouble}"
        if trouble and warning not in self.warnings:
            self.warnings.append(warning)
            if self._warn is not None:
                self._warn(f"{warning}; the search continues without it")


def _save_file(search: Search, path: str) -> str:
    """Write *search* to *path*; return why that failed, or nothing."""
    vectors = [v for w in search.workers for v in _vectors(w)]
    header = Header(
        _identity(search),
        search.levels,
        list(search.todo),
        [Progressed(w.count, w.expanded) for w in search.workers],
        [zlib.crc32(v) for v in vectors],
    )
    try:
        _require_regular(path)
        with replacing(path, _PRIVATE) as file:
            file.write(header.to_bytes())
            for vector in vectors:
                file.write(vector)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _trouble_with(path: str) -> str:
    """Return why *path* cannot be written, or nothing; a new file is created and deleted."""
    try:
        _require_regular(path)
        with tempfile.TemporaryFile(dir=Path(path).parent):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _require_regular(path: str) -> None:
    """Refuse to open or to replace a device, a directory or a link.

    :raises OSError: *path* is one.
    """
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError("it is not a regular file")


def _load_file(search: Search, path: str) -> bool:
    """Continue *search* from *path*; return False if there is no such file.

    :raises UsageError: it is refused.
    """
    try:
        _require_regular(path)
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if not os.path.lexists(path):
            # Where the directory cannot be used, either, writing will say so.
            return False
        raise _unreadable(path, error) from error
    with open(number, "rb") as file:
        try:
            _load(search, path, file)
        except NotACheckpoint:
            raise UsageError(
                f"{path} is not a checkpoint of this version of quiesce", _OTHER_FILE
            ) from None
        except BadHeader as error:
            raise UsageError(
                f"the checkpoint {path} is damaged: {error}", "delete it and start again"
            ) from None
        except OSError as error:
            raise _unreadable(path, error) from error
    return True


def _unreadable(path: str, error: OSError) -> UsageError:
    why = error.strerror or error
    return UsageError(f"the checkpoint {path} cannot be read: {why}", _OTHER_FILE)


def _load(search: Search, path: str, file: IO[bytes]) -> None:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a regular file")
    if status.st_uid != os.geteuid():
        raise UsageError(
            f"the checkpoint {path} belongs to another user, who could have written any verdict into it",
            f"copy it first if you trust that user: cp {path} NEW, then --checkpoint NEW",
        )
    header = read_header(file, status.st_size)
    if header.identity != _identity(search) or len(header.workers) != len(search.workers):
        raise UsageError(
            f"{path} is a checkpoint of another program, of other options or of another version of quiesce",
            _OTHER_FILE,
        )
    sizes = [n for w, p in zip(search.workers, header.workers, strict=True) for n in _sizes(w, p)]
    if len(header.checksums) != len(sizes) or status.st_size - file.tell() != sum(sizes):
        raise BadHeader("the file is not as long as its header says")
    try:
        _fill(search, path, file, header)
    except MemoryError as error:
        raise UsageError(f"the checkpoint {path} needs more memory: {error}") from error


def _fill(search: Search, path: str, file: IO[bytes], header: Header) -> None:
    """Read the vectors of each worker, and rebuild the table.

    :raises BadHeader: a checksum is wrong.
    """
    states = sum(p.count for p in header.workers)
    needed = sum(w.each * p.count for w, p in zip(search.workers, header.workers, strict=True))
    lacking = search.out_of_memory(needed + search.table.bytes_for(states))
    if lacking:
        raise UsageError(f"the checkpoint {path} needs {needed:,} bytes and its table: {lacking}")
    checksums = iter(header.checksums)
    for w, progressed in zip(search.workers, header.workers, strict=True):
        w.make_room(progressed.count)
        w.count, w.expanded = progressed.count, progressed.expanded
        for vector in _vectors(w):
            read = file.readinto(vector)  # type: ignore[attr-defined]
            if read != vector.nbytes or zlib.crc32(vector) != next(checksums):
                raise BadHeader("a checksum is wrong")
    search.table = VisitedTable(search.table.owner_bits, search.states)
    search.table.fill(search.workers)
    search.levels = header.levels
    search.todo.add(header.todo)


def _bytes_of(record: Iterable[object]) -> bytes:
    """Return the vectors and numbers of *record*, which may contain records, one after the other."""
    parts = []
    for part in record:
        if isinstance(part, np.ndarray):
            parts.append(part.tobytes())
        elif isinstance(part, tuple):
            parts.append(_bytes_of(part))
        else:
            parts.append(repr(part).encode())
    return b"".join(parts)


def _identity(search: Search) -> Identity:
    """Return what two searches must have in common for one to continue the other."""
    symmetry = zlib.crc32(_bytes_of((search.symmetry, search.ample)))
    machine = zlib.crc32(_bytes_of(search.compiled.machine))
    return {
        "quiesce": _source_digest(),
        "byte order": sys.byteorder,
        "program": search.program.digest,
        "machine": machine,
        "symmetry": symmetry,
        "cores": search.options.cores,
        "keep_going": search.options.keep_going,
        "races": search.options.races,
    }


@cache
def _source_digest() -> str:
    """Return a digest of the compiler's and the explorer's source.

    What a search notes, and where it ends a run, can change without any vector changing its size.
    """
    package = Path(quiesce.__file__).parent
    digest = hashlib.sha256(quiesce.__version__.encode())
    for folder in ("compiler", "explorer"):
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _sizes(w: Worker, progressed: Progressed) -> list[int]:
    """Return the bytes of each vector of :func:`_vectors` for a worker that is so far."""
    stored = progressed.count * int(w.shape[STRIDE])
    return [stored, *(v.nbytes for v in _vectors(w)[1:])]


def _vectors(w: Worker) -> list[memoryview]:
    """Return what is kept of a worker: writable views, in a fixed order."""
    found = w.found
    stored = w.count * int(w.shape[STRIDE])
    vectors = [
        w.states.array[:stored], found.results, found.failed, found.deadlock,
        found.race, found.property_seen, found.property_failed,
    ]  # fmt: skip
    return [v.view(np.uint8).data for v in vectors]
