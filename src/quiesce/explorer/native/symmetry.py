# SPDX-License-Identifier: Apache-2.0
"""Which threads are alike, and what the kernel needs to exchange them.

Threads of one kind run the same code, so exchanging them maps runs to runs, as long as nothing tells
them apart by name. What could: a constant that names one of them, a variable of one of them that is
reached other than through the task it belongs to, or a property that treats them differently. Each kind
is checked for that, and left alone if it fails.

A property is taken for symmetric if exchanging two neighbouring threads in it gives the same formula,
after sorting the operands of ``and``, ``or``, ``+`` and the like; neighbours generate all exchanges.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from quiesce.compiler.program import Program
from quiesce.compiler.types import SetType, TaskType
from quiesce.explorer.analysis.asymmetry import told_apart
from quiesce.explorer.native.kernels.stored import Vector
from quiesce.explorer.native.program.tables import Compiled, Symmetry

_MOST_OUTSIDE = 31


@dataclass(slots=True)
class FoundSymmetry:
    """The symmetry of a program, and what to tell the user about it."""

    symmetry: Symmetry
    notes: list[str] = field(default_factory=list)


def no_symmetry(compiled: Compiled) -> Symmetry:
    """Return the symmetry that leaves every state as it is."""
    threads = len(compiled.program.threads)
    empty = np.zeros(2 * threads, np.int64)
    sizes = np.array([1, threads, 0, 0, 0, 0, 0, 0], np.int64)
    return Symmetry(sizes, *[empty] * 8)


def find_symmetry(compiled: Compiled) -> FoundSymmetry:
    """Return which threads of *compiled* may be exchanged."""
    program = compiled.program
    groups = []
    for kind in program.kinds:
        members = [i for i, t in enumerate(program.threads) if t.kind is kind]
        if len(members) > 1:
            groups.append(members)
    distinct = told_apart(program)
    kept = [g for g in groups if not distinct.intersection(g)]
    notes = [
        f"{len(g)} identical threads ({program.threads[g[0]].kind.name}) are treated alike"
        for g in kept
    ]
    if not kept:
        return FoundSymmetry(no_symmetry(compiled))
    return FoundSymmetry(_Builder(compiled, kept).build(), notes)


class _Builder:
    """Lays out the vectors of a :class:`Symmetry`."""

    def __init__(self, compiled: Compiled, groups: list[list[int]]) -> None:
        self.compiled = compiled
        self.program: Program = compiled.program
        self.packing = compiled.packing
        self.groups = groups
        self.grouped = {t for g in groups for t in g}
        self.places = _task_places(self.program)

    def build(self) -> Symmetry:
        threads = len(self.program.threads)
        inside = {m for t in self.grouped for m in self.packing.members[t]}
        references, outside_references = self._everywhere(inside, sets=False)
        sets, outside_sets = self._everywhere(inside, sets=True)
        rows: list[int] = []
        inner_references: list[int] = []
        inner_sets: list[int] = []
        widest = 1
        like, pairs = [-1] * threads, [0] * (2 * threads)
        for members in self.groups:
            block = self.packing.blocks[members[0]]
            widest = max(widest, block.words)
            mask = -1 if block.bits >= 64 else (1 << block.bits) - 1
            rows += [members[0], len(members), block.words, mask, len(inner_references) // 3]
            inner_references += self._inside(members[0], sets=False)
            rows += [len(inner_references) // 3, len(inner_sets) // 2]
            inner_sets += self._inside(members[0], sets=True)
            rows.append(len(inner_sets) // 2)
            for t in members:
                like[t] = members[0]
                pairs[2 * t : 2 * t + 2] = [block.words, mask] if t != members[-1] else [0, 0]
        key = widest + 1
        sizes = [
            3 * threads + key * threads, threads, outside_references, outside_sets, key,
            len(self.groups), len(references) // 3, len(sets) // 2,
        ]  # fmt: skip
        blocks = [x for b in self.packing.blocks for x in (b.word, b.shift)]
        return Symmetry(
            _vector(sizes), _vector(rows), _vector(blocks), _vector(like), _vector(pairs),
            _vector(inner_references), _vector(inner_sets), _vector(references), _vector(sets),
        )  # fmt: skip

    def _everywhere(self, inside: set[int], sets: bool) -> tuple[list[int], int]:
        """Return the fields that name tasks, those outside the groups' blocks first; how many those are."""
        places = [p for p, is_set in self.places if is_set == sets]
        places = [p for p in places if self.packing.fields[p].bits]
        outside = [p for p in places if p not in inside]
        flat = []
        for place in outside + [p for p in places if p in inside]:
            f = self.packing.fields[place]
            flat += [f.word, f.shift] if sets else [f.word, f.shift, f.mask]
        return flat, min(len(outside), _MOST_OUTSIDE)

    def _inside(self, thread: int, sets: bool) -> list[int]:
        """Return the fields in a thread's block that name tasks, relative to the block."""
        block = self.packing.blocks[thread]
        named = {p for p, is_set in self.places if is_set == sets}
        flat = []
        for place in self.packing.members[thread]:
            f = self.packing.fields[place]
            if place in named and f.bits:
                shift = f.shift if block.words > 1 else f.shift - block.shift
                flat += [f.word - block.word, shift] + ([] if sets else [f.mask])
        return flat


def _task_places(program: Program) -> list[tuple[int, bool]]:
    """Return the places in a state that name a task (False) or hold a set of tasks (True)."""
    found = []
    for i, cell in enumerate(program.cells):
        if isinstance(cell.type, TaskType):
            found.append((i, False))
        elif isinstance(cell.type, SetType) and cell.type.of_tasks:
            found.append((i, True))
    for thread in program.threads:
        for stored in thread.kind.stored:
            if isinstance(stored.type, TaskType):
                found.append((thread.base + stored.offset, False))
            elif isinstance(stored.type, SetType) and stored.type.of_tasks:
                found.append((thread.base + stored.offset, True))
    return found


def _vector(items: list[int]) -> Vector:
    return np.array(items or [0], np.int64)
