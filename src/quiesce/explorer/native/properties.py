# SPDX-License-Identifier: Apache-2.0
"""Properties, evaluated natively in the states of a batch."""

from __future__ import annotations

from typing import Any

from quiesce.explorer.native.interpret import ARRIVED, FAILED, run
from quiesce.explorer.native.jit import kernel
from quiesce.explorer.native.pointers import pointer
from quiesce.explorer.native.tables import ALWAYS, SOMETIMES, machine_pointers


@kernel
def look_at_properties(
    machine_: Any, states_: Any, lo: int, hi: int, shards: int, shard: int, ram_: Any, found_: Any,
    cut_: Any,
) -> None:  # fmt: skip
    """Evaluate the properties in ``states[lo:hi]``; note where each was first broken or true.

    ``always``: broken. ``sometimes``: true. Either, and ``eventually``: cannot be evaluated.

    :param cut_: marks the states in which an ``always`` is false: the run ends there.
    """
    machine = machine_pointers(machine_)
    states, ram, cut = pointer(states_), pointer(ram_), pointer(cut_)
    first, failed = pointer(found_.property_state), pointer(found_.property_failed)
    words = machine.sizes[1]
    for i in range(lo, hi):
        cut[i] = 0
    for p in range(machine.sizes[5]):
        kind = machine.property_kinds[p]
        for i in range(lo, hi):
            if kind == SOMETIMES and first[p] >= 0:
                break
            number = i * shards + shard
            answer = run(machine.code, machine.property_rows[p], states, i * words, ram)
            if answer == FAILED and failed[p] < 0:
                failed[p] = number
            if kind == ALWAYS and answer != ARRIVED:
                cut[i] = 1
                if first[p] < 0:
                    first[p] = number
            elif kind == SOMETIMES and answer == ARRIVED:
                first[p] = number


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
