# SPDX-License-Identifier: Apache-2.0
"""The JSON form of an explained log: ``{"schema": 1, "reports": [...]}``.

Keys are only ever added within one schema number.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from quiesce.explain.judge.answer import Answer
from quiesce.explain.judge.excuses import Excuse
from quiesce.explain.log import Explained, ExplainedLog
from quiesce.explain.prove.proof import ProofResult
from quiesce.explain.read.model import PrintedLock
from quiesce.harmless import json_text

SCHEMA = 1


def to_json(log: ExplainedLog) -> str:
    """Return *log* as one JSON object, deterministic."""
    return json_text(to_dict(log), indent=2)


def to_dict(log: ExplainedLog) -> dict[str, Any]:
    """Return *log* as plain data."""
    return {
        "schema": SCHEMA,
        "reports": [_report(one) for one in log.reports],
        "unread": log.unread,
        "others": [asdict(other) for other in log.others],
    }


def report_data(one: Explained) -> dict[str, Any]:
    """Return one report as plain data, without the check of the drawn cycle, which takes long."""
    report = one.report
    return {
        "kind": report.kind,
        "title": report.title,
        "kernel": report.kernel,
        "task": report.task,
        "line": report.line,
        "end_line": report.end_line,
        "complete": report.complete,
        "missing": [str(missing) for missing in report.missing],
        "locks": [_lock_note(asdict(note)) for note in one.explanation.locks],
        "links": report.chain_length,
        "held": [lock.name for lock in report.held],
        "held_locks": [_lock(lock) for lock in report.held],
        "verdict": one.explanation.answer.verdict.value,
        "verdict_reason": one.explanation.answer.text,
        "answer": _answer(one.explanation.answer),
        "fingerprint": one.fingerprint,
        "count": one.count,
        "same_as": one.same_as,
        "explanation": _explanation(one),
    }


def _report(one: Explained) -> dict[str, Any]:
    return {**report_data(one), "proof": _proof(one.proof)}


def _proof(proof: ProofResult) -> dict[str, Any]:
    """Everything but the source of the scenario, which ``--model`` writes."""
    return {
        "verdict": proof.verdict,
        "reason": proof.reason,
        "steps": proof.steps,
        "interleaving": proof.interleaving,
        "readings": [asdict(reading) for reading in proof.readings],
    }


def _lock_note(note: dict[str, Any]) -> dict[str, Any]:
    note["class"] = note.pop("class_name")
    return note


def _lock(lock: PrintedLock) -> dict[str, Any]:
    return {
        "name": lock.name,
        "class": lock.class_name,
        "address": lock.address,
        "usage": lock.usage,
        "wait_type": None if lock.inner is None else [lock.outer, lock.inner],
        "at": str(lock.where) if lock.where else "",
        "line": lock.line,
    }


def _answer(answer: Answer) -> dict[str, Any]:
    data = asdict(answer)
    data["verdict"] = answer.verdict.value
    return data


def _explanation(one: Explained) -> dict[str, Any]:
    explanation = one.explanation
    return {
        "summary": explanation.answer.text,
        "fixes": list(explanation.answer.fixes),
        "excuses": [_excuse(excuse) for excuse in explanation.excuses],
        "interleavings": [asdict(interleaving) for interleaving in explanation.interleavings],
        "not_shown": list(explanation.not_shown),
    }


def _excuse(excuse: Excuse) -> dict[str, Any]:
    return {
        "code": excuse.code,
        "weight": excuse.weight.name.lower(),
        "text": excuse.text,
        "notes": list(excuse.notes),
        "fixes": list(excuse.fixes),
        "rows": list(excuse.rows),
    }
