# SPDX-License-Identifier: Apache-2.0
"""What lockdep adds to a check: its report, the same in the kernel's format, and the graph of classes."""

from __future__ import annotations

from quiesce.compiler.program import Program
from quiesce.lockdep import Report, Validator
from quiesce.lockdep.explored import ExploredLockdep
from quiesce.lockdep.graph_text import as_dot, as_mermaid, as_text
from quiesce.verdict import Verdict

STATES = 5_000
"""How many states lockdep looks at with all threads running, after each has run alone."""

GRAPHS = {"text": as_text, "dot": as_dot, "mermaid": as_mermaid}


def lockdep_of(program: Program) -> Report | None:
    """Return lockdep's report on *program*, or None. No deadlock has to happen for one."""
    return ExploredLockdep(program, Validator()).run(STATES)


def print_report(report: Report | None) -> int:
    """Print *report* in the kernel's format, alone; return the exit code: 1 if there is one."""
    if report is None:
        return Verdict.HOLDS.exit_code
    print(report.text())
    return Verdict.VIOLATION.exit_code


def print_graph(program: Program, style: str) -> int:
    """Print which lock classes were taken under which, as *style* of :data:`GRAPHS`."""
    validator = Validator()
    ExploredLockdep(program, validator).run(STATES)
    print(GRAPHS[style](validator).rstrip("\n"))
    return Verdict.HOLDS.exit_code


def report_note(report: Report) -> str:
    """Say in a line that lockdep has something to say, and how to see it."""
    return f"lockdep: {report.title.removeprefix('WARNING: ')} (--lockdep prints the report)"
