# SPDX-License-Identifier: Apache-2.0
"""What a report claims, as something to check: a scenario, and how to build it for each reading."""

from __future__ import annotations

from quiesce.splat.cycle import Cycle, Wait, build_cycle
from quiesce.splat.model import Report
from quiesce.splat.reasons import context_conditions, refutations, writer_conditions
from quiesce.splat.scenario import (
    AS_DRAWN,
    OTHER_ORDER,
    WRITERS,
    Claim,
    ScenarioModel,
    Settings,
    Trial,
)
from quiesce.splat.scenario_cycle import cycle_scenario, has_annotations, two_objects
from quiesce.splat.scenario_irq import irq_claim

STANDS_FOR = "what the annotations stand for"
DRAWN = "the annotations as locks, as lockdep takes them"
MAX_PATHS = 40


def claim_for(report: Report) -> Claim:
    """Return what *report* claims, so far as it can be checked."""
    if report.kind in ("circular", "recursive"):
        return _cycle_claim(report)
    if report.kind in ("inconsistent", "safe-unsafe", "irq-inversion"):
        return irq_claim(report)
    return Claim(None, verdict="not_modelled", reason="this kind of report is about no hang")


def _cycle_claim(report: Report) -> Claim:
    cycle = build_cycle(report)
    if cycle is None:
        return Claim(None, verdict="incomplete", reason="the dependency chain is not whole")
    if len(cycle.paths) > MAX_PATHS:
        reason = f"a circle of {len(cycle.paths)} paths is longer than is modelled ({MAX_PATHS})"
        return Claim(None, verdict="not_modelled", reason=reason)
    model = cycle_scenario(report, cycle)
    if two_objects(report):
        return Claim(model, _two_objects(model))
    writers = WRITERS in model.parameters
    if not has_annotations(cycle):
        return Claim(model, (_trial("", (), cycle, cycle.waits, writers),))
    return Claim(
        model,
        (
            _trial(STANDS_FOR, ((AS_DRAWN, False),), cycle, cycle.waits, writers),
            _trial(DRAWN, ((AS_DRAWN, True),), None, cycle.as_drawn, writers),
        ),
    )


def _trial(
    name: str, settings: Settings, cycle: Cycle | None, waits: tuple[Wait, ...], writers: bool
) -> Trial:
    """Return one reading.

    :param cycle: None where its contexts are taken for locks, so that nobody enters any.
    """
    refuted = " ".join(refutations(waits))
    if not waits:
        refuted = "(i) nobody waits: every path of the circle only enters a context"
    return Trial(
        name,
        settings,
        ((WRITERS, 0),) if writers else (),
        len(waits),
        tuple(context_conditions(cycle)) if cycle is not None else (),
        tuple(writer_conditions(waits)),
        refuted.rstrip("."),
    )


def _two_objects(model: ScenarioModel) -> tuple[Trial, ...]:
    first, second = model.locks
    condition = "another task takes the two objects in the other order at the same time"
    return (
        Trial(
            "the caught task, with two objects",
            ((OTHER_ORDER, 0),),
            refuted=(
                f"(c) two objects of one class ({first.name}): the task does not wait for itself; "
                f"real only if {condition}"
            ),
        ),
        Trial(
            "the two objects, and another task with the other order",
            ((OTHER_ORDER, 1),),
            ((WRITERS, 0),) if WRITERS in model.parameters else (),
            2,
            (condition,),
            (f"writers of {second.name} wait in between",),
        ),
    )
