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

from quiesce.explorer.native.kernels.canonical import canonicalise, like_the_next
from quiesce.explorer.native.kernels.expand import FAILURE, location_of
from quiesce.explorer.native.kernels.graph_levels import CHANGES, DEPTH, left_out
from quiesce.explorer.native.kernels.jit import inline_kernel, kernel
from quiesce.explorer.native.kernels.pointers import count_bits, pointer
from quiesce.explorer.native.kernels.stored import load_state
from quiesce.explorer.native.kernels.stuck import AT_REST, STUCK_ALONE, STUCK_TOGETHER
from quiesce.explorer.native.program.tables import machine_pointers, symmetry_pointers

TRACKED = 62
"""Who moves along an edge, if it is the thread that the node follows."""
NOBODY = 255
"""Stands for the tracked thread before an edge of a graph that follows none."""

SEEN, MOVED, DISABLED, QUEUED = 1, 2, 4, 8
"""What is noted of a threaded node: there is such a thread; it moves; it cannot move somewhere; it could take
a queued step somewhere."""

MOVES, CHANGED, ENABLED = 1, 2, 4
"""What a thread does in some run, the first bits: it takes a step, changes what others use, could move."""
FIRST_LOOP = 3
"""The bits from here on: it leaves a loop."""

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
def _pointers(graph: Any) -> Any:
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


@kernel
def canonicalise_noting(
    box_: Any, start: int, end: int, words: int, symmetry_: Any, scratch_: Any, table_: Any,
    slots_: Any, known_: Any, renames_: Any,
) -> int:  # fmt: skip
    """Replace ``box[start:end]`` by representatives and write which threads became which.

    :param table_: the renamings that are known: for each, and each thread, who that becomes.
    :param slots_: a hash table of their numbers plus one; a power of two, at least twice as long.
    :param known_: how many are known, in one integer.
    :returns: the first state that was not replaced since the table is full, or *end*.
    """
    box, scratch, table = pointer(box_), pointer(scratch_), pointer(table_)
    slots, known, renames = pointer(slots_), pointer(known_), pointer(renames_)
    symmetry = symmetry_pointers(symmetry_)
    threads = symmetry.threads
    room = len(table_) // threads
    mask = len(slots_) - 1
    renamed = 2 * threads
    for k in range(start, end):
        if known[0] >= room:
            return k
        canonicalise(box, k * words, symmetry, scratch)
        h = np.uint64(1469598103934665603)
        for j in range(threads):
            scratch[renamed + scratch[threads + j]] = j
        for j in range(threads):
            h = (h ^ np.uint64(scratch[renamed + j])) * np.uint64(1099511628211)
        place: Any = np.int64(h >> np.uint64(20)) & mask
        found: Any = np.int64(-1)
        while slots[place] != 0:
            number = np.int64(slots[place]) - 1
            same = True
            for j in range(threads):
                if np.int64(table[number * threads + j]) != scratch[renamed + j]:
                    same = False
                    break
            if same:
                found = number
                break
            place = (place + 1) & mask
        if found < 0:
            found = known[0]
            for j in range(threads):
                table[found * threads + j] = scratch[renamed + j]
            slots[place] = found + 1
            known[0] += 1
        renames[k] = found
    return end


@kernel
def mark_leaders(
    states_: Any, count: int, shape_: Any, symmetry_: Any, here_: Any, leaders_: Any
) -> None:
    """For each state, write which threads move for all that can be exchanged with them, as a mask."""
    states, shape, here, leaders = (
        pointer(states_), pointer(shape_), pointer(here_), pointer(leaders_),
    )  # fmt: skip
    symmetry = symmetry_pointers(symmetry_)
    origin: Any = np.int64(0)
    for s in range(count):
        load_state(states, np.int64(s), shape, here, origin)
        mask = _NONE
        for t in range(symmetry.threads):
            if not like_the_next(here, origin, t, symmetry):
                mask |= _ONE << np.uint64(t)
        leaders[s] = mask


@kernel
def spread(leaders_: Any, count: int, threads: int, masks_: Any) -> None:
    """In each mask, let all threads of a class have the bit of their leader."""
    leaders, masks = pointer(leaders_), pointer(masks_)
    for s in range(count):
        mask = _NONE
        bit = _NONE
        for k in range(threads):
            t = np.uint64(threads - 1 - k)
            if (leaders[s] >> t) & _ONE:
                bit = (masks[s] >> t) & _ONE
            mask |= bit << t
        masks[s] = mask


