# SPDX-License-Identifier: Apache-2.0
"""The walks over a list of operations, held against what they mean, on random nests of loops and branches."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest

from quiesce.compiler.control_flow import (
    FEW,
    break_loops,
    explore,
    next_stops,
    predecessors,
)
from quiesce.compiler.ir import (
    Branch,
    Const,
    Halt,
    Jump,
    Label,
    Op,
    SetLocal,
    reachable,
    successors,
)
from quiesce.compiler.read.builder import Mark, resolve_labels
from quiesce.errors import Loc

LOC = Loc("", 0)


@dataclass
class Nest:
    """Random operations with the shape that structured source gives them."""

    random: Random
    ops: list[Op | Mark] = field(default_factory=list)

    def build(self) -> list[Op]:
        self.end = Label()
        self.block(4, [])
        self.mark(self.end)
        self.ops.append(Halt(loc=LOC, statement=0))
        return resolve_labels(self.ops)

    def mark(self, label: Label) -> None:
        self.ops.append(Mark(label, loc=LOC, statement=0))

    def jump(self, to: Label) -> None:
        self.ops.append(Jump(to, loc=LOC, statement=0))

    def branch(self, to: Label) -> None:
        self.ops.append(Branch(Const(1), to, loc=LOC, statement=0))

    def plain(self) -> None:
        self.ops.append(SetLocal(0, Const(0), loc=LOC, statement=0))

    def block(self, depth: int, loops: list[tuple[Label, Label]]) -> None:
        for _ in range(self.random.randint(1, 4)):
            kind = self.random.randrange(9) if depth else self.random.randrange(4)
            if kind <= 1:
                self.plain()
            elif kind == 2 and loops:
                self.jump(self.random.choice(loops[-1]))
            elif kind == 3 and self.random.random() < 0.2:
                self.jump(self.end)
            elif depth == 0:
                self.plain()
            elif kind <= 6:
                self.choice(depth, loops)
            else:
                self.loop(depth, loops)

    def choice(self, depth: int, loops: list[tuple[Label, Label]]) -> None:
        other, end = Label(), Label()
        self.branch(other)
        self.block(depth - 1, loops)
        if self.random.random() < 0.5:
            self.jump(end)
            self.mark(other)
            self.block(depth - 1, loops)
            self.mark(end)
        else:
            self.mark(other)

    def loop(self, depth: int, loops: list[tuple[Label, Label]]) -> None:
        start, end = Label(), Label()
        self.mark(start)
        if self.random.random() < 0.7:
            self.branch(end)
        self.block(depth - 1, [*loops, (start, end)])
        self.jump(start)
        self.mark(end)


def some(random: Random, ops: list[Op]) -> set[int]:
    share = random.random()
    return {i for i in range(len(ops)) if random.random() < share}


def taken_in_order(ops: list[Op], free: set[int], candidates: set[int]) -> set[int]:
    """Take each candidate, in order, that lies on a loop of free operations without one taken before."""
    taken: set[int] = set()
    for i in sorted(candidates):
        left = free - taken
        seen: set[int] = set()
        explore(ops, successors(ops, i), lambda j, left=left: j not in left, seen)  # type: ignore[misc]
        if i in seen:
            taken.add(i)
    return taken


@pytest.mark.parametrize("seed", range(300))
def test_loops_are_broken_where_a_walk_in_order_would(seed: int) -> None:
    random = Random(seed)
    ops = Nest(random).build()
    free = some(random, ops) | some(random, ops)
    candidates = some(random, ops) & free
    assert break_loops(ops, free, candidates) == taken_in_order(ops, free, candidates)


@pytest.mark.parametrize("seed", range(200))
def test_next_stops_are_those_that_a_walk_meets(seed: int) -> None:
    random = Random(seed)
    ops = Nest(random).build()
    stops = some(random, ops)
    for i, found in enumerate(next_stops(ops, stops)):
        met = explore(ops, successors(ops, i), lambda j: j in stops)
        assert found == (met if len(met) <= FEW else None)


@pytest.mark.parametrize("seed", range(50))
def test_predecessors_and_what_is_reachable(seed: int) -> None:
    ops = Nest(Random(seed)).build()
    before = predecessors(ops)
    for i in range(len(ops)):
        assert all(i in successors(ops, p) for p in before[i])
        assert all(i in before[s] for s in successors(ops, i))
    found = {i for i, reached in enumerate(reachable(ops)) if reached}
    assert found == {0} | {s for i in found for s in successors(ops, i)}
