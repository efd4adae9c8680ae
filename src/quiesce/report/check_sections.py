# SPDX-License-Identifier: Apache-2.0
"""A check's result for people: the verdict, the counterexample as a story, how to repeat it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from quiesce.compiler.names import instance_names
from quiesce.compiler.program import Program
from quiesce.explorer.expected import as_expected, shown_findings
from quiesce.explorer.findings import CheckResult, Finding, PropertyResult
from quiesce.explorer.reference.spinning import find_spinning
from quiesce.explorer.reference.trace import Trace, follow
from quiesce.harmless import harmless, one_line
from quiesce.properties import About, FindingKind
from quiesce.report.document import (
    TONES,
    Block,
    BlockGroup,
    CodeBlock,
    Headline,
    Paragraph,
    TableBlock,
    Tone,
    Word,
)
from quiesce.report.formats.text import text_of
from quiesce.report.interleaving import interleaving_of, waits_behind
from quiesce.verdict import Verdict

FAIRNESS_TEXT = {
    "strong": "weak fairness for every thread, strong fairness for queued locks",
    "weak": "weak fairness for every thread",
    "none": "no fairness at all",
}


def check_sections(
    result: CheckResult,
    title: str,
    replay: Callable[[Finding], str | None] | None,
    every: bool = False,
) -> list[BlockGroup]:
    """Return the result for people; as text, at most 80 columns.

    :param title: what was checked.
    :param replay: gives the command that repeats a counterexample, or None for one that cannot be.
    :param every: show a counterexample of each property that is violated, not of one.
    """
    head: list[Block] = [
        Headline(Word(headline(result), TONES[result.verdict]), one_line(title)),
        _line(summary(result)),
    ]
    if result.incomplete:
        proof = "not a proof" if result.verdict is not Verdict.VIOLATION else "not decided"
        head.append(_indented(f"{proof}: {result.incomplete}", "  "))
    head += [_line(f"note: {one_line(note)}") for note in result.notes]
    sections = [BlockGroup(tuple(head)), _properties(result), *_never_executed(result)]
    for finding in shown_findings(result) if every else shown_findings(result)[:1]:
        sections += finding_sections(result.program_of(finding), finding)
        again = replay(finding) if replay is not None else None
        if again and finding.kind.has_run:
            # Two empty lines: this is a command and not a part of the story.
            sections.append(BlockGroup((CodeBlock(""), CodeBlock(f"again:  {again}"))))
    return sections


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


def _properties(result: CheckResult) -> BlockGroup:
    rows = []
    for p in result.properties:
        kind = p.finding.kind if p.finding else p.kind.word
        note = "   (for information)" if p.informational else _expected_note(result, p)
        mark = Word(_MARKS[p.verdict], _tone(result, p))
        rows.append((Word(one_line(p.name)), mark, Word(f"{kind}{note}")))
    fairness = _line(f"fairness assumed: {FAIRNESS_TEXT[result.fairness]}")
    return BlockGroup((TableBlock((), tuple(rows), widths=(0, 11), indent="  "), fairness))


def _tone(result: CheckResult, p: PropertyResult) -> Tone:
    """Return how the verdict on *p* sounds; a violation that decides nothing or was expected is plain."""
    expected = (result.expected or {}).get(p.name) is Verdict.VIOLATION
    harmless_violation = p.informational or expected
    if p.verdict is Verdict.VIOLATION and harmless_violation:
        return Tone.PLAIN
    return TONES[p.verdict]


def _expected_note(result: CheckResult, p: PropertyResult) -> str:
    """Say whether a violation was expected of *p*."""
    wanted = (result.expected or {}).get(p.name)
    if wanted is Verdict.VIOLATION:
        return "   (expected)" if p.verdict is wanted else "   (expected: violated)"
    return "   (not expected)" if wanted and p.verdict is Verdict.VIOLATION else ""


MOST_NEVER_EXECUTED = 12
"""Lines about what never executed that the text shows; JSON and HTML have all."""


def _never_executed(result: CheckResult) -> list[BlockGroup]:
    """Return what no reachable state executes: a proof of nothing looks like a proof."""
    missing = result.never_executed
    if not missing:
        return []
    blocks: list[Block] = [_line("never executed:")]
    blocks += [
        _indented(f"{one.loc.short}: {one.text}", "    ") for one in missing[:MOST_NEVER_EXECUTED]
    ]
    if len(missing) > MOST_NEVER_EXECUTED:
        blocks.append(
            CodeBlock(f"and {len(missing) - MOST_NEVER_EXECUTED} more (--json has all)", "    ")
        )
    return [BlockGroup(tuple(blocks))]


def _line(text: str) -> Paragraph:
    return Paragraph(text, "  ", width=0)


def _indented(text: str, indent: str) -> Paragraph:
    return Paragraph(one_line(text), indent, f"{indent}    ")


def finding_sections(program: Program, finding: Finding) -> list[BlockGroup]:
    """Return one finding as a story: what it is, the interleaving, what waits for what, what changed."""
    text = harmless(f"{finding.kind}: {finding.message}")
    sections = [BlockGroup((Paragraph(text, width=78, cut_words=False),))]
    if not finding.kind.has_run:
        return sections
    trace = follow(program, finding)
    sections.append(BlockGroup((interleaving_of(trace),)))
    sections += [
        BlockGroup(tuple(blocks)) for blocks in (_who_waits(trace), _last_changes(trace)) if blocks
    ]
    return sections


def render_finding(program: Program, finding: Finding) -> str:
    """Return one finding as text, with an empty line at its end."""
    return text_of(finding_sections(program, finding)) + "\n" * finding.kind.has_run


def _who_waits(trace: Trace) -> list[Block]:
    if trace.finding.kind.about is not About.WAITING:
        return []
    program = trace.program
    blocks = _who_spins(trace)
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
        blocks.append(_indented(f"{name} waits for {what} at {waiting.loc.short}{behind}", "  "))
        if waiting.own is not None:
            blocks.append(
                CodeBlock(f"held by {one_line(name)} itself since {waiting.own.short}", "    ")
            )
        for other in waiting.holders:
            for held in trace.held.get(other, []):
                if held.component == waiting.component:
                    how = " as a reader" if held.read else ""
                    holder = one_line(program.threads[other].name)
                    blocks.append(
                        CodeBlock(f"held{how} by {holder} since {held.loc.short}", "    ")
                    )
    return blocks


def _who_spins(trace: Trace) -> list[Block]:
    """Say where each thread spins, on what, and which thread set it so."""
    blocks: list[Block] = []
    threads = trace.program.threads
    for spinning in find_spinning(trace):
        where = f"{spinning.loc.short}: `{spinning.text}`"
        blocks.append(_indented(f"{threads[spinning.thread].name} spins at {where}", "  "))
        for watched in spinning.watched:
            text = f"{watched.name} is {watched.value}"
            if watched.loc is not None:
                by = threads[watched.thread].name
                text += f" since step {watched.step}, {by}: {watched.action} at {watched.loc.short}"
            else:
                text += ", which no thread has changed"
            blocks.append(_indented(text, "    "))
    return blocks


def _last_changes(trace: Trace) -> list[Block]:
    """Return the last few changes of shared variables before an invariant or an assertion failed."""
    if trace.finding.kind.about is not About.VALUES:
        return []
    lines = []
    for number, step in enumerate(trace.steps, 1):
        for change in step.changes:
            name = trace.program.threads[step.thread].name
            text = f"step {number:2d}  {name}: {change.name} = {change.new} (was {change.old})"
            lines.append(CodeBlock(one_line(text), "  "))
    return [CodeBlock("what changed last"), *lines[-6:], *_while_held(trace)] if lines else []


def _while_held(trace: Trace) -> list[Block]:
    """Where the thread that broke an invariant holds a lock, say how to state what may be meant."""
    if trace.finding.kind is not FindingKind.BROKEN_INVARIANT or not trace.steps:
        return []
    thread = trace.steps[-1].thread
    held = [h.component for h in trace.held.get(thread, [])]
    if not held:
        return []
    name = trace.program.threads[thread].name
    lock = instance_names(trace.program.layout.components)[held[-1]]
    text = (
        f"{name} holds {lock} here: a property that is meant to be true only while no thread holds "
        "it says so, `self.lock.owner is not None or ...`"
    )
    return [CodeBlock(line, "  ") for line in textwrap.wrap(one_line(text), 76)]
