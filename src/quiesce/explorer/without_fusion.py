# SPDX-License-Identifier: Apache-2.0
"""A data race was found with fusion: everything is decided again without.

Fusion lets plain accesses happen together with the event after them, which is sound only in a program
without data races (``compiler/atomic_steps.py``). With one, the runs that a fused search has seen are
possible, so a broken invariant or a failed step in one of them is real. But it has not seen all runs, so it
proves nothing: neither that a property holds nor that a thread is stuck or starves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from quiesce.compiler.program import Program, compile_scenario
from quiesce.errors import UsageError
from quiesce.explorer.findings import CheckResult, PropertyResult
from quiesce.explorer.reference.races import RACED
from quiesce.verdict import Verdict

NOTE = "a data race was found, so everything was decided again without fusion"


def decided_without_fusion(
    fused: CheckResult, decide: Callable[[Program], CheckResult]
) -> CheckResult:
    """Return *fused*, or what *decide* says of the program without fusion if a data race asks for that.

    A search that ended at a bound, or at the first violation, is not repeated: what it has not decided
    stays open.

    :param fused: the result for a program, which may be fused.
    """
    # A program that starts elsewhere has no states of the unfused one to start in.
    if fused.incomplete != RACED or fused.program.start:
        return fused
    try:
        unfused = decide(compile_scenario(fused.program.scenario, fuse=False))
    except UsageError as error:
        return replace(fused, incomplete=f"{RACED}; without fusion {error}")
    unfused.notes.insert(0, NOTE)
    unfused.seconds += fused.seconds
    if unfused.incomplete:
        _add_what_was_seen(unfused, fused)
    return unfused


def _add_what_was_seen(unfused: CheckResult, fused: CheckResult) -> None:
    """Enter into a result that is not complete what the fused search saw, which is possible without, too."""
    for number, prop in enumerate(unfused.properties):
        if prop.verdict is Verdict.INCOMPLETE:
            seen: PropertyResult = fused.property(prop.name)
            unfused.properties[number] = seen
            if seen.finding is not None:
                unfused.elsewhere[prop.name] = fused.program
