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
from collections import defaultdict
from heapq import heappop, heappush
from typing import assert_never

from quiesce.compiler.ir import (
    Binary,
    Code,
    Const,
    Current,
    Expr,
    IfElse,
    Load,
    Local,
    Unary,
    VersionRead,
    assigned,
    operands,
    walk,
)
from quiesce.compiler.layout import Layout
from quiesce.compiler.types import IntType, bounds
from quiesce.protocol.scalars import DEFAULT_HIGH

Interval = tuple[int, int]

_ROUNDS_BEFORE_WIDENING = 4
_ROUNDS_BEFORE_LAST_THRESHOLD = 64
"""After so many, widening goes to the largest constant at once: there may be thousands on the way."""

_LARGEST = 1 << 4096
"""No range goes further: squaring a local forty times over would give an end of a trillion bits."""

_TRUTH = frozenset(["==", "!=", "<", "<=", ">", ">=", "and", "or", "bit"])
_MOST_MEMBERS = 62
_LONGEST_SHIFT = 61


def find_ranges(code: Code, layout: Layout) -> list[Interval]:
    """Return the (lowest, highest) value of each slot of *code*.

    In rounds, each in the order of the text; an assignment is looked at again when a local that it reads
    has changed.
    """
    ranges: list[Interval | None] = []
    for declared in code.slots:
        type_ = declared.type
        ranges.append(None if isinstance(type_, IntType) else bounds(type_, layout.threads))
    integer = [r is None for r in ranges]
    assignments = [
        (slot, value)
        for op in code.ops
        if (slot := assigned(op)) is not None and integer[slot]
        for value in operands(op)
    ]
    readers = _readers(assignments)
    thresholds = _thresholds(code)
    todo, round_ = list(range(len(assignments))), 0
    while todo:
        waiting = set(todo)
        last_change: dict[int, int] = {}
        while todo:
            number = heappop(todo)
            slot, value = assignments[number]
            joined = _join(ranges[slot], interval(value, ranges, layout))
            if joined is not None and round_ >= _ROUNDS_BEFORE_WIDENING:
                joined = _widened(ranges[slot], joined, thresholds)
            if joined == ranges[slot]:
                continue
            ranges[slot] = joined
            if slot not in last_change:
                later = readers[slot][bisect_right(readers[slot], number) :]
                for reader in later:
                    if reader not in waiting:
                        waiting.add(reader)
                        heappush(todo, reader)
            last_change[slot] = number
        todo = sorted({r for s, at in last_change.items() for r in readers[s] if r <= at})
        round_ += 1
        if round_ == _ROUNDS_BEFORE_LAST_THRESHOLD:
            thresholds = [thresholds[0], thresholds[-1]]
    return [r if r is not None else (0, 0) for r in ranges]


def _readers(assigned: list[tuple[int, Expr]]) -> dict[int, list[int]]:
    """Return, for each slot, the assignments whose value reads it."""
    found: dict[int, list[int]] = defaultdict(list)
    for number, (_, value) in enumerate(assigned):
        for slot in {e.slot for e in walk(value) if isinstance(e, Local)}:
            found[slot].append(number)
    return found


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
            return None if a is None or b is None else _capped(arithmetic(op, a, b))
        case _:
            assert_never(expr)


def _capped(found: Interval) -> Interval:
    low, high = found
    return max(low, -_LARGEST), min(high, _LARGEST)


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
