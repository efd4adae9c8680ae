# SPDX-License-Identifier: Apache-2.0
"""Bounds on every value that an expression can have, to know that it fits a machine register.

Unlike ``ranges.py``, which proposes the range of a variable and lets the explorers enforce it, this must
never be too narrow: what is enforced (a variable's range) is where it starts from.
"""

from __future__ import annotations

from typing import assert_never

from quiesce.compiler.ir import (
    Binary,
    Const,
    Current,
    Expr,
    IfElse,
    Load,
    Local,
    Unary,
    VersionRead,
)
from quiesce.compiler.program import Program
from quiesce.compiler.ranges import Interval, arithmetic

_TRUTH = frozenset(["==", "!=", "<", "<=", ">", ">=", "and", "or", "bit"])


def value_bounds(expr: Expr, program: Program, locals_: list[Interval]) -> Interval:
    """Return (low, high) around every value of *expr* that does not fail on the way.

    :param locals_: the enforced range of each local variable.
    """
    match expr:
        case Const(value=value):
            return value, value
        case Local(slot=slot):
            low, high = locals_[slot]
            return min(low, 0), max(high, 0)
        case Current():
            return 1, len(program.threads)
        case VersionRead():
            return 1, 1
        case Load(address=address):
            cell = program.cells[address.base]
            return min(cell.low, cell.initial), max(cell.high, cell.initial)
        case Unary(op=op, operand=operand):
            low, high = value_bounds(operand, program, locals_)
            return {"not": (0, 1), "count": (0, 64), "-": (-high, -low)}.get(op, (~high, ~low))
        case IfElse(then=then, otherwise=otherwise):
            a = value_bounds(then, program, locals_)
            b = value_bounds(otherwise, program, locals_)
            return min(a[0], b[0]), max(a[1], b[1])
        case Binary(op=op, left=left, right=right):
            if op in _TRUTH:
                return 0, 1
            a = value_bounds(left, program, locals_)
            b = value_bounds(right, program, locals_)
            return arithmetic(op, a, b)
        case _:
            assert_never(expr)
