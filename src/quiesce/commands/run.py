# SPDX-License-Identifier: Apache-2.0
"""``quiesce run``: the same source on real threads."""

from __future__ import annotations

import argparse

from quiesce.harmless import json_text
from quiesce.loading import load_scenario
from quiesce.lockdep.threads import ThreadLockdep
from quiesce.protocol import Scenario
from quiesce.threads import render, run
from quiesce.verdict import Verdict


def run_command(args: argparse.Namespace) -> int:
    """Run the scenario that ``args.target`` names on real threads."""
    return _run(load_scenario(args.target, args.set), args)


def _run(scenario: Scenario, args: argparse.Namespace) -> int:
    lockdep = ThreadLockdep(getattr(scenario, "comm", ""))
    result = run(scenario, args.seconds, args.seed, listener=lockdep)
    report = lockdep.report
    if args.json:
        data = {"schema": 1, **result.to_dict()}
        data["lockdep"] = report.to_dict() if report is not None else None
        print(json_text(data))
    else:
        print(render(result), end="")
        if report is not None and not args.quiet:
            print(f"\nlockdep: {report.title}\n\n{report.text()}")
    return Verdict(result.verdict).exit_code
