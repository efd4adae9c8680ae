# SPDX-License-Identifier: Apache-2.0
"""What the kernels are handed about a program: vectors of integers, built once per search."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from quiesce.compiler.ir import Choose
from quiesce.compiler.program import Program, ThreadKind
from quiesce.explorer.analysis.footprint import Footprint, step_footprint
from quiesce.explorer.analysis.partial_order import find_ample_steps
from quiesce.explorer.native.kernels.jit import inline_kernel
from quiesce.explorer.native.kernels.pointers import pointer
from quiesce.explorer.native.kernels.stored import Vector, shape_of
from quiesce.explorer.native.program.emit_table import can_go_round, emit_table
from quiesce.explorer.native.program.instruction_table import Table
from quiesce.explorer.native.program.pack_state import WORD, Packing, pack_program
from quiesce.explorer.reference.stepper import CHOICE_BOUND
from quiesce.properties import Quantifier

ALWAYS, SOMETIMES, EVENTUALLY = 0, 1, 2
_UNSIGNED = (1 << WORD) - 1
_QUANTIFIERS = {
    Quantifier.EVERY_STATE: ALWAYS,
    Quantifier.SOME_STATE: SOMETIMES,
    Quantifier.AGAIN: EVENTUALLY,
}


class Machine(NamedTuple):
    """The program, as the kernels see it. ``g = kind_of[t] * locations + location`` names a step.

    :param code: instructions (``program/opcodes.py``), then for each cell its word, shift, mask and low.
    :param constants: the first registers.
    :param at: for each thread, the word, shift and mask of its location.
    :param entry: for each (thread, location), the row where its step begins; -1: finished.
    :param recording: the same, with notes of every access.
    :param kind_of: for each thread, the number of its kind.
    :param daemon: for each thread, whether it may wait forever.
    :param property_rows: for each property, its first row.
    :param property_kinds: ALWAYS, SOMETIMES or EVENTUALLY.
    :param plain: for each g, whether the step makes a plain access.
    :param footprints: for each g, the number of what the step touches.
    :param may_race: for each two of those, whether they can conflict.
    :param shape: how states are stored (``stored.py``).
    :param registers: how many the interpreter needs.
    :param words: 64-bit words of a state that is computed with.
    :param threads: number of threads.
    :param locations: the most locations that a kind has.
    :param properties: number of properties.
    :param different: number of different footprints, the side of *may_race*.
    """

    code: Vector
    constants: Vector
    at: Vector
    entry: Vector
    recording: Vector
    kind_of: Vector
    daemon: Vector
    property_rows: Vector
    property_kinds: Vector
    plain: Vector
    footprints: Vector
    may_race: Vector
    shape: Vector
    registers: int
    words: int
    threads: int
    locations: int
    properties: int
    different: int


class Groups(NamedTuple):
    """The groups of interchangeable threads: entry g of each vector is about group g.

    :param first: number of its first thread; the others follow.
    :param size: how many threads it has.
    :param words: words of a thread's block.
    :param mask: bits of a block that is part of one word.
    :param references_from: its references in ``Symmetry.inner_references`` begin here,
    :param references_to: and end before this one.
    :param sets_from: its sets of tasks in ``Symmetry.inner_sets`` begin here,
    :param sets_to: and end before this one.
    """

    first: Vector
    size: Vector
    words: Vector
    mask: Vector
    references_from: Vector
    references_to: Vector
    sets_from: Vector
    sets_to: Vector


class Places(NamedTuple):
    """Fields of a state: entry i of each vector is about field i.

    :param word: its word, in the state or in a thread's block.
    :param shift: its lowest bit.
    :param mask: its bits, moved down; 0 for a set of tasks, which has a bit for each thread.
    """

    word: Vector
    shift: Vector
    mask: Vector


class Symmetry(NamedTuple):
    """What ``canonical.py`` reads.

    :param groups: one for each kind of two or more threads that may be exchanged.
    :param blocks: where the block of each thread is.
    :param like: for each thread the first of its group, or -1.
    :param next_words: for each thread the words of its block if the next thread is of its group; else 0.
    :param next_mask: the mask of that block.
    :param inner_references: references to a task in a block, relative to the block.
    :param inner_sets: sets of tasks in a block, relative to the block.
    :param references: references to a task anywhere; those outside of groups first.
    :param sets: sets of tasks anywhere; those outside of groups first.
    :param scratch: integers of scratch space that a kernel needs.
    :param threads: number of threads.
    :param group_count: number of groups; 0: there is no symmetry.
    :param key_words: integers of the key that a thread is sorted by.
    :param reference_count: number of *references*.
    :param outside_references: how many of them are outside of groups.
    :param set_count: number of *sets*.
    :param outside_sets: how many of them are outside of groups.
    """

    groups: Groups
    blocks: Places
    like: Vector
    next_words: Vector
    next_mask: Vector
    inner_references: Places
    inner_sets: Places
    references: Places
    sets: Places
    scratch: int
    threads: int
    group_count: int
    key_words: int
    reference_count: int
    outside_references: int
    set_count: int
    outside_sets: int


@inline_kernel
def machine_pointers(machine: Any) -> Any:
    """Return *machine* with pointers for vectors."""
    return Machine(
        pointer(machine.code), pointer(machine.constants), pointer(machine.at),
        pointer(machine.entry), pointer(machine.recording), pointer(machine.kind_of),
        pointer(machine.daemon), pointer(machine.property_rows), pointer(machine.property_kinds),
        pointer(machine.plain), pointer(machine.footprints), pointer(machine.may_race),
        pointer(machine.shape), machine.registers, machine.words, machine.threads, machine.locations,
        machine.properties, machine.different,
    )  # fmt: skip


@inline_kernel
def _place_pointers(places: Any) -> Any:
    return Places(pointer(places.word), pointer(places.shift), pointer(places.mask))


@inline_kernel
def _group_pointers(groups: Any) -> Any:
    return Groups(
        pointer(groups.first), pointer(groups.size), pointer(groups.words), pointer(groups.mask),
        pointer(groups.references_from), pointer(groups.references_to), pointer(groups.sets_from),
        pointer(groups.sets_to),
    )  # fmt: skip


@inline_kernel
def symmetry_pointers(symmetry: Any) -> Any:
    """Return *symmetry* with pointers for vectors."""
    return Symmetry(
        _group_pointers(symmetry.groups), _place_pointers(symmetry.blocks), pointer(symmetry.like),
        pointer(symmetry.next_words), pointer(symmetry.next_mask),
        _place_pointers(symmetry.inner_references), _place_pointers(symmetry.inner_sets),
        _place_pointers(symmetry.references), _place_pointers(symmetry.sets),
        symmetry.scratch, symmetry.threads, symmetry.group_count, symmetry.key_words,
        symmetry.reference_count, symmetry.outside_references, symmetry.set_count,
        symmetry.outside_sets,
    )  # fmt: skip


def _vector(items: Any) -> Vector:
    return np.array(list(items), dtype=np.int64)


class Compiled:
    """A program made ready for the kernels.

    :raises NotPackable: it cannot be run on 64-bit words.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.packing: Packing = pack_program(program)
        self.table: Table = emit_table(program, self.packing)
        self.words = self.packing.words
        self.shape = shape_of(self.packing)
        self.locations = max(len(k.locations) for k in program.kinds)
        self.machine = self._machine()
        self.rows = len(self.table.code)
        self.fields_at = len(self.table.code)
        self.locals = max(len(k.code.slots) for k in program.kinds)
        self.alternatives = max(_most_alternatives(k) for k in program.kinds)
        """How many alternatives of a step can wait to be tried."""
        touched = len(program.cells) + len(program.layout.versions)
        self.notes = 4 * touched * len(program.threads)
        """How many different accesses the next steps of all threads can make."""

    def pack(self, states: list[tuple[int, ...]]) -> Vector:
        """Return *states* as packed words, one after the other."""
        words = [w for s in states for w in self.packing.pack(s)]
        return np.array(words, dtype=np.uint64).view(np.int64)

    def unpack(self, words: tuple[int, ...]) -> tuple[int, ...]:
        """Return the state that *words* stand for, signed as the kernels have them."""
        return self.packing.unpack(tuple(w & _UNSIGNED for w in words))

    def _machine(self) -> Machine:
        program, table, fields = self.program, self.table, self.packing.fields
        threads = program.threads
        kinds = {id(k): i for i, k in enumerate(program.kinds)}
        pad = self.locations
        located = [fields[t.base] for t in threads]
        plain, footprints, may_race = _race_tables(program, pad)
        return Machine(
            _vector([*table.code, *(x for f in fields for x in (f.word, f.shift, f.mask, f.low))]),
            _vector(table.constants),
            _vector(x for f in located for x in (f.word, f.shift, f.mask)),
            _vector(x for rows in table.entry for x in rows + [-1] * (pad - len(rows))),
            _vector(x for rows in table.recording for x in rows + [-1] * (pad - len(rows))),
            _vector(kinds[id(t.kind)] for t in threads),
            _vector(t.daemon for t in threads),
            _vector(table.properties),
            _vector(_QUANTIFIERS[p.spec.kind.quantifier] for p in program.properties),
            plain,
            footprints,
            may_race,
            self.shape,
            registers=table.registers,
            words=self.words,
            threads=len(threads),
            locations=pad,
            properties=len(program.properties),
            different=int(footprints.max()) + 1,
        )


