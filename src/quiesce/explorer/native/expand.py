# SPDX-License-Identifier: Apache-2.0
"""Expanding states: all successors of a batch, and what is wrong on the way.

The kernel writes successors to a box that :func:`~quiesce.explorer.native.visited.insert` empties
afterwards; between the two no state is looked up, so neither waits for the other's memory.
"""

from __future__ import annotations

from typing import Any

from quiesce.explorer.native.canonical import canonicalise
from quiesce.explorer.native.interpret import (
    ARRIVED,
    FAILED,
    FAILED_ROW,
    HEIGHT,
    NOTED,
    NOTES_AT,
    OVERFLOW,
    resume,
    run,
)
from quiesce.explorer.native.jit import inline_kernel, kernel
from quiesce.explorer.native.pointers import pointer
from quiesce.explorer.native.tables import machine_pointers, symmetry_pointers

# Places in the vector of results that the kernels share with ``search.py``.
TRANSITIONS = 0
DEADLOCK = 1
RACES = 2
OVERFLOWED = 3
DONE = 4
BOXED = 5
RESULTS = 6

FAILURE = 128
"""Marks a step that fails in a graph; threads are numbered below it."""


@inline_kernel
def location_of(states: Any, base: int, at: Any, thread: int) -> int:
    """Return the location of *thread* in a packed state."""
    return (states[base + at[thread * 3]] >> at[thread * 3 + 1]) & at[thread * 3 + 2]


@inline_kernel
def look_at_properties(
    machine: Any, states: Any, base: int, ram: Any, first: Any, number: int
) -> None:
    """Evaluate the properties in one state; note in *first* where each was first broken or true.

    ``always``: broken. ``sometimes``: true. ``eventually``: cannot be evaluated.
    """
    for p in range(machine.sizes[5]):
        if first[p] >= 0:
            continue
        answer = run(machine.code, machine.property_rows[p], states, base, ram)
        kind = machine.property_kinds[p]
        if (
            (kind == 0 and answer != ARRIVED)
            or (kind == 1 and answer == ARRIVED)
            or (kind == 2 and answer == FAILED)
        ):
            first[p] = number


@inline_kernel
def note_accesses(
    machine: Any, states: Any, base: int, thread: int, ram: Any, work: Any
) -> bool:
    """Append to the notes what the next step of *thread* touches; true if there is no room."""
    words = machine.sizes[1]
    locations = machine.sizes[3]
    row = machine.recording[thread * locations + location_of(states, base, machine.at, thread)]
    ram[HEIGHT] = 0
    for i in range(words):
        work[i] = states[base + i]
    while row >= 0:
        if run(machine.code, row, work, 0, ram) == OVERFLOW:
            return True
        if ram[HEIGHT] == 0:
            break
        row = resume(work, 0, ram)
    return False


@inline_kernel
def look_for_races(
    machine: Any, states: Any, base: int, ram: Any, seen: Any, work: Any
) -> bool:
    """Compare the next accesses of every two threads in one state; true if two race newly.

    :param seen: pairs of places that are known to race.
    :param work: room for a state, then where each thread's notes begin and end; -1: not noted yet.
    """
    threads, locations, places = machine.sizes[2], machine.sizes[3], machine.sizes[4]
    noted = machine.sizes[1]
    found = False
    ram[NOTED] = 0
    for t in range(threads):
        work[noted + t * 2] = -1
    for t in range(threads):
        here = machine.kind_of[t] * locations + location_of(states, base, machine.at, t)
        if not machine.plain[here]:
            continue
        for o in range(threads):
            there = machine.kind_of[o] * locations + location_of(states, base, machine.at, o)
            if o == t or not machine.may_race[here * machine.sizes[6] + there]:
                continue
            for who in (t, o):
                if work[noted + who * 2] < 0:
                    work[noted + who * 2] = ram[NOTED]
                    if note_accesses(machine, states, base, who, ram, work):
                        return True
                    work[noted + who * 2 + 1] = ram[NOTED]
            for a in range(work[noted + t * 2], work[noted + t * 2 + 1]):
                i = ram[NOTES_AT] + a * 4
                if ram[i + 2]:
                    continue
                for b in range(work[noted + o * 2], work[noted + o * 2 + 1]):
                    j = ram[NOTES_AT] + b * 4
                    if ram[i] == ram[j] and (ram[i + 1] or ram[j + 1]):
                        pair = ram[i + 3] * places + ram[j + 3]
                        if not seen[pair]:
                            seen[pair] = 1
                            found = True
    return found


