# SPDX-License-Identifier: Apache-2.0
"""Properties, evaluated natively in the states of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.kernels.interpret import ARRIVED, FAILED, run
from quiesce.explorer.native.kernels.jit import kernel
from quiesce.explorer.native.kernels.pointers import pointer
from quiesce.explorer.native.kernels.records import NEVER, record
from quiesce.explorer.native.kernels.stored import load_state
from quiesce.explorer.native.program.tables import ALWAYS, SOMETIMES, machine_pointers


@kernel
def look_at_properties(
    machine_: Any, states_: Any, lo: int, hi: int, depth: int, here_: Any, ram_: Any, found_: Any
) -> None:  # fmt: skip
    """Evaluate the properties in ``states[lo:hi]``; note where each was first broken or true.

    ``always``: broken. ``sometimes``: true. Either, and ``eventually``: cannot be evaluated.

    :param depth: the depth of the states.
    :param here_: room for a state.
    """
    machine = machine_pointers(machine_)
    states, ram, here = pointer(states_), pointer(ram_), pointer(here_)
    seen, failed = pointer(found_.property_seen), pointer(found_.property_failed)
    words, properties = machine.words, machine.properties
    origin: Any = np.int64(0)
    for i in range(lo, hi):
        load_state(states, np.int64(i), machine.shape, here, origin)
        for p in range(properties):
            kind = machine.property_kinds[p]
            if kind == SOMETIMES and NEVER < seen[p * (1 + words)] < depth:
                continue
            answer = run(machine.code, machine.property_rows[p], here, origin, ram)
            if answer == FAILED:
                record(failed, p, depth, here, origin, words)
            if kind == ALWAYS and answer != ARRIVED:
                record(seen, p, depth, here, origin, words)
            elif kind == SOMETIMES and answer == ARRIVED:
                record(seen, p, depth, here, origin, words)


@kernel
def evaluate_property(
    machine_: Any, states_: Any, count: int, property_: int, here_: Any, ram_: Any, false_: Any
) -> None:
    """For each state, write whether a property is not true in it."""
    machine = machine_pointers(machine_)
    states, ram, false, here = pointer(states_), pointer(ram_), pointer(false_), pointer(here_)
    row = machine.property_rows[property_]
    origin: Any = np.int64(0)
    for s in range(count):
        load_state(states, np.int64(s), machine.shape, here, origin)
        false[s] = 0 if run(machine.code, row, here, origin, ram) == ARRIVED else 1
