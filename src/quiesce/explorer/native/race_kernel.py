# SPDX-License-Identifier: Apache-2.0
"""Data races natively: ``races.py`` for the states of a batch.

States in which two accesses race that did not in any state before are handed to the reference, which says
what races with what.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.expand import RACES, location_of
from quiesce.explorer.native.interpret import HEIGHT, NOTED, NOTES_AT, OVERFLOW, resume, run
from quiesce.explorer.native.jit import inline_kernel, kernel
from quiesce.explorer.native.pointers import pointer
from quiesce.explorer.native.tables import machine_pointers


@inline_kernel
def note_accesses(machine: Any, states: Any, base: int, thread: int, ram: Any, work: Any) -> bool:
    """Append to the notes what the next step of *thread* touches; true if there is no room."""
    words = machine.sizes[1]
    locations = machine.sizes[3]
    # Not a literal, for which the interpreter would be compiled once more.
    origin: Any = np.int64(0)
    row = machine.recording[thread * locations + location_of(states, base, machine.at, thread)]
    ram[HEIGHT] = 0
    for i in range(words):
        work[i] = states[base + i]
    while row >= 0:
        if run(machine.code, row, work, origin, ram) == OVERFLOW:
            return True
        if ram[HEIGHT] == 0:
            break
        row = resume(work, origin, ram)
    return False


@inline_kernel
def races_in(machine: Any, states: Any, base: int, ram: Any, seen: Any, work: Any) -> bool:
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
def look_for_races(
    machine_: Any, states_: Any, lo: int, hi: int, shards: int, shard: int, ram_: Any, found_: Any
) -> None:
    """Look for races in ``states[lo:hi]``; note the states that have a new one."""
    machine = machine_pointers(machine_)
    states, ram, results = pointer(states_), pointer(ram_), pointer(found_.results)
    seen, work, race_state = (
        pointer(found_.race_seen), pointer(found_.work), pointer(found_.race_state),
    )  # fmt: skip
    kept = len(found_.race_state)
    for i in range(lo, hi):
        if races_in(machine, states, i * machine.sizes[1], ram, seen, work):
            if results[RACES] < kept:
                race_state[results[RACES]] = i * shards + shard
            results[RACES] += 1
