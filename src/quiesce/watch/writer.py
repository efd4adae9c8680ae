# SPDX-License-Identifier: Apache-2.0
"""Writing reports to standard error, from a thread that holds no lock of the program.

A stream of the program may take locks to write. A thread that found something may hold some.
"""

from __future__ import annotations

import _thread
import os
import sys
import time
from collections import deque

from quiesce.watch.thread_state import current

_start_new_thread = _thread.start_new_thread
FLUSH_SECONDS = 2.0
"""How long the end of a watch waits for a stream that does not take the reports."""

_texts: deque[str] = deque()
_writing = _thread.allocate_lock()


def write(text: str) -> None:
    """Write *text* soon."""
    _texts.append(text)
    if _writing.acquire(False):
        try:
            _start_new_thread(_write_all, ())
        except Exception:
            # The system refuses a thread, or the interpreter is about to end.
            _writing.release()
            _write_plainly()


def flush() -> None:
    """Wait until what was found is written."""
    end = time.monotonic() + FLUSH_SECONDS
    while _texts or _writing.locked():
        if time.monotonic() > end:
            _write_plainly()
            return
        if _texts and _writing.acquire(False):
            _write_all()
        else:
            time.sleep(0.001)


def after_fork_in_child() -> None:
    """No thread writes here. What the parent has still to write is the parent's."""
    global _writing
    _writing = _thread.allocate_lock()
    _texts.clear()


def _write_all() -> None:
    writing = _writing
    current().busy = True
    try:
        while _texts:
            text = _texts.popleft()
            try:
                sys.stderr.write(f"\n{text}")
            except Exception:
                os.write(2, text.encode(errors="replace"))
    finally:
        current().busy = False
        writing.release()


def _write_plainly() -> None:
    """Write to the file descriptor itself, which takes no lock."""
    while _texts:
        os.write(2, f"\n{_texts.popleft()}".encode(errors="replace"))
