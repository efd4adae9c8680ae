# SPDX-License-Identifier: Apache-2.0
"""Bounds on every value that an expression can have, to know that it fits a machine register.

Unlike ``ranges.py``, which proposes the range of a variable and lets the explorers enforce it, this must
never be too narrow: what is enforced (a variable's range) is where it starts from.
"""

from __future__ import annotations

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

Interval = tuple[int, int]
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
            return _arithmetic(op, a, b)
    raise AssertionError(f"{type(expr).__name__} has no bounds")


def _arithmetic(op: str, a: Interval, b: Interval) -> Interval:
    largest = max(abs(a[0]), abs(a[1]))
    match op:
        case "+":
            return a[0] + b[0], a[1] + b[1]
        case "-":
            return a[0] - b[1], a[1] - b[0]
        case "*":
            products = [x * y for x in a for y in b]
            return min(products), max(products)
        case "//":
            # Rounding down makes a magnitude at most one larger.
            return -largest - 1, largest + 1
        case "%":
            # The remainder has the sign of the divisor and is smaller than it.
            return min(b[0] + 1, 0), max(b[1] - 1, 0)
        case ">>":
            return min(a[0], 0), max(a[1], 0)
        case "<<":
            # A shift by more than 61 is a failure of its own.
            most = min(max(b[1], 0), 61)
            return min(a[0] << most, a[0]), max(a[1] << most, a[1])
        case "&" if a[0] >= 0 and b[0] >= 0:
            return 0, min(a[1], b[1])
    bits = max(largest, abs(b[0]), abs(b[1])).bit_length()
    low = 0 if a[0] >= 0 and b[0] >= 0 else -(1 << bits)
    return low, (1 << bits) - 1
