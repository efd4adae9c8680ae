# SPDX-License-Identifier: Apache-2.0
"""A document's problems as annotations of GitHub Actions: one line each, shown beside the source line.

The format is documented as "workflow commands". GitHub reads these lines from the log of a step.
"""

from __future__ import annotations

from quiesce.harmless import one_line
from quiesce.report.document import Document, Problem, Severity
from quiesce.report.places import relative
from quiesce.report.style import PLAIN, Style

STARTS_LINES = True

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def write(document: Document, _style: Style = PLAIN) -> str:
    """Return a line for each problem of *document*; empty if it has none."""
    return "".join(_annotation(problem) + "\n" for problem in document.problems())


def _annotation(problem: Problem) -> str:
    fields = {}
    place = problem.place
    if place is not None and place.file:
        fields["file"] = relative(place.file)
        if place.line:
            fields["line"] = str(place.line)
        if place.line and place.column:
            fields["col"] = str(place.column)
    fields["title"] = f"quiesce: {problem.rule.id}"
    shown = ",".join(f"{name}={_property(value)}" for name, value in fields.items())
    message = f"{problem.subject}: {problem.message}" if problem.subject else problem.message
    return f"::{_COMMANDS[problem.level]} {shown}::{_data(message)}"


def _data(text: str) -> str:
    """Return *text* so that it ends neither the line nor an escape."""
    return one_line(text.replace("\n", " ")).replace("%", "%25")


def _property(text: str) -> str:
    """Return *text* so that it does not end the field that it stands in, either."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
