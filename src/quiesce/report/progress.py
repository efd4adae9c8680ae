# SPDX-License-Identifier: Apache-2.0
"""A search's progress, and warnings while it runs."""

from __future__ import annotations

import sys

from quiesce.explorer.reference.graph import Progress
from quiesce.explorer.reference.peak_memory import peak_memory
from quiesce.harmless import one_line
from quiesce.report.live_line import LiveLine

_EVERY_SECONDS = 0.5


class ProgressLine:
    """Shows progress unless told to be quiet.

    :param title: what is being done.
    """

    def __init__(self, title: str, quiet: bool) -> None:
        self.title = one_line(title)
        self._line = LiveLine(_EVERY_SECONDS, quiet)

    def __call__(self, progress: Progress) -> None:
        """Show *progress*, at most twice a second on a terminal."""
        if not self._line.due:
            return
        rate = progress.states / max(progress.seconds, 1e-6)
        memory = peak_memory() >> 20
        self._line.show(
            f"{self.title}: {progress.states:,} states, depth {progress.depth}, "
            f"{rate:,.0f} states/s, queue {progress.queue:,}, {memory:,} MB"
        )

    def clear(self) -> None:
        """Remove the line."""
        self._line.clear()

    def warn(self, text: str) -> None:
        """Tell of something that does not end the search, also if told to be quiet."""
        self.clear()
        sys.stderr.write(f"quiesce: warning: {text}\n")
        sys.stderr.flush()
