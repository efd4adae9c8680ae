# SPDX-License-Identifier: Apache-2.0
"""How visited states lie in memory: whole, one after the other, each in as many bytes as it needs.

To compute with a state its words are loaded into a vector of 64-bit integers. The last word of a state
is often short; what is loaded behind it belongs to the next state and is masked away. Storing writes
eight bytes, too: states are stored in ascending order, so the next one puts right what lay behind.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from quiesce.explorer.native.kernels.jit import inline_kernel
from quiesce.explorer.native.kernels.pointers import load_word, store_word
from quiesce.explorer.native.program.pack_state import WORD, Packing

Vector = npt.NDArray[np.int64]

# Places in a shape.
WORDS = 0
STRIDE = 1
LAST = 2

SLACK = 8
"""Bytes behind the last state that loading and storing it may touch."""


def shape_of(packing: Packing) -> Vector:
    """Return the shape of packed states: words, bytes from one to the next, mask of the last word."""
    ends = (f.shift + f.bits for f in packing.fields if f.word == packing.words - 1)
    last = max([1, *ends])
    if sys.byteorder != "little":
        # The bytes of a word that count are then not the first ones.
        last = WORD
    tail = -(-last // 8)
    mask = (1 << 8 * tail) - 1 if tail < 8 else -1
    return np.array([packing.words, 8 * (packing.words - 1) + tail, mask], np.int64)


def words_at(states: npt.NDArray[np.uint8], place: int, shape: Vector) -> Vector:
    """Return the words of state number *place*."""
    stride = int(shape[STRIDE])
    raw = states[place * stride : (place + 1) * stride].tobytes()
    return np.frombuffer(raw.ljust(8 * int(shape[WORDS]), b"\0"), np.int64).copy()


@inline_kernel
def load_state(states: Any, place: Any, shape: Any, out: Any, base: Any) -> None:
    """Write the words of state number *place* to ``out[base:]``."""
    at = place * shape[STRIDE]
    last = shape[WORDS] - 1
    for w in range(last):
        out[base + w] = load_word(states, at + 8 * w)
    out[base + last] = load_word(states, at + 8 * last) & shape[LAST]


@inline_kernel
def store_state(states: Any, place: Any, shape: Any, words: Any, base: Any) -> None:
    """Store ``words[base:]`` as state number *place*."""
    at = place * shape[STRIDE]
    for w in range(shape[WORDS]):
        store_word(states, at + 8 * w, words[base + w])


@inline_kernel
def same_state(states: Any, place: Any, shape: Any, words: Any, base: Any) -> bool:
    """Whether state number *place* is ``words[base:]``."""
    at = place * shape[STRIDE]
    last = shape[WORDS] - 1
    for w in range(last):
        if load_word(states, at + 8 * w) != words[base + w]:
            return False
    return (load_word(states, at + 8 * last) & shape[LAST]) == words[base + last]  # type: ignore[no-any-return]
