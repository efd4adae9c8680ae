# SPDX-License-Identifier: Apache-2.0
"""Which line of the protocol a thread is at: the innermost frame that is the reader's own code.

A thread that waits for a lock is, to Python, deep in the machinery: the condition variable, the
runner, ``__enter__`` of the lock. What a reader wants to see is the line that took the lock.
"""

from __future__ import annotations

import linecache
import os
import sysconfig
from types import CodeType, FrameType, TracebackType
from typing import NamedTuple

import quiesce

_PACKAGE = os.path.dirname(quiesce.__file__)
_MACHINERY = (
    *(os.path.join(_PACKAGE, part) + os.sep for part in ("protocol", "threads", "primitives")),
    "<",
)
_STDLIB = sysconfig.get_path("stdlib") + os.sep


class Place(NamedTuple):
    """A line of a source file, cheap to take: text and function are looked up when shown."""

    code: CodeType
    line: int

    @property
    def file(self) -> str:
        """The path, relative to the working directory where that is shorter."""
        path = self.code.co_filename
        relative = os.path.relpath(path)
        return relative if len(relative) < len(path) else path

    @property
    def text(self) -> str:
        """The source line without its indentation; empty if it cannot be read."""
        return linecache.getline(self.code.co_filename, self.line).strip()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


_own: dict[CodeType, bool] = {}


def is_own(code: CodeType) -> bool:
    """Whether *code* is the protocol's own, neither ours nor a library lock's."""
    own = _own.get(code)
    if own is None:
        path = code.co_filename
        installed = path.startswith(_STDLIB) and "site-packages" not in path
        own = _own[code] = not installed and not path.startswith(_MACHINERY)
    return own


def of_frame(frame: FrameType) -> Place:
    """Return the place of the innermost frame of the protocol's own code, from *frame* outwards."""
    seen: FrameType | None = frame
    while seen is not None:
        # `with self.lock:` is what took the lock, not the __enter__ that it calls.
        if is_own(seen.f_code) and seen.f_code.co_name not in ("__enter__", "__exit__"):
            return Place(seen.f_code, seen.f_lineno)
        seen = seen.f_back
    return Place(frame.f_code, frame.f_lineno)


def of_traceback(traceback: TracebackType) -> Place:
    """Return the place in the protocol's own code from which an exception came."""
    seen: TracebackType | None = traceback
    place = Place(traceback.tb_frame.f_code, traceback.tb_lineno)
    while seen is not None:
        if is_own(seen.tb_frame.f_code):
            place = Place(seen.tb_frame.f_code, seen.tb_lineno)
        seen = seen.tb_next
    return place


def of_body(code: CodeType) -> Place:
    """Return the place of a function's first statement."""
    first = code.co_firstlineno
    later = [line for _, _, line in code.co_lines() if line is not None and line > first]
    return Place(code, min(later, default=first))