@inline_kernel
def slot_of(x: Any, leaders: Any, thread: Any, threads: Any) -> Any:
    """Return the number of the threaded node of *thread* at node *x*."""
    return x * threads + class_of(leaders, thread)


@inline_kernel
def _join_along(x: Any, e: Any, graph: Any, up: Any) -> None:
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
def _note(x: Any, graph: Any, up: Any, flags: Any) -> None:
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
    graph = _pointers(graph_)
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
                        _join_along(x, e, graph, up)
        for k in range(bounds[c], bounds[c + 1]):
            x = np.int64(order[k])
            _note(x, graph, up, flags)
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


@kernel
def note_answers(
    machine_: Any, states_: Any, count: int, graph_: Any, left_: Any, depths: int, unknown: int,
    here_: Any, can_: Any,
) -> None:  # fmt: skip
    """For each threaded node, write what its thread does by a step from there, as bits.

    :param left_: for each (kind, location, depth), the bits of the loops that a step of that depth leaves.
    :param unknown: what is said where a step fails: nothing is known of what comes after.
    """
    machine, graph = machine_pointers(machine_), _pointers(graph_)
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
    machine, graph = machine_pointers(machine_), _pointers(graph_)
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
                    _join_along(x, e, graph, up)
        for k in range(bounds[c], bounds[c + 1]):
            x = np.int64(order[k])
            _note(x, graph, up, flags)
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


@kernel
def number_nodes(heads_: Any, count: int, base_: Any) -> None:
    """Write to ``base[s + 1]`` how many bits of the first s + 1 masks are set."""
    heads, base = pointer(heads_), pointer(base_)
    base[0] = 0
    for s in range(count):
        base[s + 1] = base[s] + count_bits(heads[s])


@kernel
def follow(
    graph_: Any, count: int, kind: int, wanted_: Any, spins: bool, base_: Any, write: bool,
    first_: Any, targets_: Any, movers_: Any, levels_: Any, renames_: Any, before_: Any,
    state_of_: Any, at_: Any,
) -> int:  # fmt: skip
    """Count or write the graph whose nodes follow one thread of a kind; return how many edges it has.

    :param kind: the threads of the kind, as a mask.
    :param wanted_: for each state, the threads that may be followed there.
    :param spins: the followed thread may move; else edges along which it does are left out.
    :param base_: for each state, the number of its first node.
    """
    graph = _pointers(graph_)
    wanted, base = pointer(wanted_), pointer(base_)
    first, targets, movers, levels = (
        pointer(first_), pointer(targets_), pointer(movers_), pointer(levels_),
    )  # fmt: skip
    renames, before, state_of, at = (
        pointer(renames_), pointer(before_), pointer(state_of_), pointer(at_),
    )  # fmt: skip
    n: Any = np.int64(0)
    node: Any = np.int64(0)
    of_kind = np.uint64(kind)
    for s in range(count):
        leaders = graph.leaders[s]
        here = leaders & of_kind & wanted[s]
        for i in range(graph.threads):
            if (here >> np.uint64(i)) & _ONE == _NONE:
                continue
            if write:
                state_of[node] = s
                at[node] = i
                first[node] = n
            lone = i == 0 or (of_kind >> np.uint64(i - 1)) & _ONE == _NONE
            lone = lone or (leaders >> np.uint64(i - 1)) & _ONE != _NONE
            for e in range(graph.first[s], graph.first[s + 1]):
                m: Any = np.int64(graph.movers[e] & 127)
                row = np.int64(graph.renames[e]) * graph.threads
                y: Any = np.int64(graph.targets[e])
                # One option is that the followed thread moves, the other that another thread does.
                for option in range(2):
                    own = option == 0
                    if own and (m != i or not spins):
                        continue
                    if not own and m == i and lone:
                        continue
                    p = i - 1 if not own and m == i else i
                    failing = graph.movers[e] & FAILURE != 0
                    if failing and not own:
                        continue
                    there: Any = np.int64(graph.table[row + p])
                    allowed = not failing and (wanted[y] >> np.uint64(there)) & _ONE != _NONE
                    if not allowed and not own:
                        continue
                    if write:
                        mover = TRACKED if own else m
                        target = node
                        if allowed:
                            heads = graph.leaders[y] & of_kind & wanted[y]
                            target = np.int64(base[y]) + class_of(heads, there)
                        else:
                            # It leads out of this graph, which matters to a choice.
                            mover |= FAILURE
                        targets[n] = target
                        movers[n] = mover
                        levels[n] = graph.levels[e]
                        renames[n] = graph.renames[e]
                        before[n] = p
                    n += 1
            node += 1
    if write:
        first[node] = n
    return int(n)
