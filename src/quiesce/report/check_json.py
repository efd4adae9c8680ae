# SPDX-License-Identifier: Apache-2.0
"""A check's result as JSON, schema 1: see ``docs/json.md``."""

from __future__ import annotations

from collections.abc import Callable

from quiesce.compiler.names import display_name
from quiesce.compiler.program import Program
from quiesce.errors import Loc, file_text
from quiesce.explorer.expected import as_expected, shown_findings
from quiesce.explorer.findings import CheckResult, Finding
from quiesce.explorer.reference.spinning import Spinning, find_spinning
from quiesce.explorer.reference.trace import Held, Trace, TraceStep, Waiting, follow, state_dict
from quiesce.primitives import LockdepMap

SCHEMA = 1

MODES = ("exclusive", "shared", "shared recursive")
"""How a lock is held, by lockdep's number for it."""


def check_to_json(
    result: CheckResult, scenario: str, design: str | None, replay: str | None
) -> dict[str, object]:
    """Return *result* as the object that ``--json`` prints.

    :param replay: the replay token of the finding that is shown, or None if there is none.
    """
    finding = next(iter(shown_findings(result)), None)
    return {
        "schema": SCHEMA,
        "scenario": scenario,
        "design": design,
        "verdict": result.verdict.value,
        "properties": [
            {
                "name": p.name,
                "kind": p.kind.word,
                "verdict": p.verdict.value,
                "informational": p.informational,
                "finding": p.finding.kind if p.finding else None,
                "message": p.finding.message if p.finding else None,
                "expected": _expected(result, p.name),
            }
            for p in result.properties
        ],
        "as_expected": as_expected(result),
        "states": result.states,
        "transitions": result.transitions,
        "depth": result.depth,
        "seconds": round(result.seconds, 3),
        "complete": result.complete,
        "incomplete_because": result.incomplete or None,
        "never_executed": never_executed_to_json(result),
        "notes": result.notes,
        "fairness": result.fairness,
        "engine": result.engine,
        "counterexample": finding_to_json(result.program_of(finding), finding) if finding else None,
        "replay": replay,
    }


def _expected(result: CheckResult, name: str) -> str | None:
    wanted = (result.expected or {}).get(name)
    return wanted.value if wanted is not None else None


def never_executed_to_json(result: CheckResult) -> list[dict[str, object]] | None:
    """Return what no reachable state executes; None if not every state was seen."""
    if result.never_executed is None:
        return None
    return [
        {"file": one.loc.file, "line": one.loc.line, "kind": one.kind, "text": one.text}
        for one in result.never_executed
    ]


def sources_with_never_executed(result: CheckResult) -> dict[str, str]:
    """Return the text of each file of which something was never executed: for the HTML page."""
    files = {one.loc.file for one in result.never_executed or []}
    return {file: file_text(file) for file in sorted(files)}


def other_counterexamples(
    result: CheckResult, token: Callable[[Finding], str | None]
) -> list[dict[str, object]]:
    """Return what was found besides ``counterexample``, each with its replay token.

    :param token: gives the replay token of a finding, or None if it has no path.
    """
    shown = shown_findings(result)[:1]
    others = [p.finding for p in result.properties if p.finding and p.finding not in shown]
    return [
        {**finding_to_json(result.program_of(other), other), "replay": token(other)}
        for other in others
    ]


def finding_to_json(program: Program, finding: Finding) -> dict[str, object]:
    """Return the counterexample of *finding*; what is vacuous has none, and no steps."""
    if finding.kind.has_run:
        return trace_to_json(follow(program, finding))
    return {
        "kind": finding.kind,
        "property": finding.property,
        "message": finding.message,
        "threads": _threads(program),
        "initial": None,
        "steps": [],
        "loop_start": None,
        "waiting": [],
        "spinning": [],
    }


def trace_to_json(trace: Trace) -> dict[str, object]:
    """Return a counterexample as JSON: every step with the whole state after it."""
    program, finding = trace.program, trace.finding
    return {
        "kind": finding.kind,
        "property": finding.property,
        "message": finding.message,
        "threads": _threads(program),
        "initial": state_dict(program, trace.initial),
        "steps": [_step(program, step) for step in trace.steps],
        "loop_start": finding.loop_start,
        "waiting": [_waiting(program, waiting) for waiting in trace.waiting],
        "spinning": [_spinning(program, spinning) for spinning in find_spinning(trace)],
    }


def _spinning(program: Program, spinning: Spinning) -> dict[str, object]:
    return {
        "thread": program.threads[spinning.thread].name,
        "file": spinning.loc.file,
        "line": spinning.loc.line,
        "loop": spinning.text,
        "on": [
            {
                "name": watched.name,
                "value": watched.value,
                "set_by": program.threads[watched.thread].name if watched.loc is not None else None,
                "step": watched.step if watched.loc is not None else None,
                "line": watched.loc.line if watched.loc is not None else None,
            }
            for watched in spinning.watched
        ],
    }


def _threads(program: Program) -> list[dict[str, object]]:
    return [{"name": thread.name, "daemon": thread.daemon} for thread in program.threads]


def _step(program: Program, step: TraceStep) -> dict[str, object]:
    place = step.actions[-1].loc if step.actions else Loc("", 0, 0)
    return {
        "thread": program.threads[step.thread].name,
        "action": "; ".join(a.text for a in step.actions),
        "file": place.file,
        "line": place.line,
        "actions": [
            {"text": a.text, "shown": a.shown, "file": a.loc.file, "line": a.loc.line}
            for a in step.actions
        ],
        "failure": step.failure.message if step.failure else None,
        "state": state_dict(program, step.state),
        "held": {
            program.threads[thread].name: [_held(program, held) for held in locks]
            for thread, locks in sorted(step.held.items())
            if locks
        },
        "waiting": [_waiting(program, waiting) for waiting in step.waiting],
    }


def _held(program: Program, held: Held) -> dict[str, object]:
    lock = program.layout.components[held.component]
    return {
        "lock": display_name(lock),
        "annotation": isinstance(lock, LockdepMap),
        "mode": MODES[held.read],
        "file": held.loc.file,
        "line": held.loc.line,
    }


def _waiting(program: Program, waiting: Waiting) -> dict[str, object]:
    own = waiting.own
    return {
        "thread": program.threads[waiting.thread].name,
        "at": waiting.label,
        "shown": waiting.shown,
        "lock": waiting.lock or None,
        "held_by": [program.threads[t].name for t in waiting.holders],
        "itself": {"file": own.file, "line": own.line} if own is not None else None,
    }
