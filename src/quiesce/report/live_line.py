# SPDX-License-Identifier: Apache-2.0
"""Progress on standard error: on a terminal a line that is written over, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time

from quiesce.harmless import one_line
from quiesce.report.style import style_of

_PLAIN_EVERY_SECONDS = 5.0
_CLEAR = "\r\x1b[K"


class LiveLine:
    """One line of progress.

    :param every: seconds between two updates on a terminal; elsewhere there are 5 between two lines.
    :param quiet: show nothing.
    """

    def __init__(self, every: float, quiet: bool) -> None:
        self._style = style_of(sys.stderr)
        self._live = sys.stderr.isatty()
        self._wait = every if self._live else _PLAIN_EVERY_SECONDS
        self._quiet = quiet
        self._shown = False
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """True if it is time for the next update."""
        return not self._quiet and time.monotonic() - self._last >= self._wait

    def show(self, text: str) -> None:
        """Show *text*, cut at the width of the terminal."""
        self._last = time.monotonic()
        if self._live:
            room = self._style.width(80) - 1
            self._control(f"{_CLEAR}{one_line(text)[:room]}")
            self._shown = True
        else:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line, if one is shown."""
        if self._shown:
            self._control(_CLEAR)
            self._shown = False

    def _control(self, text: str) -> None:
        """Write *text* with its control sequences, which are our own."""
        write = getattr(sys.stderr, "control", sys.stderr.write)
        write(text)
        sys.stderr.flush()
