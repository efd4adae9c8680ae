# SPDX-License-Identifier: Apache-2.0
"""Which thread becomes which as a state is replaced by its representative, and which are alike in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.kernels.canonical import canonicalise, like_the_next
from quiesce.explorer.native.kernels.jit import kernel
from quiesce.explorer.native.kernels.pointers import pointer
from quiesce.explorer.native.kernels.stored import load_state
from quiesce.explorer.native.program.tables import symmetry_pointers

_ONE = np.uint64(1)
_NONE = np.uint64(0)


@kernel
def canonicalise_noting(
    box_: Any, start: int, end: int, words: int, symmetry_: Any, scratch_: Any, table_: Any,
    slots_: Any, known_: Any, renames_: Any,
) -> int:  # fmt: skip
    """Replace ``box[start:end]`` by representatives and write which threads became which.

    :param table_: the renamings that are known: for each, and each thread, who that becomes.
    :param slots_: a hash table of their numbers plus one; a power of two, at least twice as long.
    :param known_: how many are known, in one integer.
    :returns: the first state that was not replaced since the table is full, or *end*.
    """
    box, scratch, table = pointer(box_), pointer(scratch_), pointer(table_)
    slots, known, renames = pointer(slots_), pointer(known_), pointer(renames_)
    symmetry = symmetry_pointers(symmetry_)
    threads = symmetry.threads
    room = len(table_) // threads
    mask = len(slots_) - 1
    renamed = 2 * threads
    for k in range(start, end):
        if known[0] >= room:
            return k
        canonicalise(box, k * words, symmetry, scratch)
        h = np.uint64(1469598103934665603)
        for j in range(threads):
            scratch[renamed + scratch[threads + j]] = j
        for j in range(threads):
            h = (h ^ np.uint64(scratch[renamed + j])) * np.uint64(1099511628211)
        place: Any = np.int64(h >> np.uint64(20)) & mask
        found: Any = np.int64(-1)
        while slots[place] != 0:
            number = np.int64(slots[place]) - 1
            same = True
            for j in range(threads):
                if np.int64(table[number * threads + j]) != scratch[renamed + j]:
                    same = False
                    break
            if same:
                found = number
                break
            place = (place + 1) & mask
        if found < 0:
            found = known[0]
            for j in range(threads):
                table[found * threads + j] = scratch[renamed + j]
            slots[place] = found + 1
            known[0] += 1
        renames[k] = found
    return end


@kernel
def mark_leaders(
    states_: Any, count: int, shape_: Any, symmetry_: Any, here_: Any, leaders_: Any
) -> None:
    """For each state, write which threads move for all that can be exchanged with them, as a mask."""
    states, shape, here, leaders = (
        pointer(states_), pointer(shape_), pointer(here_), pointer(leaders_),
    )  # fmt: skip
    symmetry = symmetry_pointers(symmetry_)
    origin: Any = np.int64(0)
    for s in range(count):
        load_state(states, np.int64(s), shape, here, origin)
        mask = _NONE
        for t in range(symmetry.threads):
            if not like_the_next(here, origin, t, symmetry):
                mask |= _ONE << np.uint64(t)
        leaders[s] = mask


@kernel
def spread(leaders_: Any, count: int, threads: int, masks_: Any) -> None:
    """In each mask, let all threads of a class have the bit of their leader."""
    leaders, masks = pointer(leaders_), pointer(masks_)
    for s in range(count):
        mask = _NONE
        bit = _NONE
        for k in range(threads):
            t = np.uint64(threads - 1 - k)
            if (leaders[s] >> t) & _ONE:
                bit = (masks[s] >> t) & _ONE
            mask |= bit << t
        masks[s] = mask
