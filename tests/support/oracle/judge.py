# SPDX-License-Identifier: Apache-2.0
"""Every verdict on a protocol file, by the definitions of ``docs/language.md``."""

from __future__ import annotations

from dataclasses import dataclass, field

from oracle.declared import Declared, Task, read
from oracle.expressions import Failed, Moment
from oracle.forever import Forever
from oracle.inline import property_of
from oracle.space import Space, explore
from oracle.stuck import Stuck, deadlocks, find_stuck, sleeps_in_vain, stuck_threads

HOLDS = "holds"
VIOLATION = "violation"
NOT_DECIDED = "incomplete"


@dataclass(frozen=True)
class Options:
    """How to judge."""

    fairness: str = "strong"
    limit: int = 20_000


@dataclass(frozen=True)
class Verdict:
    """The verdict on one property, and the kinds of finding that may be reported for it."""

    verdict: str
    kinds: frozenset[str] = frozenset()


@dataclass
class Judgement:
    """What this oracle says of a file."""

    declared: Declared
    space: Space
    stuck: Stuck
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    never_executed: set[str] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Whether no run was ended by a failed step."""
        return not any(self.space.failures)


def judge(text: str, options: Options | None = None) -> Judgement:
    """Return the verdict on every property of the file with this *text*.

    :raises Unsupported: if the file uses what the oracle does not know.
    :raises TooLarge: if there are too many states.
    """
    options = options or Options()
    declared = read(text)
    space = explore(declared, options.limit)
    judgement = Judgement(declared, space, find_stuck(space))
    found = _findings(judgement, Forever(space, options.fairness))
    sometimes = {p.name for p in declared.properties if p.kind == "sometimes"}
    for name, kinds in found.items():
        if kinds:
            judgement.verdicts[name] = Verdict(VIOLATION, frozenset(kinds))
        elif judgement.complete or (name in sometimes and any(_truth(judgement, name))):
            judgement.verdicts[name] = Verdict(HOLDS)
        else:
            judgement.verdicts[name] = Verdict(NOT_DECIDED)
    if judgement.complete:
        judgement.never_executed = _never_executed(judgement)
    return judgement


def _findings(judgement: Judgement, forever: Forever) -> dict[str, set[str]]:
    """Return for each property the kinds of finding that there are."""
    space, stuck = judgement.space, judgement.stuck
    failures = set().union(*space.failures)
    found = {
        "no_deadlock": _kinds(judgement, deadlocks(space, stuck), "deadlock"),
        "no_stuck_thread": _kinds(judgement, stuck_threads(space, stuck), "stuck thread"),
        "no_livelock": {"livelock"} if forever.livelock() else set(),
        "no_starvation": {"starvation"} if forever.starvation(stuck) else set(),
        "no_data_race": {"data race"} if space.raced else set(),
        "assertions": failures & {"failed assert"},
        "ranges": failures - {"failed assert"},
    }
    for prop in judgement.declared.properties:
        holds = _truth(judgement, prop.name)
        if prop.kind == "always":
            wrong = {"broken invariant"} if not all(holds) else set()
        elif prop.kind == "sometimes":
            wrong = {"vacuous"} if not any(holds) and judgement.complete else set()
        else:
            wrong = {"starvation"} if forever.never_again(holds) else set()
        found[prop.name] = wrong
    return found


def _kinds(judgement: Judgement, states: set[int], name: str) -> set[str]:
    """Return what a finding in one of *states* may be called."""
    return {
        "lost wakeup" if sleeps_in_vain(judgement.space, judgement.stuck, s) else name
        for s in states
    }


def _truth(judgement: Judgement, name: str) -> list[bool]:
    """Return the value of a property in each state; False where it cannot be evaluated."""
    (prop,) = (p for p in judgement.declared.properties if p.name == name)
    value, _ = property_of(judgement.declared, prop)
    truth = []
    for shared, _ in judgement.space.states:
        try:
            truth.append(bool(value(Moment(list(shared), {}, Task(-1)))))
        except Failed:
            truth.append(False)
    return truth


def _never_executed(judgement: Judgement) -> set[str]:
    """Return ``line N``, ``line N is never true`` (or false), ``NAME never ends``."""
    space = judgement.space
    written: set[int] = set()
    executed: set[int] = set()
    conditions: set[int] = set()
    found: set[str] = set()
    for thread, code in enumerate(space.codes):
        written |= {op.line for op in code.operations}
        executed |= {code.operations[at].line for at in space.executed[thread]}
        conditions |= {op.line for op in code.operations if op.condition}
        if code.has_end and not any(space.finished(s, thread) for s in range(len(space.states))):
            found.add(f"{code.thread.name} never ends")
    found |= {f"line {n}" for n in written - executed - {0}}
    for line in (conditions & executed) - {0}:
        for outcome in (True, False):
            if outcome not in space.outcomes.get(line, set()):
                found.add(f"line {line} is never {str(outcome).lower()}")
    return found
