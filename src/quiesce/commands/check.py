# SPDX-License-Identifier: Apache-2.0
"""``quiesce check``."""

from __future__ import annotations

import argparse
from typing import Any

from quiesce.commands.formats import outputs_of
from quiesce.commands.lockdep import lockdep_of, print_graph, print_reports
from quiesce.commands.options import native_options, search_bounds, search_options
from quiesce.commands.sweep import Job, options_of, refuse_executor, row, sweep_command, varied
from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import Bounds, CheckResult, check
from quiesce.explorer.expected import exit_code, question, shown_findings
from quiesce.explorer.findings import Finding
from quiesce.explorer.replay import make_token
from quiesce.loading import build, load_class, split_target
from quiesce.report.check_document import CheckReport, check_document
from quiesce.report.check_json import check_to_json
from quiesce.report.progress import ProgressLine
from quiesce.report.show_steps import render_steps
from quiesce.stopping import noted
from quiesce.token_file import origin_of


def check_command(args: argparse.Namespace) -> int:
    """Check the scenario that ``args.target`` names; return the exit code."""
    scenario_class = load_class(args.target)
    runs = varied(scenario_class, args.set)
    if len(runs) > 1:
        for run in runs:
            build(scenario_class, run)
        options = options_of(args)
        return sweep_command(
            args, args.target, run_one, [Job(args.target, "", run, options) for run in runs]
        )
    refuse_executor(args)
    bounds = search_bounds(args)
    scenario = build(scenario_class, args.set)
    program = compile_scenario(scenario, fuse=not args.no_fusion)
    if args.show_steps:
        print(render_steps(program), end="")
        return 0
    if args.lockdep:
        return print_reports([lockdep_of(program, bounds)])
    if args.lock_graph:
        return print_graph(program, args.lock_graph, bounds)
    outputs = outputs_of(args, [args.checkpoint])
    asked = question(scenario, program, args.expect, args.only, args.ignore)
    name = type(scenario).__name__
    origin = origin_of(split_target(args.target)[0], name, args.set)
    # From here on Ctrl-C leaves something to tell: what was found so far.
    with noted():
        quiet = args.quiet or outputs.for_programs
        result = asked.judge(run_check(program, args, bounds, args.all or asked.whole_space, quiet))
        lockdep = lockdep_of(program, bounds)
        result.notes += lockdep.notes

        def token_of(finding: Finding) -> str | None:
            return make_token(origin, result.program_of(finding), finding, args.fairness)

        checked = CheckReport(
            result, args.target, name, None, token_of, lockdep.report, args.all, lockdep.open
        )
        outputs.write(check_document([checked], checked.sections))
    return exit_code(result)


def run_one(
    target: str, _design: str, settings: tuple[str, ...], options: dict[str, Any]
) -> dict[str, Any]:
    """Check the scenario *target* with *settings*, perhaps in another process; return the row of a sweep."""
    args = argparse.Namespace(**options, target=target)
    bounds = search_bounds(args)
    scenario = build(load_class(target), settings)
    program = compile_scenario(scenario, fuse=not args.no_fusion)
    asked = question(scenario, program, args.expect, args.only, args.ignore)
    quiet, whole = args.quiet or args.json, args.all or asked.whole_space
    result = asked.judge(run_check(program, args, bounds, whole, quiet))
    name = type(scenario).__name__
    origin = origin_of(split_target(target)[0], name, list(settings))
    tokens = [
        make_token(origin, result.program_of(finding), finding, args.fairness)
        for finding in shown_findings(result)[:1]
    ]
    data = check_to_json(result, name, None, tokens[0] if tokens else None)
    return row(settings, "", exit_code(result), data)


def run_check(
    program: Program, args: argparse.Namespace, bounds: Bounds, keep_going: bool, quiet: bool
) -> CheckResult:
    """Check *program* as *args* ask.

    :param quiet: show no progress.
    """
    progress = ProgressLine(args.target, quiet)
    options = search_options(args, bounds, progress, keep_going)
    try:
        return check(program, options, native_options(args))
    finally:
        progress.clear()
