# SPDX-License-Identifier: Apache-2.0
"""What a report claims, as something to check: a scenario, and how to build it for each reading."""

from __future__ import annotations

from quiesce.explain.judge.cycle import Cycle, CycleWait, taken_together
from quiesce.explain.judge.kind import Shape
from quiesce.explain.judge.kinds import judge_of
from quiesce.explain.judge.ladder import two_addresses
from quiesce.explain.prove.conditions import context_conditions, refutations, writer_conditions
from quiesce.explain.prove.plan import (
    AS_DRAWN,
    OTHER_ORDER,
    WRITERS,
    Claim,
    ScenarioModel,
    ScenarioSettings,
    Trial,
)
from quiesce.explain.prove.plan_cycle import cycle_scenario, has_annotations, needs_writer
from quiesce.explain.prove.plan_interrupt import irq_claim
from quiesce.explain.read.model import PrintedReport

STANDS_FOR = "what the annotations stand for"
DRAWN = "the annotations as locks, as lockdep takes them"
MAX_PATHS = 40
"""Of a cycle that is modelled; lockdep itself follows no more than 48 locks in a row."""

MAX_SEARCHED = 7
"""Tasks of a cycle whose whole space is searched; beyond, a shorter cycle's is."""

MAX_NESTED = 18
"""Blocks that a thread of a scenario may nest; Python itself allows 20."""


def claim_for(report: PrintedReport) -> Claim:
    """Return what *report* claims, so far as it can be checked."""
    judge = judge_of(report)
    if judge.shape is Shape.TASKS:
        return _cycle_claim(report, judge.cycle(report))
    if judge.shape is Shape.INTERRUPT:
        return irq_claim(report, judge.ends(report) if judge.ends is not None else None)
    return Claim(None, verdict="not_modelled", reason="this kind of report is not about a hang")


def _cycle_claim(report: PrintedReport, cycle: Cycle | None) -> Claim:
    if cycle is None:
        return Claim(None, verdict="incomplete", reason="the dependency chain is not complete")
    if len(cycle.paths) > MAX_PATHS:
        reason = f"a cycle of {len(cycle.paths)} paths is longer than is modeled ({MAX_PATHS})"
        return Claim(None, verdict="not_modelled", reason=reason)
    model = cycle_scenario(report, cycle)
    if any(len(one.body) > MAX_NESTED for one in model.threads):
        reason = f"one task would go through more than {MAX_NESTED} of the paths"
        return Claim(None, verdict="not_modelled", reason=reason)
    if two_addresses(report, cycle):
        return Claim(model, _two_objects(model))
    writers = WRITERS in model.parameters
    same = _same_object(report, cycle)
    contexts = (*same, *context_conditions(cycle))
    trials = [_trial("", (), contexts, cycle.waits, writers)]
    if has_annotations(cycle):
        trials = [
            _trial(STANDS_FOR, ((AS_DRAWN, False),), contexts, cycle.waits, writers),
            _trial(DRAWN, ((AS_DRAWN, True),), same, cycle.as_drawn, writers),
        ]
    short = None
    if len(cycle.tasks) > MAX_SEARCHED:
        short = cycle_scenario(report, taken_together(cycle))
    return Claim(model, tuple(trials), short=short)


def _same_object(report: PrintedReport, cycle: Cycle) -> tuple[str, ...]:
    """Return the condition that a recursive report needs where its addresses do not prove it."""
    wanted, holding = report.wanted, report.holding
    if not cycle.on_itself or wanted is None or holding is None:
        return ()
    address = wanted.address
    if address and "ptrval" not in address and address == holding.address:
        return ()
    return ("it is the same object both times",)


def _trial(
    name: str,
    settings: ScenarioSettings,
    conditions: tuple[str, ...],
    waits: tuple[CycleWait, ...],
    writers: bool,
) -> Trial:
    refuted = " ".join(refutations(waits))
    if not waits:
        refuted = "(i) no task waits: each path of the cycle only enters a context"
    return Trial(
        name,
        settings,
        ((WRITERS, 0),) if writers else (),
        len(waits),
        (*conditions, *writer_conditions(w for w in waits if not needs_writer(w))),
        tuple(writer_conditions(w for w in waits if needs_writer(w))),
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
                f"it hangs only if {condition}"
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
