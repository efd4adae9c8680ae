# SPDX-License-Identifier: Apache-2.0
"""What was found in many logs, a paragraph for each problem; and how two reports compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from quiesce.explain.batch import FileResult, ReportGroup, grouped
from quiesce.explain.judge.answer import Judgement
from quiesce.explain.judge.compare import Comparison
from quiesce.explain.log import Explained
from quiesce.explain.show.screen import wrap

_WORDS = {
    Judgement.HANGS: "hang",
    Judgement.HANGS_IF: "hang if more comes together",
    Judgement.HUNG: "hung",
    Judgement.UNDECIDED: "undecided",
    Judgement.CANNOT_HANG: "cannot hang as reported",
    Judgement.MISUSE: "misuse",
    Judgement.OFF: "lockdep off",
}
_INDENT = " " * 7


def render(results: Sequence[FileResult], *, quiet: bool = False) -> str:
    """Return the summary of *results*.

    :param quiet: the counts alone, without the problems.
    """
    groups = grouped(results)
    lines = list(_counts(results, groups))
    if not quiet:
        for group in groups:
            lines += ["", *_group(group)]
    return "\n".join(lines) + "\n"


def _counts(results: Sequence[FileResult], groups: Sequence[ReportGroup]) -> Iterator[str]:
    found = [one for result in results for one in result.found]
    yield from wrap(
        f"{_many(len(results), 'file')}, {sum(bool(r.found) for r in results):,} with reports; "
        f"{_many(len(found), 'report')}, {_many(len(groups), 'different problem')}"
    )
    counts = Counter(one.verdict for one in found)
    words = [f"{counts[verdict]:,} {word}" for verdict, word in _WORDS.items() if counts[verdict]]
    if words:
        yield from wrap(f"{', '.join(words)}.", "  ")
    unread = sum(result.unread for result in results)
    if unread:
        yield f"  {unread:,} more reports were not read"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _group(group: ReportGroup) -> Iterator[str]:
    one = group.typical
    where = f"{one.file}:{one.line}"
    if len(group.found) > 1:
        where += f" and {_many(len(group.found) - 1, 'more')}".removesuffix("s")
        where += f" in {_many(group.files, 'file')}"
    yield f"{len(group.found):>5}x {one.kind} {group.fingerprint}, {where}"
    yield from wrap(one.text, _INDENT)
    if len(group.verdicts) > 1:
        counts = ", ".join(f"{count} {_WORDS[v]}" for v, count in group.verdicts.items())
        yield from wrap(f"(Not all the same: {counts}.)", _INDENT)


def summary_data(results: Sequence[FileResult]) -> dict[str, Any]:
    """Return the counts and the groups as plain data."""
    found = [one for result in results for one in result.found]
    return {
        "files": len(results),
        "files_with_reports": sum(bool(result.found) for result in results),
        "files_not_read": sum(bool(result.error) for result in results),
        "reports": len(found),
        "verdicts": dict(sorted(Counter(one.verdict.value for one in found).items())),
        "problems": [
            {
                "fingerprint": group.fingerprint,
                "kind": group.typical.kind,
                "count": len(group.found),
                "files": group.files,
                "verdicts": {verdict.value: count for verdict, count in group.verdicts.items()},
                "first": {"file": group.found[0].file, "line": group.found[0].line},
                "text": group.typical.text,
            }
            for group in grouped(results)
        ],
    }


def render_comparison(comparison: Comparison) -> str:
    """Return *comparison* as text."""
    lines = wrap(comparison.text)
    for reason in comparison.reasons:
        lines += wrap(reason, "  - ")
    return "\n".join(lines) + "\n"


def comparison_data(comparison: Comparison, first: Explained, second: Explained) -> dict[str, Any]:
    """Return *comparison* as plain data, with which two reports were compared."""
    return {
        "schema": 1,
        "likeness": comparison.likeness.value,
        "text": comparison.text,
        "reasons": list(comparison.reasons),
        "first": {"line": first.report.line, "fingerprint": first.fingerprint},
        "second": {"line": second.report.line, "fingerprint": second.fingerprint},
    }
