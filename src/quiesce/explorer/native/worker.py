# SPDX-License-Identifier: Apache-2.0
"""One core's part of a search: its states, its table, the box for successors, what it has found."""

from __future__ import annotations

import mmap
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quiesce.explorer.native.expand import RESULTS
from quiesce.explorer.native.interpret import new_ram
from quiesce.explorer.native.tables import Compiled, Vector
from quiesce.explorer.native.visited import BLOCK, fill_table

BOX = 1 << 15
"""Successors in a box: few enough to stay in the cache."""
RACES_KEPT = 256
_FIRST_TABLE = 1 << 14
_LINE = 16
"""Two cache lines, since processors fetch them in pairs, in integers of 64 bits."""
_FILL = 0.75
_ROOM = 4096
"""States that there is always room for."""


class Found(NamedTuple):
    """What was found, by the first state in which it was so; -1: not found.

    :param results: the places are named in ``expand.py``.
    :param failed_state: for each row, the state; *failed_action*: which of its steps.
    :param property_state: for each property, where it is first broken (``always``) or true
        (``sometimes``); *property_failed*: where it first cannot be evaluated.
    :param race_seen: for each two places of accesses, whether they are known to race.
    :param race_state: states in which two accesses race newly.
    :param work: room for the race check.
    :param scratch: room for the choice of a representative.
    """

    results: Vector
    failed_state: Vector
    failed_action: Vector
    property_state: Vector
    property_failed: Vector
    race_seen: npt.NDArray[np.uint8]
    race_state: Vector
    work: Vector
    scratch: Vector


def _own_lines(length: int) -> Vector:
    """Return a vector of zeros that shares no cache line with anything.

    Two cores that write next to each other wait for each other's cache; the small vectors of two workers
    would lie next to each other.
    """
    return np.zeros(length + 2 * _LINE, np.int64)[_LINE : _LINE + length]


class Grown:
    """A vector that grows in place: anonymous memory, which costs nothing until it is written."""

    def __init__(self, kind: Any, length: int) -> None:
        self.kind = np.dtype(kind)
        # Private: shared anonymous memory cannot be made longer.
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._map = mmap.mmap(-1, max(1, length) * self.kind.itemsize, flags=private)
        self._advise()
        self.array = np.frombuffer(self._map, self.kind)

    def resize(self, length: int) -> None:
        """Make it *length* elements long, keeping what is there."""
        del self.array
        self._map.resize(length * self.kind.itemsize)
        self._advise()
        self.array = np.frombuffer(self._map, self.kind)

    def _advise(self) -> None:
        # Huge pages: probing the table at random otherwise misses the TLB each time.
        if hasattr(mmap, "MADV_HUGEPAGE"):
            try:
                self._map.madvise(mmap.MADV_HUGEPAGE)
            except OSError:
                return


class Worker:
    """The states that one core owns."""

    def __init__(self, compiled: Compiled, shard: int, shards: int, scratch: int) -> None:
        machine = compiled.machine
        self.words = compiled.words
        self.shard = shard
        self.shards = shards
        marks = any(p.spec.kind == "always" for p in compiled.program.properties)
        self.each = 8 * self.words + 4 + int(marks)
        """Bytes that a state takes outside the table."""
        self.count = 0
        self.expanded = 0
        self.looked = 0
        self.capacity = 1 << 14
        self.states = Grown(np.int64, self.capacity * self.words)
        self.parents = Grown(np.uint32, self.capacity)
        self.table = Grown(np.uint64, _FIRST_TABLE)
        self.cut = Grown(np.uint8, self.capacity)
        self.box = np.empty(BOX * self.words, np.int64)
        self.box_parents = np.empty(BOX, np.uint32)
        self.box_threads = np.empty(BOX, np.uint8)
        self.hashes = np.empty(BOX, np.uint64)
        self.picks = np.empty(BOX * shards if shards > 1 else 1, np.int64)
        self.picked = _own_lines(shards)
        self.boxed = 0
        registers = int(machine.sizes[0])
        self.ram = new_ram(
            machine.constants, registers, compiled.locals, self.words, compiled.fields_at
        )
        places = int(machine.sizes[4])
        self.found = Found(
            _own_lines(RESULTS),
            np.full(compiled.rows, -1, np.int64),
            np.zeros(compiled.rows, np.int64),
            np.full(max(1, len(compiled.program.properties)), -1, np.int64),
            np.full(max(1, len(compiled.program.properties)), -1, np.int64),
            np.zeros(max(1, places * places), np.uint8),
            np.zeros(RACES_KEPT, np.int64),
            np.zeros(self.words + 2 * len(compiled.program.threads), np.int64),
            np.zeros(scratch, np.int64),
        )
        self.scratch = _own_lines(3 * BLOCK)
        self.found.results[1] = -1

    @property
    def limit(self) -> int:
        """How many states there may be before room must be made."""
        return min(self.capacity, int(len(self.table.array) * _FILL))

    @property
    def bytes(self) -> int:
        """The memory that its states take."""
        return self.count * self.each + 8 * len(self.table.array)

    def bytes_after_growth(self) -> int:
        """The memory that it takes while and after it makes room once more."""
        table = 8 * len(self.table.array)
        if int(len(self.table.array) * _FILL) < self.count + _ROOM:
            table += table // 2
        return self.count * self.each + table

    def restore(self, count: int, expanded: int, looked: int) -> None:
        """Make room for *count* states that are about to be read."""
        self.count, self.expanded, self.looked = count, expanded, looked
        while self.capacity - count < _ROOM:
            self.capacity *= 2
        for vector, each in ((self.states, self.words), (self.parents, 1), (self.cut, 1)):
            vector.resize(self.capacity * each)

    def fill_table(self) -> None:
        """Enter all states into a new table that is large enough."""
        slots = len(self.table.array)
        while int(slots * _FILL) - self.count < _ROOM:
            slots += slots // 2
        # The old one goes first: the new one is filled from the states.
        del self.table
        self.table = Grown(np.uint64, slots)
        fill_table(self.states.array, self.count, self.words, self.table.array)

    def grow(self) -> None:
        """Make room for more states."""
        if self.capacity - self.count < _ROOM:
            self.capacity *= 2
            self.states.resize(self.capacity * self.words)
            self.parents.resize(self.capacity)
            self.cut.resize(self.capacity)
        if int(len(self.table.array) * _FILL) - self.count < _ROOM:
            self.fill_table()

    def grow_box(self) -> None:
        """Make the box twice as large: one state has more successors than it holds."""
        self.box = np.empty(2 * len(self.box), np.int64)
        self.box_parents = np.empty(2 * len(self.box_parents), np.uint32)
        self.box_threads = np.empty(2 * len(self.box_threads), np.uint8)
        self.hashes = np.empty(2 * len(self.hashes), np.uint64)
        if self.shards > 1:
            self.picks = np.empty(2 * len(self.picks), np.int64)
