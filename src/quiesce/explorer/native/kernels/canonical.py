# SPDX-License-Identifier: Apache-2.0
"""A representative of all states that differ only in which of several identical threads is which.

Threads of one kind run the same code. Exchanging two of them, together with everything that belongs
to them or names them (their blocks, lock owners, sets of tasks), turns runs into runs; so of states that
differ by such an exchange one is enough (C. N. Ip, D. L. Dill, "Better verification through symmetry",
FMSD 9, 1996). The representative has the blocks of a kind in ascending order.

Sorting is by what does not depend on the threads' numbers: the block, in which a reference to a thread
is replaced by "myself", "another of such a kind" or the thread itself if it has no like; then by which
variables outside name the thread. The result is always an exchange of the given state, so states
that are not equivalent are never merged. Two that are may be kept apart, if threads of such kinds name
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
    blocks, references, sets = symmetry.blocks, symmetry.references, symmetry.sets
    words, mask = symmetry.next_words[thread], symmetry.next_mask[thread]
    if words == 0:
        return False
    mine, shift = base + blocks.word[thread], blocks.shift[thread]
    its, its_shift = base + blocks.word[thread + 1], blocks.shift[thread + 1]
    if words == 1:
        if (state[mine] >> shift) & mask != (state[its] >> its_shift) & mask:
            return False
    else:
        for w in range(words):
            if state[mine + w] != state[its + w]:
                return False
    for r in range(symmetry.reference_count):
        value = (state[base + references.word[r]] >> references.shift[r]) & references.mask[r]
        if value == thread + 1 or value == thread + 2:
            return False
    for r in range(symmetry.set_count):
        bits = state[base + sets.word[r]] >> (sets.shift[r] + thread)
        if bits & 1 != (bits >> 1) & 1:
            return False
    return True


@inline_kernel
def is_simple(g: int, groups: Any) -> bool:
    """Whether the blocks of group *g* are a part of one word each and name no tasks."""
    names_references = groups.references_from[g] != groups.references_to[g]
    names_sets = groups.sets_from[g] != groups.sets_to[g]
    return groups.words[g] == 1 and not names_references and not names_sets


@inline_kernel
def sort_blocks(box: Any, base: int, g: int, symmetry: Any, scratch: Any) -> bool:
    """Sort the blocks of the simple group *g* in the state itself; true if one moved."""
    groups, blocks = symmetry.groups, symmetry.blocks
    threads = symmetry.threads
    first, count, mask = groups.first[g], groups.size[g], groups.mask[g]
    order = threads + first
    keys = 3 * threads
    moved = False
    # Insertion sort: the blocks were in order before one of them moved.
    for k in range(count):
        t = first + k
        block = (box[base + blocks.word[t]] >> blocks.shift[t]) & mask
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
                word, shift = base + blocks.word[t], blocks.shift[t]
                box[word] = box[word] & ~(mask << shift) | scratch[keys + k] << shift
    return moved


@inline_kernel
def canonicalise(box: Any, base: int, symmetry: Any, scratch: Any) -> bool:
    """Replace the state at ``box[base:]`` by its representative; true if it was another.

    :param symmetry: a :class:`~quiesce.explorer.native.program.tables.Symmetry`.
    :param scratch: ``symmetry.scratch`` integers.
    """
    threads = symmetry.threads
    blocks, groups, like = symmetry.blocks, symmetry.groups, symmetry.like
    references, sets = symmetry.references, symmetry.sets
    inner_references, inner_sets = symmetry.inner_references, symmetry.inner_sets
    named = 0
    order = threads
    keys = 3 * threads
    for t in range(threads):
        scratch[named + t] = 0
    for r in range(symmetry.outside_references):
        value = (box[base + references.word[r]] >> references.shift[r]) & references.mask[r]
        if value > 0:
            scratch[named + value - 1] |= 1 << r
    for r in range(symmetry.outside_sets):
        bits = box[base + sets.word[r]] >> sets.shift[r]
        for t in range(threads):
            scratch[named + t] |= ((bits >> t) & 1) << (31 + r)
    changed = False
    for t in range(threads):
        scratch[order + t] = t
    for g in range(symmetry.group_count):
        first, count = groups.first[g], groups.size[g]
        width, mask = groups.words[g], groups.mask[g]
        if is_simple(g, groups):
            changed |= sort_blocks(box, base, g, symmetry, scratch)
            continue
        for t in range(first, first + count):
            key = keys + t * symmetry.key_words
            word, shift = base + blocks.word[t], blocks.shift[t]
            for w in range(width):
                scratch[key + w] = box[word + w]
            if width == 1:
                scratch[key] = (scratch[key] >> shift) & mask
            for f in range(groups.references_from[g], groups.references_to[g]):
                w = key + inner_references.word[f]
                s, m = inner_references.shift[f], inner_references.mask[f]
                value = (scratch[w] >> s) & m
                if value > 0 and like[value - 1] >= 0:
                    known = like[value - 1] + 1 if value - 1 == t else like[value - 1] + 2
                    scratch[w] = scratch[w] & ~(m << s) | known << s
            for f in range(groups.sets_from[g], groups.sets_to[g]):
                w, s = key + inner_sets.word[f], inner_sets.shift[f]
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
                a = keys + scratch[order + first + j] * symmetry.key_words
                b = keys + t * symmetry.key_words
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
    threads = symmetry.threads
    blocks, groups = symmetry.blocks, symmetry.groups
    references, sets = symmetry.references, symmetry.sets
    order = threads
    renamed = 2 * threads
    keys = 3 * threads
    for k in range(threads):
        scratch[renamed + scratch[order + k]] = k
    for g in range(symmetry.group_count):
        first, count = groups.first[g], groups.size[g]
        width, mask = groups.words[g], groups.mask[g]
        if is_simple(g, groups):
            # They are in place already.
            continue
        for t in range(first, first + count):
            key = keys + t * symmetry.key_words
            for w in range(width):
                scratch[key + w] = box[base + blocks.word[t] + w]
            if width == 1:
                scratch[key] = (scratch[key] >> blocks.shift[t]) & mask
        for t in range(first, first + count):
            source = keys + scratch[order + t] * symmetry.key_words
            word, shift = base + blocks.word[t], blocks.shift[t]
            if width == 1:
                box[word] = box[word] & ~(mask << shift) | scratch[source] << shift
            else:
                for w in range(width):
                    box[word + w] = scratch[source + w]
    for r in range(symmetry.reference_count):
        word, s, m = base + references.word[r], references.shift[r], references.mask[r]
        value = (box[word] >> s) & m
        if value > 0:
            box[word] = box[word] & ~(m << s) | (scratch[renamed + value - 1] + 1) << s
    for r in range(symmetry.set_count):
        word, s = base + sets.word[r], sets.shift[r]
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
