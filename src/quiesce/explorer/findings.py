# SPDX-License-Identifier: Apache-2.0
"""What a check can find, and the result it hands back."""

from __future__ import annotations

from dataclasses import dataclass, field

from quiesce.compiler.program import Program
from quiesce.errors import Loc
from quiesce.properties import FindingKind, PropertyKind
from quiesce.verdict import Verdict

Path = tuple[int, ...]
"""How a state is reached: which initial state, then which of the successors at each step."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    :param property: the name of the property that it breaks.
    :param message: one sentence.
    :param path: the shortest path there; of a run that goes on forever, the stem and one turn of the loop.
    :param loop_start: of a run that goes on forever, the number of steps in the stem; else None.
    :param thread: the number of the thread it is about, or -1.
    :param spinning: the threads that spin; others that it is about wait.
    :param places: the source lines that it is about, where the end of the run does not show them.
    """

    kind: FindingKind
    property: str
    message: str
    path: Path = ()
    loop_start: int | None = None
    thread: int = -1
    spinning: tuple[int, ...] = ()
    places: tuple[Loc, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class NeverExecuted:
    """Something in the source that no reachable state executes.

    :param kind: ``statement``, ``branch`` or ``thread``.
    :param text: the statement; or a sentence about the branch or the thread.
    """

    loc: Loc
    kind: str
    text: str


@dataclass(slots=True)
class PropertyResult:
    """The verdict on one property."""

    name: str
    kind: PropertyKind
    verdict: Verdict
    informational: bool = False
    finding: Finding | None = None


@dataclass(slots=True)
class CheckResult:
    """Everything a check found out about a program.

    :param engine: ``reference`` or ``native``.
    :param incomplete: why the space was not exhausted; empty if it was.
    :param seconds: wall-clock time.
    :param never_executed: what no reachable state executes; None if not every state was seen.
    :param expected: what is expected of each property, if something is: see ``expected.py``.
    :param elsewhere: the properties of which the finding is a run of another program: the same one, fused.
    """

    program: Program
    properties: list[PropertyResult]
    states: int
    transitions: int
    depth: int
    seconds: float
    engine: str
    fairness: str
    incomplete: str = ""
    notes: list[str] = field(default_factory=list)
    never_executed: list[NeverExecuted] | None = None
    expected: dict[str, Verdict] | None = None
    elsewhere: dict[str, Program] = field(default_factory=dict)

    def program_of(self, finding: Finding) -> Program:
        """Return the program that *finding* is a run of."""
        return self.elsewhere.get(finding.property, self.program)

    @property
    def complete(self) -> bool:
        """Whether every reachable state was seen."""
        return not self.incomplete

    @property
    def verdict(self) -> Verdict:
        """The verdict over all properties that decide: VIOLATION, else INCOMPLETE, else HOLDS."""
        deciding = [p.verdict for p in self.properties if not p.informational]
        if Verdict.VIOLATION in deciding:
            return Verdict.VIOLATION
        return Verdict.HOLDS if self.complete else Verdict.INCOMPLETE

    @property
    def finding(self) -> Finding | None:
        """The finding to show: of those that decide, the one with the shortest path."""
        found = [p.finding for p in self.properties if p.finding and not p.informational]
        return min(found, key=rank, default=None)

    def of_kind(self, *kinds: str) -> list[Finding]:
        """Return the findings of these kinds."""
        return [p.finding for p in self.properties if p.finding and p.finding.kind in kinds]

    def property(self, name: str) -> PropertyResult:
        """Return the result of the property *name*; KeyError if there is none."""
        for result in self.properties:
            if result.name == name:
                return result
        raise KeyError(name)


def rank(finding: Finding) -> tuple[int, int]:
    """Return what findings are sorted by: the rank of the kind, then the length of the run."""
    return finding.kind.rank, len(finding.path)
