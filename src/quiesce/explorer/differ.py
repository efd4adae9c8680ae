# SPDX-License-Identifier: Apache-2.0
"""Where two variants of a protocol part: the first line that differs between two of their runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from quiesce.errors import UsageError
from quiesce.explorer.findings import CheckResult, Finding
from quiesce.explorer.reference.trace import Trace, follow
from quiesce.explorer.replay import moves_of
from quiesce.explorer.walk import walk


@dataclass(frozen=True, slots=True)
class Difference:
    """What two variants do in the same place of a run.

    :param same: how many lines both runs have in common before.
    :param ours: the first line of the one run that differs; empty if the run has ended.
    :param theirs: the same of the other.
    :param end: where the other variant has no run of its own to show, it was led along the one's: how that
        ended. Else empty.
    """

    same: int
    ours: str
    theirs: str
    end: str = ""


def first_difference(ours: CheckResult, finding: Finding, theirs: CheckResult) -> Difference:
    """Compare the run of *finding* with the other variant's.

    If the other variant violates the same property, its own counterexample is compared. Otherwise it takes
    the steps of this run as far as it can: there one sees what prevents the finding.

    :param finding: one of *ours* that has a run.
    """
    mine = follow(ours.program, finding)
    same = [p.finding for p in theirs.properties if p.name == finding.property and p.finding]
    if same and same[0].path:
        return _compare(_lines(mine), _lines(follow(theirs.program, same[0])))
    moves = moves_of(ours.program, finding)
    try:
        walked = walk(theirs.program, finding.path[0], moves)
    except UsageError:
        end = "the run begins in a state that is not there"
        return Difference(0, _lines(mine)[0], end, end)
    run = replace(finding, path=tuple(walked.path))
    other = _lines(follow(theirs.program, run))
    end = walked.blocked or f"the run is the same, and {finding.property} is not violated"
    return replace(_compare(_lines(mine), [*other, end]), end=end)


def _compare(ours: list[str], theirs: list[str]) -> Difference:
    count = 0
    while count < min(len(ours), len(theirs)) and ours[count] == theirs[count]:
        count += 1
    return Difference(
        count,
        ours[count] if count < len(ours) else "",
        theirs[count] if count < len(theirs) else "",
    )


def _lines(trace: Trace) -> list[str]:
    """Return the run as lines of text, one for each action: the thread, what it does, what fails."""
    lines = []
    for step in trace.steps:
        name = trace.program.threads[step.thread].name
        lines += [f"{name}: {action.shown}" for action in step.actions]
        if step.failure is not None:
            lines[-1] += f"   <- {step.failure.message}"
    return lines
