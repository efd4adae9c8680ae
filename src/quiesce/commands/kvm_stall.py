# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm stall``: how long memslot updates of this host take while other threads invalidate."""

from __future__ import annotations

import argparse
import sys

from quiesce.commands.options import seconds
from quiesce.errors import UsageError


def add_stall(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``stall`` to the actions of ``quiesce kvm``."""
    stall = actions.add_parser(
        "stall",
        help="measure memslot updates of this host's KVM during invalidations",
        description="Measure how long memslot updates of a VM take while threads of the same process "
        "invalidate memory, on the real /dev/kvm, and the same storm at native versions of three designs. "
        "Everything ends at a deadline of its own.",
        epilog="exit codes: 0 measured; 2 there is no usable /dev/kvm, or the request is wrong",
    )
    stall.add_argument(
        "--threads", default="16", metavar="N,..", help="how many threads invalidate (16)"
    )
    stall.add_argument(
        "--storm",
        default="dontneed",
        metavar="NAME,..",
        help="what they do: dontneed, mprotect, mremap, fork (dontneed)",
    )
    stall.add_argument(
        "--related", action="store_true", help="let their memory back slots of the VM"
    )
    stall.add_argument("--vcpu", action="store_true", help="run a vCPU meanwhile")
    stall.add_argument(
        "--load", type=int, default=0, metavar="N", help="busy processes that compete (0)"
    )
    stall.add_argument(
        "--seconds", type=seconds, default=20.0, metavar="S", help="for all together (20)"
    )
    stall.add_argument("--json", action="store_true")
    stall.add_argument("--html", metavar="FILE", help="also write a page with a picture")
    stall.add_argument("--quiet", "-q", action="store_true", help="show no progress")
    stall.set_defaults(run=_stall)


def _stall(args: argparse.Namespace) -> int:
    from quiesce.harmless import json_text
    from quiesce.kvm.real.stall import Request, process_began, run_stall
    from quiesce.kvm.real.stall_show import stall_html, stall_json, stall_text
    from quiesce.kvm.real.stall_storm import MOST_LOAD, STORMS
    from quiesce.outputs import require_writable, write_file

    storms = [word.strip() for word in args.storm.split(",") if word.strip()]
    unknown = [word for word in storms if word not in STORMS]
    if unknown or not storms:
        raise UsageError(
            f"--storm {args.storm}: `{unknown[0] if unknown else ''}` is not a storm",
            f"one or more of {', '.join(STORMS)}, with commas",
        )
    if not 0 <= args.load <= MOST_LOAD:
        raise UsageError(f"--load {args.load}: must be from 0 to {MOST_LOAD}", "--load 16")
    if args.html is not None:
        require_writable("--html", args.html)
    request = Request(
        _thread_counts(args.threads),
        list(dict.fromkeys(storms)),
        args.related,
        args.vcpu,
        args.load,
        args.seconds,
        process_began(),
    )
    show = sys.stderr.isatty() and not (args.quiet or args.json)
    result = run_stall(request, _say if show else lambda _what: None)
    print(json_text(stall_json(result)) if args.json else stall_text(result), end="\n" * args.json)
    if args.html is not None:
        write_file(args.html, stall_html(result))
    return 0


def _say(what: str) -> None:
    print(f"  {what}", file=sys.stderr)


def _thread_counts(text: str) -> list[int]:
    """Return the numbers that ``--threads`` names, each once."""
    from quiesce.kvm.real.stall_storm import MOST_THREADS

    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = [
        w for w in words if not w.isascii() or not w.isdigit() or not 1 <= int(w) <= MOST_THREADS
    ]
    if wrong or not words:
        raise UsageError(
            f"--threads {text}: `{wrong[0] if wrong else ''}` is not a number from 1 to {MOST_THREADS}",
            "--threads 2,8,16,40",
        )
    return list(dict.fromkeys(int(word) for word in words))