def _most_alternatives(kind: ThreadKind) -> int:
    """Return how many alternatives of a step of *kind* can wait while one is tried."""
    others = [len(op.options) - 1 for op in kind.code.ops if isinstance(op, Choose)]
    if not can_go_round(kind.code.ops, set(kind.location_at)):
        return sum(others)
    return CHOICE_BOUND * max(others, default=0)


_NOTHING = Footprint(frozenset(), frozenset(), frozenset(), frozenset())


def _race_tables(program: Program, pad: int) -> tuple[Vector, Vector, Vector]:
    """Return which steps make plain accesses that can conflict, and with which other steps.

    Steps are compared by their footprints, of which there are few: a program may have many steps.
    """
    prints: dict[Footprint, int] = {_NOTHING: 0}
    numbers: list[int] = []
    for kind in program.kinds:
        for i in range(pad):
            touched = step_footprint(kind, i) if i < len(kind.locations) else _NOTHING
            numbers.append(prints.setdefault(touched, len(prints)))
    may = np.zeros((len(prints), len(prints)), np.int64)
    for a, i in prints.items():
        if a.plain:
            for b, j in prints.items():
                may[i, j] = bool(a.plain_writes & (b.reads | b.writes) or a.plain_reads & b.writes)
    footprints = _vector(numbers)
    plain: Vector = may.max(axis=1)[footprints]
    return plain, footprints, may.ravel()


def ample_table(compiled: Compiled, wanted: bool) -> Vector:
    """Return which steps may go first, as the kernels read it.

    First whether there are any; then for each (thread, location) where its row begins, or -1; a row has
    for each (thread, location) whether that thread, standing there, can be left out of account.
    """
    threads, pad = len(compiled.program.threads), compiled.locations
    steps = find_ample_steps(compiled.program) if wanted else None
    if steps is None or not steps.any:
        return np.zeros(1, np.int64)
    size = threads * pad
    head = np.full(1 + size, -1, np.int64)
    head[0] = 1
    rows = [head]
    begins: dict[int, int] = {}
    for (t, location), table in steps.apart.items():
        known = id(table) in begins
        head[1 + t * pad + location] = begins.setdefault(id(table), 1 + size * len(rows))
        if known:
            continue
        row = np.zeros(size, np.int64)
        for u, places in enumerate(table):
            row[u * pad : u * pad + len(places)] = places
        rows.append(row)
    return np.concatenate(rows)


@lru_cache(maxsize=4)
def compiled(program: Program) -> Compiled:
    """Return *program* made ready for the kernels, which never change it; the same for each of its searches.

    :raises NotPackable: it cannot be run on 64-bit words.
    """
    return Compiled(program)
