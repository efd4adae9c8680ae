# SPDX-License-Identifier: Apache-2.0
"""The instructions that the native explorer interprets.

An instruction is a row of :data:`WIDTH` integers, an operation code and its operands. ``R`` are the
registers, numbered from :data:`FIRST_REGISTER`, ``S`` the words of the state being changed. A *field*
operand is (word, shift, mask, low).
"""

from __future__ import annotations

WIDTH = 8
FIRST_REGISTER = 16
"""What comes before them in the interpreter's memory is its own."""

ARRIVE = 0
"""word, keep, set: ``S[word] = S[word] & keep | set``; the step ends."""
SET_BITS = 1
"""word, keep, set: ``S[word] = S[word] & keep | set``."""
SKIP_UNLESS_EQ = 2
"""word, shift, mask, bits, target: go to target unless the field holds bits."""
SKIP_IF_EQ = 3
"""word, shift, mask, bits, target: go to target if the field holds bits."""
ADD_FIELD = 4
"""word, shift, mask, delta, low, high: add delta to a field; out of low..high (packed) is a failure."""
LOAD = 5
"""d, word, shift, mask, low: ``R[d] = field``."""
STORE = 6
"""s, word, shift, mask, low: ``field = R[s]``."""
JUMP = 7
"""target."""
UNLESS = 8
"""s, target: go to target if ``R[s]`` is 0."""
IF = 9
"""s, target: go to target if ``R[s]`` is not 0."""
MOVE = 10
"""d, s."""
CHECK_RANGE = 11
"""s, range: a failure unless ``R[range] <= R[s] <= R[range+1]``."""
BLOCK = 12
"""The step has not happened."""
FAIL = 13
"""The step fails."""
INDEX = 14
"""d, s, length, stride: ``R[d] += R[s] * stride``; R[s] out of 0..length-1 is a failure."""
LOAD_AT = 15
"""d, s: ``R[d] = cell R[s]``."""
STORE_AT = 16
"""s, a: ``cell R[a] = R[s]``."""
CHOOSE = 17
"""d, n, first: ``R[d] = one of R[first:first+n]``."""
TICK = 18
"""n: n operations have been done; too many are a failure."""
NOTE = 19
"""cell, write, marked: an access, for the race check."""
NOTE_AT = 20
"""s, write, marked: an access to cell R[s]."""
RETURN = 21
"""s: the answer of a property is R[s]."""
ADD = 22
"""d, a, b: ``R[d] = R[a] + R[b]``, and so on for the operators below."""
SUB = 23
MUL = 24
FLOOR_DIV = 25
MOD = 26
BIT_AND = 27
BIT_OR = 28
BIT_XOR = 29
SHIFT_LEFT = 30
SHIFT_RIGHT = 31
BIT_TEST = 32
EQ = 33
NE = 34
LT = 35
LE = 36
GT = 37
GE = 38
NEGATE = 39
"""d, a."""
INVERT = 40
NOT = 41
COUNT = 42

BINARY = {
    "+": ADD, "-": SUB, "*": MUL, "//": FLOOR_DIV, "%": MOD, "&": BIT_AND, "|": BIT_OR, "^": BIT_XOR,
    "<<": SHIFT_LEFT, ">>": SHIFT_RIGHT, "bit": BIT_TEST,
    "==": EQ, "!=": NE, "<": LT, "<=": LE, ">": GT, ">=": GE,
}  # fmt: skip
UNARY = {"-": NEGATE, "~": INVERT, "not": NOT, "count": COUNT}
