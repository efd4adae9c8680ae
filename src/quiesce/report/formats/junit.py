# SPDX-License-Identifier: Apache-2.0
"""A document's suites as JUnit XML, which every pipeline can show.

There is no standard; this is the common part of what Jenkins, GitLab and GitHub's actions read. What is not
decided is an ``error``, so that no pipeline takes it for a pass. What fails and decides nothing is
``skipped``.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from quiesce.harmless import harmless, one_line
from quiesce.report.document import AnsweredCase, Document, Suite
from quiesce.report.style import PLAIN, Style
from quiesce.verdict import Verdict


def write(document: Document, _style: Style = PLAIN) -> str:
    """Return the suites of *document*."""
    suites = document.suites()
    counts = _counts([case for suite in suites for case in suite.cases])
    seconds = sum(suite.seconds for suite in suites)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name={_quoted(document.title)} {counts} time="{seconds:.3f}">',
    ]
    for suite in suites:
        lines += _suite(suite)
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _suite(suite: Suite) -> list[str]:
    lines = [
        f'  <testsuite name={_quoted(suite.name)} {_counts(suite.cases)} time="{suite.seconds:.3f}">'
    ]
    for case in suite.cases:
        lines += _case(suite.name, case)
    return [*lines, "  </testsuite>"]


def _case(suite: str, case: AnsweredCase) -> list[str]:
    tag = f"    <testcase classname={_quoted(suite)} name={_quoted(case.name)}"
    element = _element(case)
    if not element:
        return [f"{tag}/>"]
    message = _quoted(case.message or case.verdict.value)
    if element == "skipped":
        inner = f"      <skipped message={message}/>"
    else:
        kind = _quoted(case.verdict.value)
        inner = f"      <{element} message={message} type={kind}>{_text(case)}</{element}>"
    return [f"{tag}>", inner, "    </testcase>"]


def _element(case: AnsweredCase) -> str:
    """Return the name of the element that says how *case* ended; empty if it passed."""
    if case.verdict is Verdict.HOLDS:
        return ""
    if case.informational:
        return "skipped"
    return "failure" if case.verdict is Verdict.VIOLATION else "error"


def _counts(cases: list[AnsweredCase] | tuple[AnsweredCase, ...]) -> str:
    elements = [_element(case) for case in cases]
    names = (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    counts = " ".join(f'{name}="{elements.count(element)}"' for name, element in names)
    return f'tests="{len(elements)}" {counts}'


def _text(case: AnsweredCase) -> str:
    return escape(harmless(case.details or case.message))


def _quoted(text: str) -> str:
    return quoteattr(one_line(text))
