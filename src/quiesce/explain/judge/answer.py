# SPDX-License-Identifier: Apache-2.0
"""The answer to a report, as data: what fits on one screen, in the order in which it is shown.

A verdict, a ladder of tasks that wait for each other, a note, what was new, and the best fixes. All
texts are finished sentences or phrases; ``show/`` only lays them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Judgement(Enum):
    """What is said about a report; each has one meaning, and the value is what JSON says.

    ``HANGS``: the tasks only have to run at the same time. ``HANGS_IF``: more must come together,
    and all of it is named. ``CANNOT_HANG``: not as reported, for a reason that has evidence.
    ``UNDECIDED``: one question decides. ``HUNG``: it happened. ``MISUSE``: a rule is broken,
    whatever other tasks do. ``OFF``: lockdep has turned itself off.
    """

    HANGS = "hangs"
    HANGS_IF = "hangs-if"
    CANNOT_HANG = "cannot-hang"
    UNDECIDED = "undecided"
    HUNG = "hung"
    MISUSE = "misuse"
    OFF = "off"


@dataclass(frozen=True)
class LadderRow:
    """One task of the ladder.

    :param who: the task and the function that waits, or what the task does.
    :param last: of a row that stands for several, the number of the last one; otherwise 0.
    :param holds: what it holds or has done, as verb phrases; *waits*: what it waits for or does next.
    :param arrow: ``<- 2`` (row 2 must act first), ``goes on in 2`` (the same task), ``<- none``, or
        empty.
    :param in_report: False for a task that the hang needs and the report does not show.
    """

    number: int
    who: str
    holds: tuple[str, ...] = ()
    waits: str = ""
    arrow: str = ""
    in_report: bool = True
    last: int = 0


@dataclass(frozen=True)
class Chain:
    """What was new, or where a task is blocked.

    :param label: ``New edge``, ``New use`` or ``Blocked``.
    :param what: what it is and what set it going: "A -> B, on a write to a sysfs file".
    :param functions: three to six, from the trigger to the wait.
    """

    label: str
    what: str
    functions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """See the module.

    :param text: the verdict in a sentence or two, its first word the verdict.
    :param fixes: instructions, best first; *refused*: an obvious one that does not work, and why.
    """

    verdict: Judgement
    text: str
    rows: tuple[LadderRow, ...] = ()
    notes: tuple[str, ...] = ()
    chains: tuple[Chain, ...] = ()
    fixes: tuple[str, ...] = ()
    refused: str = ""
