# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm conform``: this host's KVM beside our memslots."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time

from quiesce import stopping
from quiesce.harmless import json_text, one_line
from quiesce.kvm.real.conform import Conformance, Wanted, conform
from quiesce.kvm.real.conform_pair import Difference
from quiesce.kvm.real.conform_probe import Probed
from quiesce.kvm.real.conform_replay import Replayed, replay
from quiesce.kvm.real.conform_script import script
from quiesce.kvm.real.requests_log import read_log
from quiesce.verdict import Verdict

_PROGRESS_EVERY_SECONDS = 5.0


def conform_command(args: argparse.Namespace) -> int:
    """Compare, and print what came of it; return the exit code."""
    if args.replay is not None:
        return _print_replay(replay(read_log(args.replay)), args.json)
    deadline = None if args.seconds is None else time.monotonic() + args.seconds
    with stopping.noted():
        result = conform(
            Wanted(args.operations, args.seed, deadline, workers=args.workers or _workers()),
            progress=_ConformProgress(args.quiet or args.json),
        )
        interrupted = bool(stopping.reason()) or result.lost_workers > 0
    print(json_text(to_json(result, args.seed)) if args.json else render(result, args.seed))
    if result.differences:
        return Verdict.VIOLATION.exit_code
    return (Verdict.INCOMPLETE if interrupted else Verdict.HOLDS).exit_code


def _workers() -> int:
    """Return how many workers are used unless the command says: updates wait most of the time."""
    return min(2 * (os.cpu_count() or 1), 8)


class _ConformProgress:
    """A line on standard error now and then."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.last = time.monotonic()

    def __call__(self, done: int, wanted: int) -> None:
        now = time.monotonic()
        if not self.quiet and now - self.last >= _PROGRESS_EVERY_SECONDS:
            self.last = now
            print(f"conform: {done:,} of {wanted:,} requests", file=sys.stderr, flush=True)


# --- JSON ---------------------------------------------------------------------------------------------


def to_json(result: Conformance, seed: str) -> dict[str, object]:
    """Return the result as a JSON object."""
    return {
        **_common(result.probed, result.operations, result.accesses, result.not_compared()),
        "differences": [difference_to_json(d) for d in result.differences],
        "scenarios": [
            {"name": o.name, "agrees": o.difference is None, "skipped": o.skipped or None}
            for o in result.scenarios
        ],
        "errnos": {_errno(number): count for number, count in sorted(result.errnos.items())},
        "random": result.random,
        "dirty_logs": result.dirty_logs,
        "seed": seed,
        "ended": result.ended or None,
        "seconds": round(result.seconds, 3),
    }


def _common(
    probed: Probed, operations: int, accesses: int, not_compared: list[str]
) -> dict[str, object]:
    host = probed.host
    return {
        "schema": 1,
        "operations": operations,
        "accesses": accesses,
        "kernel": probed.kernel,
        "flavour": probed.flavour,
        "limits": {
            "user_slots": host.user_slots,
            "address_spaces": host.address_spaces,
            "hva_end": host.hva_end,
            "gpa_end": host.gpa_end,
        },
        "not_compared": not_compared,
    }


def difference_to_json(found: Difference) -> dict[str, object]:
    """Return a difference as a JSON object."""
    ours, _, theirs = found.what.partition(" | ")
    return {
        "ours": ours,
        "kernel": theirs,
        "manual_protect": found.setup.protect,
        "operations": [str(operation) for operation in found.operations],
        "script": script(found),
    }


# --- Text ---------------------------------------------------------------------------------------------


def render(result: Conformance, seed: str) -> str:
    """Return the result as text."""
    probed = result.probed
    lines = [
        _headline(probed, result.operations, result.accesses, len(result.differences)),
        f"  {result.random:,} of them random, seed {seed}; {result.dirty_logs:,} dirty logs; "
        f"{result.seconds:.1f} s" + (f"; ended early: {result.ended}" if result.ended else ""),
        _scenarios(result),
        "  answers: "
        + ", ".join(f"{count:,} {_errno(n)}" for n, count in result.errnos.most_common()),
    ]
    for number, found in enumerate(result.differences, 1):
        lines += ["", f"difference {number}:", *_table(found)]
        lines += ["", "as a script:", "", script(found).rstrip()]
    return "\n".join([*lines, *_not_compared(result.not_compared())])


def _scenarios(result: Conformance) -> str:
    tried = [o for o in result.scenarios if not o.skipped]
    differ = [o.name for o in tried if o.difference is not None]
    text = f"  {len(tried)} scenarios of the kernel's self-tests: "
    return text + (f"different in {', '.join(differ)}" if differ else "all agree")


def _headline(probed: Probed, operations: int, accesses: int, differences: int) -> str:
    word = "no difference" if not differences else f"{differences} differences"
    if differences == 1:
        word = "1 difference"
    return (
        f"{word} in {operations:,} requests and {accesses:,} accesses of a guest\n"
        f"  Linux {probed.kernel}, KVM: {probed.flavour}"
    )


def _table(found: Difference) -> list[str]:
    ours, _, theirs = found.what.partition(" | ")
    rows = [f"  {number}  {operation}" for number, operation in enumerate(found.operations, 1)]
    if found.setup.protect:
        rows.insert(0, f"  -  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 = {found.setup.protect}")
    return [*rows, f"     ours:   {ours}", f"     kernel: {theirs}"]


def _not_compared(reasons: list[str]) -> list[str]:
    return ["", "not compared:", *(f"  - {one_line(reason)}" for reason in reasons)]


def _errno(number: int) -> str:
    return errno.errorcode.get(number, str(number)) if number else "success"


# --- Replay -------------------------------------------------------------------------------------------


def _print_replay(result: Replayed, as_json: bool) -> int:
    """Print what came of a log; return the exit code."""
    found = result.disagreements
    if as_json:
        data = _common(result.probed, result.operations, result.accesses, result.not_compared())
        data["differences"] = [{"line": at, **difference_to_json(d)} for at, d in found]
        data["log"] = result.log.name
        print(json_text(data))
        return (Verdict.VIOLATION if found else Verdict.HOLDS).exit_code
    lines = [_headline(result.probed, result.operations, result.accesses, len(found))]
    lines.append(f"  {one_line(result.log.name)}: {one_line(result.log.source or 'a log')}")
    for at, difference in found:
        ours, _, theirs = difference.what.partition(" | ")
        lines += [
            "",
            f"line {at}: {difference.operations[-1]}",
            f"     ours:   {ours}",
            f"     kernel: {theirs}",
        ]
    print("\n".join([*lines, *_not_compared(result.not_compared())]))
    return (Verdict.VIOLATION if found else Verdict.HOLDS).exit_code
