# SPDX-License-Identifier: Apache-2.0
"""The range of each local integer: found from what is assigned to it.

Intervals, joined over all assignments of a variable wherever they stand, until nothing changes; a
variable that keeps growing is widened to the default range (Cousot and Cousot, "Abstract
interpretation", POPL 1977). Leaving the range found is then a violation like any other, so widening
never hides a value.
"""

from __future__ import annotations

from quiesce.compiler.ir import (
    Binary,
    Choose,
    Code,
    Const,
    Current,
    Expr,
    IfElse,
    Load,
    Local,
    SetLocal,
    Unary,
    VersionRead,
)
from quiesce.compiler.layout import Layout
from quiesce.compiler.types import IntType, Type, bounds
from quiesce.protocol.variables import DEFAULT_HIGH

Interval = tuple[int, int]

_ROUNDS_BEFORE_WIDENING = 4
_COMPARISONS = frozenset(["==", "!=", "<", "<=", ">", ">=", "and", "or", "bit"])


def find_ranges(code: Code, layout: Layout) -> list[Interval]:
    """Return the (lowest, highest) value of each slot of *code*."""
    ranges: list[Interval | None] = []
    for declared in code.slots:
        type_: Type = declared.type  # type: ignore[assignment]
        ranges.append(None if isinstance(type_, IntType) else bounds(type_, layout.threads))
    integer = [r is None for r in ranges]
    for round_ in range(_ROUNDS_BEFORE_WIDENING + 3):
        changed = False
        for op in code.ops:
            if isinstance(op, SetLocal):
                slot, values = op.slot, [op.value]
            elif isinstance(op, Choose):
                slot, values = op.slot, list(op.options)
            else:
                continue
            if not integer[slot]:
                continue
            for value in values:
                found = interval(value, ranges, layout)
                if found is None:
                    continue
                joined = _join(ranges[slot], found)
                if joined != ranges[slot]:
                    changed = True
                    ranges[slot] = joined if round_ < _ROUNDS_BEFORE_WIDENING else _widened(joined)
        if not changed:
            break
    return [r if r is not None else (0, 0) for r in ranges]


def _join(a: Interval | None, b: Interval) -> Interval:
    return b if a is None else (min(a[0], b[0]), max(a[1], b[1]))


def _widened(found: Interval) -> Interval:
    low, high = found
    low = min(0, low) if low >= -DEFAULT_HIGH - 1 else low
    return (-DEFAULT_HIGH - 1 if low < 0 else 0), max(DEFAULT_HIGH, min(high, DEFAULT_HIGH))


def interval(expr: Expr, slots: list[Interval | None], layout: Layout) -> Interval | None:
    """Return an interval that holds every value of *expr*; None if nothing is known yet."""
    match expr:
        case Const(value=value):
            return value, value
        case Local(slot=slot):
            return slots[slot]
        case Current():
            return 1, layout.threads
        case VersionRead():
            return 1, 1
        case Load(address=address):
            cell = layout.cells[address.base]
            return cell.low, cell.high
        case Unary(op="not"):
            return 0, 1
        case Unary(op="count"):
            return 0, 62
        case Unary(op=op, operand=operand):
            inner = interval(operand, slots, layout)
            if inner is None:
                return None
            low, high = inner
            return (-high, -low) if op == "-" else (~high, ~low)
        case IfElse(then=then, otherwise=otherwise):
            a, b = interval(then, slots, layout), interval(otherwise, slots, layout)
            return b if a is None else a if b is None else _join(a, b)
        case Binary(op=op, left=left, right=right):
            if op in _COMPARISONS:
                return 0, 1
            a, b = interval(left, slots, layout), interval(right, slots, layout)
            return None if a is None or b is None else _binary(op, a, b)
    return None


def _binary(op: str, a: Interval, b: Interval) -> Interval:
    match op:
        case "+":
            return a[0] + b[0], a[1] + b[1]
        case "-":
            return a[0] - b[1], a[1] - b[0]
        case "*":
            products = [x * y for x in a for y in b]
            return min(products), max(products)
        case "//" if b[0] > 0:
            quotients = [x // y for x in a for y in b]
            return min(quotients), max(quotients)
        case "%" if b[0] > 0:
            return 0, b[1] - 1
        case "&" if a[0] >= 0 and b[0] >= 0:
            return 0, min(a[1], b[1])
        case "&" if a[0] >= 0:
            return 0, a[1]
        case "|" | "^" if a[0] >= 0 and b[0] >= 0:
            return 0, (1 << max(a[1].bit_length(), b[1].bit_length())) - 1
        case "<<" if a[0] >= 0 and 0 <= b[0] and b[1] < 62:
            return a[0] << b[0], a[1] << b[1]
        case ">>" if a[0] >= 0 and b[0] >= 0:
            return a[0] >> b[1], a[1] >> b[0]
    return -DEFAULT_HIGH - 1, DEFAULT_HIGH
