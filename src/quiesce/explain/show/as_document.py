# SPDX-License-Identifier: Apache-2.0
"""An explained log, or the summary of many, as a document that every format can write."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from quiesce.explain.batch import FileResult, FoundReport, found_in
from quiesce.explain.judge.answer import Judgement
from quiesce.explain.log import EXIT_COMPLETE, ExplainedLog
from quiesce.explain.show import as_html, as_json, as_markdown
from quiesce.explain.show.as_summary import render, summary_data
from quiesce.explain.show.as_text import log_sections
from quiesce.report.document import (
    AnsweredCase,
    BrokenRule,
    Document,
    FilePlace,
    Problem,
    Severity,
    Suite,
    rule_id,
    text_section,
)
from quiesce.verdict import Verdict

LEVELS = {
    Judgement.HANGS: Severity.ERROR,
    Judgement.HANGS_IF: Severity.WARNING,
    Judgement.HUNG: Severity.ERROR,
    Judgement.MISUSE: Severity.ERROR,
    Judgement.UNDECIDED: Severity.WARNING,
    Judgement.CANNOT_HANG: Severity.NOTE,
    Judgement.OFF: Severity.NOTE,
}
"""How much a report with this verdict matters, unless the caller says which verdicts are a failure."""

UNREAD = BrokenRule("not-read", "a log has more reports than are read of one log")


def log_document(
    log: ExplainedLog,
    file: str,
    *,
    quiet: bool = False,
    verbose: bool = False,
    unwanted: Collection[Judgement] = (),
) -> Document:
    """Return the document of *log*.

    :param file: its name; empty for standard input.
    :param quiet: only the verdict of each report; *verbose*: all that stands behind it.
    :param unwanted: verdicts that are a failure; if there are any, no other verdict is one.
    """
    found = tuple(found_in(file, log))
    results = [FileResult(file, "", found, log.unread)]
    return Document(
        f"{len(log.problems)} report{'' if len(log.problems) == 1 else 's'} explained",
        _outcome(found, unwanted, log.exit_code == EXIT_COMPLETE),
        lambda: log_sections(log, quiet=quiet, verbose=verbose),
        lambda: as_json.to_dict(log),
        lambda: _problems(results, unwanted),
        lambda: _suites(results, unwanted),
        indent=2,
        written={
            "markdown": lambda: as_markdown.render(log, verbose=verbose),
            "html": lambda: as_html.render(log),
        },
    )


def summary_document(
    results: Sequence[FileResult], *, quiet: bool = False, unwanted: Collection[Judgement] = ()
) -> Document:
    """Return the document of the summary of many logs.

    :param quiet: the counts alone, without the problems.
    :param unwanted: as in :func:`log_document`.
    """
    found = [one for result in results for one in result.found]
    complete = all(one.complete for one in found) and all(
        not result.error and not result.unread for result in results
    )
    return Document(
        f"{len(results)} files explained",
        _outcome(found, unwanted, complete),
        lambda: [text_section(render(results, quiet=quiet))],
        lambda: {"schema": as_json.SCHEMA, "summary": summary_data(results)},
        lambda: _problems(results, unwanted),
        lambda: _suites(results, unwanted),
    )


def _outcome(
    found: Sequence[FoundReport], unwanted: Collection[Judgement], complete: bool
) -> Verdict:
    """Return what the exit code says: a failure that was named, a part that is missing, or neither."""
    if any(one.verdict in unwanted for one in found):
        return Verdict.VIOLATION
    return Verdict.HOLDS if complete else Verdict.INCOMPLETE


def _level(verdict: Judgement, unwanted: Collection[Judgement]) -> Severity:
    if unwanted:
        return Severity.ERROR if verdict in unwanted else Severity.NOTE
    return LEVELS[verdict]


def _problems(results: Sequence[FileResult], unwanted: Collection[Judgement]) -> list[Problem]:
    problems = []
    for result in results:
        problems += [
            Problem(
                BrokenRule(rule_id(one.kind), f"the kernel reports: {one.kind}"),
                _level(one.verdict, unwanted),
                one.text,
                "",
                FilePlace(one.file, one.line) if one.file else None,
                fingerprint=one.fingerprint,
                decided=one.verdict is not Judgement.UNDECIDED,
            )
            for one in result.found
        ]
        if result.unread or result.error:
            text = result.error or f"{result.unread} more reports in this log were not read"
            place = FilePlace(result.file) if result.file else None
            problems.append(Problem(UNREAD, Severity.WARNING, text, "", place, decided=False))
    return problems


def _suites(results: Sequence[FileResult], unwanted: Collection[Judgement]) -> list[Suite]:
    return [
        Suite(
            result.file or "standard input",
            tuple(_case(one, _level(one.verdict, unwanted)) for one in result.found),
        )
        for result in results
    ]


def _case(one: FoundReport, level: Severity) -> AnsweredCase:
    name = f"{one.kind} {one.fingerprint}, line {one.line}"
    if level is Severity.NOTE:
        return AnsweredCase(name, Verdict.HOLDS)
    undecided = one.verdict is Judgement.UNDECIDED
    return AnsweredCase(name, Verdict.INCOMPLETE if undecided else Verdict.VIOLATION, one.text)
