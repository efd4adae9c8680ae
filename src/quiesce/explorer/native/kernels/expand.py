# SPDX-License-Identifier: Apache-2.0
"""Expanding states: all successors of a batch, and what is wrong on the way.

The kernel writes successors to a box that :func:`~quiesce.explorer.native.kernels.visited.insert` empties
afterwards; between the two no state is looked up, so neither waits for the other's memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.kernels.canonical import like_the_next
from quiesce.explorer.native.kernels.interpret import (
    ARRIVED,
    CHOICES,
    FAILED,
    FAILED_ROW,
    HEIGHT,
    resume,
    run,
)
from quiesce.explorer.native.kernels.jit import inline_kernel, kernel
from quiesce.explorer.native.kernels.pointers import pointer
from quiesce.explorer.native.kernels.records import record
from quiesce.explorer.native.kernels.stored import load_state
from quiesce.explorer.native.program.tables import machine_pointers, symmetry_pointers

# Places in the vector of results that the kernels share with ``search.py``.
TRANSITIONS = 0
DONE = 1
BOXED = 2
FAILED_STEPS = 3
RESULTS = 4

FAILURE = 128
"""Marks a step that fails in a graph; threads are numbered below it."""


@inline_kernel
def location_of(states: Any, base: int, at: Any, thread: int) -> Any:
    """Return the location of *thread* in a packed state."""
    return (states[base + at[thread * 3]] >> at[thread * 3 + 1]) & at[thread * 3 + 2]


@inline_kernel
def goes_first(states: Any, base: int, at: Any, ample: Any, threads: int, locations: int) -> int:
    """Return a thread whose next step may be taken alone, or -1 (``explorer/analysis/partial_order.py``)."""
    for t in range(threads):
        row = ample[1 + t * locations + location_of(states, base, at, t)]
        if row < 0:
            continue
        apart = True
        for u in range(threads):
            if u != t and ample[row + u * locations + location_of(states, base, at, u)] == 0:
                apart = False
                break
        if apart:
            return t
    return -1


@kernel
def expand(
    machine_: Any, states_: Any, lo: int, hi: int, depth: int,
    box_: Any, sources_: Any, movers_: Any, here_: Any, ram_: Any, found_: Any, ample_: Any,
    symmetry_: Any, for_graph: bool,
) -> None:  # fmt: skip
    """Write the successors of ``states[lo:hi]`` to the box until it is full.

    :param depth: the depth of the states.
    :param sources_: of the length of the box. If *for_graph*, it becomes the state that each successor
        is one of, and *movers_* the threads that moved.
    :param here_: room for a state.
    :param found_: a :class:`~quiesce.explorer.native.worker.Found`, which is added to.
    :param ample_: which steps may go first, see :func:`~quiesce.explorer.native.program.tables.ample_table`.
    :param symmetry_: a :class:`~quiesce.explorer.native.program.tables.Symmetry`: of threads that it
        exchanges without changing the state, one moves.
    :param for_graph: only the steps are wanted; one that fails leads back to its state, marked FAILURE.
    """
    machine = machine_pointers(machine_)
    code, at, entry, daemon = machine.code, machine.at, machine.entry, machine.daemon
    words, threads, locations = machine.words, machine.threads, machine.locations
    room = len(sources_)
    ample = pointer(ample_)
    reduce = ample[0] != 0
    symmetry = symmetry_pointers(symmetry_)
    symmetric = symmetry.group_count != 0
    states, box, sources, movers, ram, here = (
        pointer(states_), pointer(box_), pointer(sources_), pointer(movers_), pointer(ram_),
        pointer(here_),
    )  # fmt: skip
    results, failed, deadlock = (
        pointer(found_.results), pointer(found_.failed), pointer(found_.deadlock),
    )  # fmt: skip
    origin: Any = np.int64(0)
    n = 0
    for i in range(lo, hi):
        load_state(states, np.int64(i), machine.shape, here, origin)
        before = n
        steps = 0
        failing = 0
        unfinished = False
        full = False
        alone = -1
        if reduce:
            alone = goes_first(here, origin, at, ample, threads, locations)
        for t in range(threads):
            if alone >= 0 and t != alone:
                continue
            # Expand only the last of several interchangeable threads. A thread that partial order reduction
            # has chosen is always expanded.
            if alone < 0 and symmetric and like_the_next(here, origin, t, symmetry):
                continue
            row = entry[t * locations + location_of(here, origin, at, t)]
            if row < 0:
                continue
            if not daemon[t]:
                unfinished = True
            full = n >= room
            if full:
                break
            for w in range(words):
                box[n * words + w] = here[w]
            ram[HEIGHT] = 0
            ram[CHOICES] = 0
            while True:
                status = run(code, row, box, n * words, ram)
                if status == ARRIVED:
                    if for_graph:
                        sources[n] = i
                        movers[n] = t
                    n += 1
                    steps += 1
                elif status == FAILED and for_graph:
                    for w in range(words):
                        box[n * words + w] = here[w]
                    sources[n] = i
                    movers[n] = t | FAILURE
                    n += 1
                elif status == FAILED:
                    record(failed, ram[FAILED_ROW], depth, here, origin, words)
                    steps += 1
                    failing += 1
                if ram[HEIGHT] == 0:
                    break
                full = n >= room
                if full:
                    break
                row = resume(box, n * words, ram)
            if full:
                break
        if full:
            # This state starts over when the box is empty.
            results[DONE] = i
            results[BOXED] = before
            return
        if for_graph:
            continue
        results[TRANSITIONS] += steps
        results[FAILED_STEPS] += failing
        if steps == 0 and unfinished:
            record(deadlock, 0, depth, here, origin, words)
    results[DONE] = hi
    results[BOXED] = n
