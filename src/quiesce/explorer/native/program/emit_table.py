# SPDX-License-Identifier: Apache-2.0
"""From steps to a table of instructions that the native explorer interprets.

Code is emitted for each thread by itself, so that every variable has a fixed place in the packed
words and ``current()`` is a constant. The commonest shapes (compare a variable with a constant, set it
to one, count it up or down) are one instruction each, and assignments of constants are merged
with the change of location that ends the step: taking a lock is two instructions.
"""

from __future__ import annotations

from typing import assert_never

from quiesce.compiler.ir import (
    Await,
    Begin,
    Binary,
    Branch,
    Bump,
    Check,
    Choose,
    Code,
    Const,
    End,
    Expr,
    Halt,
    Jump,
    Load,
    LocalSlot,
    LockEvent,
    Op,
    SetLocal,
    Store,
    successors,
)
from quiesce.compiler.program import Program, Thread, ThreadKind
from quiesce.compiler.ranges import Interval
from quiesce.compiler.types import IntType, bounds
from quiesce.explorer.native.program import opcodes as oc
from quiesce.explorer.native.program.emit_expressions import Emitter
from quiesce.explorer.native.program.instruction_table import (
    WORD_MASK,
    Assembler,
    Register,
    Table,
    Target,
)
from quiesce.explorer.native.program.pack_state import Field, NotPackable, Packing

PROPERTY_RANGE = (-(1 << 30), 1 << 30)
"""What a local integer of a property is held to here; the reference has no bound for those."""


def emit_table(program: Program, packing: Packing) -> Table:
    """Emit the instructions of *program*.

    :raises NotPackable: a value may not fit a 64-bit register.
    """
    assembler = Assembler(program, packing)
    table = Table()
    for thread in program.threads:
        table.entry.append(_ThreadEmitter(assembler, thread, False).emit())
    for thread in program.threads:
        table.recording.append(_ThreadEmitter(assembler, thread, True).emit())
    for prop in program.properties:
        table.properties.append(_property(assembler, prop.code))
    assembler.finish(table)
    return table


class _ThreadEmitter(Emitter):
    """Emits the steps of one thread."""

    def __init__(self, assembler: Assembler, thread: Thread, recording: bool) -> None:
        super().__init__(assembler, thread.kind.ranges, recording)
        self.thread = thread
        self.kind: ThreadKind = thread.kind
        self.ops = thread.kind.code.ops
        self.current = assembler.program.threads.index(thread) + 1
        self.arrive = [Target() for _ in self.ops]
        self.begin = [Target() for _ in self.ops]
        self.counts = can_go_round(self.ops, set(thread.kind.location_at))

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
            self.temporaries = 0
            self._operation(op, i)
        return [
            -1 if at.final else self.begin[at.position].row for at in self.kind.locations
        ]  # fmt: skip

    def _jump_targets(self) -> set[int]:
        return {op.target.position for op in self.ops if isinstance(op, Jump | Branch)}

    def _to(self, position: int) -> Target:
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
        keep, bits = masks.get(place.word, (WORD_MASK, 0))
        clear = ~(place.mask << place.shift) & WORD_MASK
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
                self._bump(op, position)
            case Await(condition=condition):
                go = Target()
                self.skip_if(condition, go)
                self.out.put(oc.BLOCK)
                self.out.here(go)
            case Choose():
                self._choose(op)
            case Check(condition=condition):
                fine = Target()
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
            case _:
                assert_never(op)

    def _zero(self) -> Register:
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
            case _:
                return False

    def _store_value(
        self, place: Field, value: Expr, limits: Interval, noting: tuple[int, bool] | None = None
    ) -> None:
        constant = self.constant_index(value)
        if constant is not None and limits[0] <= constant <= limits[1]:
            if noting is not None:
                self.note(noting[0], True, noting[1])
            keep = ~(place.mask << place.shift) & WORD_MASK
            self.out.put(oc.SET_BITS, place.word, keep, (constant - place.low) << place.shift)
            return
        known = self.bounds(value)
        register = self.value(value)
        self.check_range(register, known, limits)
        if noting is not None:
            self.note(noting[0], True, noting[1])
        self.out.put(oc.STORE, register, place.word, place.shift, place.mask, place.low)

    def _bump(self, op: Bump, position: int) -> None:
        self.note_version(op.version, True, op.marked)
        masks: dict[int, tuple[int, int]] = {}
        for holder in self.program.snapshot_holders(op.version):
            self._constant_bits(masks, self.fields[holder], 0)
        for word, (keep, bits) in sorted(masks.items()):
            self.out.put(oc.SET_BITS, word, keep, bits)
        for slot in self.kind.cleared[position]:
            self.out.put(oc.MOVE, Register(slot), self.out.constant(0))

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
            self.out.put(oc.MOVE, Register(op.slot), chosen)
        else:
            self.out.put(oc.STORE, chosen, place.word, place.shift, place.mask, place.low)


def can_go_round(ops: list[Op], stops: set[int]) -> bool:
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


def _slot_range(program: Program, slot: LocalSlot) -> Interval:
    type_ = slot.type
    if isinstance(type_, IntType):
        return PROPERTY_RANGE
    return bounds(type_, len(program.threads))


def _property(assembler: Assembler, code: Code) -> int:
    """Emit a property; return its first row."""
    ops = code.ops
    emitter = Emitter(assembler, [_slot_range(assembler.program, s) for s in code.slots], False)
    out = assembler
    counts = can_go_round(ops, set())
    targets = [Target() for _ in ops]
    out.fence = start = len(out.rows)
    for i, op in enumerate(ops):
        out.here(targets[i])
        emitter.temporaries = 0
        if i == len(ops) - 1:
            out.put(oc.RETURN, Register(0))
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
                fine = Target()
                emitter.skip_if(condition, fine)
                out.put(oc.FAIL)
                out.here(fine)
            case Begin() | End() | LockEvent() | Halt():
                pass
            case Store() | Bump() | Await() | Choose():
                raise NotPackable(f"a property with {type(op).__name__}")
            case _:
                assert_never(op)
    return start