@kernel
def expand(
    machine_: Any, symmetry_: Any, states_: Any, lo: int, hi: int, shards: int, shard: int,
    box_: Any, box_parents_: Any, box_threads_: Any, ram_: Any, found_: Any,
    look_races: bool, for_graph: bool,
) -> None:  # fmt: skip
    """Write the successors of ``states[lo:hi]`` to the box, as far as there is room.

    :param box_threads_: for each successor, who moved.
    :param found_: a :class:`~quiesce.explorer.native.worker.Found`, which is added to.
    :param for_graph: only the steps are wanted; one that fails leads back to its state, marked FAILURE.
    """
    machine = machine_pointers(machine_)
    symmetry = symmetry_pointers(symmetry_)
    code, at, entry, daemon = machine.code, machine.at, machine.entry, machine.daemon
    words, threads, locations = machine.sizes[1], machine.sizes[2], machine.sizes[3]
    properties = machine.sizes[5]
    room = len(box_parents_)
    states, box, box_parents, box_threads, ram = (
        pointer(states_), pointer(box_), pointer(box_parents_), pointer(box_threads_), pointer(ram_),
    )  # fmt: skip
    results, failed_state, failed_action = (
        pointer(found_.results), pointer(found_.failed_state), pointer(found_.failed_action),
    )  # fmt: skip
    property_state, race_seen = pointer(found_.property_state), pointer(found_.race_seen)
    race_state, races_kept = pointer(found_.race_state), len(found_.race_state)
    work, scratch = pointer(found_.work), pointer(found_.scratch)
    symmetric = symmetry.sizes[5] > 0
    n = 0
    for i in range(lo, hi):
        base = i * words
        number = i * shards + shard
        before = n
        steps = 0
        unfinished = False
        full = False
        for t in range(threads):
            row = entry[t * locations + location_of(states, base, at, t)]
            if row < 0:
                continue
            if not daemon[t]:
                unfinished = True
            full = n >= room
            if full:
                break
            for w in range(words):
                box[n * words + w] = states[base + w]
            ram[HEIGHT] = 0
            while True:
                status = run(code, row, box, n * words, ram)
                if status == ARRIVED:
                    if symmetric:
                        canonicalise(box, n * words, symmetry, scratch)
                    box_parents[n] = number
                    box_threads[n] = t
                    n += 1
                    steps += 1
                elif status == FAILED and for_graph:
                    for w in range(words):
                        box[n * words + w] = states[base + w]
                    box_parents[n] = number
                    box_threads[n] = t | FAILURE
                    n += 1
                elif status == FAILED:
                    if failed_state[ram[FAILED_ROW]] < 0:
                        failed_state[ram[FAILED_ROW]] = number
                        failed_action[ram[FAILED_ROW]] = steps
                    steps += 1
                elif status == OVERFLOW:
                    results[OVERFLOWED] = 1
                    ram[HEIGHT] = 0
                if ram[HEIGHT] == 0:
                    break
                full = n >= room
                if full:
                    break
                row = resume(box, n * words, ram)
            if full:
                break
        if full:
            # This state begins again when the box is empty.
            results[DONE] = i
            results[BOXED] = before
            return
        if for_graph:
            continue
        results[TRANSITIONS] += steps
        if steps == 0 and unfinished and results[DEADLOCK] < 0:
            results[DEADLOCK] = number
        if properties:
            look_at_properties(machine, states, base, ram, property_state, number)
        if look_races and look_for_races(machine, states, base, ram, race_seen, work):
            if results[RACES] < races_kept:
                race_state[results[RACES]] = number
            results[RACES] += 1
    results[DONE] = hi
    results[BOXED] = n


@kernel
def evaluate_property(
    machine_: Any, states_: Any, count: int, property_: int, ram_: Any, false_: Any
) -> None:
    """For each state, write whether a property is not true in it."""
    machine = machine_pointers(machine_)
    states, ram, false = pointer(states_), pointer(ram_), pointer(false_)
    row, words = machine.property_rows[property_], machine.sizes[1]
    for s in range(count):
        false[s] = 0 if run(machine.code, row, states, s * words, ram) == ARRIVED else 1
