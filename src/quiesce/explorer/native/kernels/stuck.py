# SPDX-License-Identifier: Apache-2.0
"""Which threads are stuck, in the graph of all steps: the kernels behind ``waiting.py`` for large spaces.

``first[s]:first[s + 1]`` are the edges of state s, ``targets`` and ``movers`` their target and thread,
``levels`` which loops they leave and what they change (``edge_levels.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.kernels.expand import FAILURE, location_of
from quiesce.explorer.native.kernels.graph_levels import CHANGES, DEPTH
from quiesce.explorer.native.kernels.jit import kernel
from quiesce.explorer.native.kernels.pointers import pointer
from quiesce.explorer.native.kernels.stored import load_state
from quiesce.explorer.native.program.tables import machine_pointers

_ONE = np.uint64(1)
_NONE = np.uint64(0)

STUCK_ALONE = 1
STUCK_TOGETHER = 2
AT_REST = 4
"""What :func:`who_is_stuck` says of a state."""


@kernel
def what_can_ever_be(
    first_: Any, targets_: Any, order_: Any, bounds_: Any, found: int, now_: Any, can_: Any
) -> None:
    """For each state, write which bits are set in some state that it leads to, itself included.

    :param order_: from :func:`components` with *every*, so that what a component leads to comes first.
    :param now_: the bits that are set in each state.
    """
    first, targets, order, bounds = (
        pointer(first_), pointer(targets_), pointer(order_), pointer(bounds_),
    )  # fmt: skip
    now, can = pointer(now_), pointer(can_)
    for c in range(found):
        mask = _NONE
        for k in range(bounds[c], bounds[c + 1]):
            s = np.int64(order[k])
            mask |= now[s]
            for e in range(first[s], first[s + 1]):
                # Within the component this is still 0.
                mask |= can[targets[e]]
        for k in range(bounds[c], bounds[c + 1]):
            can[order[k]] = mask


@kernel
def who_is_stuck(
    first_: Any, targets_: Any, movers_: Any, order_: Any, bounds_: Any, found: int, enabled_: Any,
    stuck_: Any, ahead_: Any, everyone: int, not_daemons: int, component_: Any, beyond_: Any,
) -> None:  # fmt: skip
    """For each state, write what can be said of the threads that are stuck in it, as bits of *beyond*.

    :param order_: from :func:`components` with *every*.
    :param enabled_: the threads that can take a step in each state.
    :param stuck_: the threads that are stuck in each state, daemons among them.
    :param ahead_: the threads that take a step in some state that each state leads to.
    :param component_: room for a number for each state.
    :param beyond_: STUCK_ALONE, STUCK_TOGETHER: a run leads to where one thread, or several, are stuck for
        ever while others run. AT_REST: only stuck threads ever take a step.
    """
    first, targets, movers, order = (
        pointer(first_), pointer(targets_), pointer(movers_), pointer(order_),
    )  # fmt: skip
    bounds, stuck, ahead = pointer(bounds_), pointer(stuck_), pointer(ahead_)
    enabled, component, beyond = pointer(enabled_), pointer(component_), pointer(beyond_)
    mine, all_threads = np.uint64(not_daemons), np.uint64(everyone)
    for c in range(found):
        for k in range(bounds[c], bounds[c + 1]):
            component[order[k]] = c + 1
    for c in range(found):
        inside = waits = _NONE
        flags = 0
        for k in range(bounds[c], bounds[c + 1]):
            s = np.int64(order[k])
            waits |= ~enabled[s]
            for e in range(first[s], first[s + 1]):
                if movers[e] & FAILURE:
                    continue
                if component[targets[e]] == c + 1:
                    inside |= _ONE << np.uint64(movers[e])
                else:
                    flags |= beyond[targets[e]] & (STUCK_ALONE | STUCK_TOGETHER)
        here = stuck[order[bounds[c]]]
        threads = here & mine
        # A run that stays here forever is weakly fair if each thread moves, or cannot somewhere.
        weakly_fair = all_threads & ~(inside | waits) == 0
        if weakly_fair and inside & ~here and threads != 0:
            flags |= STUCK_ALONE if threads & (threads - _ONE) == 0 else STUCK_TOGETHER
        for k in range(bounds[c], bounds[c + 1]):
            s = np.int64(order[k])
            at_rest = stuck[s] & mine != 0 and ahead[s] & ~stuck[s] == 0
            beyond[s] = flags | (AT_REST if at_rest else 0)


@kernel
def loop_goals(
    machine_: Any, states_: Any, count: int, first_: Any, movers_: Any, levels_: Any, left_: Any,
    depths: int, here_: Any, goals_: Any,
) -> None:  # fmt: skip
    """For each state, write which loops its steps leave, as bits.

    :param left_: for each (thread, location, depth), the bits of the loops that a step of that depth leaves.
    :param depths: how many depths there are.
    """
    machine = machine_pointers(machine_)
    states, here, left, goals = pointer(states_), pointer(here_), pointer(left_), pointer(goals_)
    first, movers, levels = pointer(first_), pointer(movers_), pointer(levels_)
    locations = machine.locations
    origin: Any = np.int64(0)
    for s in range(count):
        load_state(states, np.int64(s), machine.shape, here, origin)
        bits = _NONE
        for e in range(first[s], first[s + 1]):
            t: Any = np.int64(movers[e])
            if t < FAILURE:
                at = t * locations + location_of(here, origin, machine.at, t)
                bits |= left[at * depths + (levels[e] & DEPTH)]
        goals[s] = bits


@kernel
def who_never_leaves(
    machine_: Any, states_: Any, count: int, asked_: Any, can_: Any, here_: Any, marks_: Any
) -> None:
    """For each state, add to *marks* the threads that are in a loop that they never leave.

    :param asked_: for each (thread, location), the bits of the loops with an exit around it.
    :param can_: the loops that are left some time, as bits.
    """
    machine = machine_pointers(machine_)
    states, here, asked, can, marks = (
        pointer(states_), pointer(here_), pointer(asked_), pointer(can_), pointer(marks_),
    )  # fmt: skip
    threads, locations = machine.threads, machine.locations
    origin: Any = np.int64(0)
    for s in range(count):
        load_state(states, np.int64(s), machine.shape, here, origin)
        for t in range(threads):
            at = t * locations + location_of(here, origin, machine.at, t)
            if asked[at] & ~can[s]:
                marks[s] |= _ONE << np.uint64(t)


@kernel
def who_changes(first_: Any, movers_: Any, levels_: Any, count: int, changes_: Any) -> None:
    """For each state, write which threads can take a step that changes what others see, as a mask."""
    first, movers, levels = pointer(first_), pointer(movers_), pointer(levels_)
    changes = pointer(changes_)
    for s in range(count):
        mask = _NONE
        for e in range(first[s], first[s + 1]):
            if levels[e] & CHANGES:
                mask |= _ONE << np.uint64(movers[e] & 127)
        changes[s] = mask
