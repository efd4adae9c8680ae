# SPDX-License-Identifier: Apache-2.0
"""Checks on the IR: rules of the language that need the control flow, and our own consistency."""

from __future__ import annotations

from quiesce.compiler.ir import (
    Await,
    Begin,
    Bump,
    Code,
    End,
    Halt,
    Label,
    Local,
    Op,
    Store,
    operands,
    successors,
    walk,
)
from quiesce.errors import Diagnostic


def check_waits_before_writes(code: Code) -> list[Diagnostic]:
    """Return a complaint for each ``wait_until`` that may come after a write of its atomic region.

    On real threads an atomic method whose wait is false is left and tried again; what it had written
    by then would stay.
    """
    found = []
    region: list[int] = []
    for i, op in enumerate(code.ops):
        if isinstance(op, Begin):
            region = []
        region.append(i)
        if isinstance(op, End):
            found += _late_waits(code.ops, region)
            region = []
    return found


def _late_waits(ops: list[Op], region: list[int]) -> list[Diagnostic]:
    members = set(region)
    after_write: set[int] = set()
    todo = [
        s for i in region if isinstance(ops[i], Store | Bump) for s in successors(ops, i)
    ]  # fmt: skip
    while todo:
        i = todo.pop()
        if i in members and i not in after_write:
            after_write.add(i)
            todo += successors(ops, i)
    return [
        Diagnostic(
            ops[i].loc, "wait-after-write", "this waits after something was written",
            "an atomic method that has to wait has not happened, so it waits before it writes",
            "move the wait to the top, or split the method in two",
        )
        for i in sorted(after_write)
        if isinstance(ops[i], Await)
    ]  # fmt: skip


def verify(code: Code) -> None:
    """Assert what every pass relies on; a failure is a defect of the compiler."""
    count = len(code.ops)
    assert count and isinstance(code.ops[-1], Halt), f"{code.name} does not end with Halt"
    depth = 0
    for i, op in enumerate(code.ops):
        for s in successors(code.ops, i):
            assert 0 <= s < count, f"{code.name}: operation {i} leads to {s}"
        for name in type(op).__dataclass_fields__:
            value = getattr(op, name)
            assert not isinstance(value, Label) or value.position >= 0, (
                f"{code.name}: no label at {i}"
            )
        for expr in operands(op):
            for e in walk(expr):
                assert not isinstance(e, Local) or e.slot < len(code.slots)
        depth += isinstance(op, Begin)
        depth -= isinstance(op, End)
        assert depth in (0, 1), f"{code.name}: atomic regions are not bracketed at {i}"
