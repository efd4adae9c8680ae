# SPDX-License-Identifier: Apache-2.0
"""The set of visited states: stored whole, in order of discovery, found through a hash table.

``states`` holds the packed words of each state and ``parents`` who discovered it. The table is open
addressing with linear probing over 64-bit slots, each 0 or (fingerprint, number plus one) of a state. It
is never filled beyond three quarters, so every probe ends at an empty slot, and grows by half.

What costs is memory latency, not computation. So successors come in batches, and a batch is
looked up in passes over small blocks: hash and prefetch the slots; look at the slots and prefetch the
states that they name; compare.

With several shards (one for each core), a state belongs to the shard that its hash says; its number is
then ``place in the shard * shards + shard``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.jit import inline_kernel, kernel
from quiesce.explorer.native.pointers import pointer, prefetch

BLOCK = 128
AHEAD = 16
_C1 = np.uint64(0x9E3779B97F4A7C15)
_C2 = np.uint64(0xD6E8FEB86659FD93)
_U32 = np.uint64(32)
_LOW32 = np.uint64(0xFFFFFFFF)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@inline_kernel
def hash_words(array: Any, base: int, words: int) -> Any:
    """Return a 64-bit hash of ``array[base:base + words]``."""
    h = _C1
    for i in range(words):
        h = (h ^ np.uint64(array[base + i])) * _C2
        h ^= h >> _U32
    h *= _C1
    h ^= h >> _U32
    return h * _C2


@inline_kernel
def same_words(a: Any, i: Any, b: Any, j: Any, words: int) -> bool:
    """Whether two packed states are equal."""
    for k in range(words):
        if a[i + k] != b[j + k]:
            return False
    return True


@inline_kernel
def place_of(h: Any, slots: Any) -> Any:
    """Return where in a table of *slots* slots the probing for the hash *h* begins."""
    return np.int64(((h >> _U32) * slots) >> _U32)


@kernel
def sort_by_shard(
    box_: Any, boxed: int, words: int, shards: int, hashes_: Any, picks_: Any, picked_: Any
) -> None:
    """Hash what is in the box, and list which of it belongs to which shard.

    :param picks_: for each shard, as much room as the box has; ``picked_`` is how much of it is used.
    """
    box, hashes, picks, picked = pointer(box_), pointer(hashes_), pointer(picks_), pointer(picked_)
    room = len(hashes_)
    for s in range(shards):
        picked[s] = 0
    for k in range(boxed):
        h = hash_words(box, k * words, words)
        hashes[k] = h
        shard = np.int64(((h & _LOW32) * np.uint64(shards)) >> _U32)
        picks[shard * room + picked[shard]] = k
        picked[shard] += 1


@kernel
def insert(
    box_: Any, box_parents_: Any, hashes_: Any, picks_: Any, start: int, end: int, words: int,
    shards: int, states_: Any, parents_: Any, table_: Any, scratch_: Any, count: int, limit: int,
) -> tuple[int, int]:  # fmt: skip
    """Add those of the states ``box[start:end]`` that are new; with several shards, of ``box[picks]``.

    :param limit: how many states there may be before the caller must make room.
    :returns: how far it got, and the number of states.
    """
    box, box_parents = pointer(box_), pointer(box_parents_)
    hashes, picks = pointer(hashes_), pointer(picks_)
    states, parents, table = pointer(states_), pointer(parents_), pointer(table_)
    slots = np.uint64(len(table_))
    last = len(table_) - 1
    # Three vectors of a block each: place in the table, fingerprint, entry of the box.
    scratch = pointer(scratch_)
    at = start
    while at < end:
        if count + BLOCK > limit:
            return at, count
        upto = min(end, at + BLOCK)
        for k in range(at, upto):
            if shards > 1:
                entry = picks[k]
                h = hashes[entry]
            else:
                entry = k
                h = hash_words(box, k * words, words)
            place = place_of(h, slots)
            prefetch(table, place)
            scratch[k - at] = place
            scratch[BLOCK + k - at] = np.int64(h & _LOW32)
            scratch[2 * BLOCK + k - at] = entry
        n = upto - at
        for j in range(n):
            slot = table[scratch[j]]
            if slot != _ZERO and np.int64(slot >> _U32) == scratch[BLOCK + j]:
                prefetch(states, (np.int64(slot & _LOW32) - 1) * words)
        for j in range(n):
            place = scratch[j]
            fingerprint = scratch[BLOCK + j]
            k = scratch[2 * BLOCK + j]
            while True:
                slot = table[place]
                if slot == _ZERO:
                    table[place] = np.uint64(fingerprint) << _U32 | np.uint64(count + 1)
                    for i in range(words):
                        states[count * words + i] = box[k * words + i]
                    parents[count] = box_parents[k]
                    count += 1
                    break
                if np.int64(slot >> _U32) == fingerprint and same_words(
                    states, (np.int64(slot & _LOW32) - 1) * words, box, k * words, words
                ):
                    break
                place = place + 1 if place < last else 0
        at = upto
    return end, count


@kernel
def fill_table(states_: Any, count: int, words: int, table_: Any) -> None:
    """Enter the first *count* states into the empty *table*."""
    states, table = pointer(states_), pointer(table_)
    slots = np.uint64(len(table_))
    last = len(table_) - 1
    for k in range(count):
        ahead = k + AHEAD
        if ahead < count:
            prefetch(table, place_of(hash_words(states, ahead * words, words), slots))
        h = hash_words(states, k * words, words)
        place = place_of(h, slots)
        while table[place] != _ZERO:
            place = place + 1 if place < last else 0
        table[place] = (h & _LOW32) << _U32 | np.uint64(k + 1)


@kernel
def find(box_: Any, end: int, words: int, states_: Any, table_: Any, found_: Any) -> None:
    """Look up the states ``box[0:end]``; write their numbers, or -1, to *found*."""
    box, states, table, found = pointer(box_), pointer(states_), pointer(table_), pointer(found_)
    slots = np.uint64(len(table_))
    last = len(table_) - 1
    for k in range(end):
        ahead = k + AHEAD
        if ahead < end:
            prefetch(table, place_of(hash_words(box, ahead * words, words), slots))
        h = hash_words(box, k * words, words)
        place = place_of(h, slots)
        number: Any = -1
        while table[place] != _ZERO:
            slot = table[place]
            candidate = np.int64(slot & _LOW32) - 1
            if slot >> _U32 == h & _LOW32 and same_words(
                states, candidate * words, box, k * words, words
            ):
                number = candidate
                break
            place = place + 1 if place < last else 0
        found[k] = number
