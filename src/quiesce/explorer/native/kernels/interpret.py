# SPDX-License-Identifier: Apache-2.0
"""The interpreter of the instruction table (``program/opcodes.py``), compiled once for all programs.

:func:`run` executes one step, from its first row to its end, on the words ``out[base:]`` themselves.
Where the environment chooses, the other alternatives are kept on a stack of frames, and the caller goes
on with them afterwards, the first option first: the order of the reference stepper.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.kernels.jit import inline_kernel
from quiesce.explorer.native.program import opcodes as oc
from quiesce.explorer.reference.stepper import CHOICE_BOUND, STEP_BOUND

ARRIVED = 0
BLOCKED = 1
FAILED = 2

# Places in the vector *ram*.
HEIGHT = 0
"""How many alternatives are on the stack."""
NOTED = 1
"""How many notes there are: (cell, write, marked) each, for one thread each once."""
FAILED_ROW = 2
FRAMES = 3
"""Where the stack begins; an alternative is a row, the words, the value chosen, the local variables and
the register that the value is for."""
FRAME_SIZE = 4
NOTES_AT = 5
WORDS = 6
LOCALS = 7
"""How many registers hold local variables; from LOCALS_AT on. The others do not outlive an operation."""
LOCALS_AT = 9
FIELDS = 8
"""Where in the code vector the fields begin: word, shift, mask and low of each cell."""
NOTES_FROM = 10
"""The number of the first note of the thread that is running."""
CHOICES = 11
"""How many choices the step has made, on all its ways together; the caller begins with 0."""
FIRST_REGISTER = oc.FIRST_REGISTER

NOTE_SIZE = 3

# Names local to this file are compile-time constants of the kernel.
WIDTH = oc.WIDTH
BOUND = STEP_BOUND
_MOST_CHOICES = CHOICE_BOUND
_ARRIVE, _SET_BITS, _UNLESS_EQ, _IF_EQ, _ADD_FIELD = (
    oc.ARRIVE, oc.SET_BITS, oc.SKIP_UNLESS_EQ, oc.SKIP_IF_EQ, oc.ADD_FIELD,
)  # fmt: skip
_LOAD, _STORE, _JUMP, _UNLESS, _IF, _MOVE = (
    oc.LOAD, oc.STORE, oc.JUMP, oc.UNLESS, oc.IF, oc.MOVE,
)  # fmt: skip
_CHECK_RANGE, _BLOCK, _FAIL, _INDEX, _LOAD_AT, _STORE_AT = (
    oc.CHECK_RANGE, oc.BLOCK, oc.FAIL, oc.INDEX, oc.LOAD_AT, oc.STORE_AT,
)  # fmt: skip
_CHOOSE, _TICK, _NOTE, _NOTE_AT, _RETURN = oc.CHOOSE, oc.TICK, oc.NOTE, oc.NOTE_AT, oc.RETURN
_ADD, _SUB, _MUL, _DIV, _MOD = oc.ADD, oc.SUB, oc.MUL, oc.FLOOR_DIV, oc.MOD
_AND, _OR, _XOR, _SHL, _SHR, _BIT = (
    oc.BIT_AND, oc.BIT_OR, oc.BIT_XOR, oc.SHIFT_LEFT, oc.SHIFT_RIGHT, oc.BIT_TEST,
)  # fmt: skip
_EQ, _NE, _LT, _LE, _GT, _GE = oc.EQ, oc.NE, oc.LT, oc.LE, oc.GT, oc.GE
_NEG, _INV, _NOT, _COUNT = oc.NEGATE, oc.INVERT, oc.NOT, oc.COUNT


@inline_kernel
def run(code: Any, row: int, out: Any, base: int, ram: Any) -> int:
    """Execute one step; return ARRIVED, BLOCKED or FAILED.

    A property answers ARRIVED for true and BLOCKED for false.

    :param code: the instructions, and after them the fields (``tables.py``).
    :param ram: the registers, and what comes before and after them: see the constants above.
    """
    pc = row * WIDTH
    ticks = 0
    while True:
        op = code[pc]
        if op == _ARRIVE:
            w = base + code[pc + 1]
            out[w] = out[w] & code[pc + 2] | code[pc + 3]
            return ARRIVED
        elif op == _UNLESS_EQ:
            if (out[base + code[pc + 1]] >> code[pc + 2]) & code[pc + 3] != code[pc + 4]:
                pc = code[pc + 5] * WIDTH
                continue
        elif op == _IF_EQ:
            if (out[base + code[pc + 1]] >> code[pc + 2]) & code[pc + 3] == code[pc + 4]:
                pc = code[pc + 5] * WIDTH
                continue
        elif op == _BLOCK:
            return BLOCKED
        elif op == _ADD_FIELD:
            w = base + code[pc + 1]
            shift = code[pc + 2]
            mask = code[pc + 3]
            value = ((out[w] >> shift) & mask) + code[pc + 4]
            if value < code[pc + 5] or value > code[pc + 6]:
                ram[FAILED_ROW] = pc // WIDTH
                return FAILED
            out[w] = out[w] & ~(mask << shift) | value << shift
        elif op == _SET_BITS:
            w = base + code[pc + 1]
            out[w] = out[w] & code[pc + 2] | code[pc + 3]
        elif op == _LOAD:
            value = (out[base + code[pc + 2]] >> code[pc + 3]) & code[pc + 4]
            ram[code[pc + 1]] = value + code[pc + 5]
        elif op == _STORE:
            w = base + code[pc + 2]
            shift = code[pc + 3]
            mask = code[pc + 4] << shift
            out[w] = out[w] & ~mask | (ram[code[pc + 1]] - code[pc + 5]) << shift
        elif op == _JUMP:
            pc = code[pc + 1] * WIDTH
            continue
        elif op == _UNLESS:
            if ram[code[pc + 1]] == 0:
                pc = code[pc + 2] * WIDTH
                continue
        elif op == _IF:
            if ram[code[pc + 1]] != 0:
                pc = code[pc + 2] * WIDTH
                continue
        elif op == _MOVE:
            ram[code[pc + 1]] = ram[code[pc + 2]]
        elif op == _CHECK_RANGE:
            value = ram[code[pc + 1]]
            if value < ram[code[pc + 2]] or value > ram[code[pc + 2] + 1]:
                ram[FAILED_ROW] = pc // WIDTH
                return FAILED
        elif op == _FAIL:
            ram[FAILED_ROW] = pc // WIDTH
            return FAILED
        elif op == _INDEX:
            value = ram[code[pc + 2]]
            if value < 0 or value >= code[pc + 3]:
                ram[FAILED_ROW] = pc // WIDTH
                return FAILED
            ram[code[pc + 1]] += value * code[pc + 4]
        elif op == _LOAD_AT:
            f = ram[FIELDS] + ram[code[pc + 2]] * 4
            value = (out[base + code[f]] >> code[f + 1]) & code[f + 2]
            ram[code[pc + 1]] = value + code[f + 3]
        elif op == _STORE_AT:
            f = ram[FIELDS] + ram[code[pc + 2]] * 4
            w = base + code[f]
            shift = code[f + 1]
            mask = code[f + 2] << shift
            out[w] = out[w] & ~mask | (ram[code[pc + 1]] - code[f + 3]) << shift
        elif op == _ADD:
            ram[code[pc + 1]] = ram[code[pc + 2]] + ram[code[pc + 3]]
        elif op == _SUB:
            ram[code[pc + 1]] = ram[code[pc + 2]] - ram[code[pc + 3]]
        elif op == _EQ:
            ram[code[pc + 1]] = 1 if ram[code[pc + 2]] == ram[code[pc + 3]] else 0
        elif op == _NE:
            ram[code[pc + 1]] = 1 if ram[code[pc + 2]] != ram[code[pc + 3]] else 0
        elif op == _LT:
            ram[code[pc + 1]] = 1 if ram[code[pc + 2]] < ram[code[pc + 3]] else 0
        elif op == _LE:
            ram[code[pc + 1]] = 1 if ram[code[pc + 2]] <= ram[code[pc + 3]] else 0
        elif op == _GT:
            ram[code[pc + 1]] = 1 if ram[code[pc + 2]] > ram[code[pc + 3]] else 0
        elif op == _GE:
            ram[code[pc + 1]] = 1 if ram[code[pc + 2]] >= ram[code[pc + 3]] else 0
        elif op == _AND:
            ram[code[pc + 1]] = ram[code[pc + 2]] & ram[code[pc + 3]]
        elif op == _OR:
            ram[code[pc + 1]] = ram[code[pc + 2]] | ram[code[pc + 3]]
        elif op == _XOR:
            ram[code[pc + 1]] = ram[code[pc + 2]] ^ ram[code[pc + 3]]
        elif op == _MUL:
            ram[code[pc + 1]] = ram[code[pc + 2]] * ram[code[pc + 3]]
        elif op == _DIV or op == _MOD:
            divisor = ram[code[pc + 3]]
            if divisor == 0:
                ram[FAILED_ROW] = pc // WIDTH
                return FAILED
            if op == _DIV:
                ram[code[pc + 1]] = ram[code[pc + 2]] // divisor
            else:
                ram[code[pc + 1]] = ram[code[pc + 2]] % divisor
        elif op == _SHL or op == _SHR:
            value = ram[code[pc + 3]]
            if value < 0 or value >= 62:
                ram[FAILED_ROW] = pc // WIDTH
                return FAILED
            if op == _SHL:
                ram[code[pc + 1]] = ram[code[pc + 2]] << value
            else:
                ram[code[pc + 1]] = ram[code[pc + 2]] >> value
        elif op == _BIT:
            ram[code[pc + 1]] = (ram[code[pc + 2]] >> min(ram[code[pc + 3]], 63)) & 1
        elif op == _NEG:
            ram[code[pc + 1]] = -ram[code[pc + 2]]
        elif op == _INV:
            ram[code[pc + 1]] = ~ram[code[pc + 2]]
        elif op == _NOT:
            ram[code[pc + 1]] = 1 if ram[code[pc + 2]] == 0 else 0
        elif op == _COUNT:
            value = abs(ram[code[pc + 2]])
            bits = 0
            while value:
                value &= value - 1
                bits += 1
            ram[code[pc + 1]] = bits
        elif op == _CHOOSE:
            count = code[pc + 2]
            first = code[pc + 3]
            size = ram[FRAME_SIZE]
            ram[CHOICES] += 1
            if ram[CHOICES] > _MOST_CHOICES:
                # As in the reference: the step fails, and its other ways are not tried.
                ram[HEIGHT] = 0
                ram[FAILED_ROW] = pc // WIDTH
                return FAILED
            for k in range(count - 1, 0, -1):
                frame = ram[FRAMES] + ram[HEIGHT] * size
                ram[frame] = pc // WIDTH + 1
                for i in range(ram[WORDS]):
                    ram[frame + 1 + i] = out[base + i]
                registers = frame + 2 + ram[WORDS]
                for i in range(ram[LOCALS]):
                    ram[registers + i] = ram[ram[LOCALS_AT] + i]
                ram[registers - 1] = ram[first + k]
                ram[registers + ram[LOCALS]] = code[pc + 1]
                ram[HEIGHT] += 1
            ram[code[pc + 1]] = ram[first]
            ticks = 0
        elif op == _TICK:
            ticks += code[pc + 1]
            if ticks > BOUND:
                ram[FAILED_ROW] = pc // WIDTH
                return FAILED
        elif op == _RETURN:
            return ARRIVED if ram[code[pc + 1]] != 0 else BLOCKED
        elif op == _NOTE or op == _NOTE_AT:
            cell = code[pc + 1] if op == _NOTE else ram[code[pc + 1]]
            note = ram[NOTES_AT] + ram[NOTES_FROM] * NOTE_SIZE
            end = ram[NOTES_AT] + ram[NOTED] * NOTE_SIZE
            while note < end and (
                ram[note] != cell or ram[note + 1] != code[pc + 2] or ram[note + 2] != code[pc + 3]
            ):
                note += NOTE_SIZE
            if note == end:
                ram[note] = cell
                ram[note + 1] = code[pc + 2]
                ram[note + 2] = code[pc + 3]
                ram[NOTED] += 1
        pc += WIDTH


@inline_kernel
def resume(out: Any, base: int, ram: Any) -> int:
    """Take the alternative on top of the stack; return the row to go on at."""
    ram[HEIGHT] -= 1
    frame = ram[FRAMES] + ram[HEIGHT] * ram[FRAME_SIZE]
    for i in range(ram[WORDS]):
        out[base + i] = ram[frame + 1 + i]
    registers = frame + 2 + ram[WORDS]
    for i in range(ram[LOCALS]):
        ram[ram[LOCALS_AT] + i] = ram[registers + i]
    ram[ram[registers + ram[LOCALS]]] = ram[registers - 1]
    return int(ram[frame])


def new_ram(
    constants: Any, registers: int, locals_: int, words: int, fields: int, frames: int, notes: int
) -> Any:
    """Return a *ram* for :func:`run`.

    :param constants: what the first registers hold; the *locals_* next ones are local variables.
    :param fields: where in the code vector the fields begin.
    :param frames: how many alternatives may be on the stack.
    :param notes: how many notes there may be.
    """
    frame_size = 3 + words + locals_
    frames_at = FIRST_REGISTER + registers
    notes_at = frames_at + frames * frame_size
    # Room before and behind, so that the rams of two cores share no cache line.
    ram = np.zeros(16 + notes_at + NOTE_SIZE * notes + 16, np.int64)[16:-16]
    ram[FRAMES], ram[FRAME_SIZE], ram[NOTES_AT] = frames_at, frame_size, notes_at
    ram[WORDS], ram[LOCALS], ram[FIELDS] = words, locals_, fields
    ram[LOCALS_AT] = FIRST_REGISTER + len(constants)
    ram[FIRST_REGISTER : FIRST_REGISTER + len(constants)] = constants
    return ram
