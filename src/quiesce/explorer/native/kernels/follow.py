# SPDX-License-Identifier: Apache-2.0
"""The graph whose nodes are representatives, each with one of several identical threads that is followed."""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.kernels.expand import FAILURE
from quiesce.explorer.native.kernels.jit import kernel
from quiesce.explorer.native.kernels.pointers import count_bits, pointer
from quiesce.explorer.native.kernels.threaded import TRACKED, class_of, graph_pointers

_ONE = np.uint64(1)
_NONE = np.uint64(0)


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
    graph = graph_pointers(graph_)
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
