# SPDX-License-Identifier: Apache-2.0
"""The set of visited states: stored whole, in order of discovery, found through one hash table.

The table is open addressing with linear probing over 64-bit slots: 0, or the upper bits of a state's
hash and in the lower bits its number plus one. Probing begins at a cache line, a *bucket* of eight slots
that are compared at once without a branch. Which one follows from the upper bits alone, in ascending order,
so the table grows in place, in one sweep, without a look at the states. It is never filled beyond three
quarters, and behind its last slot there is room for what is pushed over the end; should even that be
used up, the table grows. So every probe ends.

What costs is memory latency, not computation. So successors come in batches, and a batch is looked up in
passes over small blocks: hash and prefetch the slots; look at the slots and prefetch the states that they
name; compare.

Several cores share the table, but each stores the states that it discovers in a vector of its own; a
number is ``place << owner_bits | owner``. A state is stored first and then entered by one compare-and-swap,
so a core that sees the slot also sees the state; one that loses the race compares with the winner's
(A. Laarman, J. van de Pol, M. Weber, "Boosting multi-core reachability performance with shared hash
tables", FMCAD 2010).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.kernels.jit import inline_kernel, kernel
from quiesce.explorer.native.kernels.pointers import (
    bytes_at,
    compare_and_swap,
    compare_eight,
    lowest_bit,
    pointer,
    prefetch,
)
from quiesce.explorer.native.kernels.stored import (
    STRIDE,
    WORDS,
    load_state,
    same_state,
    store_state,
)

BLOCK = 256
AHEAD = 16
BUCKET = 8
_BUCKET_BITS = np.uint64(3)
MARGIN = 1 << 12
"""Slots behind the last one at which probing begins; the very last is never used."""
_C1 = np.uint64(0x9E3779B97F4A7C15)
_C2 = np.uint64(0xD6E8FEB86659FD93)
_U32 = np.uint64(32)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@inline_kernel
def hash_words(array: Any, base: int, words: int) -> Any:
    """Return a 64-bit hash of ``array[base:base + words]``."""
    h = (_C1 ^ np.uint64(array[base])) * _C2
    h ^= h >> _U32
    if words > 1:
        for i in range(1, words):
            h = (h ^ np.uint64(array[base + i])) * _C2
            h ^= h >> _U32
    h *= _C1
    h ^= h >> _U32
    return h * _C2


@inline_kernel
def number_mask(number_bits: int) -> Any:
    """Return the mask of the bits of a slot that hold a number."""
    return (_ONE << np.uint64(number_bits)) - _ONE


@inline_kernel
def place_of(h: Any, low: Any, slots: Any) -> Any:
    """Return where in a table of *slots* slots the probing for the hash *h* begins: at a bucket's first.

    :param low: the mask of the numbers, which hide those bits of the hash.
    """
    buckets = slots >> _BUCKET_BITS
    return np.int64((((h & ~low) >> _U32) * buckets) >> _U32) * BUCKET


@inline_kernel
def matching(table: Any, bucket: Any, h: Any, low: Any) -> Any:
    """Return, as a mask, which slots of a bucket have the upper bits of *h*."""
    return compare_eight(table, bucket, h, ~low)


@inline_kernel
def unused(table: Any, bucket: Any) -> Any:
    """Return, as a mask, which slots of a bucket are empty."""
    return compare_eight(table, bucket, _ZERO, ~_ZERO)


@inline_kernel
def first_unused(table: Any, bucket: Any) -> Any:
    """Return the first empty slot from *bucket* on; the table's last one is always empty."""
    while True:
        free = unused(table, bucket)
        if free != 0:
            return bucket + lowest_bit(free)
        bucket += BUCKET


