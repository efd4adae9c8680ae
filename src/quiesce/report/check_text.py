# SPDX-License-Identifier: Apache-2.0
"""A check's result for the terminal: the verdict, the counterexample as a story, what to do next."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from quiesce.compiler.program import Program
from quiesce.explorer.expected import as_expected, shown_findings
from quiesce.explorer.findings import CheckResult, Finding, PropertyResult
from quiesce.explorer.reference.spinning import find_spinning
from quiesce.explorer.reference.trace import Trace, follow
from quiesce.harmless import harmless, one_line
from quiesce.properties import About
from quiesce.report.interleaving import render_interleaving, waits_behind
from quiesce.verdict import Verdict

FAIRNESS_TEXT = {
    "strong": "weak fairness for every thread, strong fairness for queued locks",
    "weak": "weak fairness for every thread",
    "none": "no fairness at all",
}


def render_check(
    result: CheckResult,
    title: str,
    replay: Callable[[Finding], str | None] | None,
    every: bool = False,
) -> str:
    """Return the result as text of at most 80 columns.

    :param title: what was checked.
    :param replay: gives the command that repeats a counterexample, or None for one that cannot be.
    :param every: show a counterexample of each property that is violated, not of one.
    """
    lines = [f"{headline(result)}  {one_line(title)}", f"  {summary(result)}"]
    if result.incomplete:
        proof = "not a proof" if result.verdict is not Verdict.VIOLATION else "not decided"
        lines += _filled(f"{proof}: {result.incomplete}", "  ")
    lines += [f"  note: {one_line(note)}" for note in result.notes]
    lines += ["", *_properties(result), *_never_executed(result), ""]
    for finding in shown_findings(result) if every else shown_findings(result)[:1]:
        lines.append(render_finding(result.program_of(finding), finding))
        again = replay(finding) if replay is not None else None
        if again and finding.kind.has_run:
            lines += [f"again:  {again}", ""]
    return "\n".join(lines).rstrip() + "\n"


def headline(result: CheckResult) -> str:
    """Return the verdict in a word, and whether it was expected."""
    came_out = as_expected(result)
    if came_out is None:
        return result.verdict.name
    return f"{result.verdict.name}, {'as' if came_out else 'not as'} expected"


def summary(result: CheckResult) -> str:
    """Return the size of the search in one line."""
    coverage = "the whole space" if result.complete else "a part of the space"
    return (
        f"{result.states:,} states, {result.transitions:,} steps, depth {result.depth}, "
        f"{coverage}, {result.seconds:.2f} s"
    )


_MARKS = {
    Verdict.HOLDS: "holds",
    Verdict.VIOLATION: "VIOLATED",
    Verdict.INCOMPLETE: "not decided",
    Verdict.ERROR: "error",
}


def _properties(result: CheckResult) -> list[str]:
    width = max(len(p.name) for p in result.properties)
    lines = []
    for p in result.properties:
        kind = p.finding.kind if p.finding else p.kind.word
        note = "   (for information)" if p.informational else _expected_note(result, p)
        lines.append(f"  {one_line(p.name):{width}}  {_MARKS[p.verdict]:11}  {kind}{note}")
    lines.append(f"  fairness assumed: {FAIRNESS_TEXT[result.fairness]}")
    return lines


def _expected_note(result: CheckResult, p: PropertyResult) -> str:
    """Say whether a violation was expected of *p*."""
    wanted = (result.expected or {}).get(p.name)
    if wanted is Verdict.VIOLATION:
        return "   (expected)" if p.verdict is wanted else "   (expected: violated)"
    return "   (not expected)" if wanted and p.verdict is Verdict.VIOLATION else ""


MOST_NEVER_EXECUTED = 12
"""Lines about what never executed that the text shows; JSON and HTML have all."""


def _never_executed(result: CheckResult) -> list[str]:
    """Return what no reachable state executes: a proof of nothing looks like a proof."""
    missing = result.never_executed
    if not missing:
        return []
    lines = ["", "  never executed:"]
    for one in missing[:MOST_NEVER_EXECUTED]:
        lines += _filled(f"{one.loc.short}: {one.text}", "    ")
    if len(missing) > MOST_NEVER_EXECUTED:
        lines.append(f"    and {len(missing) - MOST_NEVER_EXECUTED} more (--json has all)")
    return lines


def _filled(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        one_line(text),
        79,
        initial_indent=indent,
        subsequent_indent=f"{indent}    ",
        break_on_hyphens=False,
    )


def render_finding(program: Program, finding: Finding) -> str:
    """Return one finding as a story: what it is, the interleaving, what waits for what, what changed."""
    lines = textwrap.wrap(
        harmless(f"{finding.kind}: {finding.message}"),
        78,
        break_long_words=False,
        break_on_hyphens=False,
    )
    if not finding.kind.has_run:
        return "\n".join([*lines, ""])
    trace = follow(program, finding)
    lines += ["", render_interleaving(trace).rstrip("\n"), ""]
    lines += _who_waits(trace)
    lines += _last_changes(trace)
    return "\n".join(lines) + "\n"


def _who_waits(trace: Trace) -> list[str]:
    if trace.finding.kind.about is not About.WAITING:
        return []
    program = trace.program
    lines = _who_spins(trace)
    # A daemon may wait for ever; one that another thread waits for is a part of the story.
    in_the_way = {
        holder
        for waiting in trace.waiting
        if not program.threads[waiting.thread].daemon
        for holder in waiting.holders
    }
    for waiting in trace.waiting:
        name = program.threads[waiting.thread].name
        what = waiting.lock or waiting.shown
        is_aside = program.threads[waiting.thread].daemon and waiting.thread not in in_the_way
        if is_aside or waiting.thread in trace.finding.spinning:
            continue
        queued = waits_behind(trace, waiting)
        behind = f", behind {' and '.join(queued)}" if queued else ""
        lines += _filled(f"{name} waits for {what} at {waiting.loc.short}{behind}", "  ")
        if waiting.own is not None:
            lines.append(f"    held by {one_line(name)} itself since {waiting.own.short}")
        for other in waiting.holders:
            for held in trace.held.get(other, []):
                if held.component == waiting.component:
                    how = " as a reader" if held.read else ""
                    holder = one_line(program.threads[other].name)
                    lines.append(f"    held{how} by {holder} since {held.loc.short}")
    return [*lines, ""] if lines else []


def _who_spins(trace: Trace) -> list[str]:
    """Say where each thread spins, on what, and which thread set it so."""
    lines = []
    threads = trace.program.threads
    for spinning in find_spinning(trace):
        where = f"{spinning.loc.short}: `{spinning.text}`"
        lines += _filled(f"{threads[spinning.thread].name} spins at {where}", "  ")
        for watched in spinning.watched:
            text = f"{watched.name} is {watched.value}"
            if watched.loc is not None:
                by = threads[watched.thread].name
                text += f" since step {watched.step}, {by}: {watched.action} at {watched.loc.short}"
            else:
                text += ", which no thread has changed"
            lines += _filled(text, "    ")
    return lines


def _last_changes(trace: Trace) -> list[str]:
    """Return the last few changes of shared variables before an invariant or an assertion failed."""
    if trace.finding.kind.about is not About.VALUES:
        return []
    lines = []
    for number, step in enumerate(trace.steps, 1):
        for change in step.changes:
            name = trace.program.threads[step.thread].name
            lines.append(
                one_line(
                    f"  step {number:2d}  {name}: {change.name} = {change.new} (was {change.old})"
                )
            )
    kept = lines[-6:]
    return ["what changed last", *kept, ""] if kept else []
