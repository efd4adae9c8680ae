# SPDX-License-Identifier: Apache-2.0
"""A search's progress on standard error: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time

from quiesce.explorer.reference.graph import Progress
from quiesce.explorer.reference.peak_memory import peak_memory
from quiesce.harmless import one_line

_LIVE_EVERY_SECONDS = 0.5
_PLAIN_EVERY_SECONDS = 5.0


def _control(text: str) -> None:
    """Write *text* to the terminal with its control sequences, which are our own."""
    write = getattr(sys.stderr, "control", sys.stderr.write)
    write(text)
    sys.stderr.flush()


class ProgressLine:
    """Shows progress unless told to be quiet.

    :param title: what is being done.
    """

    def __init__(self, title: str, quiet: bool) -> None:
        self.title = one_line(title)
        self._shown = False
        self._live = sys.stderr.isatty()
        self._quiet = quiet
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Show *progress*, at most twice a second on a terminal."""
        now = time.monotonic()
        wait = _LIVE_EVERY_SECONDS if self._live else _PLAIN_EVERY_SECONDS
        if self._quiet or now - self._last < wait:
            return
        self._last = now
        rate = progress.states / max(progress.seconds, 1e-6)
        memory = peak_memory() >> 20
        text = (
            f"{self.title}: {progress.states:,} states, depth {progress.depth}, "
            f"{rate:,.0f} states/s, queue {progress.queue:,}, {memory:,} MB"
        )
        if self._live:
            _control(f"\r\x1b[K{text[:79]}")
            self._shown = True
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the live line away."""
        if self._shown:
            _control("\r\x1b[K")
            self._shown = False

    def warn(self, text: str) -> None:
        """Tell of something that does not end the search, also if told to be quiet."""
        self.clear()
        sys.stderr.write(f"quiesce: warning: {text}\n")
        sys.stderr.flush()
