# SPDX-License-Identifier: Apache-2.0
"""Whether the cycle of a report blocks as it is drawn: a scenario of it is checked.

The scenario has the same objects in all rows and lets each row run at any time. So this is no verdict
about the report; that is ``judge/``'s.

:func:`prove` makes the scenario (``scenario_cycle``, ``scenario_irq``), writes it as a protocol file
(``scenario_source``) and checks that file (``scenario_run``). Where annotations are involved there
are two readings, and each is checked: as the locks that lockdep takes them for, and as what they
stand for. The second decides, since no task waits for an annotation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from quiesce.errors import UsageError
from quiesce.explain.prove.check import ProofOutcome, SourceRunner
from quiesce.explain.prove.claims import claim_for
from quiesce.explain.prove.plan import Claim, ScenarioModel, Trial
from quiesce.explain.prove.source import render_source
from quiesce.explain.read.model import PrintedReport
from quiesce.outputs import write_file


@dataclass(frozen=True)
class Reading:
    """One way to read the report, checked.

    :param name: which: "as lockdep draws it", "what the annotations stand for", ...
    :param verdict: ``blocks``, ``does-not-block`` or ``incomplete``.
    :param reason: in a sentence.
    :param steps: of the hang that was found, 0 without one; *interleaving*: that hang, drawn.
    :param states: how many states were looked at.
    """

    name: str
    verdict: str
    reason: str
    steps: int = 0
    interleaving: str = ""
    states: int = 0


@dataclass(frozen=True)
class ProofResult:
    """What was proved.

    :param verdict: ``blocks`` (these tasks hang as drawn), ``does-not-block`` (no interleaving hangs),
        ``not_modelled``, or ``incomplete`` (the report is cut, or the space was too large).
    :param reason: in a sentence, without a full stop.
    :param steps: of the hang, 0 without one; *interleaving*: that hang, drawn.
    :param readings: every reading that was checked; the first one decides.
    :param model: the source of the scenario, empty if there is none.
    """

    verdict: str
    reason: str
    steps: int = 0
    interleaving: str = ""
    readings: tuple[Reading, ...] = ()
    model: str = ""


def prove(report: PrintedReport) -> ProofResult:
    """Return whether *report*'s cycle can hang. Never raises on any report."""
    claim = claim_for(report)
    if claim.model is None:
        return ProofResult(claim.verdict, claim.reason)
    return _prove(claim)


@lru_cache(maxsize=256)
def _prove(claim: Claim) -> ProofResult:
    assert claim.model is not None
    source = render_source(claim.model)
    try:
        with SourceRunner(claim.model, source) as runner:
            large = claim.short is not None
            readings = [_reading(runner, trial, briefly=large) for trial in claim.trials]
        if readings[0].verdict == "incomplete" and claim.short is not None:
            readings[0] = _short_reading(claim.short, claim.trials[0])
    except OSError as error:
        reason = f"there is no place for temporary files ({error.strerror})"
        return ProofResult("not_modelled", reason, model=source)
    first = readings[0]
    return ProofResult(
        first.verdict, first.reason, first.steps, first.interleaving, tuple(readings), source
    )


def has_model(report: PrintedReport) -> bool:
    """True when a scenario can be made of *report*."""
    return claim_for(report).model is not None


def write_model(report: PrintedReport, path: Path) -> None:
    """Write the scenario of *report* to *path*, for the user to edit and to check again.

    :raises UsageError: the report has no model, or the file cannot be written.
    """
    claim = claim_for(report)
    if claim.model is None:
        raise UsageError(
            f"no model of this report can be written to {path}: {claim.reason}", "leave --model out"
        )
    write_file(str(path), render_source(claim.model))


def _reading(runner: SourceRunner, trial: Trial, *, briefly: bool = False) -> Reading:
    """Check one reading: without the helpers first, if there are any, then with them.

    :param briefly: try no more than the run that is expected to hang, if there are many tasks.
    """
    settings = dict(trial.settings)
    conditions = trial.conditions
    outcome = runner.run(settings | dict(trial.without), briefly=briefly or bool(trial.without))
    if trial.without and not outcome.hangs and not outcome.broken:
        outcome = runner.run(settings, briefly=briefly)
        conditions += trial.helpers
    verdict, reason = _judged(trial, outcome, conditions)
    return Reading(trial.name, verdict, reason, outcome.steps, outcome.interleaving, outcome.states)


def _short_reading(short: ScenarioModel, trial: Trial) -> Reading:
    """Check the deciding reading of a cycle that is too large, with fewer tasks."""
    with SourceRunner(short, render_source(short)) as runner:
        reading = _reading(runner, trial)
    together = "paths that surely wait for the next were taken together"
    return replace(reading, reason=f"{reading.reason}; {together}")


def _judged(trial: Trial, outcome: ProofOutcome, conditions: tuple[str, ...]) -> tuple[str, str]:
    if outcome.hangs:
        count = "one task hangs" if trial.tasks == 1 else f"these {trial.tasks} tasks hang"
        only_if = "; only if " + "; and if ".join(conditions) if conditions else ""
        steps = "1 step" if outcome.steps == 1 else f"{outcome.steps} steps"
        return "blocks", f"{count}, {steps}{only_if}"
    if outcome.broken:
        return "blocks", f"no task hangs, but this goes wrong: {outcome.broken}"
    if not outcome.complete:
        return "incomplete", "no hang was found, and not every interleaving was tried"
    why = trial.refuted or "with these kinds of locks no task waits forever"
    return "does-not-block", f"no interleaving hangs ({outcome.states} states): {why}"
