# SPDX-License-Identifier: Apache-2.0
"""A document's problems as SARIF 2.1.0, the format of code scanning.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. The run that shows a problem is a code flow
with one thread flow for each thread; ``executionOrder`` says how they interleave.
"""

from __future__ import annotations

from quiesce import __version__
from quiesce.harmless import json_text, one_line
from quiesce.report.document import BrokenRule, Document, FilePlace, Moment, Problem
from quiesce.report.places import address
from quiesce.report.style import PLAIN, Style
from quiesce.verdict import Verdict

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def write(document: Document, _style: Style = PLAIN) -> str:
    """Return the problems of *document* as one run of quiesce."""
    problems = document.problems()
    rules = list(dict.fromkeys(problem.rule for problem in problems))
    data = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "quiesce",
                        "semanticVersion": _semantic(__version__),
                        "rules": [_rule(rule) for rule in rules],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": document.verdict is not Verdict.ERROR,
                        "exitCode": document.verdict.exit_code,
                    }
                ],
                "properties": {"verdict": document.verdict.value, "title": document.title},
                "results": [_result(problem, rules) for problem in problems],
            }
        ],
    }
    return json_text(data, 2) + "\n"


def _semantic(version: str) -> str:
    """Return *version* with three numbers, as semantic versions have."""
    return version if version.count(".") >= 2 else f"{version}.0"


def _rule(rule: BrokenRule) -> dict[str, object]:
    return {
        "id": rule.id,
        "name": "".join(part.capitalize() for part in rule.id.split("-")),
        "shortDescription": {"text": one_line(rule.meaning[:1].upper() + rule.meaning[1:] + ".")},
    }


def _result(problem: Problem, rules: list[BrokenRule]) -> dict[str, object]:
    result: dict[str, object] = {
        "ruleId": problem.rule.id,
        "ruleIndex": rules.index(problem.rule),
        "message": {"text": problem.message},
    }
    if problem.decided:
        result |= {"kind": "fail", "level": problem.level.value}
    else:
        # The standard wants no level where nothing is known to be wrong.
        result |= {"kind": "open", "level": "none"}
    location: dict[str, object] = {}
    if problem.place is not None and problem.place.file:
        location["physicalLocation"] = _physical(problem.place)
    if problem.subject:
        location["logicalLocations"] = [{"fullyQualifiedName": problem.subject}]
    if location:
        result["locations"] = [location]
    if problem.run:
        result["codeFlows"] = [{"threadFlows": _thread_flows(problem.run)}]
    if problem.fingerprint:
        result["partialFingerprints"] = {"quiesce/v1": problem.fingerprint}
    return result


def _physical(place: FilePlace) -> dict[str, object]:
    location: dict[str, object] = {"artifactLocation": {"uri": address(place.file)}}
    if place.line:
        region: dict[str, object] = {"startLine": place.line}
        if place.column:
            region["startColumn"] = place.column
        location["region"] = region
    return location


def _thread_flows(run: tuple[Moment, ...]) -> list[dict[str, object]]:
    flows: dict[str, list[dict[str, object]]] = {}
    for number, moment in enumerate(run, 1):
        location: dict[str, object] = {"message": {"text": moment.place.text or "a step"}}
        if moment.place.file:
            location["physicalLocation"] = _physical(moment.place)
        flows.setdefault(moment.thread, []).append({"location": location, "executionOrder": number})
    return [{"id": thread, "locations": locations} for thread, locations in flows.items()]
