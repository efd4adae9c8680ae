# SPDX-License-Identifier: Apache-2.0
"""A representative of all states that differ only in which of several identical threads is which.

Threads of one kind run the same code. Exchanging two of them, together with everything that belongs
to them or names them (their blocks, lock owners, sets of tasks), turns runs into runs; so of states that
differ by such an exchange one is enough (C. N. Ip, D. L. Dill, "Better verification through symmetry",
FMSD 9, 1996). The representative has the blocks of a kind in ascending order.

Sorting is by what does not depend on the threads' numbers: the block, in which a reference to a thread
is replaced by "myself", "another of such a kind" or the thread itself if it has no like; then by which
variables outside name the thread. The result is always an exchange of the given state, so states
that are not alike are never merged. Two that are alike may be kept apart, if threads of like kinds name
each other in their blocks; that costs memory, not correctness.
"""

from __future__ import annotations

from typing import Any

from quiesce.explorer.native.kernels.jit import inline_kernel, kernel
from quiesce.explorer.native.kernels.pointers import pointer
from quiesce.explorer.native.program.tables import symmetry_pointers


@inline_kernel
def like_the_next(state: Any, base: int, thread: int, symmetry: Any) -> bool:
    """Whether exchanging *thread* and the next one leaves the state as it is.

    Then it is enough to let the next one move.
    """
    words, mask = symmetry.pairs[thread * 2], symmetry.pairs[thread * 2 + 1]
    if words == 0:
        return False
    mine, shift = base + symmetry.blocks[thread * 2], symmetry.blocks[thread * 2 + 1]
    its, its_shift = base + symmetry.blocks[thread * 2 + 2], symmetry.blocks[thread * 2 + 3]
    if words == 1:
        if (state[mine] >> shift) & mask != (state[its] >> its_shift) & mask:
            return False
    else:
        for w in range(words):
            if state[mine + w] != state[its + w]:
                return False
    references, sets = symmetry.references, symmetry.sets
    for r in range(symmetry.sizes[6]):
        value = (state[base + references[r * 3]] >> references[r * 3 + 1]) & references[r * 3 + 2]
        if value == thread + 1 or value == thread + 2:
            return False
    for r in range(symmetry.sizes[7]):
        bits = state[base + sets[r * 2]] >> (sets[r * 2 + 1] + thread)
        if bits & 1 != (bits >> 1) & 1:
            return False
    return True


@inline_kernel
def is_simple(g: int, groups: Any) -> bool:
    """Whether the blocks of group *g* are a part of one word each and name no tasks."""
    names_tasks = groups[g * 8 + 4] != groups[g * 8 + 5] or groups[g * 8 + 6] != groups[g * 8 + 7]
    return groups[g * 8 + 2] == 1 and not names_tasks


@inline_kernel
def sort_blocks(box: Any, base: int, g: int, symmetry: Any, scratch: Any) -> bool:
    """Sort the blocks of the simple group *g* in the state itself; true if one moved."""
    groups, blocks = symmetry.groups, symmetry.blocks
    threads = symmetry.sizes[1]
    first, count, mask = groups[g * 8], groups[g * 8 + 1], groups[g * 8 + 3]
    order = threads + first
    keys = 3 * threads
    moved = False
    # Insertion sort: the blocks were in order before one of them moved.
    for k in range(count):
        t = first + k
        block = (box[base + blocks[t * 2]] >> blocks[t * 2 + 1]) & mask
        j = k
        while j > 0 and (
            scratch[keys + j - 1] > block
            or (scratch[keys + j - 1] == block and scratch[scratch[order + j - 1]] > scratch[t])
        ):
            scratch[keys + j] = scratch[keys + j - 1]
            scratch[order + j] = scratch[order + j - 1]
            j -= 1
        scratch[keys + j] = block
        if j != k:
            scratch[order + j] = t
            moved = True
    if moved:
        for k in range(count):
            t = first + k
            if scratch[order + k] != t:
                word, shift = base + blocks[t * 2], blocks[t * 2 + 1]
                box[word] = box[word] & ~(mask << shift) | scratch[keys + k] << shift
    return moved


