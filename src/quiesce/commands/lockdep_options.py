# SPDX-License-Identifier: Apache-2.0
"""The options of ``quiesce lockdep``."""

from __future__ import annotations

import argparse
import re
import sys

from quiesce.errors import UsageError


def add_lockdep(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lockdep`` with its actions."""
    lockdep = commands.add_parser(
        "lockdep", help="lockdep as a library: replay events, read a kernel's exports"
    )
    actions = lockdep.add_subparsers(title="actions", metavar="ACTION", required=True)
    replay = actions.add_parser("replay", help="feed the cases of a file to lockdep")
    replay.add_argument(
        "file", metavar="FILE", help="a JSON list of cases, or a case a line; - is standard input"
    )
    replay.add_argument(
        "--text", action="store_true", help="print the kernel's report of each case"
    )
    replay.add_argument(
        "--raw-nesting", action="store_true", help="number wait types as PROVE_RAW_LOCK_NESTING"
    )
    replay.add_argument(
        "--like-linux", action="store_true", help="search as Linux does, misses included"
    )
    replay.add_argument(
        "--kernel",
        metavar="RELEASE",
        default="",
        help="print reports as of this kernel; from 6.13 on, --raw-nesting is its default (6.12.117)",
    )
    replay.set_defaults(run=_lockdep_replay)
    read = actions.add_parser(
        "read",
        help="read what a running kernel exports about its locks",
        description="Read /proc/lockdep, /proc/lockdep_chains, /proc/lockdep_stats, /proc/lock_stat, or lock "
        "events as perf script or trace-cmd report print them. With two files: what they differ in.",
        epilog="exit codes: 0 nothing can deadlock, 1 a cycle, 2 wrong request",
    )
    read.add_argument("files", metavar="FILE", nargs="+", help="- is standard input")
    read.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    read.set_defaults(run=_lockdep_read)


_RELEASE = re.compile(r"(\d+)\.(\d+)([.-][\w.+-]*)?")
RAW_NESTING_SINCE = (6, 13)
"""PROVE_RAW_LOCK_NESTING is on by default since then."""


def _lockdep_replay(args: argparse.Namespace) -> int:
    from quiesce.lockdep.replay import replay_file

    raw = args.raw_nesting
    if args.kernel:
        match = _RELEASE.fullmatch(args.kernel)
        if match is None:
            raise UsageError(
                f"--kernel {args.kernel} is not a release", "for example 6.18 or 6.12.117"
            )
        raw = raw or (int(match[1]), int(match[2])) >= RAW_NESTING_SINCE
    return replay_file(
        args.file,
        text=args.text,
        raw_nesting=raw,
        like_linux=args.like_linux,
        release=args.kernel,
        out=sys.stdout,
    )


def _lockdep_read(args: argparse.Namespace) -> int:
    from quiesce.commands.lockdep_read import lockdep_read

    return lockdep_read(args)
