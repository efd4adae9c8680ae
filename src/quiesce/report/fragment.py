# SPDX-License-Identifier: Apache-2.0
"""A check's result as a piece of HTML for a notebook: no script, no style sheet, every name escaped."""

from __future__ import annotations

from html import escape

from quiesce.explorer.expected import shown_findings
from quiesce.explorer.findings import CheckResult
from quiesce.harmless import harmless, one_line
from quiesce.report.check_sections import headline, render_finding, summary
from quiesce.verdict import Verdict

_COLORS = {
    Verdict.HOLDS: "#1a7f37",
    Verdict.VIOLATION: "#b42318",
    Verdict.INCOMPLETE: "#8a6100",
    Verdict.ERROR: "#b42318",
}

_WORDS = {
    Verdict.HOLDS: "holds",
    Verdict.VIOLATION: "violated",
    Verdict.INCOMPLETE: "not decided",
    Verdict.ERROR: "error",
}


def render_fragment(result: CheckResult, title: str) -> str:
    """Return the verdict, a table of the properties, and each counterexample; the first one is open."""
    parts = [
        f"<div><b style='color:{_COLORS[result.verdict]}'>{_text(headline(result))}</b> "
        f"{_text(title)}<br><small>{_text(summary(result))}</small>",
    ]
    if result.incomplete:
        parts.append(f"<br><small>not a proof: {_text(result.incomplete)}</small>")
    parts.append("<table>")
    for p in result.properties:
        word = str(p.finding.kind) if p.finding else _WORDS[p.verdict]
        note = " (for information)" if p.informational else ""
        parts.append(
            f"<tr><td style='text-align:left'>{_text(p.name)}</td>"
            f"<td style='text-align:left;color:{_COLORS[p.verdict]}'>{_text(word + note)}</td></tr>"
        )
    parts.append("</table>")
    for number, finding in enumerate(shown_findings(result)):
        is_open = " open" if number == 0 else ""
        story = escape(harmless(render_finding(result.program_of(finding), finding)))
        parts.append(
            f"<details{is_open}><summary>{_text(finding.property)}: {_text(str(finding.kind))}"
            f"</summary><pre>{story}</pre></details>"
        )
    for one in result.never_executed or []:
        parts.append(f"<small>never executed: {_text(f'{one.loc.short}: {one.text}')}</small><br>")
    return "".join([*parts, "</div>"])


def _text(text: str) -> str:
    return escape(one_line(text))
