# SPDX-License-Identifier: Apache-2.0
"""A check's result for pipelines: what was found with its places, and a case for each property."""

from __future__ import annotations

import hashlib
import re

from quiesce.errors import Loc
from quiesce.explorer.expected import as_expected, unexpected
from quiesce.explorer.findings import CheckResult, Finding, PropertyResult
from quiesce.explorer.reference.spinning import find_spinning
from quiesce.explorer.reference.trace import Trace, follow
from quiesce.harmless import one_line
from quiesce.properties import About
from quiesce.report.check_sections import finding_sections
from quiesce.report.document import (
    AnsweredCase,
    BrokenRule,
    FilePlace,
    Moment,
    Problem,
    Severity,
    Suite,
    rule_id,
)
from quiesce.report.formats.text import text_of
from quiesce.verdict import Verdict

NOT_DECIDED = BrokenRule(
    "not-decided", "a property is not decided: a part of the space was not searched"
)
NEVER_EXECUTED = BrokenRule(
    "never-executed", "no reachable state executes a statement, a branch or the end of a thread"
)
AS_EXPECTED = BrokenRule("not-as-expected", "a violation that was expected is not found")


def outcome(result: CheckResult) -> Verdict:
    """Return the verdict that the exit code tells: of the check, or of what was expected of it."""
    if result.expected is None:
        return result.verdict
    came_out = as_expected(result)
    if came_out is None:
        return Verdict.INCOMPLETE
    return Verdict.HOLDS if came_out else Verdict.VIOLATION


def check_problems(result: CheckResult, subject: str) -> tuple[Problem, ...]:
    """Return what was found, what is not decided and what never executed.

    A violation that decides nothing, or that was expected, is a note.

    :param subject: the scenario or the design.
    """
    problems = [
        _found(result, p, p.finding, subject) for p in result.properties if p.finding is not None
    ]
    surprising = {p.name for p in unexpected(result)}
    for p in result.properties:
        if p.name in surprising and p.finding is None:
            text = f"`{p.name}` holds, and was expected to be violated"
            problems.append(Problem(AS_EXPECTED, Severity.ERROR, text, subject))
    still_open = [
        p.name for p in result.properties if p.verdict is Verdict.INCOMPLETE and not p.informational
    ]
    if still_open:
        text = f"{', '.join(still_open)}: not decided, {result.incomplete}"
        problems.append(Problem(NOT_DECIDED, Severity.WARNING, text, subject, decided=False))
    for one in result.never_executed or ():
        text = f"never executed: {one.text}"
        problems.append(Problem(NEVER_EXECUTED, Severity.NOTE, text, subject, _place(one.loc)))
    return tuple(problems)


def _found(result: CheckResult, p: PropertyResult, finding: Finding, subject: str) -> Problem:
    level = Severity.ERROR
    if p.informational or _is_expected(result, p):
        level = Severity.NOTE
    rule = BrokenRule(rule_id(finding.kind), finding.kind.meaning)
    place, run = _declared(result, finding), tuple[Moment, ...]()
    if finding.kind.has_run:
        trace = follow(result.program_of(finding), finding)
        place = _where(result, trace)
        run = tuple(
            Moment(trace.program.threads[step.thread].name, _place(action.loc, action.text))
            for step in trace.steps
            for action in step.actions
        )
    message = f"{finding.kind}: {finding.message}"
    if p.informational:
        message += " (for information)"
    return Problem(
        rule, level, message, subject, place, run, _fingerprint(subject, p.name, finding)
    )


def _fingerprint(subject: str, name: str, finding: Finding) -> str:
    """Return what stays the same when lines move: a message names places, their numbers left out."""
    message = re.sub(r":[0-9]+\b", "", finding.message)
    text = "\n".join((subject, name, finding.kind, message))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _is_expected(result: CheckResult, p: PropertyResult) -> bool:
    return (result.expected or {}).get(p.name) is Verdict.VIOLATION


def _where(result: CheckResult, trace: Trace) -> FilePlace | None:
    """Return the line that a reader should see first: where a thread waits or spins, or the last step."""
    if trace.finding.places:
        return _place(trace.finding.places[0])
    if trace.finding.kind.about is About.WAITING:
        about = trace.finding.thread
        waiting = [w for w in trace.waiting if about in (-1, w.thread)]
        if waiting:
            return _place(waiting[0].loc)
        spinning = [s for s in find_spinning(trace) if about in (-1, s.thread)]
        if spinning:
            return _place(spinning[0].loc)
    for step in reversed(trace.steps):
        if step.actions:
            return _place(step.actions[-1].loc)
    return _declared(result, trace.finding)


def _declared(result: CheckResult, finding: Finding) -> FilePlace | None:
    """Return where the property that *finding* breaks is declared; None for a built-in one."""
    for prop in result.program.properties:
        if prop.name == finding.property:
            code = getattr(prop.spec.method, "__code__", None)
            return FilePlace(code.co_filename, code.co_firstlineno) if code is not None else None
    return None


def _place(loc: Loc, text: str = "") -> FilePlace:
    return FilePlace(loc.file, loc.line, loc.column + 1, one_line(text))


def check_suite(result: CheckResult, name: str) -> Suite:
    """Return a case for each property of *result*."""
    return Suite(name, tuple(_case(result, p) for p in result.properties), result.seconds)


def _case(result: CheckResult, p: PropertyResult) -> AnsweredCase:
    if _is_expected(result, p) and p.verdict is not Verdict.INCOMPLETE:
        if p.verdict is Verdict.VIOLATION:
            return AnsweredCase(p.name, Verdict.HOLDS)
        return AnsweredCase(p.name, Verdict.VIOLATION, "expected to be violated, and it holds")
    if p.finding is not None:
        details = text_of(finding_sections(result.program_of(p.finding), p.finding))
        message = f"{p.finding.kind}: {p.finding.message}"
        return AnsweredCase(p.name, p.verdict, message, details, p.informational)
    message = f"not decided: {result.incomplete}" if p.verdict is Verdict.INCOMPLETE else ""
    return AnsweredCase(p.name, p.verdict, message, "", p.informational)
