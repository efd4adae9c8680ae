# SPDX-License-Identifier: Apache-2.0
"""Which threads are stuck in a graph of representatives: ``stuck.py`` for threaded nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.kernels.expand import FAILURE, location_of
from quiesce.explorer.native.kernels.graph_levels import CHANGES, DEPTH
from quiesce.explorer.native.kernels.jit import kernel
from quiesce.explorer.native.kernels.pointers import pointer
from quiesce.explorer.native.kernels.stored import load_state
from quiesce.explorer.native.kernels.stuck import AT_REST, STUCK_ALONE, STUCK_TOGETHER
from quiesce.explorer.native.kernels.threaded import (
    DISABLED,
    MOVED,
    class_of,
    find_root,
    graph_pointers,
    join_along,
    note_threads,
    slot_of,
)
from quiesce.explorer.native.program.tables import machine_pointers

MOVES, CHANGED, ENABLED = 1, 2, 4
"""What a thread does in some run, the first bits: it takes a step, changes what others use, could move."""
FIRST_LOOP = 3
"""The bits from here on: it leaves a loop."""

_ONE = np.uint64(1)
_NONE = np.uint64(0)


@kernel
def note_answers(
    machine_: Any, states_: Any, count: int, graph_: Any, left_: Any, depths: int, unknown: int,
    here_: Any, can_: Any,
) -> None:  # fmt: skip
    """For each threaded node, write what its thread does by a step from there, as bits.

    :param left_: for each (kind, location, depth), the bits of the loops that a step of that depth leaves.
    :param unknown: what is said where a step fails: nothing is known of what comes after.
    """
    machine, graph = machine_pointers(machine_), graph_pointers(graph_)
    states, here, left, can = pointer(states_), pointer(here_), pointer(left_), pointer(can_)
    first, movers, levels, threads = graph.first, graph.movers, graph.levels, graph.threads
    origin: Any = np.int64(0)
    for s in range(count):
        base = s * threads
        for r in range(threads):
            can[base + r] = 0
        load_state(states, np.int64(s), machine.shape, here, origin)
        fails = False
        for e in range(first[s], first[s + 1]):
            t: Any = np.int64(movers[e] & 127)
            u = base + class_of(graph.leaders[s], t)
            can[u] |= ENABLED
            if movers[e] & FAILURE:
                fails = True
                continue
            g = machine.kind_of[t] * machine.locations + location_of(here, origin, machine.at, t)
            can[u] |= MOVES | left[g * depths + (levels[e] & DEPTH)]
            if levels[e] & CHANGES:
                can[u] |= CHANGED
        if fails:
            for r in range(threads):
                can[base + r] |= unknown


@kernel
def find_stuck(
    machine_: Any, states_: Any, graph_: Any, order_: Any, bounds_: Any, found: int, component_: Any,
    asked_: Any, final_: Any, not_daemons: int, up_: Any, flags_: Any, can_: Any, here_: Any,
    masks_: Any, beyond_: Any,
) -> None:  # fmt: skip
    """For each state, write which threads are stuck, daemons among them, and the bits of ``who_is_stuck``.

    :param order_: from ``components`` with *every*, so that what a component leads to comes first.
    :param asked_: for each (kind, location), the bits of the loops with an exit around it; *final_*: whether
        it is the end.
    :param can_: from :func:`note_answers`; becomes what each thread does in some run.
    """
    machine, graph = machine_pointers(machine_), graph_pointers(graph_)
    states, here, can = pointer(states_), pointer(here_), pointer(can_)
    order, bounds, component = pointer(order_), pointer(bounds_), pointer(component_)
    asked, final, up, flags = pointer(asked_), pointer(final_), pointer(up_), pointer(flags_)
    masks, beyond = pointer(masks_), pointer(beyond_)
    first, targets, movers, threads = graph.first, graph.targets, graph.movers, graph.threads
    mine = np.uint64(not_daemons)
    origin: Any = np.int64(0)
    x: Any = np.int64(0)
    for c in range(found):
        for k in range(bounds[c], bounds[c + 1]):
            component[order[k]] = c + 1
    for c in range(found):
        for k in range(bounds[c], bounds[c + 1]):
            x = np.int64(order[k])
            for r in range(x * threads, (x + 1) * threads):
                up[r] = r
                flags[r] = 0
        ahead = 0
        for k in range(bounds[c], bounds[c + 1]):
            x = np.int64(order[k])
            for e in range(first[x], first[x + 1]):
                if movers[e] & FAILURE == 0 and component[targets[e]] == c + 1:
                    join_along(x, e, graph, up)
        for k in range(bounds[c], bounds[c + 1]):
            x = np.int64(order[k])
            note_threads(x, graph, up, flags)
            for r in range(x * threads, (x + 1) * threads):
                can[find_root(up, r)] |= can[r]
            for e in range(first[x], first[x + 1]):
                if movers[e] & FAILURE:
                    continue
                y: Any = np.int64(targets[e])
                if component[y] == c + 1:
                    u = slot_of(x, graph.leaders[x], np.int64(movers[e]), threads)
                    flags[find_root(up, u)] |= MOVED
                    continue
                ahead |= int(beyond[y]) & (STUCK_ALONE | STUCK_TOGETHER)
                row = np.int64(graph.renames[e]) * threads
                for j in range(threads):
                    v = slot_of(y, graph.leaders[y], np.int64(graph.table[row + j]), threads)
                    u = slot_of(x, graph.leaders[x], np.int64(j), threads)
                    can[find_root(up, u)] |= can[v]
        runs = False
        weakly_fair = True
        for k in range(bounds[c], bounds[c + 1]):
            x = np.int64(order[k])
            load_state(states, x, machine.shape, here, origin)
            stuck = _NONE
            active = _NONE
            for j in range(threads):
                root = find_root(up, slot_of(x, graph.leaders[x], np.int64(j), threads))
                bits = np.int64(can[root])
                g = machine.kind_of[j] * machine.locations
                g += location_of(here, origin, machine.at, j)
                if not final[g]:
                    if bits & MOVES == 0 or (asked[g] & ~bits and bits & CHANGED == 0):
                        stuck |= _ONE << np.uint64(j)
                if bits & ENABLED:
                    active |= _ONE << np.uint64(j)
                if flags[root] & (MOVED | DISABLED) == 0:
                    weakly_fair = False
                if flags[root] & MOVED and (stuck >> np.uint64(j)) & _ONE == _NONE:
                    runs = True
            masks[x] = stuck
            beyond[x] = AT_REST if stuck & mine != _NONE and active & ~stuck == _NONE else 0
        threads_stuck = masks[np.int64(order[bounds[c]])] & mine
        if weakly_fair and runs and threads_stuck != _NONE:
            ahead |= (
                STUCK_ALONE if threads_stuck & (threads_stuck - _ONE) == _NONE else STUCK_TOGETHER
            )
        for k in range(bounds[c], bounds[c + 1]):
            x = np.int64(order[k])
            beyond[x] |= ahead
            for r in range(x * threads, (x + 1) * threads):
                can[r] = can[find_root(up, r)]
