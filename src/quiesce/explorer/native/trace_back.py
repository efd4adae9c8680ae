# SPDX-License-Identifier: Apache-2.0
"""The way to a state, found backwards: nothing about it is kept while the search goes on.

A state of depth d was reached from one of depth d - 1. So that level is expanded once more, and each
state that has this one as a successor is on a shortest run. This goes on level by level with all those
states, and for each with the fewest context switches from there to the end, as in
``explorer/reference/paths.py``.
It costs at most what the expansions of the search cost, only when there is something to show, and saves
each search the memory for what each state was discovered from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quiesce.explorer.native.chunks import Chunks
from quiesce.explorer.native.kernels.expand import FAILURE
from quiesce.explorer.native.kernels.jit import kernel
from quiesce.explorer.native.kernels.pointers import pointer
from quiesce.explorer.native.kernels.records import Sighting
from quiesce.explorer.native.kernels.stored import Vector, words_at
from quiesce.explorer.native.kernels.visited import hash_words
from quiesce.explorer.native.search import Search
from quiesce.explorer.native.worker import Worker

WIDEST = 1000
"""States of one level that are followed back; of more, those with the fewest switches."""

Words = tuple[int, ...]
Onward = dict[Words, dict[int, tuple[int, Words]]]
"""For each state of a level: first thread on a path to the end -> (context switches, where to)."""


@kernel
def find_wanted(
    box_: Any, boxed: int, words: int, movers_: Any, wanted_: Any, slots_: Any, hits_: Any
) -> int:
    """Write which states of the box are wanted, and which wanted state each is; return how many.

    :param wanted_: the wanted states, whole.
    :param slots_: a hash table of them, a power of two long and never full: their numbers plus one, or 0.
    """
    box, movers, wanted = pointer(box_), pointer(movers_), pointer(wanted_)
    slots, hits = pointer(slots_), pointer(hits_)
    mask = len(slots_) - 1
    n = 0
    for k in range(boxed):
        if movers[k] >= FAILURE:
            continue
        place = np.int64(hash_words(box, k * words, words)) & mask
        while slots[place] != 0:
            number = slots[place] - 1
            same = True
            for w in range(words):
                if wanted[number * words + w] != box[k * words + w]:
                    same = False
                    break
            if same:
                hits[n * 2] = k
                hits[n * 2 + 1] = number
                n += 1
                break
            place = (place + 1) & mask
    return n


@kernel
def enter_wanted(wanted_: Any, count: int, words: int, slots_: Any) -> None:
    """Enter the wanted states into their hash table."""
    wanted, slots = pointer(wanted_), pointer(slots_)
    mask = len(slots_) - 1
    for number in range(count):
        place = np.int64(hash_words(wanted, number * words, words)) & mask
        while slots[place] != 0:
            place = (place + 1) & mask
        slots[place] = number + 1


def trace_back(search: Search, sighting: Sighting, last_thread: int = -1) -> list[Words]:
    """Return the states of a shortest run to *sighting*, the initial state first.

    With symmetry they are representatives, and the fewest switches only nearly so.

    :param last_thread: the thread that moves next in the last state; -1 for any.
    """
    onward: Onward = {sighting.words: {last_thread: (0, ())}}
    levels = [onward]
    for depth in range(sighting.depth - 1, -1, -1):
        onward = _Level(search, depth, onward).before()
        levels.append(onward)
    here = min(onward, key=lambda s: (min(onward[s].values()), s))
    run, mover = [here], -1
    for onward in reversed(levels[1:]):
        options = onward[here]
        mover = min(options, key=lambda t: (options[t][0] + (t != mover), t))
        here = options[mover][1]
        run.append(here)
    return run


class _Level:
    """One level that is expanded once more, to find the states that lead to those *after* it."""

    def __init__(self, search: Search, depth: int, after: Onward) -> None:
        self.search = search
        self.depth = depth
        cheapest = sorted(after, key=lambda s: (min(c for c, _ in after[s].values()), s))
        self.after = {s: after[s] for s in cheapest[:WIDEST]}
        self.names = list(self.after)
        self.wanted = np.array(self.names, np.int64).reshape(-1)
        self.slots = np.zeros(1 << (4 * len(self.names)).bit_length(), np.int64)
        enter_wanted(self.wanted, len(self.names), search.compiled.words, self.slots)
        chunks = search.chunks(depth)
        self.todo = Chunks(len(search.workers), chunks)
        self.workers = search.workers[: len(chunks)]
        self.found: list[Onward] = []

    def before(self) -> Onward:
        """Return the states of the level from which a wanted one is reached."""
        self.search.each(self._look, self.workers)
        merged: Onward = {}
        for part in self.found:
            for state, options in part.items():
                best = merged.setdefault(state, {})
                for mover, option in options.items():
                    best[mover] = min(option, best.get(mover, option))
        return merged

    def _look(self, w: Worker) -> None:
        found: Onward = {}
        hits = np.empty(0, np.int64)
        while (chunk := self.todo.take(w.number)) is not None:
            while chunk.lo < chunk.hi:
                done = self.search.fill_box(w, chunk, self.depth, True)
                if len(hits) < 2 * w.boxed:
                    hits = np.empty(2 * w.boxed, np.int64)
                count = find_wanted(
                    w.box, w.boxed, w.words, w.movers, self.wanted, self.slots, hits
                )
                for k, number in hits[: 2 * count].reshape(-1, 2).tolist():
                    self._add(found, chunk.owner, int(w.sources[k]), int(w.movers[k]), number)
                w.boxed = 0
                chunk = chunk._replace(lo=done)
        self.found.append(found)

    def _add(self, found: Onward, owner: int, place: int, mover: int, number: int) -> None:
        states: Any = self.search.workers[owner].states.array
        source: Vector = words_at(states, place, self.search.compiled.shape)
        target = self.names[number]
        switches = min(c + (t not in (mover, -1)) for t, (c, _) in self.after[target].items())
        best = found.setdefault(tuple(source.tolist()), {})
        option = (switches, target)
        best[mover] = min(option, best.get(mover, option))
