# SPDX-License-Identifier: Apache-2.0
"""The command line: ``quiesce`` and its subcommands.

Exit codes: 0 everything asked for holds on the whole space; 1 a violation was found; 2 the request, the
source or the surroundings are wrong; 3 incomplete; 4 an internal error.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from quiesce.commands.parser import build_parser
from quiesce.commands.streams import AnswerStream, guarded_streams
from quiesce.errors import QuiesceError, UsageError
from quiesce.stopping import noted, orderly
from quiesce.verdict import EXIT_USAGE, Verdict


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that *argv* names; return the process's exit code.

    :raises SystemExit: *argv* asks for help, or cannot be understood.
    """
    with orderly(), guarded_streams() as answer:
        return _guarded(argv, answer)


def _guarded(argv: Sequence[str] | None, answer: AnswerStream) -> int:
    """Run the command, and turn whatever goes wrong into a sentence and an exit code."""
    try:
        answer.require_open()
        code = _command(argv, answer)
        answer.flush()
        return code
    except QuiesceError as error:
        return _told(str(error), EXIT_USAGE)
    except KeyboardInterrupt as stopped:
        with noted():
            why = str(stopped) or "interrupted"
            return _told(f"{why}; nothing is proved", Verdict.INCOMPLETE.exit_code)
    except MemoryError:
        return _told("there is not enough memory", EXIT_USAGE)
    except SystemError as error:
        # The interpreter raises it where an allocation of its own failed and no MemoryError was raised.
        return _told(f"Python itself failed, most often for want of memory: {error}", EXIT_USAGE)
    except OSError as error:
        return _told(f"the system refused: {error}", EXIT_USAGE)
    except Exception as error:
        if _NO_THREAD in str(error):
            return _told("the system refused another thread", EXIT_USAGE)
        if isinstance(error, ImportError) and (error.path or "").endswith(_COMPILED):
            return _told(f"a part of Python cannot be loaded: {error}", EXIT_USAGE)
        if os.environ.get("QUIESCE_DEBUG"):
            traceback.print_exc()
        return _told(
            f"internal error: {type(error).__name__}: {error}\n"
            "  help: please report it, with the command; QUIESCE_DEBUG=1 shows where it happened",
            Verdict.ERROR.exit_code,
        )


_NO_THREAD = "can't start new thread"
"""The text of the ``RuntimeError`` for which Python has no class."""

_COMPILED = (".so", ".dylib", ".pyd")
"""Endings of compiled modules: with too little memory they cannot be mapped."""


def _command(argv: Sequence[str] | None, answer: AnswerStream) -> int:
    try:
        args = build_parser().parse_args(argv)
    except SystemExit:
        answer.flush()
        raise
    try:
        return int(args.run(args))
    except (SystemExit, GeneratorExit) as error:
        # We raise neither: it is code of the file that was loaded.
        raise UsageError(f"the scenario raised {type(error).__name__}: {error}") from error


def _told(text: str, code: int) -> int:
    print(f"quiesce: {text}", file=sys.stderr)
    return code
