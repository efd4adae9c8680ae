# SPDX-License-Identifier: Apache-2.0
"""``--watch``: a command answers again whenever its file, or one of its own modules, is saved."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from quiesce.errors import QuiesceError, UsageError
from quiesce.harmless import one_line
from quiesce.loading import split_target
from quiesce.stopping import Stopped, immediately
from quiesce.verdict import EXIT_USAGE

POLL_SECONDS = 0.03
"""How often the files are looked at; a change counts when it has been there for one such time."""

Stamp = tuple[tuple[int, int, int] | None, ...]


def answer_at_every_save(
    args: argparse.Namespace, once: Callable[[argparse.Namespace], int]
) -> int:
    """Run *once*, and again whenever a file of the scenario is saved, until Ctrl-C.

    :param once: a command with a ``target``; what it complains about is printed, and ends nothing.
    :return: the exit code of the last answer.
    :raises UsageError: a checkpoint is asked for: what it continues is another program after a save.
    """
    if args.checkpoint:
        raise UsageError("--watch and --checkpoint do not go together", "leave one of them out")
    file = split_target(args.target)[0]
    # Two saves in one second would leave a helper module's old bytecode in use.
    sys.dont_write_bytecode = True
    while True:
        before = set(sys.modules)
        started, stamp = time.time_ns(), _stamp([file])
        code = _answer(args, once)
        helpers = _helpers(file, set(sys.modules) - before)
        files = [file, *helpers.values()]
        stamp = (*stamp, *_stamp(files[1:], not_after=started))
        sys.stdout.flush()
        try:
            with immediately():
                print(
                    f"quiesce: watching {one_line(file)}; Ctrl-C ends", file=sys.stderr, flush=True
                )
                _wait_for_a_save(files, stamp)
        except Stopped:
            return code
        for name in helpers:
            sys.modules.pop(name, None)


def _answer(args: argparse.Namespace, once: Callable[[argparse.Namespace], int]) -> int:
    """Return the exit code of one run; what is wrong with the file is said."""
    try:
        return once(args)
    except QuiesceError as error:
        print(f"quiesce: {error}", file=sys.stderr, flush=True)
        return EXIT_USAGE


def _helpers(file: str, names: set[str]) -> dict[str, str]:
    """Return those of the modules *names* that are the user's: their files lie beside *file* or below."""
    folder = Path(file).resolve().parent
    found = {}
    for name in sorted(names):
        path = getattr(sys.modules.get(name), "__file__", None)
        if path and Path(path).resolve().is_relative_to(folder) and "site-packages" not in path:
            found[name] = path
    return found


def _stamp(files: list[str], not_after: int | None = None) -> Stamp:
    """Return what changes when one of *files* is saved; None for a file that is not there.

    :param not_after: also None for a file that was saved after this time, in nanoseconds: it may have been
        read before that.
    """
    stamps: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            seen = os.stat(file)
        except OSError:
            stamps.append(None)
            continue
        late = not_after is not None and seen.st_mtime_ns > not_after
        stamps.append(None if late else (seen.st_mtime_ns, seen.st_size, seen.st_ino))
    return tuple(stamps)


def _wait_for_a_save(files: list[str], before: Stamp) -> None:
    """Return when a file has changed and is no longer being written: an editor may empty it first."""
    last = before
    while True:
        time.sleep(POLL_SECONDS)
        now = _stamp(files)
        if now != before and now == last and now[0] is not None and now[0][1] > 0:
            return
        last = now
