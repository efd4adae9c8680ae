# SPDX-License-Identifier: Apache-2.0
"""Properties, evaluated natively in the states of a batch."""

from __future__ import annotations

from typing import Any

from quiesce.explorer.native.interpret import ARRIVED, FAILED, run
from quiesce.explorer.native.jit import kernel
from quiesce.explorer.native.pointers import pointer
from quiesce.explorer.native.tables import ALWAYS, EVENTUALLY, SOMETIMES, machine_pointers


@kernel
def look_at_properties(
    machine_: Any, states_: Any, lo: int, hi: int, shards: int, shard: int, ram_: Any, found_: Any
) -> None:
    """Evaluate the properties in ``states[lo:hi]``; note where each was first broken or true.

    ``always``: broken. ``sometimes``: true. ``eventually``: cannot be evaluated.
    """
    machine = machine_pointers(machine_)
    states, ram, first = pointer(states_), pointer(ram_), pointer(found_.property_state)
    words = machine.sizes[1]
    for p in range(machine.sizes[5]):
        kind = machine.property_kinds[p]
        i = lo
        while i < hi and first[p] < 0:
            answer = run(machine.code, machine.property_rows[p], states, i * words, ram)
            if (
                (kind == ALWAYS and answer != ARRIVED)
                or (kind == SOMETIMES and answer == ARRIVED)
                or (kind == EVENTUALLY and answer == FAILED)
            ):
                first[p] = i * shards + shard
            i += 1


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
