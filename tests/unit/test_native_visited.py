# SPDX-License-Identifier: Apache-2.0
"""The table of visited states by itself: it loses nothing, grows right, and never loops for ever."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

pytest.importorskip("numba", reason="the native explorer needs numba")

import numpy as np

from quiesce.explorer.native import table as table_module
from quiesce.explorer.native.grown import Grown
from quiesce.explorer.native.kernels.stored import SLACK, STRIDE, Vector, shape_of, words_at
from quiesce.explorer.native.kernels.visited import BLOCK, MARGIN, find, insert
from quiesce.explorer.native.program.pack_state import Field, Packing
from quiesce.explorer.native.table import VisitedTable

MANY = 1 << 40


@dataclass
class Owner:
    """As much of a worker as the table needs to know."""

    shape: Vector
    number: int = 0
    count: int = 0
    here: Vector = field(init=False)
    states: Grown = field(init=False)

    def __post_init__(self) -> None:
        self.here = np.zeros(int(self.shape[0]), np.int64)
        self.states = Grown(np.uint8, 200_000 * int(self.shape[STRIDE]) + SLACK)


def shape(bits: list[int]) -> Vector:
    """Return the shape of states with one field in each word."""
    fields = [Field(word, 0, width, 0) for word, width in enumerate(bits)]
    return shape_of(Packing(fields, [], [], len(bits), sum(bits)))


def box_of(rng: random.Random, bits: list[int], number: int) -> Vector:
    """Return *number* random states as packed words."""
    words = [rng.getrandbits(width) for _ in range(number) for width in bits]
    return np.array(words, np.uint64).view(np.int64)


def add(table: VisitedTable, owner: Owner, box: Vector, number: int, limit: int = MANY) -> int:
    """Insert the states of *box*; return how many were looked up before room was needed."""
    at, owner.count = insert(
        box, 0, number, owner.shape, np.array([owner.states.address], np.int64), 0, 0,
        table.memory.array, table.slots, table.number_bits, np.zeros(BLOCK, np.uint64),
        np.zeros(BLOCK, np.int64), owner.count, limit,
    )  # fmt: skip
    return int(at)


def look_up(table: VisitedTable, owner: Owner, box: Vector, number: int) -> list[int]:
    """Return the number of each state of *box*, -1 for one that is not there."""
    found = np.zeros(number, np.int64)
    find(
        box, number, owner.shape, np.array([owner.states.address], np.int64), table.memory.array,
        table.slots, table.number_bits, np.zeros(BLOCK, np.uint64), np.zeros(BLOCK, np.int64), found,
    )  # fmt: skip
    return [int(n) for n in found]


@pytest.mark.parametrize("bits", [[5], [44], [64], [64, 1], [60, 33], [62, 64, 7]])
@pytest.mark.parametrize("spread", [True, False])
def test_what_was_entered_is_found_after_every_growth(
    bits: list[int], spread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not spread:
        # No room for even the shortest run: the table is filled anew from the states.
        monkeypatch.setattr(table_module, "_LONGEST_RUN", 0)
    rng = random.Random(repr(bits))
    table, owner = VisitedTable(0), Owner(shape(bits))
    expected: dict[tuple[int, ...], int] = {}
    for number in (1, 700, 9_000, 20_000, 40_000):
        box = box_of(rng, bits, number)
        table.make_room(owner.count + number + BLOCK, [owner])  # type: ignore[list-item]
        assert add(table, owner, box, number) == number
        rows = [tuple(row) for row in box.reshape(number, -1).tolist()]
        for row in rows:
            expected.setdefault(row, len(expected))
        assert owner.count == len(expected)
        assert look_up(table, owner, box, number) == [expected[row] for row in rows]
    stored = {
        tuple(words_at(owner.states.array, n, owner.shape).tolist()): n for n in range(owner.count)
    }
    assert stored == expected
    strangers = box_of(rng, bits, 500)
    rows = [tuple(row) for row in strangers.reshape(500, -1).tolist()]
    assert look_up(table, owner, strangers, 500) == [expected.get(row, -1) for row in rows]


def test_a_table_that_is_full_asks_for_room() -> None:
    """More states than slots, the caller's limit notwithstanding: it stops, and nothing is lost."""
    bits = [40]
    table, owner = VisitedTable(0), Owner(shape(bits))
    number = table.slots + MARGIN + 10_000
    box = box_of(random.Random(1), bits, number)
    at = add(table, owner, box, number)
    assert at < number
    assert owner.count <= table.slots + MARGIN - 1
    table.make_room(2 * number, [owner])  # type: ignore[list-item]
    assert add(table, owner, box, number) == number
    assert owner.count == len(set(box.tolist()))


def test_the_limit_is_kept() -> None:
    table, owner = VisitedTable(0), Owner(shape([40]))
    box = box_of(random.Random(2), [40], 5_000)
    add(table, owner, box, 5_000, limit=1_000)
    assert 1_000 - BLOCK <= owner.count <= 1_000
