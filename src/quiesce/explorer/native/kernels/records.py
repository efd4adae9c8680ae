# SPDX-License-Identifier: Apache-2.0
"""Records of what was found: the depth of the shallowest state in which it was so, and its words.

Of several such states of one depth the least is kept, compared word by word. So what is found does not
depend on which core looked first, nor on how many cores looked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from quiesce.explorer.native.kernels.jit import inline_kernel
from quiesce.explorer.native.kernels.stored import Vector

NEVER = -1
"""The depth in a record of something that was not found."""


class Sighting(NamedTuple):
    """A state in which something was found, and its depth; sightings sort by depth, then by words."""

    depth: int
    words: tuple[int, ...]


def new_records(number: int, words: int) -> Vector:
    """Return *number* empty records of states of *words* words, one after the other."""
    records = np.zeros((number, 1 + words), np.int64)
    records[:, 0] = NEVER
    return records.reshape(-1)


def read_record(records: Vector, number: int, words: int) -> Sighting | None:
    """Return what record *number* holds, or None."""
    depth, *state = (int(x) for x in records[number * (1 + words) : (number + 1) * (1 + words)])
    return None if depth == NEVER else Sighting(depth, tuple(state))


def merge_records(records: Vector, others: Vector, words: int) -> None:
    """Let *records* hold what either of the two found first."""
    for number in np.flatnonzero(others[:: 1 + words] != NEVER):
        mine, theirs = (read_record(r, int(number), words) for r in (records, others))
        if theirs is not None and (mine is None or theirs < mine):
            at = int(number) * (1 + words)
            records[at : at + 1 + words] = [theirs.depth, *theirs.words]


@inline_kernel
def record(records: Any, number: int, depth: int, state: Any, base: int, words: int) -> None:
    """Note in record *number* that it was so in the state ``state[base:]``, at *depth*."""
    at = number * (1 + words)
    if records[at] >= 0:
        if records[at] < depth:
            return
        less = False
        for w in range(words):
            if state[base + w] != records[at + 1 + w]:
                less = state[base + w] < records[at + 1 + w]
                break
        if not less:
            return
    records[at] = depth
    for w in range(words):
        records[at + 1 + w] = state[base + w]
