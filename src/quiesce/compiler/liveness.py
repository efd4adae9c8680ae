# SPDX-License-Identifier: Apache-2.0
"""Which local variables matter at a location: the others are reset there, and take no part in a state."""

from __future__ import annotations

from collections import defaultdict

from quiesce.compiler.ir import (
    Code,
    Local,
    assigned,
    operands,
    reachable,
    successors,
    walk,
)

Slots = frozenset[int]


def live_slots(code: Code) -> list[Slots]:
    """Return for each operation the slots whose values may still be read from there on.

    The textbook backward analysis (Aho, Lam, Sethi, Ullman: "Compilers", 9.2.5). Operations between
    which nothing changes share one set.
    """
    ops = code.ops
    uses: list[Slots] = [
        frozenset(e.slot for x in operands(op) for e in walk(x) if isinstance(e, Local))
        for op in ops
    ]
    live: list[Slots] = [frozenset()] * len(ops)
    changed = True
    while changed:
        changed = False
        for i in range(len(ops) - 1, -1, -1):
            after = _after(code, live, i)
            op = ops[i]
            slot = assigned(op)
            if slot is not None:
                after -= {slot}
            new = after if uses[i] <= after else after | uses[i]
            if new != live[i]:
                live[i] = new
                changed = True
    return live


def _after(code: Code, live: list[Slots], position: int) -> Slots:
    """Return what is live after an operation, on whichever path."""
    first, *others = [live[s] for s in successors(code.ops, position)] or [frozenset[int]()]
    for other in others:
        if not other <= first:
            first |= other
    return first


def live_together(code: Code, live: list[Slots]) -> dict[int, set[int]]:
    """Return, for each local, those that need places of their own beside it, also in the middle of a step.

    Two do if both are live somewhere, or if one is assigned where the other is live. Where both are live,
    one of them was assigned while the other was live already, or nothing assigned them (in code that
    is never reached).
    """
    beside: dict[int, set[int]] = defaultdict(set)
    reached = reachable(code.ops)
    for i, op in enumerate(code.ops):
        after = _after(code, live, i)
        changed = assigned(op)
        here: Slots = frozenset() if changed is None else frozenset([changed])
        for slot in here if reached[i] else after | here:
            beside[slot] |= after
            for other in after:
                beside[other].add(slot)
    for slot in live[0]:
        beside[slot] |= live[0]
    for slot, others in beside.items():
        others.discard(slot)
    return beside
