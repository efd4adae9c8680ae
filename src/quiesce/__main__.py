# SPDX-License-Identifier: Apache-2.0
"""``python -m quiesce``, and what the console script runs.

Ctrl-C and SIGTERM are taken care of before anything else is imported, which takes a tenth of a second. So
this file imports at its head only what the interpreter has already; even ``signal`` is large.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_REASONS = {_signal.SIGINT: "interrupted", _signal.SIGTERM: "terminated"}
_INCOMPLETE = 3
"""The exit code; ``verdict.py`` has them all."""


def _leave(number: int, _frame: object) -> None:
    """End the process in order; nothing was begun that would have to be put right."""
    try:
        os.write(2, f"quiesce: {_REASONS[number]}; nothing is proved\n".encode())
    finally:
        os._exit(_INCOMPLETE)


def program() -> int:
    """Run the command line of this process; return its exit code.

    A signal that is ignored, as ``nohup`` does it, stays ignored.
    """
    if sys.argv[1:2] == ["watch"]:
        # The program that is watched has its own signals, streams and exit code.
        from quiesce.watch.runner import main as watch_program

        return watch_program(sys.argv[2:])
    _handle(_leave)
    # At its very end the interpreter takes handlers away, and a signal would change the exit code.
    atexit.register(_handle, _signal.SIG_IGN)
    try:
        from quiesce.cli import main

        code = main()
    except KeyboardInterrupt:
        _leave(_signal.SIGINT, None)
        raise
    except (ImportError, MemoryError, OSError, SystemError) as error:
        # Not even the command line could be loaded: too little memory, too few files.
        os.write(2, f"quiesce: cannot start: {type(error).__name__}: {error}\n".encode())
        return 2
    # The answer is out. What is left is the interpreter's end, and threads that the file has started.
    _handle(lambda _number, _frame: os._exit(code))
    return code


def _handle(handler: Callable[[int, object], None] | int) -> None:
    for number in _REASONS:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(program())
