# SPDX-License-Identifier: Apache-2.0
"""Results of checks as one HTML page that opens from disk: data, style and script are all inside.

The page is ``html_template.html`` with ``html_template.css`` and ``html_template.js`` put into it. The
script draws everything from the JSON objects of :mod:`quiesce.report.check_json`, as text and never as
markup, so no name of a scenario can become a part of the page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

from quiesce import __version__
from quiesce.harmless import harmless_data, one_line
from quiesce.properties import DECLARED, About, FindingKind
from quiesce.report.check_sections import FAIRNESS_TEXT


def render_html(results: Sequence[dict[str, object]]) -> str:
    """Return the page for *results*.

    :param results: objects as :func:`quiesce.report.check_json.check_to_json` makes them, one for each
        design. Three keys are the page's own: ``lockdep``, the dictionary of a lockdep report, or None for
        silence; ``other_counterexamples``, a list of further counterexamples, each with its ``replay``;
        and ``sources``, the text of the files of which something was never executed.
    """
    data = {
        "results": harmless_data(results),
        "fairness": FAIRNESS_TEXT,
        "waiting": [kind for kind in FindingKind if kind.about is About.WAITING],
        "witnessed": [kind.word for kind in DECLARED if kind.holds_on_a_part],
    }
    return Template(_part("html")).substitute(
        title=escape(one_line(_title(results))),
        version=escape(__version__),
        style=_part("css"),
        script=_part("js"),
        data=script_safe(json.dumps(data, separators=(",", ":"))),
    )


def script_safe(text: str) -> str:
    """Return the JSON *text* spelled so that it cannot end, or begin, an HTML element or comment."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _title(results: Sequence[dict[str, object]]) -> str:
    names = list(dict.fromkeys(str(result["scenario"]) for result in results))
    if len(results) == 1 and results[0]["design"]:
        names.append(str(results[0]["design"]))
    elif len(results) > 1:
        names.append(f"{len(results)} designs")
    return f"{', '.join(names)}: checked with quiesce"


def _part(kind: str) -> str:
    return files("quiesce.report").joinpath(f"html_template.{kind}").read_text(encoding="utf-8")
