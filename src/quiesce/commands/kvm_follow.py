# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm run --follow``: a counterexample of the explorer on real threads."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quiesce.errors import UsageError
from quiesce.verdict import Verdict

if TYPE_CHECKING:
    from quiesce.kvm.real.trace_follow import Followed
    from quiesce.kvm.scenarios import MemslotUpdates


def follow_command(args: argparse.Namespace) -> int:
    """Let real threads follow the path in ``args.follow``; return the exit code."""
    from quiesce.commands.formats import outputs_of
    from quiesce.commands.kvm_options import design_scenario
    from quiesce.commands.kvm_trace import text_of
    from quiesce.kvm.real.trace_follow import follow_path
    from quiesce.kvm.real.trace_read import read_trace
    from quiesce.report.document import BlockGroup, text_section
    from quiesce.report.run_sections import run_document, run_sections

    outputs = outputs_of(args)
    trace = read_trace(text_of(args.follow), args.follow, args.design)
    threads = {spec.name for spec in design_scenario(args.design, args.set).start()}
    strange = sorted({event.task for event in trace.events} - threads)
    if strange:
        raise UsageError(
            f"{args.follow}: the scenario has no thread {strange[0]}; it has {', '.join(sorted(threads))}",
            "give the counterexample of this design, and the --set of its check",
        )

    def build(kind: type[MemslotUpdates]) -> MemslotUpdates:
        return design_scenario(args.design, args.set, kind)

    followed = follow_path(trace.events, trace.loop_from, build)
    result = followed.result
    verdict = Verdict(result.verdict)
    if not followed.complete:
        verdict = Verdict.INCOMPLETE
    elif followed.starved:
        verdict = Verdict.VIOLATION

    def sections() -> list[BlockGroup]:
        lines = _lines(followed, trace.loop_from is not None)
        return [text_section("\n".join(lines)), *run_sections(result)]

    def data() -> dict[str, Any]:
        return {"schema": 1, **result.to_dict(), "follow": _figures(followed)}

    document = run_document(result, None)
    outputs.write(replace(document, verdict=verdict, sections=sections, data=data))
    return verdict.exit_code


def _figures(followed: Followed) -> dict[str, object]:
    return {
        "complete": followed.complete,
        "events": followed.events,
        "followed": followed.followed,
        "tries": followed.tries,
        "updates_published_in_loop": followed.published,
        "starved": followed.starved,
    }


def _lines(followed: Followed, loops: bool) -> list[str]:
    if not followed.complete:
        return [
            f"Not followed: {followed.followed} of {followed.events} events at best, in "
            f"{followed.tries} tries. What threads choose is random; events do not show all of it."
        ]
    lines = [
        f"The path was followed on real threads: {followed.events} events, at try {followed.tries}.",
        "After it they ran freely.",
    ]
    if loops:
        from quiesce.kvm.real.trace_follow import ROUNDS_OF_A_LOOP

        lines.append(
            f"Its loop was gone round {ROUNDS_OF_A_LOOP} times; updates published meanwhile: "
            f"{followed.published}."
        )
    if followed.starved:
        lines.append("Starvation: an update waited through all of it.")
    return lines
