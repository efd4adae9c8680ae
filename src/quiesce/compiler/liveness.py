# SPDX-License-Identifier: Apache-2.0
"""Which local variables matter at a location: the others are reset there, and take no part in a state."""

from __future__ import annotations

from quiesce.compiler.ir import Await, Choose, Code, Local, SetLocal, operands, successors, walk


def live_slots(code: Code) -> list[frozenset[int]]:
    """Return for each operation the slots whose values may still be read from there on.

    The textbook backward analysis (Aho, Lam, Sethi, Ullman: "Compilers", 9.2.5).
    """
    count = len(code.ops)
    uses: list[set[int]] = []
    for op in code.ops:
        exprs = operands(op)
        if isinstance(op, Await) and op.again is not None:
            # What a sleeper will look at again is needed to tell a lost wakeup.
            exprs = (*exprs, op.again)
        uses.append({e.slot for x in exprs for e in walk(x) if isinstance(e, Local)})
    live: list[set[int]] = [set() for _ in range(count)]
    changed = True
    while changed:
        changed = False
        for i in range(count - 1, -1, -1):
            op = code.ops[i]
            after: set[int] = set()
            for s in successors(code.ops, i):
                after |= live[s]
            if isinstance(op, SetLocal | Choose):
                after.discard(op.slot)
            new = after | uses[i]
            if new != live[i]:
                live[i] = new
                changed = True
    return [frozenset(s) for s in live]
