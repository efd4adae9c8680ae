# SPDX-License-Identifier: Apache-2.0
"""``quiesce check`` and ``quiesce replay``."""

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
from quiesce.errors import UsageError
from quiesce.explorer import Bounds, CheckResult, check
from quiesce.explorer.findings import Finding
from quiesce.explorer.replay import make_token, read_token, require_same_source
from quiesce.explorer.trace import StalePath, follow
from quiesce.loading import load_scenario
from quiesce.protocol import Scenario
from quiesce.report.check_json import check_to_json, other_counterexamples, trace_to_json
from quiesce.report.check_text import render_check
from quiesce.report.interleaving import render_interleaving
from quiesce.report.progress import ProgressLine
from quiesce.report.show_steps import render_steps


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
    result = run_check(program, args, bounds)

    def token_of(finding: Finding) -> str | None:
        return replay_token(args.target, tuple(args.set), program, finding)

    token = token_of(result.finding) if result.finding else None
    name = type(scenario).__name__
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


def replay_token(
    target: str, settings: tuple[str, ...], program: Program, finding: Finding
) -> str | None:
    """Return the token that repeats *finding*, if it has a path."""
    if not finding.path:
        return None
    return make_token(target, settings, program, finding)


def replay_command(args: argparse.Namespace) -> int:
    """Walk the counterexample of a token again; exit code 1, as when it was found."""
    token = read_token(args.token)
    program = compile_scenario(_scenario(token.target, token.settings), fuse=token.fuse)
    require_same_source(token, program)
    try:
        trace = follow(program, token.finding)
    except StalePath as error:
        raise UsageError(f"this token does not fit {token.target}: {error}") from error
    if args.json:
        print(json.dumps({"schema": 1, "counterexample": trace_to_json(trace)}))
    else:
        print(f"{token.finding.kind}: {token.finding.message}\n")
        print(render_interleaving(trace), end="")
    return 1


def _scenario(target: str, settings: tuple[str, ...]) -> Scenario:
    if target == "kvm":
        from quiesce.kvm.scenarios import MemslotUpdates
        from quiesce.loading import build

        return build(MemslotUpdates, settings)
    return load_scenario(target, settings)
