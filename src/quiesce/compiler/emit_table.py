# SPDX-License-Identifier: Apache-2.0
"""From steps to a table of instructions that the native explorer interprets.

Code is emitted for each thread by itself, so that every variable has a fixed place in the packed
words and ``current()`` is a constant. The commonest shapes (compare a variable with a constant, set it
to one, count it up or down) are one instruction each, and assignments of constants are merged
with the change of location that ends the step: taking a lock is two instructions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quiesce.compiler import opcodes as oc
from quiesce.compiler.intervals import value_bounds
from quiesce.compiler.ir import (
    Address,
    Await,
    Begin,
    Binary,
    Branch,
    Bump,
    Check,
    Choose,
    Code,
    Const,
    Current,
    End,
    Expr,
    Halt,
    IfElse,
    Jump,
    Load,
    Local,
    LockEvent,
    Op,
    SetLocal,
    Slot,
    Store,
    Term,
    Unary,
    VersionRead,
    successors,
)
from quiesce.compiler.pack_state import Field, NotPackable, Packing
from quiesce.compiler.program import Program, Thread, ThreadKind
from quiesce.compiler.ranges import Interval
from quiesce.compiler.types import IntType, SnapshotType, Type, bounds

_WORD_MASK = (1 << 64) - 1
_LARGEST = (1 << 63) - 1
PROPERTY_RANGE = (-(1 << 30), 1 << 30)
"""What a local integer of a property is held to here; the reference has no bound for those."""


@dataclass(slots=True)
class Table:
    """All instructions of a program.

    :param code: the rows, flattened.
    :param constants: what the first registers hold.
    :param registers: how many there are.
    :param entry: for each thread, for each location, the row where its step begins; -1: finished.
    :param recording: the same, with notes of every access.
    :param properties: for each property, the row where it begins.
    :param places: for each number in a note, the operation it stands for.
    """

    code: list[int] = field(default_factory=list)
    constants: list[int] = field(default_factory=list)
    registers: int = 0
    entry: list[list[int]] = field(default_factory=list)
    recording: list[list[int]] = field(default_factory=list)
    properties: list[int] = field(default_factory=list)
    places: list[Op] = field(default_factory=list)


class _Target:
    """A row that is not known yet."""

    __slots__ = ("row",)

    def __init__(self) -> None:
        self.row = -1


def emit_table(program: Program, packing: Packing) -> Table:
    """Emit the instructions of *program*.

    :raises NotPackable: a value may not fit a 64-bit register.
    """
    assembler = _Assembler(program, packing)
    table = Table()
    for thread in program.threads:
        table.entry.append(_ThreadEmitter(assembler, thread, False).emit())
    for thread in program.threads:
        table.recording.append(_ThreadEmitter(assembler, thread, True).emit())
    for prop in program.properties:
        table.properties.append(_property(assembler, prop.code))
    assembler.finish(table)
    return table


class _Assembler:
    """Collects instructions and constants; shared by all emitters."""

    def __init__(self, program: Program, packing: Packing) -> None:
        self.program = program
        self.packing = packing
        self.rows: list[list[int | _Target | _Register]] = []
        self.constants: dict[tuple[int, ...], int] = {}
        self.pool: list[int] = []
        self.highest = 0
        self.places: list[Op] = []
        self._place_numbers: dict[int, int] = {}
        self.fence = 0
        """Rows before this one are targets of jumps or their ends: not to be merged with."""

    def constant(self, *values: int) -> int:
        """Return the register that holds ``values[0]``, the others following it."""
        for value in values:
            if abs(value) > _LARGEST:
                raise NotPackable(f"the constant {value} does not fit a register")
        number = self.constants.get(values)
        if number is None:
            number = self.constants[values] = oc.FIRST_REGISTER + len(self.pool)
            self.pool += values
        return number

    def place(self, op: Op) -> int:
        """Return the number that stands for *op* in notes."""
        number = self._place_numbers.get(id(op))
        if number is None:
            number = self._place_numbers[id(op)] = len(self.places)
            self.places.append(op)
        return number

    def put(self, code: int, *operands_: int | _Target | _Register) -> None:
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

    def here(self, target: _Target) -> None:
        """Let *target* be the next row."""
        target.row = self.fence = len(self.rows)

    def finish(self, table: Table) -> None:
        """Resolve targets and registers into *table*."""
        table.constants = self.pool
        table.registers = len(self.pool) + self.highest
        table.places = self.places
        for row in self.rows:
            numbers = []
            for item in row:
                if isinstance(item, _Target):
                    assert item.row >= 0
                    numbers.append(item.row)
                elif isinstance(item, _Register):
                    numbers.append(oc.FIRST_REGISTER + len(self.pool) + item.number)
                else:
                    # Words are unsigned there and signed here.
                    item &= _WORD_MASK
                    numbers.append(item - (1 << 64) if item > _LARGEST else item)
            table.code += numbers + [0] * (oc.WIDTH - len(numbers))


@dataclass(frozen=True, slots=True)
class _Register:
    """A register above the constants."""

    number: int


_Operand = int | _Register


class _Emitter:
    """Emits expressions: what thread code and properties have in common."""

    def __init__(self, assembler: _Assembler, ranges: list[Interval], recording: bool) -> None:
        self.out = assembler
        self.program = assembler.program
        self.fields = assembler.packing.fields
        self.ranges = ranges
        self.recording = recording
        self.current = 0
        self.slots = len(ranges)
        self.temporaries = 0
        self.op: Op | None = None

    def local_field(self, slot: int) -> Field | None:
        """Return where local *slot* lies in a state, if it is part of it."""
        return None

    def temporary(self) -> _Register:
        """Return a fresh register, free again after the operation."""
        register = _Register(self.slots + self.temporaries)
        self.temporaries += 1
        self.out.highest = max(self.out.highest, self.slots + self.temporaries)
        return register

    def bounds(self, expr: Expr) -> Interval:
        """Return bounds on *expr*.

        :raises NotPackable: they do not fit a register.
        """
        low, high = value_bounds(expr, self.program, self.ranges)
        if low < -_LARGEST or high > _LARGEST:
            raise NotPackable(f"a value may range from {low} to {high}")
        return low, high

    # --- Values -----------------------------------------------------------------------------------

    def value(self, expr: Expr) -> _Operand:
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
                return _Register(slot) if place is None else self.load_field(place)
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
                result, other, end = self.temporary(), _Target(), _Target()
                self.skip_unless(condition, other)
                self.out.put(oc.MOVE, result, self.value(then))
                self.out.put(oc.JUMP, end)
                self.out.here(other)
                self.out.put(oc.MOVE, result, self.value(otherwise))
                self.out.here(end)
                return result
        result, false, end = self.temporary(), _Target(), _Target()
        self.skip_unless(expr, false)
        self.out.put(oc.MOVE, result, self.out.constant(1))
        self.out.put(oc.JUMP, end)
        self.out.here(false)
        self.out.put(oc.MOVE, result, self.out.constant(0))
        self.out.here(end)
        return result

    def binary(self, op: str, left: Expr, right: Expr) -> _Operand:
        """Emit an operator that evaluates both sides."""
        if op == "bit":
            # The reference looks at the bit number first, and at the set only if it is not negative.
            result, end = self.temporary(), _Target()
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

    def load_field(self, place: Field) -> _Register:
        """Emit a load of one field."""
        result = self.temporary()
        self.out.put(oc.LOAD, result, place.word, place.shift, place.mask, place.low)
        return result

    def load(self, address: Address, marked: bool) -> _Register:
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

    def address(self, address: Address) -> _Register:
        """Emit what computes the number of a cell."""
        result = self.temporary()
        self.out.put(oc.MOVE, result, self.out.constant(address.base))
        self.indices(address.terms, result)
        return result

    def indices(self, terms: tuple[Term, ...], result: _Register) -> None:
        """Emit the checks of *terms*, adding to *result*."""
        for term in terms:
            index = self.value(term.index)
            self.out.put(oc.INDEX, result, index, term.length, term.stride)

    # --- Conditions -------------------------------------------------------------------------------

    def skip_unless(self, expr: Expr, target: _Target) -> None:
        """Emit a jump to *target* unless *expr* is true."""
        self.jump(expr, target, False)

    def skip_if(self, expr: Expr, target: _Target) -> None:
        """Emit a jump to *target* if *expr* is true."""
        self.jump(expr, target, True)

    def jump(self, expr: Expr, target: _Target, when: bool) -> None:
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
                    end = _Target()
                    self.jump(left, end, not when)
                    self.jump(right, target, when)
                    self.out.here(end)
                return
            case Binary(op="==" | "!=" as op, left=left, right=right):
                if self.compare_field(left, right, target, when == (op == "==")):
                    return
        register = self.value(expr)
        self.out.put(oc.IF if when else oc.UNLESS, register, target)

    def compare_field(self, left: Expr, right: Expr, target: _Target, when_equal: bool) -> bool:
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
            assert self.op is not None
            self.out.put(oc.NOTE, cell, int(write), int(marked), self.out.place(self.op))

    def note_at(self, register: _Register, write: bool, marked: bool) -> None:
        """Emit a note of an access to the cell whose number is in *register*."""
        if self.recording:
            assert self.op is not None
            self.out.put(oc.NOTE_AT, register, int(write), int(marked), self.out.place(self.op))

    def note_version(self, version: int, write: bool, marked: bool) -> None:
        """Emit a note of an access to a version."""
        self.note(-1 - version, write, marked)

    def set_register(self, slot: int, value: Expr) -> None:
        """Emit ``%slot = value`` for a local that is in a register."""
        low, high = self.bounds(value)
        register = self.value(value)
        self.check_range(register, (low, high), self.ranges[slot])
        self.out.put(oc.MOVE, _Register(slot), register)

    def check_range(self, register: _Operand, known: Interval, wanted: Interval) -> None:
        """Emit a check that *register* is in the range *wanted*, unless that is *known*."""
        if not (wanted[0] <= known[0] and known[1] <= wanted[1]):
            self.out.put(oc.CHECK_RANGE, register, self.out.constant(*wanted))


class _ThreadEmitter(_Emitter):
    """Emits the steps of one thread."""

    def __init__(self, assembler: _Assembler, thread: Thread, recording: bool) -> None:
        super().__init__(assembler, thread.kind.ranges, recording)
        self.thread = thread
        self.kind: ThreadKind = thread.kind
        self.ops = thread.kind.code.ops
        self.current = assembler.program.threads.index(thread) + 1
        self.arrive = [_Target() for _ in self.ops]
        self.begin = [_Target() for _ in self.ops]
        self.counts = _can_go_round(self.ops, set(thread.kind.location_at))

    def local_field(self, slot: int) -> Field | None:
        offset = self.kind.places.get(slot)
        return None if offset is None else self.fields[self.thread.base + offset]

    def emit(self) -> list[int]:
        """Emit everything; return the first row of each location's step, -1 where there is none."""
        out = self.out
        out.fence = len(out.rows)
        targets = self._jump_targets()
        for i, op in enumerate(self.ops):
            location = self.kind.location_at.get(i)
            if location is not None:
                # Once for falling through, so that it merges with what comes before; once for jumps.
                self._arrive(location)
                if i in targets:
                    out.here(self.arrive[i])
                    self._arrive(location)
            if location is not None or i in targets:
                out.here(self.begin[i])
            if self.counts:
                out.put(oc.TICK, 1)
            self.op = op
            self.temporaries = 0
            self._operation(op, i)
        return [
            -1 if at.final else self.begin[at.position].row for at in self.kind.locations
        ]  # fmt: skip

    def _jump_targets(self) -> set[int]:
        return {op.target.position for op in self.ops if isinstance(op, Jump | Branch)}

    def _to(self, position: int) -> _Target:
        return self.arrive[position] if position in self.kind.location_at else self.begin[position]

    def _arrive(self, location: int) -> None:
        """Emit the end of a step: dead locals are reset, and the location is set."""
        live = self.kind.live[location]
        masks: dict[int, tuple[int, int]] = {}
        for stored in self.kind.stored:
            if stored.offset not in live:
                self._constant_bits(masks, self.fields[self.thread.base + stored.offset], 0)
        self._constant_bits(masks, self.fields[self.thread.base], location)
        *others, last = sorted(masks.items())
        for word, (keep, bits) in others:
            self.out.put(oc.SET_BITS, word, keep, bits)
        word, (keep, bits) = last
        self.out.put(oc.ARRIVE, word, keep, bits)

    def _constant_bits(self, masks: dict[int, tuple[int, int]], place: Field, value: int) -> None:
        keep, bits = masks.get(place.word, (_WORD_MASK, 0))
        clear = ~(place.mask << place.shift) & _WORD_MASK
        masks[place.word] = keep & clear, bits & clear | (value - place.low) << place.shift

    def _operation(self, op: Op, position: int) -> None:
        match op:
            case SetLocal(slot=slot, value=value):
                place = self.local_field(slot)
                if place is None:
                    self.set_register(slot, value)
                else:
                    self._store_value(place, value, self.ranges[slot])
            case Store():
                self._store(op)
            case Bump():
                self._bump(op)
            case Await(condition=condition):
                go = _Target()
                self.skip_if(condition, go)
                self.out.put(oc.BLOCK)
                self.out.here(go)
            case Choose():
                self._choose(op)
            case Check(condition=condition):
                fine = _Target()
                self.skip_if(condition, fine)
                self.out.put(oc.FAIL)
                self.out.here(fine)
            case Jump(target=target):
                self.out.put(oc.JUMP, self._to(target.position))
            case Branch(condition=condition, target=target):
                self.skip_unless(condition, self._to(target.position))
            case LockEvent(lock=lock) if self.recording:
                # The reference resolves the lock only when it records; it can fail doing so.
                if lock.terms:
                    self.indices(lock.terms, self._zero())
            case Begin() | End() | LockEvent() | Halt():
                pass

    def _zero(self) -> _Register:
        register = self.temporary()
        self.out.put(oc.MOVE, register, self.out.constant(0))
        return register

    def _store(self, op: Store) -> None:
        limits = op.low, op.high
        cell = self.static_cell(op.address)
        if cell is not None:
            if not self._add(op, cell):
                # The value first, so that its reads are noted before the write.
                self._store_value(self.fields[cell], op.value, limits, noting=(cell, op.marked))
            return
        value = self.value(op.value)
        where = self.address(op.address)
        self.out.put(oc.CHECK_RANGE, value, self.out.constant(*limits))
        self.note_at(where, True, op.marked)
        self.out.put(oc.STORE_AT, value, where)

    def _add(self, op: Store, cell: int) -> bool:
        """Emit ``cell += constant`` as one instruction, if *op* is that."""
        match op.value:
            case Binary(
                op="+" | "-" as sign,
                left=Load(address=address, marked=marked),
                right=Const(value=amount),
            ) if self.static_cell(address) == cell:
                place = self.fields[cell]
                delta = amount if sign == "+" else -amount
                self.note(cell, False, marked)
                self.bounds(op.value)
                self.out.put(
                    oc.ADD_FIELD, place.word, place.shift, place.mask, delta,
                    op.low - place.low, op.high - place.low,
                )  # fmt: skip
                self.note(cell, True, op.marked)
                return True
        return False

    def _store_value(
        self, place: Field, value: Expr, limits: Interval, noting: tuple[int, bool] | None = None
    ) -> None:
        constant = self.constant_index(value)
        if constant is not None and limits[0] <= constant <= limits[1]:
            if noting is not None:
                self.note(noting[0], True, noting[1])
            keep = ~(place.mask << place.shift) & _WORD_MASK
            self.out.put(oc.SET_BITS, place.word, keep, (constant - place.low) << place.shift)
            return
        known = self.bounds(value)
        register = self.value(value)
        self.check_range(register, known, limits)
        if noting is not None:
            self.note(noting[0], True, noting[1])
        self.out.put(oc.STORE, register, place.word, place.shift, place.mask, place.low)

    def _bump(self, op: Bump) -> None:
        self.note_version(op.version, True, op.marked)
        masks: dict[int, tuple[int, int]] = {}
        for holder in self.program.snapshot_holders(op.version):
            self._constant_bits(masks, self.fields[holder], 0)
        for word, (keep, bits) in sorted(masks.items()):
            self.out.put(oc.SET_BITS, word, keep, bits)
        for slot, declared in enumerate(self.kind.code.slots):
            if declared.type == SnapshotType(op.version) and slot not in self.kind.places:
                self.out.put(oc.MOVE, _Register(slot), self.out.constant(0))

    def _choose(self, op: Choose) -> None:
        registers = [self.value(option) for option in op.options]
        first = [self.temporary() for _ in registers]
        for register, source in zip(first, registers, strict=True):
            self.out.put(oc.MOVE, register, source)
        chosen = self.temporary()
        self.out.put(oc.CHOOSE, chosen, len(first), first[0])
        bounds = [self.bounds(option) for option in op.options]
        known = min(b[0] for b in bounds), max(b[1] for b in bounds)
        self.check_range(chosen, known, self.ranges[op.slot])
        place = self.local_field(op.slot)
        if place is None:
            self.out.put(oc.MOVE, _Register(op.slot), chosen)
        else:
            self.out.put(oc.STORE, chosen, place.word, place.shift, place.mask, place.low)


