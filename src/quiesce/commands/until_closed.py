# SPDX-License-Identifier: Apache-2.0
"""Output whose reader may go away, as with ``| head``: that is no error, and changes no exit code."""

from __future__ import annotations

import io
import os
from typing import TextIO


class UntilClosed(io.TextIOBase):
    """Passes text on to *stream* until nobody reads it any more; then it is dropped in silence."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream behind."""
        return self._stream.encoding

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the number of the file behind."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Text can be written."""
        return True

    def write(self, text: str) -> int:
        """Write *text*; a character that the reader's encoding lacks is written as an escape."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._drop()
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        # What is still buffered would raise again when the interpreter ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
