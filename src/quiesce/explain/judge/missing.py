# SPDX-License-Identifier: Apache-2.0
"""What is said where a part of a report is not in the text."""

from __future__ import annotations

from collections.abc import Iterator

from quiesce.explain.judge.answer import Answer, Judgement, LadderRow
from quiesce.explain.judge.call_path import waiter
from quiesce.explain.judge.cycle import Cycle
from quiesce.explain.judge.modes import AcquireMode
from quiesce.explain.judge.words import names_of
from quiesce.explain.read.model import PrintedReport

GET_IT = "Get the complete report: from dmesg, not from the mail."


def partial(report: PrintedReport, what: str) -> Answer:
    """Return the answer to a report of which *what* is not in the text."""
    return Answer(
        Judgement.UNDECIDED,
        f"Undecided: {what} is not in this text. Lost: {_listed(report)}.",
        _header_rows(report),
        fixes=(GET_IT,),
    )


def mixed(report: PrintedReport) -> Answer:
    """Return the answer to a report whose lines are mixed with those of another one."""
    return Answer(
        Judgement.UNDECIDED,
        f"Undecided: two reports are mixed in lines {report.facts['mixed']}. They cannot be told apart "
        "without CONFIG_PRINTK_CALLER.",
        fixes=(
            "Build the kernel with CONFIG_PRINTK_CALLER=y, which marks each line with its CPU or task.",
        ),
    )


def _listed(report: PrintedReport) -> str:
    whats = [missing.what for missing in report.missing]
    return "; ".join(whats[:3]) + ("; ..." if len(whats) > 3 else "") if whats else "unknown"


def _header_rows(report: PrintedReport) -> tuple[LadderRow, ...]:
    """Return the row of the caught task, as far as the header tells."""
    wanted, holding = report.wanted, report.holding
    if wanted is None and holding is None:
        return ()
    names = names_of(report)
    function = waiter(report.backtrace) or (waiter(wanted.at) if wanted is not None else "")
    who = report.task or "the caught task"
    return (
        LadderRow(
            1,
            f"{who} in {function}()" if function else who,
            (f"holds {names.of(holding)}",) if holding is not None else (),
            f"waits for {names.of(wanted)}" if wanted is not None else "",
        ),
    )


def not_shown(report: PrintedReport, cycle: Cycle | None = None) -> Iterator[str]:
    """Yield what the report cannot tell, and what is missing in this text."""
    if cycle is not None and len(cycle.paths) > 1:
        unknown = [
            p.holds.lock.name for p in cycle.paths if p.holds.how.mode is AcquireMode.UNKNOWN
        ]
        yield (
            "Where the first lock of each row was taken: a report prints only the stack of the second."
            + (f" So how these are held is not known: {', '.join(unknown)}." if unknown else "")
        )
        yield (
            "Other places with the same order: lockdep keeps one stack for each pair, the first since "
            "boot. Fixing that place may not be enough."
        )
        yield (
            "Which tasks and objects the other rows mean: only the caught task is named, and addresses "
            "are printed only for what it holds and wants."
        )
    for missing in report.missing:
        yield f"Not in this text: {missing.what}."
