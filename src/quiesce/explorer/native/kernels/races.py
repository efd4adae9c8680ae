# SPDX-License-Identifier: Apache-2.0
"""Data races natively: ``races.py`` for the states of a batch.

Only the first state in which two accesses race is kept; the reference says what races there with what.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.kernels.expand import location_of
from quiesce.explorer.native.kernels.interpret import (
    CHOICES,
    HEIGHT,
    NOTE_SIZE,
    NOTED,
    NOTES_AT,
    NOTES_FROM,
    resume,
    run,
)
from quiesce.explorer.native.kernels.jit import inline_kernel, kernel
from quiesce.explorer.native.kernels.pointers import pointer
from quiesce.explorer.native.kernels.records import NEVER, record
from quiesce.explorer.native.kernels.stored import load_state
from quiesce.explorer.native.program.tables import machine_pointers


@inline_kernel
def note_accesses(machine: Any, state: Any, thread: int, ram: Any, work: Any) -> None:
    """Append to the notes what the next step of *thread* touches."""
    words = machine.words
    locations = machine.locations
    # Not a literal, for which the interpreter would be compiled once more.
    origin: Any = np.int64(0)
    row = machine.recording[thread * locations + location_of(state, origin, machine.at, thread)]
    ram[HEIGHT] = 0
    ram[CHOICES] = 0
    ram[NOTES_FROM] = ram[NOTED]
    for i in range(words):
        work[i] = state[i]
    while row >= 0:
        run(machine.code, row, work, origin, ram)
        if ram[HEIGHT] == 0:
            break
        row = resume(work, origin, ram)


@inline_kernel
def race_in(machine: Any, state: Any, ram: Any, work: Any) -> bool:
    """Compare the next accesses of every two threads in one state; true if two race.

    :param work: room for a state, then where each thread's notes begin and end; -1: not noted yet.
    """
    threads, locations = machine.threads, machine.locations
    noted = machine.words
    origin: Any = np.int64(0)
    ram[NOTED] = 0
    for t in range(threads):
        work[noted + t * 2] = -1
    for t in range(threads):
        here = machine.kind_of[t] * locations + location_of(state, origin, machine.at, t)
        if not machine.plain[here]:
            continue
        for o in range(threads):
            there = machine.kind_of[o] * locations + location_of(state, origin, machine.at, o)
            pair = machine.footprints[here] * machine.different + machine.footprints[there]
            if o == t or not machine.may_race[pair]:
                continue
            for who in (t, o):
                if work[noted + who * 2] < 0:
                    work[noted + who * 2] = ram[NOTED]
                    note_accesses(machine, state, who, ram, work)
                    work[noted + who * 2 + 1] = ram[NOTED]
            for a in range(work[noted + t * 2], work[noted + t * 2 + 1]):
                i = ram[NOTES_AT] + a * NOTE_SIZE
                if ram[i + 2]:
                    continue
                for b in range(work[noted + o * 2], work[noted + o * 2 + 1]):
                    j = ram[NOTES_AT] + b * NOTE_SIZE
                    if ram[i] == ram[j] and (ram[i + 1] or ram[j + 1]):
                        return True
    return False


@kernel
def look_for_races(
    machine_: Any, states_: Any, lo: int, hi: int, depth: int, here_: Any, ram_: Any, found_: Any
) -> None:
    """Look for a race in ``states[lo:hi]``; note the first state that has one.

    :param depth: the depth of the states.
    :param here_: room for a state.
    """
    machine = machine_pointers(machine_)
    states, here, ram = pointer(states_), pointer(here_), pointer(ram_)
    race, work = pointer(found_.race), pointer(found_.work)
    origin: Any = np.int64(0)
    if race[0] != NEVER and race[0] < depth:
        return
    for i in range(lo, hi):
        load_state(states, np.int64(i), machine.shape, here, origin)
        if race_in(machine, here, ram, work):
            record(race, 0, depth, here, origin, machine.words)