@inline_kernel
def probe(
    table: Any, bucket: Any, h: Any, low: Any, owners: Any, owner_bits: int, shape: Any, box: Any,
    base: Any,
) -> Any:  # fmt: skip
    """Return the place of the state ``box[base:]``, or of the empty slot where it would be entered."""
    owner_mask = (1 << owner_bits) - 1
    while True:
        hits = matching(table, bucket, h, low)
        while hits != 0:
            place = bucket + lowest_bit(hits)
            number = np.int64(table[place] & low) - 1
            theirs = bytes_at(owners[number & owner_mask])
            if number >= 0 and same_state(theirs, number >> owner_bits, shape, box, base):
                return place
            hits &= hits - 1
        free = unused(table, bucket)
        if free != 0:
            return bucket + lowest_bit(free)
        bucket += BUCKET


@inline_kernel
def look_ahead(
    box: Any, base: Any, n: int, shape: Any, owners: Any, owner_bits: int, table: Any, slots: Any,
    low: Any, hashes: Any, places: Any,
) -> None:  # fmt: skip
    """Hash *n* states of the box from ``box[base:]`` on, and have ready what looking them up needs.

    :param hashes: are written, and *places*: where each state probably is or is to be entered.
    """
    words, stride = shape[WORDS], shape[STRIDE]
    owner_mask = (1 << owner_bits) - 1
    for j in range(n):
        h = hash_words(box, base + j * words, words)
        place = place_of(h, low, slots)
        prefetch(table, place)
        hashes[j] = h
        places[j] = place
    for j in range(n):
        hits = matching(table, places[j], hashes[j], low)
        if hits != 0:
            places[j] += lowest_bit(hits)
            number = np.int64(table[places[j]] & low) - 1
            prefetch(bytes_at(owners[number & owner_mask]), (number >> owner_bits) * stride)
        else:
            free = unused(table, places[j])
            if free != 0:
                places[j] += lowest_bit(free)


@kernel
def insert(
    box_: Any, start: int, end: int, shape_: Any, owners_: Any, own: int, owner_bits: int,
    table_: Any, slots_: int, number_bits: int, hashes_: Any, places_: Any, count: int,
    limit: int,
) -> tuple[int, int]:  # fmt: skip
    """Add those of the states ``box[start:end]`` that are new to the states of *own*.

    :param owners_: for each core, the address of its states.
    :param slots_: at how many slots of the table probing begins.
    :param hashes_: room for a block, and *places_*.
    :param limit: how many states *own* may have before the caller must make room.
    :returns: how far it got, and the number of states.
    """
    box, shape, owners, table = pointer(box_), pointer(shape_), pointer(owners_), pointer(table_)
    hashes, places = pointer(hashes_), pointer(places_)
    words = shape[WORDS]
    slots = np.uint64(slots_)
    low = number_mask(number_bits)
    last = len(table_) - 1
    mine = bytes_at(owners[own])
    owner_mask = (1 << owner_bits) - 1
    at = start
    while at < end:
        if count + BLOCK > limit:
            return at, count
        n = min(BLOCK, end - at)
        look_ahead(box, at * words, n, shape, owners, owner_bits, table, slots, low, hashes, places)
        for j in range(n):
            h = hashes[j]
            place = places[j]
            base = (at + j) * words
            while True:
                slot = table[place]
                if slot == _ZERO:
                    if place == last:
                        return at + j, count
                    store_state(mine, count, shape, box, base)
                    entered = (h & ~low) | np.uint64((count << owner_bits | own) + 1)
                    if owner_bits == 0:
                        table[place] = entered
                    else:
                        slot = compare_and_swap(table, place, _ZERO, entered)
                    if slot == _ZERO:
                        count += 1
                        break
                if (slot ^ h) | low == low:
                    number = np.int64(slot & low) - 1
                    theirs = bytes_at(owners[number & owner_mask])
                    if same_state(theirs, number >> owner_bits, shape, box, base):
                        break
                home = place_of(h, low, slots)
                place = probe(table, home, h, low, owners, owner_bits, shape, box, base)
        at += n
    return end, count


