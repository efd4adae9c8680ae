# SPDX-License-Identifier: Apache-2.0
"""Checks as documents: of one scenario or design, and of several designs side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quiesce.explorer.expected import shown_findings
from quiesce.explorer.findings import CheckResult, Finding
from quiesce.lockdep import Report
from quiesce.report.check_json import (
    check_to_json,
    other_counterexamples,
    sources_with_never_executed,
)
from quiesce.report.check_problems import check_problems, check_suite, outcome
from quiesce.report.check_sections import check_sections
from quiesce.report.document import BlockGroup, Document
from quiesce.verdict import worst


@dataclass(frozen=True)
class CheckReport:
    """A check and what belongs to its report.

    :param title: what was checked, as the user named it.
    :param scenario: the name of the scenario's class.
    :param design: the design of the KVM system, or None.
    :param token_of: gives the replay token of a finding, or None if it has no run.
    :param lockdep: lockdep's report, or None.
    :param every: show a counterexample of each property that is violated, not of one.
    :param lockdep_open: why its silence means nothing; empty if it does, or if there is a report.
    """

    result: CheckResult
    title: str
    scenario: str
    design: str | None
    token_of: Callable[[Finding], str | None]
    lockdep: Report | None
    every: bool = False
    lockdep_open: str = ""

    def sections(self) -> list[BlockGroup]:
        """Return the check for people."""
        return check_sections(self.result, self.title, self._again, self.every)

    def _again(self, finding: Finding) -> str | None:
        token = self.token_of(finding)
        return f"quiesce replay {token}" if token else None

    def data(self) -> dict[str, object]:
        """Return the check as ``--json`` prints it, lockdep's report included."""
        shown = shown_findings(self.result)
        token = self.token_of(shown[0]) if shown else None
        data = check_to_json(self.result, self.scenario, self.design, token)
        data["lockdep"] = self.lockdep.to_dict() if self.lockdep is not None else None
        data["lockdep_incomplete_because"] = self.lockdep_open or None
        if self.every:
            data["other_counterexamples"] = other_counterexamples(self.result, self.token_of)
        return data

    def page(self) -> dict[str, object]:
        """Return the check as the HTML page needs it: with every counterexample."""
        others = other_counterexamples(self.result, self.token_of)
        sources = sources_with_never_executed(self.result)
        return {**self.data(), "other_counterexamples": others, "sources": sources}


def check_document(
    checks: Sequence[CheckReport], sections: Callable[[], list[BlockGroup]]
) -> Document:
    """Return the document of *checks*, one or several.

    :param sections: what people see; of one check, its own.
    """

    def data() -> object:
        if len(checks) == 1:
            return checks[0].data()
        return {"schema": 1, "designs": [check.data() for check in checks]}

    def page() -> str:
        from quiesce.report.html import render_html

        return render_html([check.page() for check in checks])

    titles = [check.title for check in checks]
    return Document(
        titles[0] if len(titles) == 1 else f"{len(titles)} designs",
        worst(outcome(check.result) for check in checks),
        sections,
        data,
        lambda: [p for check in checks for p in check_problems(check.result, _subject(check))],
        lambda: [check_suite(check.result, _subject(check)) for check in checks],
        written={"html": page},
    )


def _subject(check: CheckReport) -> str:
    return f"{check.scenario}, design {check.design}" if check.design else check.scenario