@inline_kernel
def canonicalise(box: Any, base: int, symmetry: Any, scratch: Any) -> bool:
    """Replace the state at ``box[base:]`` by its representative; true if it was another.

    :param symmetry: a :class:`~quiesce.explorer.native.program.tables.Symmetry`.
    :param scratch: ``symmetry.sizes[0]`` integers.
    """
    threads = symmetry.sizes[1]
    blocks, groups, like = symmetry.blocks, symmetry.groups, symmetry.like
    references, sets = symmetry.references, symmetry.sets
    named = 0
    order = threads
    keys = 3 * threads
    for t in range(threads):
        scratch[named + t] = 0
    for r in range(symmetry.sizes[2]):
        value = (box[base + references[r * 3]] >> references[r * 3 + 1]) & references[r * 3 + 2]
        if value > 0:
            scratch[named + value - 1] |= 1 << r
    for r in range(symmetry.sizes[3]):
        bits = box[base + sets[r * 2]] >> sets[r * 2 + 1]
        for t in range(threads):
            scratch[named + t] |= ((bits >> t) & 1) << (31 + r)
    changed = False
    for t in range(threads):
        scratch[order + t] = t
    for g in range(symmetry.sizes[5]):
        first, count, width, mask = (
            groups[g * 8], groups[g * 8 + 1], groups[g * 8 + 2], groups[g * 8 + 3],
        )  # fmt: skip
        if is_simple(g, groups):
            changed |= sort_blocks(box, base, g, symmetry, scratch)
            continue
        for t in range(first, first + count):
            key = keys + t * symmetry.sizes[4]
            word, shift = base + blocks[t * 2], blocks[t * 2 + 1]
            for w in range(width):
                scratch[key + w] = box[word + w]
            if width == 1:
                scratch[key] = (scratch[key] >> shift) & mask
            for f in range(groups[g * 8 + 4], groups[g * 8 + 5]):
                w = key + symmetry.inner_references[f * 3]
                s, m = symmetry.inner_references[f * 3 + 1], symmetry.inner_references[f * 3 + 2]
                value = (scratch[w] >> s) & m
                if value > 0 and like[value - 1] >= 0:
                    known = like[value - 1] + 1 if value - 1 == t else like[value - 1] + 2
                    scratch[w] = scratch[w] & ~(m << s) | known << s
            for f in range(groups[g * 8 + 6], groups[g * 8 + 7]):
                w, s = key + symmetry.inner_sets[f * 2], symmetry.inner_sets[f * 2 + 1]
                me = (scratch[w] >> (s + t)) & 1
                for o in range(threads):
                    if like[o] >= 0:
                        scratch[w] &= ~(1 << (s + o))
                scratch[w] |= me << (s + first)
            scratch[key + width] = scratch[named + t]
        # Insertion sort: the blocks were in order before one of them moved.
        for k in range(1, count):
            t = scratch[order + first + k]
            j = k - 1
            while j >= 0:
                a = keys + scratch[order + first + j] * symmetry.sizes[4]
                b = keys + t * symmetry.sizes[4]
                w = 0
                while w < width and scratch[a + w] == scratch[b + w]:
                    w += 1
                if scratch[a + w] <= scratch[b + w]:
                    break
                scratch[order + first + j + 1] = scratch[order + first + j]
                changed = True
                j -= 1
            scratch[order + first + j + 1] = t
    if not changed:
        return False
    apply_order(box, base, symmetry, scratch)
    return True


@inline_kernel
def apply_order(box: Any, base: int, symmetry: Any, scratch: Any) -> None:
    """Let thread ``scratch[order + k]`` become thread ``k``, wherever it is named."""
    threads = symmetry.sizes[1]
    blocks, groups = symmetry.blocks, symmetry.groups
    references, sets = symmetry.references, symmetry.sets
    order = threads
    renamed = 2 * threads
    keys = 3 * threads
    for k in range(threads):
        scratch[renamed + scratch[order + k]] = k
    for g in range(symmetry.sizes[5]):
        first, count, width, mask = (
            groups[g * 8], groups[g * 8 + 1], groups[g * 8 + 2], groups[g * 8 + 3],
        )  # fmt: skip
        if is_simple(g, groups):
            # They are in place already.
            continue
        for t in range(first, first + count):
            key = keys + t * symmetry.sizes[4]
            for w in range(width):
                scratch[key + w] = box[base + blocks[t * 2] + w]
            if width == 1:
                scratch[key] = (scratch[key] >> blocks[t * 2 + 1]) & mask
        for t in range(first, first + count):
            source = keys + scratch[order + t] * symmetry.sizes[4]
            word, shift = base + blocks[t * 2], blocks[t * 2 + 1]
            if width == 1:
                box[word] = box[word] & ~(mask << shift) | scratch[source] << shift
            else:
                for w in range(width):
                    box[word + w] = scratch[source + w]
    for r in range(symmetry.sizes[6]):
        word, s, m = base + references[r * 3], references[r * 3 + 1], references[r * 3 + 2]
        value = (box[word] >> s) & m
        if value > 0:
            box[word] = box[word] & ~(m << s) | (scratch[renamed + value - 1] + 1) << s
    for r in range(symmetry.sizes[7]):
        word, s = base + sets[r * 2], sets[r * 2 + 1]
        everyone = (1 << threads) - 1
        old = (box[word] >> s) & everyone
        if old == 0 or old == everyone:
            continue
        new = 0
        for t in range(threads):
            new |= ((old >> t) & 1) << scratch[renamed + t]
        box[word] = box[word] & ~(everyone << s) | new << s


@kernel
def canonicalise_all(box_: Any, count: int, words: int, symmetry_: Any, scratch_: Any) -> None:
    """Replace each of the first *count* states of the box by its representative."""
    box, scratch = pointer(box_), pointer(scratch_)
    symmetry = symmetry_pointers(symmetry_)
    for k in range(count):
        canonicalise(box, k * words, symmetry, scratch)
