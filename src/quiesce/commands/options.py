# SPDX-License-Identifier: Apache-2.0
"""The options that several commands share, and their meaning."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from quiesce.commands.formats import add_format_option
from quiesce.errors import UsageError

if TYPE_CHECKING:
    # Not at run time: `explain` reads these options' parser, too, and needs no explorer.
    from quiesce.explorer import Bounds, Options
    from quiesce.explorer.native.options import NativeOptions
    from quiesce.report.progress import ProgressLine

FAIRNESS = ("strong", "weak", "none")


def add_search_options(parser: argparse.ArgumentParser, html: bool = True) -> None:
    """Add the options of every command that explores.

    :param html: the command can write a page.
    """
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    if html:
        parser.add_argument("--html", metavar="FILE", help="also write the result as one HTML page")
        add_format_option(parser)
    parser.add_argument("--quiet", "-q", action="store_true", help="show no progress")
    parser.add_argument(
        "--max-states",
        type=count,
        metavar="N",
        help="stop after N states: the verdict is then incomplete",
    )
    parser.add_argument(
        "--max-memory",
        type=memory_size,
        metavar="SIZE",
        help="stop when memory reaches SIZE: 500M, 8G",
    )
    parser.add_argument(
        "--max-seconds",
        type=seconds,
        metavar="S",
        help="stop after S seconds in all: the verdict is then incomplete",
    )
    parser.add_argument(
        "--fairness", choices=FAIRNESS, default="strong",
        help="what starvation is judged under (default: weak for all, strong for queued locks)",
    )  # fmt: skip
    parser.add_argument(
        "--no-fusion", action="store_true", help="let every statement be a step of its own"
    )
    parser.add_argument(
        "--no-symmetry", action="store_true", help="tell identical threads apart (native explorer)"
    )
    parser.add_argument(
        "--no-partial-order", action="store_true",
        help="let no step go first although nothing depends on it (native explorer)",
    )  # fmt: skip
    parser.add_argument(
        "--explorer", choices=("auto", "reference", "native"), default="auto",
        help="plain Python, compiled, or the one after the other as the space grows (auto)",
    )  # fmt: skip
    parser.add_argument(
        "--cores", type=_cores, metavar="N",
        help="cores of the native explorer (default: all, at most 8); the answer is the same",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", metavar="FILE", default="",
        help="continue from FILE, and write to it about twice a minute",
    )  # fmt: skip


def add_executor_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--executor``, for the commands that can check several values of a parameter."""
    parser.add_argument(
        "--executor", metavar="MODULE:CALLABLE", default="",
        help="with several values (--set n=2..8): what returns an executor that takes the runs, such as "
        "concurrent.futures:ProcessPoolExecutor or distributed:Client (default: one after the other, here)",
    )  # fmt: skip


REPLAY_STATES = 2_000_000
"""States that a replay explores to decide what can never happen any more."""


def add_replay_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``quiesce replay``."""
    parser.add_argument(
        "token", metavar="TOKEN", help="a word that begins with q1-; - reads it from standard input"
    )
    parser.add_argument("--file", metavar="FILE", default="", help="execute this file and no other")
    parser.add_argument(
        "--max-states", type=count, default=REPLAY_STATES, metavar="N",
        help="explore at most N states to decide what can never happen any more "
        f"(default: {REPLAY_STATES:,})",
    )  # fmt: skip
    parser.add_argument(
        "--max-seconds", type=seconds, metavar="S", help="stop after S seconds: not decided"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def search_bounds(args: argparse.Namespace) -> Bounds:
    """Return the bounds that *args* ask for; the time begins now.

    :raises UsageError: memory is to be bounded where it cannot be measured.
    """
    from quiesce.explorer import Bounds
    from quiesce.explorer.reference.peak_memory import peak_memory

    if args.max_memory is not None and not peak_memory():
        raise UsageError(
            "--max-memory: this system does not tell how much memory is used", "--max-states N"
        )
    return Bounds(args.max_states, args.max_memory, args.max_seconds)


def search_options(
    args: argparse.Namespace, bounds: Bounds, progress: ProgressLine, keep_going: bool
) -> Options:
    """Return the search options that *args* ask for."""
    from quiesce.explorer import Options

    return Options(keep_going, args.fairness, bounds, progress, progress.warn)


def native_options(args: argparse.Namespace) -> NativeOptions:
    """Return which explorer *args* ask for, and how it is to work."""
    from quiesce.explorer.native.options import NativeOptions, available_cores

    return NativeOptions(
        explorer=args.explorer,
        symmetry=not args.no_symmetry,
        partial_order=not args.no_partial_order,
        cores=args.cores or available_cores(),
        checkpoint=args.checkpoint,
    )


LARGEST = 2**63 - 1
"""What counts and sizes may be: more does not fit into a machine word."""

MOST_CORES = 64
"""Cores that can be asked for: each takes some megabytes before it has done anything."""


def any_number(text: str) -> int:
    """Return the whole number that *text* says, negative ones too.

    :raises argparse.ArgumentTypeError: it is not one from ``-LARGEST`` to :data:`LARGEST`.
    """
    return _whole_number(text, -LARGEST, LARGEST)


def count(text: str) -> int:
    """Return the whole number from 1 on that *text* says.

    :raises argparse.ArgumentTypeError: it is not one, or larger than :data:`LARGEST`.
    """
    return _whole_number(text, 1, LARGEST)


def _cores(text: str) -> int:
    return _whole_number(text, 1, MOST_CORES)


def _whole_number(text: str, low: int, high: int) -> int:
    digits = text.removeprefix("-").replace("_", "")
    # Python reads no number of thousands of digits.
    number = int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 99 else None
    if number is None or not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from {low:,} to {high:,}")
    return number


LONGEST = 10**8
"""Seconds that a limit may be: three years, which every clock and timer can count."""


def seconds(text: str) -> float:
    """Return the number of seconds that *text* says.

    :raises argparse.ArgumentTypeError: it is not a number above 0 and up to :data:`LONGEST`.
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text} is not a number of seconds above 0, up to {LONGEST:,}; write 0.5 or 60"
        )
    return number


def memory_size(text: str) -> int:
    """Return the number of bytes that ``500M`` or ``8G`` stands for."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    number, unit = text.rstrip("Bb"), 1
    if number[-1:].upper() in units:
        unit, number = units[number[-1].upper()], number[:-1]
    digits = number.isascii() and number.isdecimal() and len(number) < 99
    if not digits or not 0 < int(number) * unit <= LARGEST:
        raise argparse.ArgumentTypeError(
            f"{text} is not an amount of memory above 0, up to {LARGEST:,}; write 500M or 8G"
        )
    return int(number) * unit
