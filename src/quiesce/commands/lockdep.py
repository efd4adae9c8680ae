# SPDX-License-Identifier: Apache-2.0
"""What lockdep adds to a check: its report, the same in the kernel's format, and the graph of classes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer.reference.graph import Bounds
from quiesce.explorer.reference.races import RACED
from quiesce.lockdep import Report, Validator
from quiesce.lockdep.explored import ExploredLockdep
from quiesce.lockdep.graph_text import as_dot, as_mermaid, as_text
from quiesce.verdict import Verdict, worst

STATES = 50_000
"""How many states lockdep looks at with all threads running, unless ``--max-states`` asks for more."""

GRAPHS = {"text": as_text, "dot": as_dot, "mermaid": as_mermaid}


@dataclass(frozen=True, slots=True)
class LockdepResult:
    """What lockdep says of a program.

    :param report: its report, or None.
    :param cut_short: why it did not see what it was to see; empty if it did.
    """

    report: Report | None
    cut_short: str = ""

    @property
    def word(self) -> str:
        """What it says, in a word: the kind of its report, ``silent``, or ``?``."""
        if self.report is not None:
            return self.report.kind
        return "?" if self.cut_short else "silent"

    @property
    def verdict(self) -> Verdict:
        """VIOLATION if there is a report; INCOMPLETE if there is none yet."""
        if self.report is not None:
            return Verdict.VIOLATION
        return Verdict.INCOMPLETE if self.cut_short else Verdict.HOLDS

    @property
    def notes(self) -> list[str]:
        """Say in a line that lockdep has something to say, or that it was stopped; else nothing."""
        if self.report is not None:
            title = self.report.title.removeprefix("WARNING: ")
            return [f"lockdep: {title} (--lockdep prints the report)"]
        return [self.stopped] if self.cut_short else []

    @property
    def open(self) -> str:
        """Why its silence means nothing; empty if it does, or if there is a report."""
        return self.cut_short if self.report is None else ""

    @property
    def stopped(self) -> str:
        """Why its silence means nothing."""
        return f"lockdep has not seen everything: {self.cut_short}"


def lockdep_of(program: Program, bounds: Bounds) -> LockdepResult:
    """Return what lockdep says of *program*. No deadlock has to happen for a report.

    :param bounds: for how long it may look.
    """
    return _explored(program, bounds, whole=False)[0]


def _explored(program: Program, bounds: Bounds, *, whole: bool) -> tuple[LockdepResult, Validator]:
    validator = Validator()
    explored = ExploredLockdep(program, validator, whole=whole)
    report = explored.run(replace(bounds, max_states=max(STATES, bounds.max_states or 0)))
    if explored.cut_short == RACED:
        return _explored(compile_scenario(program.scenario, fuse=False), bounds, whole=whole)
    return LockdepResult(report, explored.cut_short), validator


def print_reports(results: Iterable[LockdepResult]) -> int:
    """Print each report in the kernel's format, and nothing else; return the exit code: 1 for any."""
    verdicts = []
    for result in results:
        if result.report is not None:
            print(result.report.text())
        elif result.cut_short:
            print(f"quiesce: {result.stopped}", file=sys.stderr)
        verdicts.append(result.verdict)
    return worst(verdicts).exit_code


def print_graph(program: Program, style: str, bounds: Bounds) -> int:
    """Print which lock classes were taken under which, as *style* of :data:`GRAPHS`."""
    result, validator = _explored(program, bounds, whole=True)
    print(GRAPHS[style](validator).rstrip("\n"))
    if not result.cut_short:
        return Verdict.HOLDS.exit_code
    print(f"quiesce: {result.stopped}", file=sys.stderr)
    return Verdict.INCOMPLETE.exit_code
