# SPDX-License-Identifier: Apache-2.0
"""A check's result as JSON, schema 1: see ``docs/json.md``."""

from __future__ import annotations

from quiesce.explorer.findings import CheckResult, Finding
from quiesce.explorer.trace import Trace, follow, state_dict

SCHEMA = 1


def check_to_json(
    result: CheckResult, scenario: str, design: str | None, replay: str | None
) -> dict[str, object]:
    """Return *result* as the object that ``--json`` prints.

    :param replay: the replay token of the finding that is shown, or None if there is none.
    """
    finding = result.finding
    return {
        "schema": SCHEMA,
        "scenario": scenario,
        "design": design,
        "verdict": result.verdict.value,
        "properties": [
            {
                "name": p.name,
                "kind": p.kind,
                "verdict": p.verdict.value,
                "informational": p.informational,
                "finding": p.finding.kind if p.finding else None,
                "message": p.finding.message if p.finding else None,
            }
            for p in result.properties
        ],
        "states": result.states,
        "transitions": result.transitions,
        "depth": result.depth,
        "seconds": round(result.seconds, 3),
        "complete": result.complete,
        "incomplete_because": result.incomplete or None,
        "fairness": result.fairness,
        "engine": result.engine,
        "counterexample": _counterexample(result, finding) if finding else None,
        "replay": replay,
    }


def _counterexample(result: CheckResult, finding: Finding) -> dict[str, object]:
    if finding.kind == "vacuous":
        return {"kind": finding.kind, "property": finding.property, "steps": [], "loop_start": None}
    return trace_to_json(follow(result.program, finding))


def trace_to_json(trace: Trace) -> dict[str, object]:
    """Return a counterexample as JSON: every step with the whole state after it."""
    program, finding = trace.program, trace.finding
    steps = [
        {
            "thread": program.threads[step.thread].name,
            "action": "; ".join(a.text for a in step.actions),
            "file": step.actions[-1].loc.file if step.actions else "",
            "line": step.actions[-1].loc.line if step.actions else 0,
            "state": state_dict(program, step.state),
        }
        for step in trace.steps
    ]
    return {
        "kind": finding.kind,
        "property": finding.property,
        "message": finding.message,
        "initial": state_dict(program, trace.initial),
        "steps": steps,
        "loop_start": finding.loop_start,
        "waiting": [
            {
                "thread": program.threads[w.thread].name,
                "at": w.label,
                "lock": w.lock or None,
                "held_by": [program.threads[t].name for t in w.holders],
            }
            for w in trace.waiting
        ],
    }
