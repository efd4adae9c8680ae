# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm check``: the designs, one or all."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import Any

from quiesce import stopping
from quiesce.commands.formats import outputs_of
from quiesce.commands.kvm_options import chosen_designs, design_scenario, scenario_settings
from quiesce.commands.lockdep import LockdepResult, lockdep_of, print_reports
from quiesce.commands.options import native_options, search_bounds, search_options
from quiesce.commands.sweep import Job, options_of, refuse_executor, row, sweep_command, varied
from quiesce.compiler.program import compile_scenario
from quiesce.explorer import Bounds, CheckResult, check
from quiesce.explorer.findings import Finding
from quiesce.explorer.replay import Origin, make_token
from quiesce.kvm.scenarios import MemslotUpdates
from quiesce.report.check_document import CheckReport, check_document
from quiesce.report.check_json import check_to_json
from quiesce.report.progress import ProgressLine
from quiesce.report.table import design_sections
from quiesce.verdict import worst

SMALL = 120_000
"""States up to which nothing is reduced: the default scenario of all designs but one."""

FIRST = 500
"""States that the reference explorer looks at first: few, since most designs have many."""

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

    @property
    def checked(self) -> CheckReport:
        """The check as the reports need it."""
        title = f"kvm, design {self.design}"
        return CheckReport(
            self.result, title, "MemslotUpdates", self.design, self.token_of, self.lockdep.report,
            lockdep_open=self.lockdep.open,
        )  # fmt: skip


def kvm_check_command(args: argparse.Namespace) -> int:
    """Check the designs that ``args.design`` names; return the exit code."""
    bounds = search_bounds(args)
    designs, settings = chosen_designs(args), scenario_settings(args)
    runs = varied(MemslotUpdates, settings)
    for design in designs:
        for run in runs:
            design_scenario(design, run)
    if len(runs) > 1:
        options = options_of(args)
        jobs = [Job("", design, run, options) for run in runs for design in designs]
        return sweep_command(args, "the designs of KVM", run_one_design, jobs)
    refuse_executor(args)
    if args.lockdep:
        return print_reports(design_lockdep(design, settings, bounds) for design in designs)
    outputs = outputs_of(args, [args.checkpoint])
    # From here on Ctrl-C leaves something to tell: what was found so far.
    with stopping.noted():
        quiet = args.quiet or outputs.for_programs
        results = [check_design(design, settings, args, bounds, quiet) for design in designs]
        checks = [r.checked for r in results]
        rows = [(r.design, r.result, r.lockdep.word) for r in results]
        outputs.write(
            check_document(
                checks,
                checks[0].sections if len(checks) == 1 else lambda: design_sections(rows),
            )
        )
    return worst(r.result.verdict for r in results).exit_code


def check_design(
    design: str, settings: tuple[str, ...], args: argparse.Namespace, bounds: Bounds, quiet: bool
) -> DesignResult:
    """Check one design, and let lockdep look at what was explored.

    :param quiet: show no progress.
    """
    program = compile_scenario(design_scenario(design, settings), fuse=not args.no_fusion)
    progress = ProgressLine(f"checking {design}", quiet)
    options = search_options(args, bounds, progress, keep_going=not args.first)
    try:
        result = check(program, options, replace(native_options(args), small=SMALL, first=FIRST))
    finally:
        progress.clear()
    lockdep = LockdepResult(None, stopping.reason())
    if not stopping.reason():
        lockdep = lockdep_of(program, bounds)
    if lockdep.report is not None:
        # Of notifiers that do more, the report is the one that a kernel prints.
        fuller = design_lockdep(design, settings, bounds)
        lockdep = fuller if fuller.report is not None else lockdep
    if lockdep.cut_short:
        result.notes += lockdep.notes
    return DesignResult(design, settings, result, lockdep)


def run_one_design(
    _target: str, design: str, settings: tuple[str, ...], options: dict[str, Any]
) -> dict[str, Any]:
    """Check *design* with *settings*, perhaps in another process; return the row of a sweep."""
    args = argparse.Namespace(**options)
    bounds = search_bounds(args)
    found = check_design(design, settings, args, bounds, args.quiet or args.json)
    result = found.result
    token = found.token_of(result.finding) if result.finding else None
    data = check_to_json(result, "MemslotUpdates", design, token)
    return row(settings, design, result.verdict.exit_code, data)


def design_lockdep(design: str, settings: tuple[str, ...], bounds: Bounds) -> LockdepResult:
    """Return what lockdep says of a design.

    lockdep needs no interleaving: it is enough that each order of locks occurs once. So here the
    notifiers do more than in the exploration, unless *settings* say what they do.
    """
    if not any(s.startswith("operations=") for s in settings):
        settings = (*settings, f"operations={LOCKDEP_OPERATIONS}")
    program = compile_scenario(design_scenario(design, settings))
    return lockdep_of(program, bounds)
