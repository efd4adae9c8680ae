# SPDX-License-Identifier: Apache-2.0
"""For each edge, a byte: which loops the step leaves, whether its thread gets on, what it changes.

The same as ``explorer/reference/getting_on.py``, computed for a batch while its successors are in the box.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from quiesce.compiler.program import ThreadKind
from quiesce.explorer.native.kernels.expand import FAILURE, location_of
from quiesce.explorer.native.kernels.graph_levels import CHANGES, DEPTH, PROGRESS
from quiesce.explorer.native.kernels.jit import kernel
from quiesce.explorer.native.kernels.pointers import pointer
from quiesce.explorer.native.kernels.stored import Vector, load_state
from quiesce.explorer.native.program.pack_state import NotPackable
from quiesce.explorer.native.program.tables import Compiled, machine_pointers
from quiesce.explorer.reference.waiting import used_by_others

_STEP = 3


class LoopTable(NamedTuple):
    """Which loops the steps of a program leave.

    :param first: for each g (``tables.py``), where its steps begin in *steps*; one more for the end.
    :param steps: for each step: the location that it leads to, its depth, 1 if that loop has no exit.
    :param foreign: for each (thread, word), the bits that other threads use.
    """

    first: Vector
    steps: Vector
    foreign: Vector


def loop_table(compiled: Compiled) -> LoopTable:
    """Return the table of a program.

    :raises NotPackable: loops are nested too deeply for a byte.
    """
    program = compiled.program
    first, steps = [0], list[int]()
    for kind in program.kinds:
        by_source: dict[int, list[tuple[int, int]]] = {}
        for (a, b), depth in kind.loop_depth.items():
            by_source.setdefault(a, []).append((b, depth))
        for location in range(compiled.locations):
            for b, depth in sorted(by_source.get(location, [])):
                steps += [b, depth, _lives_in(kind, location, depth)]
            first.append(len(steps))
    foreign = []
    for number in range(len(program.threads)):
        used = [0] * compiled.words
        for place in used_by_others(program, number):
            field = compiled.packing.fields[place]
            used[field.word] |= field.mask << field.shift
        foreign += used
    return LoopTable(
        np.array(first, np.int64), np.array([*steps, 0], np.int64),
        np.array([_signed(x) for x in foreign], np.int64),
    )  # fmt: skip


def _lives_in(kind: ThreadKind, location: int, depth: int) -> int:
    """Return 1 if a step of this *depth* gets its thread on, whatever else it could do."""
    if depth > DEPTH:
        raise NotPackable(f"loops are nested more than {DEPTH} deep")
    around = kind.nest.around(kind.locations[location].position)
    return int(depth == 0 or not around[depth - 1].exits)


def _signed(bits: int) -> int:
    bits &= (1 << 64) - 1
    return bits - (1 << 64) if bits >> 63 else bits


@kernel
def edge_levels(
    machine_: Any, states_: Any, box_: Any, sources_: Any, movers_: Any, boxed: int, table_: Any,
    here_: Any, levels_: Any,
) -> None:  # fmt: skip
    """Write the byte of each edge in the box."""
    machine = machine_pointers(machine_)
    states, box, here = pointer(states_), pointer(box_), pointer(here_)
    sources, movers, levels = pointer(sources_), pointer(movers_), pointer(levels_)
    first, steps, foreign = pointer(table_.first), pointer(table_.steps), pointer(table_.foreign)
    words, locations = machine.words, machine.locations
    origin: Any = np.int64(0)
    for k in range(boxed):
        levels[k] = 0
        if movers[k] & FAILURE:
            continue
        source = np.int64(sources[k])
        t: Any = np.int64(movers[k])
        load_state(states, source, machine.shape, here, origin)
        g = machine.kind_of[t] * locations + location_of(here, origin, machine.at, t)
        target = location_of(box, k * words, machine.at, t)
        row = first[g]
        while row < first[g + 1] and steps[row] != target:
            row += _STEP
        level = steps[row + 1] | PROGRESS if steps[row + 2] else steps[row + 1]
        for w in range(words):
            if (box[k * words + w] ^ here[w]) & foreign[t * words + w]:
                level |= CHANGES
        levels[k] = level
