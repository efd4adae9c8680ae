# SPDX-License-Identifier: Apache-2.0
"""The standard streams while a command runs: text is harmless, and what cannot be written is an error.

A reader that goes away, as with ``| head``, is not an error and changes no exit code. Standard output that
is closed or full is one, since the answer is lost. Standard error only carries remarks: where it
cannot be written, they are dropped.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from quiesce.errors import QuiesceError
from quiesce.harmless import harmless


class LostOutput(QuiesceError):
    """The answer cannot be written to standard output."""


class HarmlessStream(io.TextIOBase):
    """Passes text on to *stream*, harmless.

    :param stream: None if it is closed; nothing is written then.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the wrapped stream."""
        return self._stream.encoding if self._stream is not None else "utf-8"

    def isatty(self) -> bool:
        """Tell whether a person reads it."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the number of the wrapped file."""
        if self._stream is None:
            raise io.UnsupportedOperation("the stream is closed")
        return self._stream.fileno()

    def writable(self) -> bool:
        """Text can be written."""
        return True

    def close(self) -> None:
        """Stay open: the stream is not the caller's."""

    def write(self, text: str) -> int:
        """Write *text*; a character that the encoding of the stream lacks is written as an escape."""
        self.control(harmless(text))
        return len(text)

    def control(self, text: str) -> None:
        """Write *text* as it is. It is our own, such as the sequence that clears a line."""
        if self._stream is None:
            return
        with self._trying():
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        """Write what is buffered."""
        if self._stream is not None:
            with self._trying():
                self._stream.flush()

    @contextlib.contextmanager
    def _trying(self) -> Iterator[None]:
        """Drop the stream where it cannot be written, and say so unless its reader went away."""
        try:
            yield
        except UnicodeEncodeError:
            raise
        except BrokenPipeError:
            self._drop()
        except (OSError, ValueError) as error:
            self._drop()
            self._lost(getattr(error, "strerror", None) or str(error))

    def _lost(self, why: str) -> None:
        """Do what is to be done if the text is lost for the reason *why*: nothing."""

    def _drop(self) -> None:
        """Write no more; what is still buffered would fail again when the interpreter ends."""
        stream, self._stream = self._stream, None
        with contextlib.suppress(OSError, ValueError):
            assert stream is not None
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


class AnswerStream(HarmlessStream):
    """Standard output: what is written there must arrive."""

    def require_open(self) -> None:
        """Find out before a long search that its answer could not be written.

        :raises LostOutput: the stream is closed.
        """
        if self._stream is None:
            raise LostOutput("standard output is closed, so the answer cannot be written")

    def _lost(self, why: str) -> None:
        raise LostOutput(f"standard output cannot be written: {why}")


@contextlib.contextmanager
def guarded_streams() -> Iterator[AnswerStream]:
    """Let ``sys.stdout`` and ``sys.stderr`` be such streams until the end of the ``with`` statement."""
    _fill_the_numbers()
    before = sys.stdout, sys.stderr
    answer, remarks = AnswerStream(sys.stdout), HarmlessStream(sys.stderr)
    sys.stdout, sys.stderr = answer, remarks
    try:
        yield answer
    finally:
        remarks.flush()
        sys.stdout, sys.stderr = before


def _fill_the_numbers() -> None:
    """Open the numbers of closed standard streams, so that no other file is mistaken for one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
