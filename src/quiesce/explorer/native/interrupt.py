# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C as a request: a search ends where its data are whole, not in the middle of a batch."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interruptible() -> Iterator[list[bool]]:
    """Yield a list that is empty until SIGINT arrives; a second SIGINT is Python's own again."""
    arrived: list[bool] = []
    if threading.current_thread() is not threading.main_thread():
        yield arrived
        return
    before = signal.getsignal(signal.SIGINT)

    def note(_number: int, _frame: object) -> None:
        arrived.append(True)
        signal.signal(signal.SIGINT, before)

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, note)
    try:
        yield arrived
    finally:
        signal.signal(signal.SIGINT, before)
