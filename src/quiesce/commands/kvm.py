# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm check``: the designs, one or all."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

from quiesce.commands.kvm_options import chosen_designs, design_scenario, scenario_settings
from quiesce.commands.lockdep import lockdep_of, print_report
from quiesce.commands.options import native_options, search_options, write_file
from quiesce.compiler.program import compile_scenario
from quiesce.explorer import CheckResult, check
from quiesce.explorer.findings import Finding
from quiesce.explorer.replay import make_token
from quiesce.lockdep import Report
from quiesce.report.check_json import check_to_json, other_counterexamples
from quiesce.report.check_text import render_check
from quiesce.report.progress import ProgressLine
from quiesce.report.table import render_table
from quiesce.verdict import worst

SMALL = 120_000
"""States up to which the reference explorer answers: the default scenario of every design."""


LOCKDEP_OPERATIONS = "copy_on_write,zap"


@dataclass(slots=True)
class DesignResult:
    """What came out for one design.

    :param lockdep: lockdep's report, or None.
    """

    design: str
    settings: tuple[str, ...]
    result: CheckResult
    lockdep: Report | None

    @property
    def token(self) -> str | None:
        """The replay token of the finding that is shown."""
        return self.token_of(self.result.finding) if self.result.finding else None

    def token_of(self, finding: Finding) -> str | None:
        """Return the replay token of *finding*, if it has a path."""
        if not finding.path:
            return None
        settings = (f"design={self.design}", *self.settings)
        return make_token("kvm", settings, self.result.program, finding)

    def to_json(self) -> dict[str, object]:
        """Return the result as JSON, lockdep's report included."""
        data = check_to_json(self.result, "MemslotUpdates", self.design, self.token)
        data["lockdep"] = self.lockdep.to_dict() if self.lockdep is not None else None
        return data

    def to_page(self) -> dict[str, object]:
        """Return the result as the HTML page needs it: with every counterexample."""
        others = other_counterexamples(self.result, self.token_of)
        return {**self.to_json(), "other_counterexamples": others}


def kvm_check_command(args: argparse.Namespace) -> int:
    """Check the designs that ``args.design`` names; return the exit code."""
    designs, settings = chosen_designs(args), scenario_settings(args)
    for design in designs:
        design_scenario(design, settings)
    if args.lockdep:
        return _lockdep_alone(designs, settings)
    results = [check_design(design, settings, args) for design in designs]
    if args.json:
        data = [r.to_json() for r in results]
        print(json.dumps(data[0] if len(data) == 1 else {"schema": 1, "designs": data}))
    elif len(results) == 1:
        again = f"quiesce replay {results[0].token}" if results[0].token else None
        print(render_check(results[0].result, f"kvm, design {results[0].design}", again), end="")
    else:
        rows = [(r.design, r.result, r.lockdep) for r in results]
        print(render_table(rows), end="")
    if args.html:
        from quiesce.report.html import render_html

        write_file(args.html, render_html([r.to_page() for r in results]))
    return worst(r.result.verdict for r in results).exit_code


def check_design(design: str, settings: tuple[str, ...], args: argparse.Namespace) -> DesignResult:
    """Check one design with progress shown, and let lockdep look at what was explored."""
    program = compile_scenario(design_scenario(design, settings), fuse=not args.no_fusion)
    progress = ProgressLine(f"checking {design}", args.quiet or args.json)
    options = search_options(args, progress, keep_going=not args.first)
    try:
        result = check(program, options, native_options(args, SMALL))
    finally:
        progress.clear()
    return DesignResult(design, settings, result, design_lockdep(design, settings))


def design_lockdep(design: str, settings: tuple[str, ...]) -> Report | None:
    """Return lockdep's report of a design, or None.

    lockdep needs no interleaving: it is enough that each order of locks occurs once. So here the
    notifiers do more than in the exploration, unless *settings* say what they do.
    """
    if not any(s.startswith("operations=") for s in settings):
        settings = (*settings, f"operations={LOCKDEP_OPERATIONS}")
    program = compile_scenario(design_scenario(design, settings))
    return lockdep_of(program)


def _lockdep_alone(designs: tuple[str, ...], settings: tuple[str, ...]) -> int:
    """Print lockdep's report of each design and nothing else; exit code 1 if there is one."""
    return max(print_report(design_lockdep(design, settings)) for design in designs)
