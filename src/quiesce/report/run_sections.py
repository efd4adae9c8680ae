# SPDX-License-Identifier: Apache-2.0
"""A run's result: for people, text of at most 80 columns; for pipelines, its problems and its cases."""

from __future__ import annotations

from collections.abc import Iterator

from quiesce.harmless import harmless, one_line
from quiesce.lockdep import Report
from quiesce.properties import FindingKind
from quiesce.report.document import (
    AnsweredCase,
    Block,
    BlockGroup,
    BrokenRule,
    CodeBlock,
    Document,
    FilePlace,
    Paragraph,
    Problem,
    Severity,
    Suite,
    TableBlock,
    Word,
    rule_id,
    text_section,
)
from quiesce.report.formats.text import text_of
from quiesce.threads.result import RunFinding, RunResult, SourceSite, ThreadReport

WIDTH = 80

NOT_DECIDED = BrokenRule(
    "not-decided", "a thread waited so long that it may starve, and a run cannot tell"
)
LOCKDEP = BrokenRule("lockdep", "locks are acquired in an order that can deadlock")


def render_run(result: RunResult) -> str:
    """Return *result* as text that fits a terminal of 80 columns."""
    return text_of(run_sections(result))


def run_document(result: RunResult, report: Report | None, *, quiet: bool = False) -> Document:
    """Return what a run found out.

    :param report: lockdep's, or None.
    :param quiet: leave lockdep's report out of the text.
    """

    def sections() -> list[BlockGroup]:
        return [*run_sections(result), *([] if quiet else lockdep_sections(report))]

    def data() -> dict[str, object]:
        found = report.to_dict() if report is not None else None
        return {"schema": 1, **result.to_dict(), "lockdep": found}

    return Document(
        f"{result.scenario} on real threads",
        result.verdict,
        sections,
        data,
        lambda: tuple(_problems(result, report)),
        lambda: (_suite(result),),
    )


def lockdep_sections(report: Report | None) -> list[BlockGroup]:
    """Return lockdep's report in the kernel's format; nothing if there is none."""
    if report is None:
        return []
    return [BlockGroup((CodeBlock(f"lockdep: {report.title}"),)), text_section(report.text())]


def run_sections(result: RunResult) -> list[BlockGroup]:
    """Return *result* for people."""
    sections: list[list[Block]] = [[_wrapped(_headline(result), "", "")]]
    if result.undecided:
        sections.append([_wrapped(f"NOT DECIDED: {r}", "", "  ") for r in result.undecided])
    sections += [list(_finding(finding)) for finding in result.findings]
    sections.append([_roles(result)])
    if result.recurrences:
        sections.append([_recurrences(result)])
    for note in result.notes:
        threads = (block for report in note.threads for block in _thread(report))
        sections.append([_wrapped(f"{note.kind}: {note.message}", "", "      "), *threads])
    sections.append([_wrapped(_last_line(result), "", "")])
    return [BlockGroup(tuple(blocks)) for blocks in sections]


def _headline(result: RunResult) -> str:
    rounds = _count(result.rounds, "round")
    return (
        f"{result.scenario} on real threads: {result.seconds:.2f} s, {rounds}, seed {result.seed}"
    )


def _last_line(result: RunResult) -> str:
    looks = f"Invariants looked at {_count(result.looks, 'time')}."
    if result.findings:
        return f"{looks} Verdict: {result.verdict.value}."
    if result.undecided:
        return (
            f"{looks} Verdict: not decided. A thread that waits this long may starve, or its "
            "wakeup is lost, or it is only slow. A run cannot tell: `quiesce check` can."
        )
    return f"{looks} Nothing wrong was seen, which proves nothing: `quiesce check` does."


def _recurrences(result: RunResult) -> TableBlock:
    rows = [
        (
            Word(r.name),
            Word(f"{r.times:,}"),
            Word(_seconds(r.longest_false)),
            Word("(for information)" if r.informational else ""),
        )
        for r in result.recurrences
    ]
    heads = (("property", "came true", "longest false"),)
    return TableBlock(heads, tuple(rows), frozenset({1, 2}), (8, 9, 13))


