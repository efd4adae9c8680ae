# SPDX-License-Identifier: Apache-2.0
"""Interchangeable threads, and the tables the kernel needs to permute them.

Threads of one kind run the same code, so exchanging them maps runs to runs, as long as nothing tells
them apart by name. What could: a constant that names one of them, a variable of one of them that is
reached other than through the task it belongs to, or a property that treats them differently. Each kind
is checked for that, and left alone if it fails.

A property is treated as symmetric if exchanging two neighboring threads in it gives the same formula,
after sorting the operands of ``and``, ``or``, ``+`` and the like; neighbours generate all exchanges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from quiesce.compiler.program import Program
from quiesce.compiler.types import SetType, TaskType
from quiesce.explorer.analysis.asymmetry import told_apart
from quiesce.explorer.native.kernels.stored import Vector
from quiesce.explorer.native.program.tables import Compiled, Groups, Places, Symmetry

_MOST_OUTSIDE = 31

_Place = tuple[int, int, int]
"""Word, shift and mask of a field."""


@dataclass(slots=True)
class FoundSymmetry:
    """The symmetry of a program, and what to tell the user about it."""

    symmetry: Symmetry
    notes: list[str] = field(default_factory=list)


def no_symmetry(compiled: Compiled) -> Symmetry:
    """Return the symmetry that leaves every state as it is."""
    threads = len(compiled.program.threads)
    empty = np.zeros(2 * threads, np.int64)
    nowhere = Places(empty, empty, empty)
    return Symmetry(
        Groups(*[empty] * 8), nowhere, empty, empty, empty, nowhere, nowhere, nowhere, nowhere,
        scratch=1, threads=threads, group_count=0, key_words=0, reference_count=0,
        outside_references=0, set_count=0, outside_sets=0,
    )  # fmt: skip


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
    return FoundSymmetry(_VectorBuilder(compiled, kept).build(), notes)


class _VectorBuilder:
    """Lays out the vectors of a :class:`Symmetry`."""

    def __init__(self, compiled: Compiled, groups: list[list[int]]) -> None:
        self.compiled = compiled
        self.program: Program = compiled.program
        self.packing = compiled.packing
        self.groups = groups
        self.grouped = {t for g in groups for t in g}
        self.places = task_places(self.program)

    def build(self) -> Symmetry:
        threads = len(self.program.threads)
        inside = {m for t in self.grouped for m in self.packing.members[t]}
        references, outside_references = self._everywhere(inside, sets=False)
        sets, outside_sets = self._everywhere(inside, sets=True)
        groups: list[tuple[int, ...]] = []
        inner_references: list[_Place] = []
        inner_sets: list[_Place] = []
        widest = 1
        like, next_words, next_mask = [-1] * threads, [0] * threads, [0] * threads
        for members in self.groups:
            block = self.packing.blocks[members[0]]
            widest = max(widest, block.words)
            mask = -1 if block.bits >= 64 else (1 << block.bits) - 1
            references_from, sets_from = len(inner_references), len(inner_sets)
            inner_references += self._inside(members[0], sets=False)
            inner_sets += self._inside(members[0], sets=True)
            groups.append(
                (
                    members[0], len(members), block.words, mask,
                    references_from, len(inner_references), sets_from, len(inner_sets),
                )
            )  # fmt: skip
            for t in members:
                like[t] = members[0]
                if t != members[-1]:
                    next_words[t], next_mask[t] = block.words, mask
        key = widest + 1
        return Symmetry(
            Groups(*map(_vector, zip(*groups, strict=True))),
            _places([(b.word, b.shift, 0) for b in self.packing.blocks]),
            _vector(like), _vector(next_words), _vector(next_mask),
            _places(inner_references), _places(inner_sets), _places(references), _places(sets),
            scratch=3 * threads + key * threads,
            threads=threads,
            group_count=len(self.groups),
            key_words=key,
            reference_count=len(references),
            outside_references=outside_references,
            set_count=len(sets),
            outside_sets=outside_sets,
        )  # fmt: skip

    def _everywhere(self, inside: set[int], sets: bool) -> tuple[list[_Place], int]:
        """Return the fields that name tasks, those outside the groups' blocks first; how many those are."""
        places = [p for p, is_set in self.places if is_set == sets]
        places = [p for p in places if self.packing.fields[p].bits]
        outside = [p for p in places if p not in inside]
        found = []
        for place in outside + [p for p in places if p in inside]:
            f = self.packing.fields[place]
            found.append((f.word, f.shift, 0 if sets else f.mask))
        return found, min(len(outside), _MOST_OUTSIDE)

    def _inside(self, thread: int, sets: bool) -> list[_Place]:
        """Return the fields in a thread's block that name tasks, relative to the block."""
        block = self.packing.blocks[thread]
        named = {p for p, is_set in self.places if is_set == sets}
        found = []
        for place in self.packing.members[thread]:
            f = self.packing.fields[place]
            if place in named and f.bits:
                shift = f.shift if block.words > 1 else f.shift - block.shift
                found.append((f.word - block.word, shift, 0 if sets else f.mask))
        return found


def task_places(program: Program) -> list[tuple[int, bool]]:
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


def _vector(items: Sequence[int]) -> Vector:
    return np.array(items or [0], np.int64)


def _places(found: list[_Place]) -> Places:
    words, shifts, masks = zip(*(found or [(0, 0, 0)]), strict=True)
    return Places(_vector(words), _vector(shifts), _vector(masks))
