# SPDX-License-Identifier: Apache-2.0
"""Read a log and explain each report in it: the entry for programs."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import IO

from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.fingerprint import digest
from quiesce.explain.judge.kind import Shape
from quiesce.explain.judge.kinds import judge_of
from quiesce.explain.judge.missing import mixed, not_shown
from quiesce.explain.prove.proof import ProofResult, prove
from quiesce.explain.read.model import Other, PrintedReport, ReadLog
from quiesce.explain.read.read_log import read_bytes, read_stream, read_text

EXIT_COMPLETE = 0
"""Every report was read whole; also when the log has none, which is said on standard error."""

EXIT_FOUND = 1
"""A report has a verdict that the caller does not want, or two reports show two bugs."""

EXIT_MISSING = 3
"""Something of a report was not in the text."""

MAX_PROVED = 100
"""How many different problems of one log are proved, at a tenth of a second each."""


@dataclass(frozen=True)
class Explained:
    """One report of a log with all that we say about it.

    :param report: what was read.
    :param explanation: what it means.
    :param fingerprint: equal for reports of the same problem.
    :param count: how many reports of the log have this fingerprint.
    :param same_as: index of the first of them in the log's list; None for the first itself.
    :param to_prove: False beyond the first :data:`MAX_PROVED` problems of a log.
    """

    report: PrintedReport
    explanation: Explanation
    fingerprint: str
    count: int = 1
    same_as: int | None = None
    to_prove: bool = True

    @cached_property
    def proof(self) -> ProofResult:
        """Whether the cycle can hang; found out when it is first asked for."""
        if not self.to_prove:
            reason = f"only the first {MAX_PROVED} different problems of a log are proved"
            return ProofResult("not_modelled", reason)
        return prove(self.report)


@dataclass(frozen=True)
class ExplainedLog:
    """All reports of a log, in the order of their headlines.

    :param unread: how many more there were than are read of one log.
    :param others: what is known but not about waiting.
    """

    reports: tuple[Explained, ...]
    unread: int = 0
    others: tuple[Other, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if every report was read completely, 3 if something was missing or nothing was explained.

        A log without anything that is known is read completely.
        """
        whole = not self.unread and all(one.report.complete for one in self.reports)
        nothing = bool(self.others) and not self.reports
        return EXIT_COMPLETE if whole and not nothing else EXIT_MISSING

    @property
    def problems(self) -> tuple[Explained, ...]:
        """The reports without repetitions: the first of each fingerprint."""
        return tuple(one for one in self.reports if one.same_as is None)


def drawn_cycle(one: Explained) -> str:
    """Return what a check of the drawn cycle says; empty for kinds of which nothing is drawn."""
    if judge_of(one.report).shape is Shape.NONE:
        return ""
    proof = one.proof
    words = {"blocks": "The drawn cycle blocks", "does-not-block": "The drawn cycle does not block"}
    return f"{words.get(proof.verdict, 'The drawn cycle is not checked')}: {proof.reason}."


def other_readings(one: Explained) -> tuple[str, ...]:
    """Return the other readings that were checked, a sentence each."""
    words = {"blocks": "blocks", "does-not-block": "does not block", "incomplete": "not decided"}
    return tuple(f"{r.name}: {words[r.verdict]}, {r.reason}." for r in one.proof.readings[1:])


def explain_text(text: str) -> ExplainedLog:
    """Return every report in *text*, explained. Never raises on any text."""
    return _explain(read_text(text))


def explain_stream(stream: io.TextIOBase) -> ExplainedLog:
    """Return every report in *stream*, explained; the stream is read in blocks."""
    return _explain(read_stream(stream))


def explain_bytes(stream: IO[bytes], name: str = "the log") -> ExplainedLog:
    """Return every report in the log *stream*, which may be compressed and in any encoding.

    :param name: what the log is called in a message.
    :raises UsageError: it is not a log.
    """
    return _explain(read_bytes(stream, name))


def explain_report(report: PrintedReport) -> Explanation:
    """Return the explanation of one *report*."""
    if "mixed" in report.facts:
        return Explanation(mixed(report), not_shown=tuple(not_shown(report)))
    return judge_of(report).explain(report)


def fingerprint(report: PrintedReport) -> str:
    """Return twelve hexadecimal digits, equal for reports of the same problem."""
    return digest(report.kind, judge_of(report).identity(report))


def _explain(log: ReadLog) -> ExplainedLog:
    reports = log.reports
    names = [fingerprint(report) for report in reports]
    counts = Counter(names)
    first: dict[str, int] = {}
    ordinals: dict[str, int] = {}
    explained = []
    for index, (report, name) in enumerate(zip(reports, names, strict=True)):
        same_as = first.get(name)
        first.setdefault(name, index)
        to_prove = ordinals.setdefault(name, len(ordinals)) < MAX_PROVED
        explained.append(
            Explained(report, explain_report(report), name, counts[name], same_as, to_prove)
        )
    return ExplainedLog(tuple(explained), log.unread, log.others)
