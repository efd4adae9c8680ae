# SPDX-License-Identifier: Apache-2.0
"""``quiesce compare``: the same scenario with each value of a parameter, side by side."""

from __future__ import annotations

import argparse

from quiesce.commands.check import run_check
from quiesce.commands.options import search_bounds
from quiesce.compiler.program import compile_scenario
from quiesce.errors import UsageError
from quiesce.explorer.differ import first_difference
from quiesce.explorer.expected import exit_code, question, shown_findings
from quiesce.explorer.findings import CheckResult
from quiesce.explorer.replay import make_token
from quiesce.harmless import json_text
from quiesce.loading import build, load_class, split_target, values_of
from quiesce.report.check_json import SCHEMA, check_to_json
from quiesce.report.compare_text import Pair, Variant, render_comparison
from quiesce.stopping import noted
from quiesce.token_file import origin_of

SEVERITY = (0, 3, 1)
"""The exit codes of one variant, the worst last."""


def compare_command(args: argparse.Namespace) -> int:
    """Check the scenario that ``args.target`` names with each value of ``args.over``."""
    bounds = search_bounds(args)
    if args.checkpoint:
        raise UsageError("--checkpoint: one file cannot continue several searches", "leave it out")
    scenario = load_class(args.target)
    over, values = values_of(scenario, args.over)
    if any(setting.partition("=")[0] == over for setting in args.set):
        raise UsageError(
            f"--set {over}: --over gives the values of {over}", "leave out one of them"
        )
    programs = []
    for value in values:
        built = build(scenario, [*args.set, f"{over}={value}"])
        program = compile_scenario(built, fuse=not args.no_fusion)
        programs.append(
            (value, program, question(built, program, args.expect, args.only, args.ignore))
        )
    with noted():
        variants = []
        for value, program, asked in programs:
            result = run_check(program, args, bounds, True, args.quiet or args.json)
            variants.append(Variant(value, asked.judge(result)))
        pairs = _pairs(variants)
        if args.json:
            print(json_text(_to_json(args, scenario.__name__, over, variants, pairs)))
        else:
            title = f"{args.target} over {over}"
            print(render_comparison(title, over, variants, pairs), end="")
    return max((exit_code(v.result) for v in variants), key=SEVERITY.index)


def _pairs(variants: list[Variant]) -> list[Pair]:
    """Compare the first variant that has a counterexample with each other one."""
    for first in variants:
        shown = [f for f in shown_findings(first.result) if f.path]
        if shown:
            return [
                Pair(
                    first, second, shown[0].property,
                    first_difference(first.result, shown[0], second.result),
                )
                for second in variants
                if second is not first
            ]  # fmt: skip
    return []


def _to_json(
    args: argparse.Namespace, scenario: str, over: str, variants: list[Variant], pairs: list[Pair]
) -> dict[str, object]:
    file = split_target(args.target)[0]

    def checked(variant: Variant) -> dict[str, object]:
        result: CheckResult = variant.result
        origin = origin_of(file, scenario, [*args.set, f"{over}={variant.value}"])
        shown = shown_findings(result)
        token = (
            make_token(origin, result.program_of(shown[0]), shown[0], args.fairness)
            if shown
            else None
        )
        return {"value": variant.value, **check_to_json(result, scenario, None, token)}

    return {
        "schema": SCHEMA,
        "scenario": scenario,
        "over": over,
        "variants": [checked(v) for v in variants],
        "differences": [
            {
                "first": pair.first.value,
                "second": pair.second.value,
                "property": pair.property,
                "same_lines": pair.difference.same,
                "first_line": pair.difference.ours or None,
                "second_line": pair.difference.theirs or None,
                "end": pair.difference.end or None,
            }
            for pair in pairs
        ],
    }
