# SPDX-License-Identifier: Apache-2.0
"""Why a cycle that lockdep drew may never happen: the table of the excuses that kernel people use.

The letters are those of ``docs/reading_splats.md``. Each rule looks for evidence in a report and says
how much it weighs: it *excludes* the hang, it *asks* the one question that decides, or it *notes* what
makes a row weaker. A rule that finds nothing is silent. The rules themselves are in ``excuse_rules``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from quiesce.explain.judge.cycle import Cycle
from quiesce.explain.judge.words import LockNames
from quiesce.explain.read.model import PrintedReport


class Weight(Enum):
    """How much an excuse weighs."""

    EXCLUDES = "the hang cannot happen as reported"
    ASKS = "the answer to one question decides"
    NOTES = "a row is weaker than it looks"


@dataclass(frozen=True)
class ExcuseCase:
    """A report with its cycle, as the rules see it."""

    report: PrintedReport
    cycle: Cycle
    names: LockNames


@dataclass(frozen=True)
class Excuse:
    """One rule that has found evidence.

    :param code: the letter of its rule.
    :param text: after "Cannot hang as reported:" the reason; after "Undecided:" the question.
    :param notes: what speaks for either answer, as sentences.
    :param fixes: what to do if the excuse holds, or instead of the usual fixes; best first.
    :param refused: a fix that looks right and is not, with the reason.
    :param rows: the rows of the ladder that it is about.
    """

    code: str
    weight: Weight
    text: str
    notes: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    refused: str = ""
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One line of the table.

    :param code: the letter; *name*: what kernel people say; *evidence*: what is looked for.
    """

    code: str
    name: str
    evidence: str
    find: Callable[[ExcuseCase], Iterator[Excuse]]


def weigh(case: ExcuseCase, rules: tuple[Rule, ...]) -> tuple[Excuse, ...]:
    """Return what *rules* find in *case*, the heaviest first, otherwise in the order of the table."""
    found = [excuse for rule in rules for excuse in rule.find(case)]
    order = list(Weight)
    return tuple(sorted(found, key=lambda excuse: order.index(excuse.weight)))
