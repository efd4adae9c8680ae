# SPDX-License-Identifier: Apache-2.0
"""Cycles and reachability in the graph of all steps, for graphs of tens of millions of states.

``first[s]:first[s + 1]`` are the edges of state s, ``targets`` and ``movers`` their target and thread,
``levels`` which loops they leave and what they change (``edge_levels.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.kernels.expand import FAILURE, location_of
from quiesce.explorer.native.kernels.jit import inline_kernel, kernel
from quiesce.explorer.native.kernels.pointers import pointer
from quiesce.explorer.native.kernels.stored import load_state
from quiesce.explorer.native.program.tables import machine_pointers

_ONE = np.uint64(1)
_NONE = np.uint64(0)

DEPTH = 63
"""In a byte of ``levels``: the depth of the smallest loop that all of the step is in."""
PROGRESS = 64
"""In a byte of ``levels``: the thread gets on by the step (``explorer/reference/getting_on.py``)."""
CHANGES = 128
"""In a byte of ``levels``: the step changes what other threads see."""


@inline_kernel
def left_out(mover: int, level: int, moves: Any, progress: Any) -> bool:
    """Whether an edge does not count: it fails, or is one of those that :class:`LeftOut` names."""
    if mover & FAILURE:
        return True
    bit = _ONE << np.uint64(mover)
    return (moves & bit) != 0 or (level & PROGRESS != 0 and (progress & bit) != 0)


@kernel
def count_edges(sources_: Any, boxed: int, first_: Any) -> None:
    """Add to ``first[s + 1]`` how many steps in the box leave s."""
    sources, first = pointer(sources_), pointer(first_)
    for k in range(boxed):
        first[np.int64(sources[k]) + 1] += 1


@kernel
def who_moves(first_: Any, movers_: Any, count: int, moves_: Any, fails_: Any) -> None:
    """For each state, write which threads can move, and which can take a step that fails, as masks."""
    first, movers = pointer(first_), pointer(movers_)
    moves, fails = pointer(moves_), pointer(fails_)
    for s in range(count):
        mask = _NONE
        failing = _NONE
        for e in range(first[s], first[s + 1]):
            if movers[e] & FAILURE:
                failing |= _ONE << np.uint64(movers[e] & 127)
            else:
                mask |= _ONE << np.uint64(movers[e])
        moves[s] = mask
        fails[s] = failing


@kernel
def mark_locations(
    machine_: Any, states_: Any, count: int, wanted_: Any, here_: Any, marks_: Any
) -> None:
    """For each state, write as a mask which threads are at a location of *wanted*.

    :param wanted_: for each (kind, location), whether it is wanted.
    """
    machine = machine_pointers(machine_)
    states, wanted, marks, here = (
        pointer(states_), pointer(wanted_), pointer(marks_), pointer(here_),
    )  # fmt: skip
    threads, locations = machine.threads, machine.locations
    origin: Any = np.int64(0)
    for s in range(count):
        load_state(states, np.int64(s), machine.shape, here, origin)
        mask = _NONE
        for t in range(threads):
            g = machine.kind_of[t] * locations + location_of(here, origin, machine.at, t)
            if wanted[g]:
                mask |= _ONE << np.uint64(t)
        marks[s] = mask


@kernel
def components(
    first_: Any, targets_: Any, movers_: Any, levels_: Any, count: int, region_: Any, moves_out: int,
    progress_out: int, order_: Any, index_: Any, stack_: Any, calls_: Any, at_: Any, bounds_: Any,
    every: bool,
) -> int:  # fmt: skip
    """Find the strongly connected components of the states of each region; return how many.

    Only edges within one region count that are not left out. The members of
    component c are ``order[bounds[c]:bounds[c + 1]]``; a component comes after all that it leads to.
    R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1(2), 1972, in the
    one-array form of D. J. Pearce (Inf. Process. Lett. 116, 2016), with an explicit stack.

    :param region_: the region of each state; 0: none.
    :param moves_out: with *progress_out*, which edges are left out.
    :param every: also components without a cycle.
    """
    first, targets, movers, levels, region = (
        pointer(first_), pointer(targets_), pointer(movers_), pointer(levels_), pointer(region_),
    )  # fmt: skip
    no_moves, no_progress = np.uint64(moves_out), np.uint64(progress_out)
    order, index, stack = pointer(order_), pointer(index_), pointer(stack_)
    calls, at, bounds = pointer(calls_), pointer(at_), pointer(bounds_)
    for k in range(count):
        index[k] = 0
    done = count + 1
    number = 1
    height = 0
    depth = 0
    emitted = 0
    found = 0
    bounds[0] = 0
    for root in range(count):
        if region[root] == 0 or index[root] != 0:
            continue
        calls[0] = root
        at[0] = first[root]
        stack[0] = number
        index[root] = number
        number += 1
        depth = 1
        while depth > 0:
            s: Any = np.int64(calls[depth - 1])
            e = at[depth - 1]
            if e < first[s + 1]:
                at[depth - 1] = e + 1
                t = np.int64(targets[e])
                if region[t] != region[s]:
                    continue
                if left_out(movers[e], levels[e], no_moves, no_progress):
                    continue
                if index[t] == 0:
                    calls[depth] = t
                    at[depth] = first[t]
                    stack[depth] = number
                    index[t] = number
                    number += 1
                    depth += 1
                elif index[t] < index[s]:
                    index[s] = index[t]
                continue
            mine = stack[depth - 1]
            depth -= 1
            if depth > 0:
                above = np.int64(calls[depth - 1])
                if index[s] < index[above]:
                    index[above] = index[s]
            if index[s] == mine:
                # The members are s and what still waits above it.
                begin = emitted
                order[emitted] = s
                emitted += 1
                index[s] = done
                while height > 0:
                    w = np.int64(order[count - height])
                    if index[w] < mine:
                        break
                    height -= 1
                    order[emitted] = w
                    emitted += 1
                    index[w] = done
                keep = every or emitted - begin > 1
                if not keep:
                    for e2 in range(first[s], first[s + 1]):
                        if np.int64(targets[e2]) == s:
                            if not left_out(movers[e2], levels[e2], no_moves, no_progress):
                                keep = True
                if keep:
                    found += 1
                    bounds[found] = emitted
                else:
                    emitted = begin
            else:
                height += 1
                order[count - height] = s
    return found


@kernel
def summaries(
    first_: Any, targets_: Any, movers_: Any, levels_: Any, enabled_: Any, strong_: Any, everyone: int,
    order_: Any, bounds_: Any, found: int, component_: Any, moves_out: int, progress_out: int,
    summary_: Any,
) -> None:  # fmt: skip
    """For each component write: least member, the threads that move inside, those that cannot move
    somewhere, those that could take a queued step somewhere.

    :param component_: is filled with the number of each member's component plus one.
    """
    first, targets, movers, levels = (
        pointer(first_), pointer(targets_), pointer(movers_), pointer(levels_),
    )  # fmt: skip
    enabled, strong, order = pointer(enabled_), pointer(strong_), pointer(order_)
    bounds, component, summary = pointer(bounds_), pointer(component_), pointer(summary_)
    all_threads = np.uint64(everyone)
    no_moves, no_progress = np.uint64(moves_out), np.uint64(progress_out)
    for c in range(found):
        for k in range(bounds[c], bounds[c + 1]):
            component[order[k]] = c + 1
    for c in range(found):
        least = np.int64(order[bounds[c]])
        moved = disabled = queued = _NONE
        for k in range(bounds[c], bounds[c + 1]):
            s = np.int64(order[k])
            least = min(least, s)
            disabled |= all_threads & ~enabled[s]
            queued |= strong[s]
            for e in range(first[s], first[s + 1]):
                if component[targets[e]] == c + 1:
                    if not left_out(movers[e], levels[e], no_moves, no_progress):
                        moved |= _ONE << np.uint64(movers[e])
        summary[c * 4] = np.uint64(least)
        summary[c * 4 + 1] = moved
        summary[c * 4 + 2] = disabled
        summary[c * 4 + 3] = queued


@kernel
def refuse_choices(
    first_: Any, targets_: Any, movers_: Any, levels_: Any, order_: Any, bounds_: Any, found: int,
    component_: Any, moves_out: int, progress_out: int,
) -> int:  # fmt: skip
    """Leave out the steps of a thread whose choices are fair where an option leads out of the component.

    See ``FairCycles._refuse_choices``. The steps are marked PROGRESS; return how many.

    :param component_: is filled with the number of each member's component plus one.
    :param progress_out: the threads whose choices are fair.
    """
    first, targets, movers, levels = (
        pointer(first_), pointer(targets_), pointer(movers_), pointer(levels_),
    )  # fmt: skip
    order, bounds, component = pointer(order_), pointer(bounds_), pointer(component_)
    no_moves, no_progress = np.uint64(moves_out), np.uint64(progress_out)
    refused = 0
    for c in range(found):
        for k in range(bounds[c], bounds[c + 1]):
            component[order[k]] = c + 1
    for c in range(found):
        for k in range(bounds[c], bounds[c + 1]):
            s = np.int64(order[k])
            stay = leave = _NONE
            for e in range(first[s], first[s + 1]):
                bit = _ONE << np.uint64(movers[e] & 127)
                inside = component[targets[e]] == c + 1
                if inside and not left_out(movers[e], levels[e], no_moves, no_progress):
                    stay |= bit
                else:
                    leave |= bit
            both = stay & leave & no_progress
            if both == _NONE:
                continue
            for e in range(first[s], first[s + 1]):
                if (both >> np.uint64(movers[e] & 127)) & _ONE:
                    if movers[e] & FAILURE == 0 and levels[e] & PROGRESS == 0:
                        levels[e] |= PROGRESS
                        refused += 1
    return refused


@kernel
def shortest_walk(
    first_: Any, targets_: Any, movers_: Any, levels_: Any, count: int, enabled_: Any, region_: Any,
    here: int, moves_out: int, progress_out: int, must_move: int, must_wait: int, goal: int,
    came_: Any, queue_: Any, walk_: Any,
) -> int:  # fmt: skip
    """Write a shortest walk from *start* inside a region whose last edge does something wanted.

    Wanted is an edge of a thread in *must_move*, or to a state where one of *must_wait* cannot move, or to
    the state *goal* (-1: none).

    :param region_: states marked 1 may be passed.
    :returns: the length of the walk, or -1.
    """
    first, targets, movers, levels = (
        pointer(first_), pointer(targets_), pointer(movers_), pointer(levels_),
    )  # fmt: skip
    enabled, region = pointer(enabled_), pointer(region_)
    no_moves, no_progress = np.uint64(moves_out), np.uint64(progress_out)
    came, queue, walk = pointer(came_), pointer(queue_), pointer(walk_)
    for k in range(count):
        came[k] = -1
    head = 0
    tail = 1
    queue[0] = here
    came[here] = -2
    move_mask, wait_mask = np.uint64(must_move), np.uint64(must_wait)
    while head < tail:
        s: Any = np.int64(queue[head])
        head += 1
        for e in range(first[s], first[s + 1]):
            t = np.int64(targets[e])
            if region[t] == 0 or left_out(movers[e], levels[e], no_moves, no_progress):
                continue
            if (
                (move_mask >> np.uint64(movers[e])) & _ONE
                or wait_mask & ~enabled[t]
                or t == goal
            ):  # fmt: skip
                length = 1
                walk[0] = e
                while came[s] != -2:
                    walk[length] = came[s]
                    length += 1
                    # The edges of a state are contiguous: find whose edge this is.
                    low = 0
                    high = count
                    while high - low > 1:
                        middle = (low + high) // 2
                        if first[middle] <= came[s]:
                            low = middle
                        else:
                            high = middle
                    s = low
                return length
            if came[t] == -1:
                came[t] = e
                queue[tail] = t
                tail += 1
    return -1
