# SPDX-License-Identifier: Apache-2.0
"""A run's result as text for a terminal, at most 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from quiesce.threads.result import RunFinding, RunResult, SourceSite, ThreadReport, ThreadRole

WIDTH = 80


def render(result: RunResult) -> str:
    """Return *result* as lines that fit a terminal of 80 columns."""
    lines = [*_wrapped(_headline(result), ""), ""]
    if result.undecided:
        lines += [*_undecided(result), ""]
    for finding in result.findings:
        lines += [*_finding(finding), ""]
    lines += [*_table(result), ""]
    if result.recurrences:
        lines += [*_recurrences(result), ""]
    for note in result.notes:
        lines += [*_wrapped(f"{note.kind}: {note.message}", "      ")]
        for report in note.threads:
            lines += _thread(report)
        lines.append("")
    lines += _wrapped(_last_line(result), "")
    return "\n".join(_cut(line) for line in lines) + "\n"


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


def _undecided(result: RunResult) -> Iterator[str]:
    for reason in result.undecided:
        yield from _wrapped(f"NOT DECIDED: {reason}", "  ")


def _recurrences(result: RunResult) -> Iterator[str]:
    width = max(8, *(len(r.name) for r in result.recurrences))
    yield f"{'property':{width}}  came true  longest false"
    for r in result.recurrences:
        aside = "  (for information)" if r.informational else ""
        yield f"{r.name:{width}}  {r.times:9,}  {_seconds(r.longest_false):>13}{aside}"


def _finding(finding: RunFinding) -> Iterator[str]:
    yield from _wrapped(f"{finding.kind}: {finding.message}", "  ")
    if finding.site is not None:
        yield from _site(finding.site, "  ")
    for name, value in finding.state:
        yield f"    {name} = {value}"
    for report in finding.threads:
        yield from _thread(report)


def _thread(report: ThreadReport) -> Iterator[str]:
    if report.doing != "waits":
        at = f", at {report.site}" if report.site is not None else ""
        yield from _wrapped(f"  {report.name} {report.doing}{at}", "    ")
    else:
        step = f"{report.step}(&{report.lock})" if report.lock else report.step
        since = _seconds(report.seconds)
        yield from _wrapped(f"  {report.name} waits in {step} for {since}", "    ")
        if report.site is not None:
            yield from _site(report.site, "    ")
        for holder in report.held_by:
            how = "" if holder.mode == "exclusive" else f" ({holder.mode})"
            yield from _wrapped(
                f"    held by {holder.thread}{how}, taken at {holder.site}", "      "
            )
    for lock, site in report.holds:
        yield from _wrapped(f"    holds {lock}, taken at {site}", "      ")


def _site(site: SourceSite, indent: str) -> Iterator[str]:
    """Yield the place, and the source line below it where it does not fit beside it."""
    place = f"{indent}at {site}"
    if not site.text:
        yield place
    elif len(place) + len(site.text) + 2 <= WIDTH:
        yield f"{place}: {site.text}"
    else:
        yield f"{place}:"
        yield f"{indent}   {site.text}"


def _table(result: RunResult) -> Iterator[str]:
    width = max([4, *(len(role.kind) for role in result.roles)])
    yield f"{'role':{width}}  threads        steps    steps/s   finished"
    for role in result.roles:
        yield _row(result, role, width)


def _row(result: RunResult, role: ThreadRole, width: int) -> str:
    rate = result.per_second(role)
    counts = f"{role.threads:7,}  {role.steps:11,}  {rate:9,.0f}  {role.finished:9,}"
    return f"{role.kind:{width}}  {counts}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."
