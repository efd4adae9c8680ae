# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm check``: the designs, one or all."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from quiesce import stopping
from quiesce.commands.kvm_options import chosen_designs, design_scenario, scenario_settings
from quiesce.commands.lockdep import LockdepResult, lockdep_of, print_reports
from quiesce.commands.options import native_options, search_bounds, search_options
from quiesce.compiler.program import compile_scenario
from quiesce.explorer import Bounds, CheckResult, check
from quiesce.explorer.findings import Finding
from quiesce.explorer.replay import Origin, make_token
from quiesce.harmless import json_text
from quiesce.outputs import require_writable, write_file
from quiesce.report.check_json import (
    check_to_json,
    other_counterexamples,
    sources_with_never_executed,
)
from quiesce.report.check_text import render_check
from quiesce.report.progress import ProgressLine
from quiesce.report.table import render_table
from quiesce.verdict import worst

SMALL = 120_000
"""States up to which the reference explorer answers: the default scenario of every design."""


LOCKDEP_OPERATIONS = "copy_on_write,zap"


@dataclass(slots=True)
class DesignResult:
    """What came out for one design."""

    design: str
    settings: tuple[str, ...]
    result: CheckResult
    lockdep: LockdepResult

    @property
    def token(self) -> str | None:
        """The replay token of the finding that is shown."""
        return self.token_of(self.result.finding) if self.result.finding else None

    def token_of(self, finding: Finding) -> str | None:
        """Return the replay token of *finding*, if it has a path."""
        settings = (f"design={self.design}", *self.settings)
        origin = Origin("", 0, "", "MemslotUpdates", settings)
        return make_token(origin, self.result.program_of(finding), finding, self.result.fairness)

    def to_json(self) -> dict[str, object]:
        """Return the result as JSON, lockdep's report included."""
        data = check_to_json(self.result, "MemslotUpdates", self.design, self.token)
        report = self.lockdep.report
        data["lockdep"] = report.to_dict() if report is not None else None
        return data

    def to_page(self) -> dict[str, object]:
        """Return the result as the HTML page needs it: with every counterexample."""
        others = other_counterexamples(self.result, self.token_of)
        sources = sources_with_never_executed(self.result)
        return {**self.to_json(), "other_counterexamples": others, "sources": sources}


def kvm_check_command(args: argparse.Namespace) -> int:
    """Check the designs that ``args.design`` names; return the exit code."""
    bounds = search_bounds(args)
    designs, settings = chosen_designs(args), scenario_settings(args)
    for design in designs:
        design_scenario(design, settings)
    if args.lockdep:
        return print_reports(design_lockdep(design, settings, bounds) for design in designs)
    if args.html is not None:
        require_writable("--html", args.html, [args.checkpoint])
    # From here on Ctrl-C leaves something to tell: what was found so far.
    with stopping.noted():
        results = [check_design(design, settings, args, bounds) for design in designs]
        _print(results, args.json)
        if args.html is not None:
            from quiesce.report.html import render_html

            write_file(args.html, render_html([r.to_page() for r in results]))
    return worst(r.result.verdict for r in results).exit_code


def _print(results: list[DesignResult], as_json: bool) -> None:
    if as_json:
        data = [r.to_json() for r in results]
        print(json_text(data[0] if len(data) == 1 else {"schema": 1, "designs": data}))
    elif len(results) == 1:
        one = results[0]

        def again(finding: Finding) -> str | None:
            token = one.token_of(finding)
            return f"quiesce replay {token}" if token else None

        print(render_check(one.result, f"kvm, design {one.design}", again), end="")
    else:
        rows = [(r.design, r.result, r.lockdep.word) for r in results]
        print(render_table(rows), end="")


def check_design(
    design: str, settings: tuple[str, ...], args: argparse.Namespace, bounds: Bounds
) -> DesignResult:
    """Check one design with progress shown, and let lockdep look at what was explored."""
    program = compile_scenario(design_scenario(design, settings), fuse=not args.no_fusion)
    progress = ProgressLine(f"checking {design}", args.quiet or args.json)
    options = search_options(args, bounds, progress, keep_going=not args.first)
    try:
        result = check(program, options, native_options(args, SMALL))
    finally:
        progress.clear()
    lockdep = (
        LockdepResult(None, stopping.reason())
        if stopping.reason()
        else design_lockdep(design, settings, bounds)
    )
    if lockdep.cut_short:
        result.notes += lockdep.notes
    return DesignResult(design, settings, result, lockdep)


def design_lockdep(design: str, settings: tuple[str, ...], bounds: Bounds) -> LockdepResult:
    """Return what lockdep says of a design.

    lockdep needs no interleaving: it is enough that each order of locks occurs once. So here the
    notifiers do more than in the exploration, unless *settings* say what they do.
    """
    if not any(s.startswith("operations=") for s in settings):
        settings = (*settings, f"operations={LOCKDEP_OPERATIONS}")
    program = compile_scenario(design_scenario(design, settings))
    return lockdep_of(program, bounds)
