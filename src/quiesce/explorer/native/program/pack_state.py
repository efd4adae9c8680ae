# SPDX-License-Identifier: Apache-2.0
"""How a state is packed into 64-bit words: which bits of which word each integer of it takes.

An integer gets as many bits as its range needs, and at least room for 0, which a dead local is
reset to. The variables that belong to a thread (its location, its locals, its task's fields, its
elements of per-task arrays) form one *block*, of one width for all threads of a kind and at the same
places in it, so that two threads are exchanged by exchanging their blocks. A field never crosses
a word, and a block only if it is wider than one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from quiesce.compiler.atomic_steps import cells_of
from quiesce.compiler.ir import Bump, Store, writes_memory
from quiesce.compiler.program import Program, ThreadKind

WORD = 64
WIDEST = 62
"""Bits of the widest field: what a signed 64-bit register can still compute with."""


class NotPackable(Exception):
    """The program has a variable that does not fit a machine word, or too many threads."""


@dataclass(frozen=True, slots=True)
class Field:
    """Where one integer of a state lies.

    :param low: the value that is packed as 0.
    :param bits: how many bits it takes; 0 if it is a constant.
    """

    word: int
    shift: int
    bits: int
    low: int

    @property
    def mask(self) -> int:
        """Its bits, shifted down."""
        return (1 << self.bits) - 1

    @property
    def high(self) -> int:
        """The largest value that fits."""
        return self.low + self.mask


@dataclass(frozen=True, slots=True)
class Block:
    """The bits of one thread: in one word from *shift* on, or whole words from *word* on."""

    word: int
    shift: int
    bits: int

    @property
    def words(self) -> int:
        """How many words it lies in."""
        return max(1, -(-self.bits // WORD))


@dataclass(slots=True)
class Packing:
    """The packing of a program's states.

    :param fields: by the place of the integer in a state of the reference stepper.
    :param blocks: by thread.
    :param members: for each thread, the places in a state of the integers in its block, in the same
        order for all threads of a kind.
    """

    fields: list[Field]
    blocks: list[Block]
    members: list[list[int]]
    words: int
    bits: int
    _cuts: list[tuple[int, int, int, int]] = field(init=False)
    """Word, shift, mask and least value of each field."""

    def __post_init__(self) -> None:
        self._cuts = [(f.word, f.shift, f.mask, f.low) for f in self.fields]

    def pack(self, state: tuple[int, ...]) -> tuple[int, ...]:
        """Return *state* as words."""
        words = [0] * self.words
        for value, (word, shift, mask, low) in zip(state, self._cuts, strict=True):
            offset = value - low
            assert 0 <= offset <= mask
            words[word] |= offset << shift
        return tuple(words)

    def unpack(self, words: tuple[int, ...]) -> tuple[int, ...]:
        """Return the state that *words* stand for."""
        return tuple([(words[word] >> shift & mask) + low for word, shift, mask, low in self._cuts])


def _range(program: Program, place: int) -> tuple[int, int]:
    cells = len(program.cells)
    if place < cells:
        cell = program.cells[place]
        return min(cell.low, cell.initial), max(cell.high, cell.initial)
    for thread in program.threads:
        offset = place - thread.base
        if offset == 0:
            return 0, len(thread.kind.locations) - 1
        if 0 < offset < thread.kind.block:
            stored = thread.kind.stored[offset - 1]
            return min(stored.low, 0), max(stored.high, 0)
    raise AssertionError(f"place {place} is not part of a state")


class _Allocator:
    """Hands out bits, filling words from the first on."""

    def __init__(self) -> None:
        self.used: list[int] = []

    def take(self, bits: int) -> tuple[int, int]:
        """Return (word, shift) of *bits* bits in one word, or of whole words if it needs several."""
        if bits > WORD:
            word = len(self.used)
            whole = -(-bits // WORD)
            self.used += [WORD] * whole
            return word, 0
        for word, used in enumerate(self.used):
            if used + bits <= WORD:
                self.used[word] += bits
                return word, used
        self.used.append(bits)
        return len(self.used) - 1, 0


def pack_program(program: Program) -> Packing:
    """Decide how the states of *program* are packed.

    :raises NotPackable: a variable needs more than 62 bits.
    """
    widths: list[tuple[int, int]] = []
    written = _written_cells(program)
    for place in range(program.size):
        low, high = _range(program, place)
        if place < len(program.cells) and place not in written:
            low = high = program.cells[place].initial
        bits = (high - low).bit_length()
        if bits > WIDEST or max(abs(low), abs(high)).bit_length() > WIDEST:
            raise NotPackable(f"a variable ranges from {low} to {high}")
        widths.append((low, bits))
    members = [_members(program, i) for i in range(len(program.threads))]
    fields: list[Field | None] = [None] * program.size
    allocator = _Allocator()
    blocks = []
    inside: dict[int, list[tuple[int, int]]] = {}
    for thread in range(len(program.threads)):
        kind: ThreadKind = program.threads[thread].kind
        if id(kind) not in inside:
            inside[id(kind)] = _places_in_block([widths[m][1] for m in members[thread]])
        places = inside[id(kind)]
        bits = _block_bits(places, [widths[m][1] for m in members[thread]])
        word, shift = allocator.take(bits)
        blocks.append(Block(word, shift, bits))
        for place, (inner_word, inner_shift) in zip(members[thread], places, strict=True):
            low, width = widths[place]
            fields[place] = Field(word + inner_word, shift + inner_shift, width, low)
    for place, known in enumerate(fields):
        if known is None:
            low, width = widths[place]
            word, shift = allocator.take(width)
            fields[place] = Field(word, shift, width, low)
    done = [f for f in fields if f is not None]
    total = sum(f.bits for f in done)
    return Packing(done, blocks, members, max(1, len(allocator.used)), total)


def _written_cells(program: Program) -> set[int]:
    """Return the cells that some step may change: the others are constants and take no room."""
    written: set[int] = set()
    for kind in program.kinds:
        for op in kind.code.ops:
            if writes_memory(op):
                match op:
                    case Store(address=address):
                        written |= cells_of(address.base, address.terms)
                    case Bump(version=version):
                        written |= set(program.snapshot_holders(version))
                    case _:
                        assert_never(op)
    return written


def _members(program: Program, thread: int) -> list[int]:
    own = program.threads[thread]
    stored = [own.base + i for i in range(own.kind.block)]
    return stored + [i for i, cell in enumerate(program.cells) if cell.task == thread]


def _places_in_block(widths: list[int]) -> list[tuple[int, int]]:
    allocator = _Allocator()
    return [allocator.take(bits) for bits in widths]


def _block_bits(places: list[tuple[int, int]], widths: list[int]) -> int:
    """Return the bits that a block takes: up to a word's if it fits one, else whole words."""
    ends = [(word, shift + bits) for (word, shift), bits in zip(places, widths, strict=True)]
    words = max(word for word, _ in ends) + 1
    return words * WORD if words > 1 else max(end for _, end in ends)
