# SPDX-License-Identifier: Apache-2.0
"""The table of instructions as it grows: rows, targets of jumps, constants and registers."""

from __future__ import annotations

from dataclasses import dataclass, field

from quiesce.compiler.program import Program
from quiesce.explorer.native.program import opcodes as oc
from quiesce.explorer.native.program.pack_state import NotPackable, Packing

WORD_MASK = (1 << 64) - 1
LARGEST = (1 << 63) - 1


@dataclass(slots=True)
class Table:
    """All instructions of a program.

    :param code: the rows, flattened.
    :param constants: what the first registers hold.
    :param registers: how many there are.
    :param entry: for each thread, for each location, the row where its step begins; -1: finished.
    :param recording: the same, with notes of every access.
    :param properties: for each property, the row where it begins.
    """

    code: list[int] = field(default_factory=list)
    constants: list[int] = field(default_factory=list)
    registers: int = 0
    entry: list[list[int]] = field(default_factory=list)
    recording: list[list[int]] = field(default_factory=list)
    properties: list[int] = field(default_factory=list)


class Target:
    """A row that is not known yet."""

    __slots__ = ("row",)

    def __init__(self) -> None:
        self.row = -1


@dataclass(frozen=True, slots=True)
class Register:
    """A register above the constants."""

    number: int


Operand = int | Register


class Assembler:
    """Collects instructions and constants; shared by all emitters."""

    def __init__(self, program: Program, packing: Packing) -> None:
        self.program = program
        self.packing = packing
        self.rows: list[list[int | Target | Register]] = []
        self.constants: dict[tuple[int, ...], int] = {}
        self.pool: list[int] = []
        self.highest = 0
        self.fence = 0
        """Rows before this one are targets of jumps or their ends: not to be merged with."""

    def constant(self, *values: int) -> int:
        """Return the register that holds ``values[0]``, the others following it."""
        for value in values:
            if abs(value) > LARGEST:
                raise NotPackable(f"the constant {value} does not fit a register")
        number = self.constants.get(values)
        if number is None:
            number = self.constants[values] = oc.FIRST_REGISTER + len(self.pool)
            self.pool += values
        return number

    def put(self, code: int, *operands_: int | Target | Register) -> None:
        """Append an instruction."""
        if code in (oc.SET_BITS, oc.ARRIVE) and len(self.rows) > self.fence:
            before = self.rows[-1]
            if before[0] == oc.SET_BITS and before[1] == operands_[0]:
                keep, bits = before[2], before[3]
                assert isinstance(keep, int) and isinstance(bits, int)
                assert isinstance(operands_[1], int) and isinstance(operands_[2], int)
                self.rows[-1] = [
                    code, operands_[0], keep & operands_[1], bits & operands_[1] | operands_[2],
                ]  # fmt: skip
                return
        self.rows.append([code, *operands_])

    def here(self, target: Target) -> None:
        """Let *target* be the next row."""
        target.row = self.fence = len(self.rows)

    def finish(self, table: Table) -> None:
        """Resolve targets and registers into *table*."""
        table.constants = self.pool
        table.registers = len(self.pool) + self.highest
        for row in self.rows:
            numbers = []
            for item in row:
                if isinstance(item, Target):
                    assert item.row >= 0
                    numbers.append(item.row)
                elif isinstance(item, Register):
                    numbers.append(oc.FIRST_REGISTER + len(self.pool) + item.number)
                else:
                    # Words are unsigned there and signed here.
                    item &= WORD_MASK
                    numbers.append(item - (1 << 64) if item > LARGEST else item)
            table.code += numbers + [0] * (oc.WIDTH - len(numbers))
