# SPDX-License-Identifier: Apache-2.0
"""Instructions that compute expressions: what the code of threads and of properties has in common."""

from __future__ import annotations

from typing import assert_never

from quiesce.compiler.ir import (
    Address,
    Binary,
    Const,
    Current,
    Expr,
    IfElse,
    Load,
    Local,
    Term,
    Unary,
    VersionRead,
)
from quiesce.compiler.ranges import Interval
from quiesce.explorer.native.program import opcodes as oc
from quiesce.explorer.native.program.instruction_table import (
    LARGEST,
    Assembler,
    Operand,
    Register,
    Target,
)
from quiesce.explorer.native.program.intervals import value_bounds
from quiesce.explorer.native.program.pack_state import Field, NotPackable


class Emitter:
    """Emits expressions: what thread code and properties have in common."""

    def __init__(self, assembler: Assembler, ranges: list[Interval], recording: bool) -> None:
        self.out = assembler
        self.program = assembler.program
        self.fields = assembler.packing.fields
        self.ranges = ranges
        self.recording = recording
        self.current = 0
        self.slots = len(ranges)
        self.temporaries = 0

    def local_field(self, slot: int) -> Field | None:
        """Return where local *slot* lies in a state, if it is part of it."""
        return None

    def temporary(self) -> Register:
        """Return a fresh register, free again after the operation."""
        register = Register(self.slots + self.temporaries)
        self.temporaries += 1
        self.out.highest = max(self.out.highest, self.slots + self.temporaries)
        return register

    def bounds(self, expr: Expr) -> Interval:
        """Return bounds on *expr*.

        :raises NotPackable: they do not fit a register.
        """
        low, high = value_bounds(expr, self.program, self.ranges)
        if low < -LARGEST or high > LARGEST:
            raise NotPackable(f"a value may range from {low} to {high}")
        return low, high

    # --- Values -----------------------------------------------------------------------------------

    def value(self, expr: Expr) -> Operand:
        """Emit what computes *expr*; return the register that holds it."""
        self.bounds(expr)
        match expr:
            case Const(value=value):
                return self.out.constant(value)
            case Current():
                return self.out.constant(self.current)
            case VersionRead():
                self.note_version(expr.version, False, expr.marked)
                return self.out.constant(1)
            case Local(slot=slot):
                place = self.local_field(slot)
                return Register(slot) if place is None else self.load_field(place)
            case Load(address=address, marked=marked):
                return self.load(address, marked)
            case Unary(op=op, operand=operand) if op != "not":
                register = self.value(operand)
                result = self.temporary()
                self.out.put(oc.UNARY[op], result, register)
                return result
            case Binary(op=op, left=left, right=right) if op not in ("and", "or"):
                return self.binary(op, left, right)
            case IfElse(condition=condition, then=then, otherwise=otherwise):
                result, other, end = self.temporary(), Target(), Target()
                self.skip_unless(condition, other)
                self.out.put(oc.MOVE, result, self.value(then))
                self.out.put(oc.JUMP, end)
                self.out.here(other)
                self.out.put(oc.MOVE, result, self.value(otherwise))
                self.out.here(end)
                return result
            case Unary() | Binary():
                return self._truth(expr)
            case _:
                assert_never(expr)

    def _truth(self, expr: Expr) -> Operand:
        """Emit what computes the truth of *expr*, 0 or 1."""
        result, false, end = self.temporary(), Target(), Target()
        self.skip_unless(expr, false)
        self.out.put(oc.MOVE, result, self.out.constant(1))
        self.out.put(oc.JUMP, end)
        self.out.here(false)
        self.out.put(oc.MOVE, result, self.out.constant(0))
        self.out.here(end)
        return result

    def binary(self, op: str, left: Expr, right: Expr) -> Operand:
        """Emit an operator that evaluates both sides."""
        if op == "bit":
            # The reference looks at the bit number first, and at the set only if it is not negative.
            result, end = self.temporary(), Target()
            self.out.put(oc.MOVE, result, self.out.constant(0))
            b = self.value(right)
            if self.bounds(right)[0] < 0:
                negative = self.temporary()
                self.out.put(oc.LT, negative, b, self.out.constant(0))
                self.out.put(oc.IF, negative, end)
            self.out.put(oc.BIT_TEST, result, self.value(left), b)
            self.out.here(end)
            return result
        a = self.value(left)
        b = self.value(right)
        result = self.temporary()
        self.out.put(oc.BINARY[op], result, a, b)
        return result

    def load_field(self, place: Field) -> Register:
        """Emit a load of one field."""
        result = self.temporary()
        self.out.put(oc.LOAD, result, place.word, place.shift, place.mask, place.low)
        return result

    def load(self, address: Address, marked: bool) -> Register:
        """Emit a load of a shared cell."""
        cell = self.static_cell(address)
        if cell is not None:
            self.note(cell, False, marked)
            return self.load_field(self.fields[cell])
        where = self.address(address)
        self.note_at(where, False, marked)
        result = self.temporary()
        self.out.put(oc.LOAD_AT, result, where)
        return result

    def constant_index(self, expr: Expr) -> int | None:
        """Return the value of an index that is known here: a constant, or the running task."""
        match expr:
            case Const(value=value):
                return value
            case Current() if self.current:
                return self.current
            case Binary(op="-", left=Current(), right=Const(value=value)) if self.current:
                return self.current - value
            case _:
                return None

    def static_cell(self, address: Address) -> int | None:
        """Return the cell that *address* names, if that is known and in range."""
        cell = address.base
        for term in address.terms:
            index = self.constant_index(term.index)
            if index is None or not 0 <= index < term.length:
                return None
            cell += index * term.stride
        return cell

    def address(self, address: Address) -> Register:
        """Emit what computes the number of a cell."""
        result = self.temporary()
        self.out.put(oc.MOVE, result, self.out.constant(address.base))
        self.indices(address.terms, result)
        return result

    def indices(self, terms: tuple[Term, ...], result: Register) -> None:
        """Emit the checks of *terms*, adding to *result*."""
        for term in terms:
            index = self.value(term.index)
            self.out.put(oc.INDEX, result, index, term.length, term.stride)

    # --- Conditions -------------------------------------------------------------------------------

    def skip_unless(self, expr: Expr, target: Target) -> None:
        """Emit a jump to *target* unless *expr* is true."""
        self.jump(expr, target, False)

    def skip_if(self, expr: Expr, target: Target) -> None:
        """Emit a jump to *target* if *expr* is true."""
        self.jump(expr, target, True)

    def jump(self, expr: Expr, target: Target, when: bool) -> None:
        """Emit a jump to *target* if the truth of *expr* is *when*."""
        match expr:
            case Const(value=value):
                if bool(value) == when:
                    self.out.put(oc.JUMP, target)
                return
            case VersionRead():
                self.note_version(expr.version, False, expr.marked)
                if when:
                    self.out.put(oc.JUMP, target)
                return
            case Unary(op="not", operand=operand):
                self.jump(operand, target, not when)
                return
            case Binary(op="and" | "or" as op, left=left, right=right):
                if (op == "or") == when:
                    self.jump(left, target, when)
                    self.jump(right, target, when)
                else:
                    end = Target()
                    self.jump(left, end, not when)
                    self.jump(right, target, when)
                    self.out.here(end)
                return
            case Binary(op="==" | "!=" as op, left=left, right=right):
                if self.compare_field(left, right, target, when == (op == "==")):
                    return
            case Local() | Current() | Load() | Unary() | Binary() | IfElse():
                pass
            case _:
                assert_never(expr)
        register = self.value(expr)
        self.out.put(oc.IF if when else oc.UNLESS, register, target)

    def compare_field(self, left: Expr, right: Expr, target: Target, when_equal: bool) -> bool:
        """Emit the comparison of one field with a constant as one instruction, if it is that."""
        for one, other in ((left, right), (right, left)):
            constant = self.constant_index(other)
            place = self.one_field(one)
            if constant is None or place is None:
                continue
            if not place.low <= constant <= place.high:
                if not when_equal:
                    self.out.put(oc.JUMP, target)
                return True
            code = oc.SKIP_IF_EQ if when_equal else oc.SKIP_UNLESS_EQ
            bits = constant - place.low
            self.out.put(code, place.word, place.shift, place.mask, bits, target)
            return True
        return False

    def one_field(self, expr: Expr) -> Field | None:
        """Return the field that *expr* is just the value of, noting the access; None if it is more."""
        if isinstance(expr, Local):
            return self.local_field(expr.slot)
        if isinstance(expr, Load):
            cell = self.static_cell(expr.address)
            if cell is not None:
                self.note(cell, False, expr.marked)
                return self.fields[cell]
        return None

    # --- Notes ------------------------------------------------------------------------------------

    def note(self, cell: int, write: bool, marked: bool) -> None:
        """Emit a note of an access to *cell*."""
        if self.recording:
            self.out.put(oc.NOTE, cell, int(write), int(marked))

    def note_at(self, register: Register, write: bool, marked: bool) -> None:
        """Emit a note of an access to the cell whose number is in *register*."""
        if self.recording:
            self.out.put(oc.NOTE_AT, register, int(write), int(marked))

    def note_version(self, version: int, write: bool, marked: bool) -> None:
        """Emit a note of an access to a version."""
        self.note(-1 - version, write, marked)

    def set_register(self, slot: int, value: Expr) -> None:
        """Emit ``%slot = value`` for a local that is in a register."""
        low, high = self.bounds(value)
        register = self.value(value)
        self.check_range(register, (low, high), self.ranges[slot])
        self.out.put(oc.MOVE, Register(slot), register)

    def check_range(self, register: Operand, known: Interval, wanted: Interval) -> None:
        """Emit a check that *register* is in the range *wanted*, unless that is *known*."""
        if not (wanted[0] <= known[0] and known[1] <= wanted[1]):
            self.out.put(oc.CHECK_RANGE, register, self.out.constant(*wanted))
