# SPDX-License-Identifier: Apache-2.0
"""Which threads move, wait and are stuck in the components of a graph of representatives.

An edge of that graph renames threads: thread j before it is thread ``a(j)`` after it. So what is said of a
thread is said of a *threaded node*: a node, and a class of threads that can be exchanged there without a
change. The threaded nodes of one component that are joined by its edges stand for the pairs of a component of
the unreduced graph and a thread in it (E. A. Emerson, A. P. Sistla, "Utilizing symmetry when model checking
under fairness assumptions", TOPLAS 19(4), 1997). Paths of the graph lift to the unreduced one, and its
automorphisms have a finite order; so it is enough to join sets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quiesce.explorer.native.kernels.graph_levels import left_out
from quiesce.explorer.native.kernels.jit import inline_kernel, kernel
from quiesce.explorer.native.kernels.pointers import count_bits, pointer

TRACKED = 62
"""Who moves along an edge, if it is the thread that the node follows."""
NOBODY = 255
"""Stands for the tracked thread before an edge of a graph that follows none."""

SEEN, MOVED, DISABLED, QUEUED = 1, 2, 4, 8
"""What is noted of a threaded node: there is such a thread; it moves; it cannot move somewhere; it could take
a queued step somewhere."""

_ONE = np.uint64(1)
_NONE = np.uint64(0)


class Threaded(NamedTuple):
    """A graph of representatives, perhaps with a thread that each node follows.

    :param first: the edges of node x are ``first[x]:first[x + 1]``; *targets*: where they lead; *movers*:
        who moves; *levels*: see ``edge_levels.py``.
    :param renames: for each edge, which row of *table* says who becomes whom.
    :param before: for each edge, the followed thread before it, or NOBODY.
    :param table: for each renaming and thread, who that becomes.
    :param state_of: for each node, the number of its state.
    :param at: for each node, the thread that it follows, or NOBODY.
    :param leaders: for each state, one thread of each class that can be exchanged, as a mask.
    :param enabled: for each state, the threads that can take a step.
    :param strong: for each state, the threads that can take a queued step.
    :param threads: how many threads there are.
    """

    first: npt.NDArray[np.int64]
    targets: npt.NDArray[np.uint32]
    movers: npt.NDArray[np.uint8]
    levels: npt.NDArray[np.uint8]
    renames: npt.NDArray[np.uint16]
    before: npt.NDArray[np.uint8]
    table: npt.NDArray[np.uint8]
    state_of: npt.NDArray[np.uint32]
    at: npt.NDArray[np.uint8]
    leaders: npt.NDArray[np.uint64]
    enabled: npt.NDArray[np.uint64]
    strong: npt.NDArray[np.uint64]
    threads: int


@inline_kernel
def graph_pointers(graph: Any) -> Any:
    """Return *graph* with pointers for vectors."""
    return Threaded(
        pointer(graph.first), pointer(graph.targets), pointer(graph.movers), pointer(graph.levels),
        pointer(graph.renames), pointer(graph.before), pointer(graph.table),
        pointer(graph.state_of), pointer(graph.at), pointer(graph.leaders), pointer(graph.enabled),
        pointer(graph.strong), graph.threads,
    )  # fmt: skip


@inline_kernel
def class_of(leaders: Any, thread: Any) -> Any:
    """Return the number of the class of *thread*: how many leaders come before it."""
    return count_bits(leaders & ((_ONE << np.uint64(thread)) - _ONE))


@inline_kernel
def find_root(up: Any, x: Any) -> Any:
    """Return the root of *x*, and shorten the path to it."""
    while True:
        above: Any = np.int64(up[x])
        if above == x:
            return x
        beyond: Any = np.int64(up[above])
        up[x] = beyond
        x = beyond


@inline_kernel
def join(up: Any, x: Any, y: Any) -> None:
    """Make the sets of *x* and *y* one."""
    a = find_root(up, x)
    b = find_root(up, y)
    if a < b:
        up[b] = a
    elif b < a:
        up[a] = b


@inline_kernel
def slot_of(x: Any, leaders: Any, thread: Any, threads: Any) -> Any:
    """Return the number of the threaded node of *thread* at node *x*."""
    return x * threads + class_of(leaders, thread)


@inline_kernel
def join_along(x: Any, e: Any, graph: Any, up: Any) -> None:
    """Join the threaded nodes at both ends of edge *e*, which leaves *x*, but for the followed thread."""
    threads = graph.threads
    y: Any = np.int64(graph.targets[e])
    here = graph.leaders[np.int64(graph.state_of[x])]
    there = graph.leaders[np.int64(graph.state_of[y])]
    row = np.int64(graph.renames[e]) * threads
    followed = np.int64(graph.before[e])
    last_u: Any = np.int64(-1)
    last_v: Any = np.int64(-1)
    rank: Any = np.int64(0)
    for j in range(threads):
        u = x * threads + rank
        rank += np.int64((here >> np.uint64(j)) & _ONE)
        if j == followed:
            continue
        v = slot_of(y, there, np.int64(graph.table[row + j]), threads)
        if u != last_u or v != last_v:
            join(up, u, v)
        last_u = u
        last_v = v


@inline_kernel
def note_threads(x: Any, graph: Any, up: Any, flags: Any) -> None:
    """Note what each thread can do at node *x*, but for the followed one."""
    threads = graph.threads
    s: Any = np.int64(graph.state_of[x])
    leaders, enabled, strong = graph.leaders[s], graph.enabled[s], graph.strong[s]
    followed = np.int64(graph.at[x])
    rank: Any = np.int64(0)
    members = 0
    for j in range(threads):
        members += 1
        if (leaders >> np.uint64(j)) & _ONE == _NONE:
            continue
        if j != followed or members > 1:
            flag = SEEN
            if (enabled >> np.uint64(j)) & _ONE == _NONE:
                flag |= DISABLED
            if (strong >> np.uint64(j)) & _ONE:
                flag |= QUEUED
            root = find_root(up, x * threads + rank)
            flags[root] |= flag
        rank += 1
        members = 0


@inline_kernel
def _starving_at(x: Any, graph: Any, up: Any, flags: Any, own: Any) -> bool:
    """Whether a thread that never moves in the component can take a queued step at *x*."""
    threads = graph.threads
    s: Any = np.int64(graph.state_of[x])
    leaders, strong = graph.leaders[s], graph.strong[s]
    followed = np.int64(graph.at[x])
    if followed != NOBODY and own & MOVED == 0 and (strong >> np.uint64(followed)) & _ONE:
        return True
    rank: Any = np.int64(0)
    members = 0
    for j in range(threads):
        members += 1
        if (leaders >> np.uint64(j)) & _ONE == _NONE:
            continue
        if (j != followed or members > 1) and (strong >> np.uint64(j)) & _ONE:
            if flags[find_root(up, x * threads + rank)] & MOVED == 0:
                return True
        rank += 1
        members = 0
    return False


@kernel
def judge(
    graph_: Any, order_: Any, bounds_: Any, found: int, component_: Any, moves_out: int,
    progress_out: int, must_move: int, fair: bool, up_: Any, flags_: Any, verdicts_: Any,
    region_: Any,
) -> None:  # fmt: skip
    """Decide of each component whether a fair run can stay in it.

    :param component_: is filled with the number of each member's component plus one.
    :param must_move: one of these must move; 0: any.
    :param fair: demand that each thread moves, or cannot somewhere.
    :param up_: room for the threaded nodes, *flags_* too.
    :param verdicts_: becomes 1 plus the least member for a fair component, else 0.
    :param region_: becomes, for each node, the number of the component to search again in; else 0.
    """
    graph = graph_pointers(graph_)
    order, bounds, component = pointer(order_), pointer(bounds_), pointer(component_)
    up, flags, verdicts, region = (
        pointer(up_), pointer(flags_), pointer(verdicts_), pointer(region_),
    )  # fmt: skip
    first, targets, movers, levels = graph.first, graph.targets, graph.movers, graph.levels
    threads = graph.threads
    no_moves, no_progress = np.uint64(moves_out), np.uint64(progress_out)
    must = np.uint64(must_move)
    for k in range(len(region_)):
        region[k] = 0
    x: Any = np.int64(0)
    for c in range(found):
        for k in range(bounds[c], bounds[c + 1]):
            component[order[k]] = c + 1
    for c in range(found):
        least: Any = np.int64(order[bounds[c]])
        for k in range(bounds[c], bounds[c + 1]):
            x = np.int64(order[k])
            least = min(least, x)
            for r in range(x * threads, (x + 1) * threads):
                up[r] = r
                flags[r] = 0
        own = 0
        moved = _NONE
        for k in range(bounds[c], bounds[c + 1]):
            x = np.int64(order[k])
            for e in range(first[x], first[x + 1]):
                if component[targets[e]] == c + 1:
                    if not left_out(movers[e], levels[e], no_moves, no_progress):
                        moved |= _ONE << np.uint64(movers[e])
                        join_along(x, e, graph, up)
        for k in range(bounds[c], bounds[c + 1]):
            x = np.int64(order[k])
            note_threads(x, graph, up, flags)
            s: Any = np.int64(graph.state_of[x])
            if graph.at[x] != NOBODY:
                t = np.uint64(graph.at[x])
                if (graph.enabled[s] >> t) & _ONE == _NONE:
                    own |= DISABLED
                if (graph.strong[s] >> t) & _ONE:
                    own |= QUEUED
            for e in range(first[x], first[x + 1]):
                if component[targets[e]] == c + 1:
                    if not left_out(movers[e], levels[e], no_moves, no_progress):
                        if movers[e] == TRACKED:
                            own |= MOVED
                        else:
                            u = slot_of(x, graph.leaders[s], np.int64(movers[e]), threads)
                            flags[find_root(up, u)] |= MOVED
        follows = graph.at[least] != NOBODY
        starved = follows and own & QUEUED != 0 and own & MOVED == 0
        all_fair = not follows or own & (MOVED | DISABLED) != 0
        for k in range(bounds[c], bounds[c + 1]):
            x = np.int64(order[k])
            for r in range(x * threads, (x + 1) * threads):
                if up[r] == r and flags[r] & SEEN:
                    if flags[r] & QUEUED and flags[r] & MOVED == 0:
                        starved = True
                    if flags[r] & (MOVED | DISABLED) == 0:
                        all_fair = False
        verdicts[c] = 0
        if starved:
            for k in range(bounds[c], bounds[c + 1]):
                x = np.int64(order[k])
                if not _starving_at(x, graph, up, flags, own):
                    region[x] = c + 1
        elif (all_fair or not fair) and (must == _NONE or moved & must != _NONE):
            verdicts[c] = least + 1
