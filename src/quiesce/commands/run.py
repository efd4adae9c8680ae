# SPDX-License-Identifier: Apache-2.0
"""``quiesce run``: the same source on real threads."""

from __future__ import annotations

import argparse

from quiesce.commands.formats import outputs_of
from quiesce.loading import load_scenario
from quiesce.lockdep.threads import ThreadLockdep
from quiesce.protocol import Scenario
from quiesce.report.run_sections import run_document
from quiesce.threads import run
from quiesce.verdict import Verdict


def run_command(args: argparse.Namespace) -> int:
    """Run the scenario that ``args.target`` names on real threads."""
    return _run(load_scenario(args.target, args.set), args)


def _run(scenario: Scenario, args: argparse.Namespace) -> int:
    outputs = outputs_of(args)
    lockdep = ThreadLockdep(getattr(scenario, "comm", ""))
    result = run(scenario, args.seconds, args.seed, listener=lockdep)
    outputs.write(run_document(result, lockdep.report, quiet=args.quiet))
    return Verdict(result.verdict).exit_code