def _finding(finding: RunFinding) -> Iterator[Block]:
    yield _wrapped(f"{finding.kind}: {finding.message}", "", "  ")
    if finding.site is not None:
        yield from _site(finding.site, "  ")
    for name, value in finding.state:
        yield CodeBlock(_cut(f"    {name} = {value}"))
    for report in finding.threads:
        yield from _thread(report)


def _thread(report: ThreadReport) -> Iterator[Block]:
    if report.doing != "waits":
        at = f", at {report.site}" if report.site is not None else ""
        yield _wrapped(f"{report.name} {report.doing}{at}", "  ", "    ")
    else:
        step = f"{report.step}(&{report.lock})" if report.lock else report.step
        since = _seconds(report.seconds)
        yield _wrapped(f"{report.name} waits in {step} for {since}", "  ", "    ")
        if report.site is not None:
            yield from _site(report.site, "    ")
        for holder in report.held_by:
            how = "" if holder.mode == "exclusive" else f" ({holder.mode})"
            yield _wrapped(
                f"held by {holder.thread}{how}, taken at {holder.site}", "    ", "      "
            )
    for lock, site in report.holds:
        yield _wrapped(f"holds {lock}, taken at {site}", "    ", "      ")


def _site(site: SourceSite, indent: str) -> Iterator[Block]:
    """Yield the place, and the source line below it where it does not fit beside it."""
    place = f"{indent}at {site}"
    if not site.text:
        yield CodeBlock(_cut(place))
    elif len(place) + len(site.text) + 2 <= WIDTH:
        yield CodeBlock(f"{place}: {site.text}")
    else:
        yield CodeBlock(_cut(f"{place}:"))
        yield CodeBlock(_cut(f"{indent}   {site.text}"))


def _roles(result: RunResult) -> TableBlock:
    rows = [
        tuple(
            map(
                Word,
                (
                    role.kind,
                    f"{role.threads:,}",
                    f"{role.steps:,}",
                    f"{result.per_second(role):,.0f}",
                    f"{role.finished:,}",
                ),
            )
        )
        for role in result.roles
    ]
    heads = (("role", "threads", "steps", "steps/s", "finished"),)
    return TableBlock(heads, tuple(rows), frozenset({1, 2, 3, 4}), (4, 7, 11, 9, 9))


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _wrapped(text: str, first: str, rest: str) -> Paragraph:
    return Paragraph(text, first, rest, WIDTH)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


# --- For pipelines --------------------------------------------------------------------------------------


def _problems(result: RunResult, report: Report | None) -> Iterator[Problem]:
    for finding in result.findings:
        text = f"{finding.kind}: {finding.message}"
        yield Problem(_rule(finding.kind), Severity.ERROR, text, result.scenario, _place(finding))
    for reason in result.undecided:
        yield Problem(NOT_DECIDED, Severity.WARNING, reason, result.scenario, decided=False)
    if report is not None:
        title = one_line(report.title.removeprefix("WARNING: "))
        yield Problem(LOCKDEP, Severity.WARNING, f"lockdep: {title}", result.scenario)


def _rule(kind: FindingKind) -> BrokenRule:
    return BrokenRule(rule_id(kind), kind.meaning)


def _place(finding: RunFinding) -> FilePlace | None:
    sites = [finding.site, *(report.site for report in finding.threads)]
    for site in sites:
        if site is not None:
            return FilePlace(site.file, site.line, 0, site.text)
    return None


def _suite(result: RunResult) -> Suite:
    """Return one case: a run stops at the first finding, so it answers one question."""
    found = "; ".join(f"{finding.kind}: {finding.message}" for finding in result.findings)
    message = found or "; ".join(result.undecided)
    details = harmless(render_run(result)) if message else ""
    case = AnsweredCase("run", result.verdict, message, details)
    return Suite(result.scenario, (case,), result.seconds)
