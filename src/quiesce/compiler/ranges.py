# SPDX-License-Identifier: Apache-2.0
"""The range of each local integer: found from what is assigned to it.

Intervals, joined over all assignments of a variable wherever they stand, until nothing changes. A
variable that keeps growing is widened (Cousot and Cousot, "Abstract interpretation", POPL 1977): to
the next larger constant that the code mentions, so that the counter of ``range(300)`` gets to 300, or
to the default range, -256 to 255, whichever reaches further in the end. Leaving the range found is a
violation like any other, so widening never hides a value.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import assert_never

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
    operands,
    walk,
)
from quiesce.compiler.layout import Layout
from quiesce.compiler.types import IntType, Type, bounds
from quiesce.protocol.variables import DEFAULT_HIGH

Interval = tuple[int, int]

_ROUNDS_BEFORE_WIDENING = 4
_TRUTH = frozenset(["==", "!=", "<", "<=", ">", ">=", "and", "or", "bit"])
_MOST_MEMBERS = 62
_LONGEST_SHIFT = 61


def find_ranges(code: Code, layout: Layout) -> list[Interval]:
    """Return the (lowest, highest) value of each slot of *code*."""
    ranges: list[Interval | None] = []
    for declared in code.slots:
        type_: Type = declared.type  # type: ignore[assignment]
        ranges.append(None if isinstance(type_, IntType) else bounds(type_, layout.threads))
    integer = [r is None for r in ranges]
    assigned = [
        (op.slot, value)
        for op in code.ops
        if isinstance(op, SetLocal | Choose) and integer[op.slot]
        for value in ((op.value,) if isinstance(op, SetLocal) else op.options)
    ]
    thresholds = _thresholds(code)
    changed, round_ = True, 0
    while changed:
        changed = False
        for slot, value in assigned:
            found = interval(value, ranges, layout)
            joined = found if ranges[slot] is None else _join(ranges[slot], found)
            if joined is None or joined == ranges[slot]:
                continue
            if round_ >= _ROUNDS_BEFORE_WIDENING:
                joined = _widened(ranges[slot], joined, thresholds)
                if joined == ranges[slot]:
                    continue
            ranges[slot] = joined
            changed = True
        round_ += 1
    return [r if r is not None else (0, 0) for r in ranges]


def _thresholds(code: Code) -> list[int]:
    """Return where widening stops: at the code's own constants, and one further, and the default."""
    found = {-DEFAULT_HIGH - 1, 0, DEFAULT_HIGH}
    for op in code.ops:
        for expr in operands(op):
            found |= {e.value + i for e in walk(expr) if isinstance(e, Const) for i in (-1, 0, 1)}
    return sorted(found)


def _join(a: Interval | None, b: Interval | None) -> Interval | None:
    if a is None or b is None:
        return a or b
    return min(a[0], b[0]), max(a[1], b[1])


def _widened(old: Interval | None, new: Interval, thresholds: list[int]) -> Interval:
    """Return *new* with each end that moved since *old* put on the next threshold, or left there."""
    low, high = new
    if old is None:
        return new
    if low < old[0]:
        at = bisect_right(thresholds, low)
        low = thresholds[at - 1] if at else old[0]
    if high > old[1]:
        at = bisect_left(thresholds, high)
        high = thresholds[at] if at < len(thresholds) else old[1]
    return low, high


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
            return 0, _MOST_MEMBERS
        case Unary(op=op, operand=operand):
            inner = interval(operand, slots, layout)
            if inner is None:
                return None
            low, high = inner
            return (-high, -low) if op == "-" else (~high, ~low)
        case IfElse(then=then, otherwise=otherwise):
            return _join(interval(then, slots, layout), interval(otherwise, slots, layout))
        case Binary(op=op, left=left, right=right):
            if op in _TRUTH:
                return 0, 1
            a, b = interval(left, slots, layout), interval(right, slots, layout)
            return None if a is None or b is None else arithmetic(op, a, b)
        case _:
            assert_never(expr)


def arithmetic(op: str, a: Interval, b: Interval) -> Interval:
    """Return (low, high) around every value of *op* that does not fail."""
    largest = max(abs(a[0]), abs(a[1]))
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
        case "//":
            # Rounding down makes a magnitude at most one larger.
            return -largest - 1, largest + 1
        case "%":
            # The remainder has the sign of the divisor and is smaller than it.
            return min(b[0] + 1, 0), max(b[1] - 1, 0)
        case ">>" if a[0] >= 0 and b[0] >= 0:
            return a[0] >> b[1], a[1] >> b[0]
        case ">>":
            return min(a[0], 0), max(a[1], 0)
        case "<<":
            # A shift by more than 61 is a failure of its own.
            most = min(max(b[1], 0), _LONGEST_SHIFT)
            return min(a[0] << most, a[0]), max(a[1] << most, a[1])
        case "&" if a[0] >= 0 and b[0] >= 0:
            return 0, min(a[1], b[1])
        case "&" if a[0] >= 0 or b[0] >= 0:
            return 0, a[1] if a[0] >= 0 else b[1]
    bits = max(largest, abs(b[0]), abs(b[1])).bit_length()
    low = 0 if a[0] >= 0 and b[0] >= 0 else -(1 << bits)
    return low, (1 << bits) - 1
