# SPDX-License-Identifier: Apache-2.0
"""``quiesce check``."""

from __future__ import annotations

import argparse

from quiesce.commands.lockdep import lockdep_of, print_graph, print_reports
from quiesce.commands.options import native_options, search_bounds, search_options
from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import Bounds, CheckResult, check
from quiesce.explorer.expected import exit_code, question, shown_findings
from quiesce.explorer.findings import Finding
from quiesce.explorer.replay import Origin, make_token
from quiesce.harmless import json_text
from quiesce.loading import load_scenario, split_target
from quiesce.lockdep import Report
from quiesce.outputs import require_writable, write_file
from quiesce.report.check_json import (
    check_to_json,
    other_counterexamples,
    sources_with_never_executed,
)
from quiesce.report.check_text import render_check
from quiesce.report.progress import ProgressLine
from quiesce.report.show_steps import render_steps
from quiesce.stopping import noted
from quiesce.token_file import origin_of


def check_command(args: argparse.Namespace) -> int:
    """Check the scenario that ``args.target`` names; return the exit code."""
    bounds = search_bounds(args)
    scenario = load_scenario(args.target, args.set)
    program = compile_scenario(scenario, fuse=not args.no_fusion)
    if args.show_steps:
        print(render_steps(program), end="")
        return 0
    if args.lockdep:
        return print_reports([lockdep_of(program, bounds)])
    if args.lock_graph:
        return print_graph(program, args.lock_graph, bounds)
    if args.html is not None:
        require_writable("--html", args.html, [args.checkpoint])
    asked = question(scenario, program, args.expect, args.only, args.ignore)
    name = type(scenario).__name__
    origin = origin_of(split_target(args.target)[0], name, args.set)
    # From here on Ctrl-C leaves something to tell: what was found so far.
    with noted():
        result = asked.judge(run_check(program, args, bounds, args.all or asked.whole_space))
        lockdep = lockdep_of(program, bounds)
        result.notes += lockdep.notes
        _tell(args, origin, name, result, lockdep.report)
    return exit_code(result)


def _tell(
    args: argparse.Namespace, origin: Origin, name: str, result: CheckResult, report: Report | None
) -> None:
    """Print the result, and write the page if it is asked for."""

    def token_of(finding: Finding) -> str | None:
        return make_token(origin, result.program_of(finding), finding, args.fairness)

    def again(finding: Finding) -> str | None:
        token = token_of(finding)
        return f"quiesce replay {token}" if token else None

    shown = shown_findings(result)
    data = check_to_json(result, name, None, token_of(shown[0]) if shown else None)
    data["lockdep"] = report.to_dict() if report is not None else None
    if args.all:
        data["other_counterexamples"] = other_counterexamples(result, token_of)
    if args.json:
        print(json_text(data))
    else:
        print(render_check(result, args.target, again, every=args.all), end="")
    if args.html is not None:
        from quiesce.report.html import render_html

        data["other_counterexamples"] = other_counterexamples(result, token_of)
        data["sources"] = sources_with_never_executed(result)
        write_file(args.html, render_html([data]))


def run_check(
    program: Program, args: argparse.Namespace, bounds: Bounds, keep_going: bool
) -> CheckResult:
    """Check *program* with progress shown, as *args* ask."""
    progress = ProgressLine(args.target, args.quiet or args.json)
    options = search_options(args, bounds, progress, keep_going)
    try:
        return check(program, options, native_options(args))
    finally:
        progress.clear()
