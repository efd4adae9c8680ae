# SPDX-License-Identifier: Apache-2.0
"""One core's part of a search: the states that it discovered, its box for successors, what it has found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quiesce.explorer.native.chunks import Chunk
from quiesce.explorer.native.grown import Grown
from quiesce.explorer.native.kernels.expand import RESULTS
from quiesce.explorer.native.kernels.interpret import new_ram
from quiesce.explorer.native.kernels.records import new_records
from quiesce.explorer.native.kernels.stored import SLACK, STRIDE, Vector
from quiesce.explorer.native.kernels.visited import BLOCK
from quiesce.explorer.native.program.tables import Compiled

BOX = 1 << 15
"""Successors in a box: few enough to stay in the cache."""
_FIRST_STATES = 1 << 14
_LINE = 16
"""Two cache lines, since processors fetch them in pairs, in integers of 64 bits."""


class Found(NamedTuple):
    """What was found.

    :param results: the places are named in ``expand.py``.
    :param failed: for each row, a record (``records.py``) of the state in which a step fails there.
    :param deadlock: a record; *race*, too.
    :param property_seen: for each property, a record of where it is broken (``always``) or true
        (``sometimes``); *property_failed*: where it cannot be evaluated.
    :param work: room for the race check.
    :param scratch: room for the choice of a representative.
    """

    results: Vector
    failed: Vector
    deadlock: Vector
    race: Vector
    property_seen: Vector
    property_failed: Vector
    work: Vector
    scratch: Vector


def _own_lines(length: int) -> Vector:
    """Return a vector of zeros that shares no cache line with anything.

    Two cores that write next to each other wait for each other's cache; the small vectors of two workers
    would lie next to each other.
    """
    return np.zeros(length + 2 * _LINE, np.int64)[_LINE : _LINE + length]


class Worker:
    """The states that one core discovered, and what it is doing."""

    def __init__(self, compiled: Compiled, number: int, scratch: int) -> None:
        machine = compiled.machine
        self.words = compiled.words
        self.shape = compiled.shape
        self.number = number
        self.each = int(self.shape[STRIDE])
        """Bytes that a state takes outside the table."""
        self.count = 0
        self.expanded = 0
        self.limit = 0
        """How many states it may have before room must be made."""
        self.capacity = _FIRST_STATES
        self.states = Grown(np.uint8, self.capacity * int(self.shape[STRIDE]) + SLACK)
        self.chunk: Chunk | None = None
        """What it is expanding."""
        self.boxed = 0
        self.unboxed = 0
        """How many of the states in the box have been looked up."""
        self.new_box(BOX)
        registers = machine.registers
        self.ram = new_ram(
            machine.constants, registers, compiled.locals, self.words, compiled.fields_at,
            compiled.alternatives, compiled.notes,
        )  # fmt: skip
        properties = len(compiled.program.properties)
        self.found = Found(
            _own_lines(RESULTS),
            new_records(compiled.rows, self.words),
            new_records(1, self.words),
            new_records(1, self.words),
            new_records(properties, self.words),
            new_records(properties, self.words),
            _own_lines(self.words + 2 * len(compiled.program.threads)),
            _own_lines(scratch),
        )
        self.here = _own_lines(self.words)
        self.hashes = _own_lines(BLOCK).view(np.uint64)
        self.places = _own_lines(BLOCK)

    @property
    def busy(self) -> bool:
        """Whether it has something begun that is not finished."""
        return self.chunk is not None or self.unboxed < self.boxed

    def new_box(self, successors: int) -> None:
        """Take an empty box for so many *successors*."""
        self.box = np.empty(successors * self.words, np.int64)
        self.sources = np.empty(successors, np.uint32)
        self.movers = np.empty(successors, np.uint8)

    def make_room(self, states: int) -> None:
        """Be able to store *states* states."""
        if self.capacity < states:
            while self.capacity < states:
                self.capacity *= 2
            self.states.resize(self.capacity * int(self.shape[STRIDE]) + SLACK)
