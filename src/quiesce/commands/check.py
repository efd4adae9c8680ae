# SPDX-License-Identifier: Apache-2.0
"""``quiesce check``."""

from __future__ import annotations

import argparse
import json

from quiesce.commands.lockdep import lockdep_of, print_graph, print_reports
from quiesce.commands.options import (
    native_options,
    require_writable,
    search_bounds,
    search_options,
    write_file,
)
from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import Bounds, CheckResult, check
from quiesce.explorer.findings import Finding
from quiesce.explorer.replay import make_token
from quiesce.loading import load_scenario, split_target
from quiesce.report.check_json import check_to_json, other_counterexamples
from quiesce.report.check_text import render_check
from quiesce.report.progress import ProgressLine
from quiesce.report.show_steps import render_steps
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
    if args.html:
        require_writable(args.html)
    name = type(scenario).__name__
    origin = origin_of(split_target(args.target)[0], name, args.set)
    result = run_check(program, args, bounds)

    def token_of(finding: Finding) -> str | None:
        return make_token(origin, program, finding, args.fairness)

    token = token_of(result.finding) if result.finding else None
    lockdep = lockdep_of(program, bounds)
    result.notes += lockdep.notes
    data = check_to_json(result, name, None, token)
    data["lockdep"] = lockdep.report.to_dict() if lockdep.report is not None else None
    if args.json:
        print(json.dumps(data))
    else:
        again = f"quiesce replay {token}" if token else None
        print(render_check(result, f"{args.target}", again), end="")
    if args.html:
        from quiesce.report.html import render_html

        data["other_counterexamples"] = other_counterexamples(result, token_of)
        write_file(args.html, render_html([data]))
    return result.verdict.exit_code


def run_check(program: Program, args: argparse.Namespace, bounds: Bounds) -> CheckResult:
    """Check *program* with progress shown, as *args* ask."""
    progress = ProgressLine(args.target, args.quiet or args.json)
    options = search_options(args, bounds, progress, keep_going=args.all)
    try:
        return check(program, options, native_options(args))
    finally:
        progress.clear()
