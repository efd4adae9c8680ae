# SPDX-License-Identifier: Apache-2.0
"""``quiesce explain DIR``: a summary of many logs; ``--compare``: two reports, the same bug or not."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TextIO

from quiesce.commands.formats import Outputs
from quiesce.errors import UsageError
from quiesce.explain.batch import FileResult, explain_files, files_of
from quiesce.explain.judge.answer import Judgement
from quiesce.explain.judge.compare import Likeness, compare
from quiesce.explain.log import (
    EXIT_COMPLETE,
    EXIT_FOUND,
    EXIT_MISSING,
    Explained,
    explain_bytes,
)
from quiesce.explain.show.as_document import summary_document
from quiesce.explain.show.as_json import SCHEMA, report_data
from quiesce.explain.show.as_summary import (
    comparison_data,
    render_comparison,
    summary_data,
)
from quiesce.harmless import json_text, one_line
from quiesce.report.live_line import LiveLine

_EVERY_SECONDS = 0.2


def batch_command(
    paths: Sequence[str],
    *,
    jsonl: bool = False,
    quiet: bool = False,
    unwanted: frozenset[Judgement] = frozenset(),
    outputs: Outputs | None = None,
    out: TextIO,
) -> int:
    """Explain all logs in *paths* and return the exit code.

    :param jsonl: print a line of JSON for each report as soon as it is there, a line for each file that
        is no log, and a summary as the last line; otherwise the summary as text.
    :param quiet: show no progress, and of the summary only the counts.
    :param unwanted: verdicts that are a failure.
    :param outputs: in which forms the summary is given; None: as text.
    :raises UsageError: a path is not there, or none of the files is a log.
    """
    files = files_of(paths)
    if not files:
        raise UsageError(
            f"there is no file in {', '.join(paths)}", "give logs, or a folder of logs"
        )
    out.flush()  # before there are other processes, which would write it again
    results = []
    for result in _with_progress(
        explain_files(files, report_data if jsonl else None), files, quiet
    ):
        results.append(_without_data(result))
        if jsonl:
            for line in _lines(result):
                print(line, file=out)
        elif result.error:
            print(f"quiesce: {result.error}", file=sys.stderr)
    if all(result.error for result in results):
        raise UsageError(f"no log is in {', '.join(paths)}", "give logs, or a folder of logs")
    if jsonl:
        print(json_text({"schema": SCHEMA, "summary": summary_data(results)}), file=out)
    else:
        document = summary_document(results, quiet=quiet, unwanted=unwanted)
        (outputs or Outputs()).write(document, out)
    found = [one for result in results for one in result.found]
    if any(one.verdict in unwanted for one in found):
        return EXIT_FOUND
    whole = all(one.complete for one in found)
    read = all(not result.error and not result.unread for result in results)
    return EXIT_COMPLETE if whole and read else EXIT_MISSING


def _lines(result: FileResult) -> Iterator[str]:
    if result.error:
        yield json_text({"schema": SCHEMA, "file": result.file, "error": result.error})
    for one in result.found:
        yield json_text({"schema": SCHEMA, "file": result.file, **one.data})


def _without_data(result: FileResult) -> FileResult:
    """Return *result* without what was printed, so that a million reports fit into memory."""
    found = tuple(replace(one, data={}) for one in result.found)
    return FileResult(result.file, result.error, found, result.unread)


def _with_progress(
    results: Iterator[FileResult], files: Sequence[str], quiet: bool
) -> Iterator[FileResult]:
    """Show on standard error how many files have been read."""
    line, reports = LiveLine(_EVERY_SECONDS, quiet), 0
    for number, result in enumerate(results, 1):
        reports += len(result.found)
        line.clear()
        yield result
        if line.due and number < len(files):
            line.show(f"{number:,} of {len(files):,} files, {reports:,} reports")


# --- Two reports --------------------------------------------------------------------------------------

_EXITS = {
    Likeness.SAME: EXIT_COMPLETE,
    Likeness.RELATED: EXIT_FOUND,
    Likeness.DIFFERENT: EXIT_FOUND,
    Likeness.UNKNOWN: EXIT_MISSING,
}
_ORDER = (Likeness.SAME, Likeness.RELATED, Likeness.UNKNOWN, Likeness.DIFFERENT)
_MOST_PAIRS = 100


def compare_command(files: Sequence[str], other: str, *, json: bool = False, out: TextIO) -> int:
    """Compare the report in the one log of *files* with that in *other*; return the exit code.

    Of logs with several reports the two that are most alike are compared.

    :raises UsageError: there is not one log on each side, or one has no report.
    """
    if len(files) != 1:
        raise UsageError("--compare compares two logs", "quiesce explain LOG --compare OTHER")
    pairs = [(one, two) for one in _problems(files[0]) for two in _problems(other)][:_MOST_PAIRS]
    compared = [(compare(one.report, two.report), one, two) for one, two in pairs]
    comparison, one, two = min(compared, key=lambda found: _ORDER.index(found[0].likeness))
    if json:
        print(json_text(comparison_data(comparison, one, two), indent=2), file=out)
    else:
        if len(pairs) > 1:
            out.write(_which(files[0], one) + _which(other, two))
        out.write(render_comparison(comparison))
    return _EXITS[comparison.likeness]


def _problems(name: str) -> Sequence[Explained]:
    try:
        with open(0 if name == "-" else name, "rb", closefd=name != "-") as stream:
            problems = explain_bytes(stream, name).problems
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot read the log {name}: {reason}", "give a file") from None
    if not problems:
        raise UsageError(f"no report about waiting found in {name}", "give a log with a report")
    return problems


def _which(name: str, one: Explained) -> str:
    return f"{one_line(name)}:{one.report.line} {one.report.kind} {one.fingerprint}\n"
