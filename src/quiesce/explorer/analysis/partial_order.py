# SPDX-License-Identifier: Apache-2.0
"""Partial order reduction: which thread may go first without anything being missed.

If a thread's next step touches nothing that any other thread may ever touch from where it stands, then
whatever the others do can as well be done after it: the step alone is an ample set (D. Peled, "All from
one, one for all", CAV 1993; G. Holzmann, D. Peled, "An improvement in formal verification", FORTE 1994).
Conditions, all decided from the source before the search begins:

* *independence*: its cells are disjoint from those of every step that another thread can still take,
  reads of both apart. So it cannot race either, and it neither enables nor disables any thread;
* it can be taken: it has no ``wait_until``;
* *invisible*: it writes nothing that a property looks at;
* *the cycle proviso*: no step is postponed forever. In each loop of a kind's code there is a location
  from which a thread never goes alone (R. Kurshan, V. Levin, M. Minea, D. Peled, H. Yenigün, "Static
  partial order reduction", TACAS 1998). On a cycle of the reduced graph, a thread runs through a cycle of its
  code; so every cycle has a state in which all threads were let go.

Where everything shared is a lock that all threads take, there is little to gain, here as in Spin.
"""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.compiler.atomic_steps import expression_cells, expression_versions
from quiesce.compiler.ir import operands
from quiesce.compiler.program import Program, ThreadKind
from quiesce.explorer.analysis.footprint import Footprint, next_locations, step_footprint


@dataclass(frozen=True, slots=True)
class AmpleSteps:
    """Which steps may go first.

    :param candidate: ``candidate[t][l]``: thread t at location l can be considered at all.
    :param apart: ``apart[t][l][u][m]``: the step of t from l touches nothing that another thread u may
        touch from location m on. Only filled where t is a candidate; steps that touch the same share it.
    """

    candidate: list[list[bool]]
    apart: dict[tuple[int, int], list[list[bool]]]

    @property
    def any(self) -> bool:
        """Whether there is anything to gain."""
        return any(any(row) for row in self.candidate)

    def thread(self, locations: list[int]) -> int:
        """Return a thread that may go alone where the threads stand at *locations*, or -1."""
        for t, at in enumerate(locations):
            if self.candidate[t][at]:
                apart = self.apart[t, at]
                if all(u == t or apart[u][m] for u, m in enumerate(locations)):
                    return t
        return -1


def find_ample_steps(program: Program) -> AmpleSteps:
    """Return which steps of *program* may go first."""
    exprs = [x for p in program.properties for op in p.code.ops for x in operands(op)]
    visible = {c for x in exprs for c in expression_cells(x)}
    visible |= {-1 - v for x in exprs for v in expression_versions(x)}
    sticky = {id(k): _sticky(k) for k in program.kinds}
    steps = [
        [step_footprint(t.kind, i, number) for i in range(len(t.kind.locations))]
        for number, t in enumerate(program.threads)
    ]
    futures = [_futures(program, t.kind, steps[i]) for i, t in enumerate(program.threads)]
    candidate: list[list[bool]] = []
    apart: dict[tuple[int, int], list[list[bool]]] = {}
    for t, thread in enumerate(program.threads):
        row = []
        others = [futures[u] if u != t else [] for u in range(len(futures))]
        tables: dict[Footprint, list[list[bool]]] = {}
        for location, at in enumerate(thread.kind.locations):
            mine = steps[t][location]
            possible = (
                location > 0
                and not at.final
                and not at.waits
                and location not in sticky[id(thread.kind)]
                and not mine.writes & visible
            )
            if possible:
                if mine not in tables:
                    touched = _touched(program, mine)
                    tables[mine] = [[_apart(touched, f) for f in places] for places in others]
                # Where no place of some other thread is far enough away, it is not worth a look.
                possible = all(any(tables[mine][u]) for u in range(len(futures)) if u != t)
                if possible:
                    apart[t, location] = tables[mine]
            row.append(possible)
        candidate.append(row)
    return AmpleSteps(candidate, apart)


@dataclass(frozen=True, slots=True)
class _Touched:
    """What is read and what is written, as masks: bit c is cell c, the versions come after the cells."""

    reads: int
    writes: int

    def __or__(self, other: _Touched) -> _Touched:
        return _Touched(self.reads | other.reads, self.writes | other.writes)


def _touched(program: Program, footprint: Footprint) -> _Touched:
    def mask(touched: frozenset[int]) -> int:
        return sum(1 << (c if c >= 0 else len(program.cells) - 1 - c) for c in touched)

    return _Touched(mask(footprint.reads), mask(footprint.writes))


def _apart(mine: _Touched, other: _Touched) -> bool:
    return not (mine.writes & (other.reads | other.writes) or mine.reads & other.writes)


def _futures(program: Program, kind: ThreadKind, steps: list[Footprint]) -> list[_Touched]:
    """Return, for each location, what may be read and written from there on."""
    after = [next_locations(kind, i) for i in range(len(kind.locations))]
    found = [
        _Touched(0, 0) if at.final else _touched(program, step)
        for at, step in zip(kind.locations, steps, strict=True)
    ]
    changed = True
    while changed:
        changed = False
        # Control mostly goes to later locations: one round, and one more for each loop in a loop.
        for i in range(len(found) - 1, -1, -1):
            new = found[i]
            for location in after[i]:
                new |= found[location]
            if new != found[i]:
                found[i] = new
                changed = True
    return found


def _sticky(kind: ThreadKind) -> set[int]:
    """Return locations such that every loop of the kind's code has one: targets of backward edges."""
    after = [sorted(next_locations(kind, i)) for i in range(len(kind.locations))]
    state = [0] * len(kind.locations)  # 0 not seen, 1 on the path, 2 done
    sticky: set[int] = set()
    for root in range(len(kind.locations)):
        if state[root]:
            continue
        state[root] = 1
        path = [(root, iter(after[root]))]
        while path:
            location, rest = path[-1]
            target = next(rest, None)
            if target is None:
                state[location] = 2
                path.pop()
            elif state[target] == 1:
                sticky.add(target)
            elif state[target] == 0:
                state[target] = 1
                path.append((target, iter(after[target])))
    return sticky