@kernel
def spread(
    table_: Any, end: int, slots_: int, bits_before: int, number_bits: int, filled_: Any,
    run_: Any,
) -> bool:  # fmt: skip
    """Move what is in the slots before *end* to where it belongs now that there are *slots_*.

    Runs of slots in use are taken out from the last to the first. What is in a run belongs no further down
    than where the run begins, and what is below has not been moved yet, so neither meets.

    :param bits_before: how many bits of a slot held a number until now; *number_bits*: from now on.
    :param filled_: for each bucket how many of its slots are filled again, zero to begin with: faster than
        to look at slots that have just been written.
    :param run_: room for one run of slots.
    :returns: false if there was too little room: the table must then be filled again.
    """
    table, filled, run = pointer(table_), pointer(filled_), pointer(run_)
    room, last = len(run_), len(filled_) - 1
    slots = np.uint64(slots_)
    before, low = number_mask(bits_before), number_mask(number_bits)
    i = end - 1
    while i >= 0:
        if table[i] == _ZERO:
            i -= 1
            continue
        size = 0
        while i >= 0 and table[i] != _ZERO:
            if size == room:
                return False
            run[size] = table[i]
            table[i] = _ZERO
            size += 1
            i -= 1
        for k in range(size - 1, -1, -1):
            slot = run[k]
            bucket = place_of(slot, low, slots) // BUCKET
            while filled[bucket] == BUCKET:
                bucket += 1
            if bucket == last:
                return False
            table[bucket * BUCKET + filled[bucket]] = (slot & ~low) | (slot & before)
            filled[bucket] += 1
    return True


@kernel
def fill_table(
    states_: Any, count: int, shape_: Any, own: int, owner_bits: int, table_: Any, slots_: int,
    number_bits: int, scratch_: Any,
) -> bool:  # fmt: skip
    """Enter the first *count* states of *own* into the table; false if there was too little room."""
    states, shape, table = pointer(states_), pointer(shape_), pointer(table_)
    words = shape[WORDS]
    scratch = pointer(scratch_)
    slots = np.uint64(slots_)
    low = number_mask(number_bits)
    last = len(table_) - 1
    origin: Any = np.int64(0)
    for k in range(count + AHEAD):
        if k < count:
            load_state(states, np.int64(k), shape, scratch, origin)
            h = hash_words(scratch, 0, words)
            prefetch(table, place_of(h, low, slots))
        if k < AHEAD:
            continue
        number = k - AHEAD
        load_state(states, np.int64(number), shape, scratch, origin)
        h = hash_words(scratch, 0, words)
        place = first_unused(table, place_of(h, low, slots))
        if place == last:
            return False
        table[place] = (h & ~low) | np.uint64((number << owner_bits | own) + 1)
    return True


@kernel
def find(
    box_: Any, end: int, shape_: Any, owners_: Any, table_: Any, slots_: int, number_bits: int,
    hashes_: Any, places_: Any, found_: Any,
) -> int:  # fmt: skip
    """Look up the states ``box[0:end]``, where one core has them all; write their numbers.

    :returns: how many are not there.
    """
    box, shape, owners = pointer(box_), pointer(shape_), pointer(owners_)
    table, found = pointer(table_), pointer(found_)
    hashes, places = pointer(hashes_), pointer(places_)
    words = shape[WORDS]
    slots = np.uint64(slots_)
    low = number_mask(number_bits)
    missing = 0
    at = 0
    while at < end:
        n = min(BLOCK, end - at)
        look_ahead(box, at * words, n, shape, owners, 0, table, slots, low, hashes, places)
        for j in range(n):
            h = hashes[j]
            slot = table[places[j]]
            base = (at + j) * words
            number = np.int64(slot & low) - 1
            if (
                slot == _ZERO
                or (slot ^ h) | low != low
                or not same_state(bytes_at(owners[0]), number, shape, box, base)
            ):
                home = place_of(h, low, slots)
                place = probe(table, home, h, low, owners, 0, shape, box, base)
                number = np.int64(table[place] & low) - 1
            if number < 0:
                missing += 1
            found[at + j] = number
        at += n
    return missing
