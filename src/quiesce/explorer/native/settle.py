# SPDX-License-Identifier: Apache-2.0
"""The states of a finished search as one vector, in an order that no race between cores changes.

They are ordered by depth, and within a level by their hash. What is then decided on the graph of all steps
comes out the same whatever the number of cores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quiesce.explorer.native.grown import Grown
from quiesce.explorer.native.kernels.jit import kernel
from quiesce.explorer.native.kernels.pointers import bytes_at, pointer
from quiesce.explorer.native.kernels.stored import SLACK, STRIDE, WORDS, load_state, store_state
from quiesce.explorer.native.kernels.visited import hash_words
from quiesce.explorer.native.search import Search
from quiesce.explorer.native.table import VisitedTable


@kernel
def hash_states(
    states_: Any, lo: int, hi: int, shape_: Any, here_: Any, hashes_: Any, at: int
) -> None:
    """Write the hashes of ``states[lo:hi]`` to ``hashes[at:]``."""
    states, shape, here, hashes = (
        pointer(states_), pointer(shape_), pointer(here_), pointer(hashes_),
    )  # fmt: skip
    origin: Any = np.int64(0)
    for k in range(lo, hi):
        load_state(states, np.int64(k), shape, here, origin)
        hashes[at + k - lo] = hash_words(here, 0, shape[WORDS])


@kernel
def gather(
    order_: Any, starts_: Any, places_: Any, owners_: Any, shape_: Any, here_: Any, states_: Any,
    at: int,
) -> None:  # fmt: skip
    """Write the states of one level to ``states[at:]``.

    :param order_: which of the level's states comes first, which next.
    :param starts_: for each owner, which of the level's states is its first; one more for the end.
    :param places_: for each owner, where its part of the level begins.
    :param owners_: for each owner, the address of its states.
    """
    order, starts, places = pointer(order_), pointer(starts_), pointer(places_)
    owners, shape = pointer(owners_), pointer(shape_)
    here, states = pointer(here_), pointer(states_)
    origin: Any = np.int64(0)
    for k in range(len(order_)):
        of = 0
        while order[k] >= starts[of + 1]:
            of += 1
        place = places[of] + order[k] - starts[of]
        load_state(bytes_at(owners[of]), place, shape, here, origin)
        store_state(states, np.int64(at + k), shape, here, origin)


def settle(search: Search) -> None:
    """Put all states of *search*, which is complete, into its first worker, in their final order."""
    workers, shape = search.workers, search.compiled.shape
    count, stride = search.states, int(shape[STRIDE])
    states = Grown(np.uint8, count * stride + SLACK)
    owners = np.array([w.states.address for w in workers], np.int64)
    here = workers[0].here
    starts_of_levels = [0]
    at = 0
    for depth in range(search.depth + 1):
        level = search.level(depth)
        starts = np.cumsum([0, *(hi - lo for _, lo, hi in level)])
        hashes: npt.NDArray[np.uint64] = np.empty(starts[-1], np.uint64)
        for (owner, lo, hi), start in zip(level, starts, strict=False):
            hash_states(workers[owner].states.array, lo, hi, shape, here, hashes, int(start))
        order = np.argsort(hashes, kind="stable")
        places = np.array([lo for _, lo, _ in level], np.int64)
        gather(order, starts, places, owners, shape, here, states.array, at)
        at += int(starts[-1])
        starts_of_levels.append(at)
    for w in workers:
        w.states, w.capacity, w.count = Grown(np.uint8, SLACK), 0, 0
    first = workers[0]
    first.states, first.capacity, first.count = states, count, count
    search.levels = [(start, *(0 for _ in workers[1:])) for start in starts_of_levels]
    search.table = VisitedTable(0, count)
    search.table.fill([first])