def _can_go_round(ops: list[Op], stops: set[int]) -> bool:
    """Whether control can go round a loop without passing *stops*: its operations must be counted."""
    state = [0] * len(ops)
    for root in range(len(ops)):
        if state[root]:
            continue
        state[root] = 1
        stack = [(root, [s for s in successors(ops, root) if s not in stops])]
        while stack:
            position, onward = stack[-1]
            if not onward:
                state[position] = 2
                stack.pop()
                continue
            after = onward.pop()
            if state[after] == 1:
                return True
            if state[after] == 0:
                state[after] = 1
                stack.append((after, [s for s in successors(ops, after) if s not in stops]))
    return False


def _slot_range(program: Program, slot: Slot) -> Interval:
    type_: Type = slot.type  # type: ignore[assignment]
    if isinstance(type_, IntType):
        return PROPERTY_RANGE
    return bounds(type_, len(program.threads))


def _property(assembler: _Assembler, code: Code) -> int:
    """Emit a property; return its first row."""
    ops = code.ops
    emitter = _Emitter(assembler, [_slot_range(assembler.program, s) for s in code.slots], False)
    out = assembler
    counts = _can_go_round(ops, set())
    targets = [_Target() for _ in ops]
    out.fence = start = len(out.rows)
    for i, op in enumerate(ops):
        out.here(targets[i])
        emitter.op, emitter.temporaries = op, 0
        if i == len(ops) - 1:
            out.put(oc.RETURN, _Register(0))
            break
        if counts:
            out.put(oc.TICK, 1)
        match op:
            case SetLocal(slot=slot, value=value):
                emitter.set_register(slot, value)
            case Jump(target=target):
                out.put(oc.JUMP, targets[target.position])
            case Branch(condition=condition, target=target):
                emitter.skip_unless(condition, targets[target.position])
            case Check(condition=condition):
                fine = _Target()
                emitter.skip_if(condition, fine)
                out.put(oc.FAIL)
                out.here(fine)
            case Begin() | End() | LockEvent() | Halt():
                pass
            case _:
                raise NotPackable(f"a property with {type(op).__name__}")
    return start
