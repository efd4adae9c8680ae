# SPDX-License-Identifier: Apache-2.0
"""A search kept in a file, so that it can be continued after Ctrl-C, a crash or ``kill -9``.

The file is written beside its place and then renamed over it, so there is always a whole one. It begins with
a line of JSON that says what it is a search of; then come the vectors of each worker, raw, with their
checksums. The hash table is not kept: it is rebuilt from the states. A file of another program, of other
options or with a damaged byte is refused, so that it never yields a wrong verdict.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quiesce.errors import UsageError
from quiesce.explorer.native.chunks import Chunk
from quiesce.explorer.native.stored import STRIDE
from quiesce.explorer.native.table import VisitedTable
from quiesce.explorer.native.worker import Worker

if TYPE_CHECKING:
    from quiesce.explorer.native.search import Search

_FORMAT = "quiesce checkpoint 2"


def save(search: Search, path: str) -> None:
    """Write *search* to *path*; no worker is busy.

    :raises UsageError: it cannot be written.
    """
    vectors = [v for w in search.workers for v in _vectors(w)]
    header = {
        **_identity(search),
        "levels": search.levels,
        "todo": list(search.todo),
        "workers": [[w.count, w.expanded] for w in search.workers],
        "checksums": [zlib.crc32(v) for v in vectors],
    }
    partial = Path(f"{path}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(json.dumps(header).encode() + b"\n")
            for vector in vectors:
                file.write(vector)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"the checkpoint {path} cannot be written: {error.strerror}") from error


def load(search: Search, path: str) -> bool:
    """Continue *search* from *path*; false if there is no such file.

    :raises UsageError: it is a checkpoint of something else, or damaged.
    """
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f"the checkpoint {path} cannot be read: {error.strerror}") from error
    damaged = UsageError(f"the checkpoint {path} is damaged", "remove it and begin again")
    with file:
        try:
            header = json.loads(file.readline())
        except ValueError:
            raise damaged from None
        if not isinstance(header, dict) or header.get("format") != _FORMAT:
            raise UsageError(f"{path} is no checkpoint", "give another file, or remove this one")
        if any(header.get(key) != value for key, value in _identity(search).items()):
            raise UsageError(
                f"{path} is a checkpoint of another program, or of other options",
                "give another file, or remove this one",
            )
        try:
            checksums = iter(header["checksums"])
            for w, (count, expanded) in zip(search.workers, header["workers"], strict=True):
                w.make_room(count)
                w.count, w.expanded = count, expanded
                for vector in _vectors(w):
                    read = file.readinto(vector)
                    if read != vector.nbytes or zlib.crc32(vector) != next(checksums):
                        raise damaged
            search.table = VisitedTable(search.table.owner_bits, search.states)
            search.table.fill(search.workers)
            search.levels = [tuple(level) for level in header["levels"]]
            search.todo.add(Chunk(*chunk) for chunk in header["todo"])
            return True
        except (KeyError, TypeError, ValueError, StopIteration):
            raise damaged from None


def _identity(search: Search) -> dict[str, Any]:
    """What two searches must have in common for one to continue the other."""
    symmetry = zlib.crc32(b"".join(v.tobytes() for v in [*search.symmetry, search.ample]))
    machine = zlib.crc32(b"".join(v.tobytes() for v in search.compiled.machine))
    return {
        "format": _FORMAT,
        "program": search.program.digest,
        "machine": machine,
        "symmetry": symmetry,
        "cores": search.options.cores,
        "keep_going": search.options.keep_going,
    }


def _vectors(w: Worker) -> list[memoryview]:
    """Return what is kept of a worker: writable views, in a fixed order."""
    found = w.found
    stored = w.count * int(w.shape[STRIDE])
    vectors: list[Any] = [
        w.states.array[:stored], w.cut.array[: w.count], found.results, found.failed, found.deadlock,
        found.race, found.property_seen, found.property_failed,
    ]  # fmt: skip
    return [memoryview(v).cast("B") for v in vectors]
