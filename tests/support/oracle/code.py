# SPDX-License-Identifier: Apache-2.0
"""A thread as a list of operations: calls inlined, every marked access and atomic call taken out.

``oracle.inline`` writes it. ``oracle.space`` decides from ``touches`` and ``depth`` what makes one step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from oracle.declared import Thread
from oracle.expressions import Expression


@dataclass
class Operation:
    """One entry of a thread's code.

    :param kind: ``do``, ``jump``, ``branch`` (to *target* if *run* is false), ``wait`` or ``begin`` (of an
        atomic method).
    :param nest: the loops that it is in, outermost first, but for those inside an atomic method.
    :param touches: it touches shared variables, or is a step for another reason.
    :param depth: how many atomic methods it is inside of.
    :param condition: ``if``, ``while`` or ``for``, for a branch of the source.
    """

    kind: str
    run: Expression
    line: int
    nest: tuple[int, ...]
    touches: bool
    plain: bool
    depth: int
    uses: frozenset[str]
    defines: str | None = None
    target: int = -1
    queued: bool = False
    waits: bool = False
    condition: bool = False
    sleeps: Expression | None = None
    """Of an operation that is ``schedule()``: the condition of the ``while`` around it."""


@dataclass
class Code:
    """The code of one thread; it has finished at ``len(operations)``."""

    thread: Thread
    number: int
    operations: list[Operation] = field(default_factory=list)
    inside: list[tuple[int, ...]] = field(default_factory=list)
    """For each loop of the inlined source, the loops around it, and itself."""
    exits: frozenset[int] = frozenset()
    """The loops that control can leave."""
    used: set[int] = field(default_factory=set)
    """The slots of the variables that its source names."""
    has_end: bool = True
    """Whether control can reach the end."""
    live: list[tuple[str, ...]] = field(default_factory=list)
    """For each place, the local variables whose values still matter."""

    def following(self, at: int) -> list[int]:
        """Return the places that control can come to from an operation."""
        op = self.operations[at]
        after = [op.target] if op.kind in ("jump", "branch") else []
        return after if op.kind == "jump" else [*after, at + 1]

    def nest(self, at: int) -> tuple[int, ...]:
        """Return the loops around a place."""
        return self.operations[at].nest if at < len(self.operations) else ()

    def finish(self) -> None:
        """Find where control can go, and which local variables matter where."""
        end = len(self.operations)
        reached, todo, exits = {0}, [0], set()
        while todo:
            at = todo.pop()
            for after in self.following(at) if at < end else []:
                exits |= set(self.nest(at)) - set(self.nest(after))
                if after not in reached:
                    reached.add(after)
                    todo.append(after)
        self.exits, self.has_end = frozenset(exits), end in reached
        live: list[set[str]] = [set() for _ in range(end + 1)]
        changed = True
        while changed:
            changed = False
            for at in reversed(range(end)):
                op = self.operations[at]
                later = set().union(*(live[after] for after in self.following(at)))
                before = (later - {op.defines}) | op.uses
                if before != live[at]:
                    live[at], changed = before, True
        self.live = [tuple(sorted(names)) for names in live]
