# SPDX-License-Identifier: Apache-2.0
"""Breadth-first search, a level at a time, on every core it is given.

The states of a level are cut into chunks; each core takes one after the other, expands it and enters the
successors into the one table. The cores meet at the end of a level, and where room must be made or the
search is to be looked at from outside. Which core discovers a state is a matter of luck, but not which
states there are at which depth; and of what is found the least is kept (``records.py``). So the answer is
the same with any number of cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from quiesce.compiler.program import Program
from quiesce.explorer.native.chunks import Chunk, Chunks
from quiesce.explorer.native.kernels.canonical import canonicalise_all
from quiesce.explorer.native.kernels.expand import (
    BOXED,
    DONE,
    FAILED_STEPS,
    TRANSITIONS,
    expand,
)
from quiesce.explorer.native.kernels.properties import look_at_properties
from quiesce.explorer.native.kernels.races import look_for_races
from quiesce.explorer.native.kernels.records import NEVER, Sighting, merge_records, read_record
from quiesce.explorer.native.kernels.stored import Vector
from quiesce.explorer.native.kernels.visited import BLOCK, insert
from quiesce.explorer.native.memory import memory_at_hand
from quiesce.explorer.native.program.tables import Symmetry, ample_table, compiled
from quiesce.explorer.native.symmetry import no_symmetry
from quiesce.explorer.native.table import VisitedTable
from quiesce.explorer.native.worker import Worker
from quiesce.explorer.reference.graph import Bounds, Progress
from quiesce.explorer.reference.stepper import State, Stepper
from quiesce.properties import Quantifier
from quiesce.stopping import noted

MOST_STATES = (1 << 32) - 2
CHUNK = 4096
"""States that a core takes at a time: a few milliseconds of work."""
LEAST_CHUNK = 256
SMALL_LEVEL = 2048
"""Levels of fewer states are not worth sharing."""
_LOOK_EVERY = 1024
"""Initial states between two looks at the bounds."""
_SPARE = 4096
"""States that each core finds room for, at least, when room has been made."""


@dataclass(slots=True)
class SearchOptions:
    """How to search.

    :param cores: how many threads of this process share the work.
    :param keep_going: search on although something wrong was found.
    :param races: look for data races.
    """

    bounds: Bounds = field(default_factory=Bounds)
    cores: int = 1
    keep_going: bool = False
    races: bool = True
    progress: Callable[[Progress], None] | None = None


class SearchKeeper(Protocol):
    """What keeps a search so that another process can continue it: see ``checkpoint.py``."""

    @property
    def due(self) -> bool:
        """True if it is time to save the search again."""

    def load(self, search: Search) -> bool:
        """Continue the search that was kept; return False if there is none."""

    def save(self, search: Search) -> None:
        """Keep *search*, in which no worker is busy."""


class Search:
    """A search of one program; :meth:`run` it, then ask."""

    def __init__(self, program: Program, options: SearchOptions) -> None:
        self.program = program
        self.options = options
        self.compiled = compiled(program)
        self.ample = ample_table(self.compiled, False)
        self.use_symmetry(no_symmetry(self.compiled))
        self.checkpoint: SearchKeeper | None = None
        self._races = options.races and bool(self.compiled.machine.plain.any())
        self.levels: list[tuple[int, ...]] = []
        """For each depth, how many states each worker had when it began."""
        self.todo = Chunks(options.cores)
        """What is left of the level that is being expanded."""
        self.incomplete = ""
        self.transitions = 0
        self.started = time.monotonic()
        self._memory = memory_at_hand()
        self._told = 0.0
        self._pause = False
        self._crowded = False
        """True if a worker needs room."""
        self._overflowing = False
        """There is no room behind the end of the table."""
        self._owners = np.zeros(0, np.int64)
        others = options.cores - 1
        self._pool = ThreadPoolExecutor(others) if others else None

    def use_partial_order(self) -> bool:
        """Let steps go first that nothing else depends on; return whether there are any."""
        self.ample = ample_table(self.compiled, True)
        return bool(self.ample[0])

    @property
    def reduced(self) -> bool:
        """Whether some states or steps are left out."""
        return bool(self.ample[0]) or bool(self.symmetry.group_count)

    def use_symmetry(self, symmetry: Symmetry) -> None:
        """Keep one representative of all states that *symmetry* exchanges."""
        self.symmetry = symmetry
        cores = range(self.options.cores)
        self.workers = [Worker(self.compiled, i, symmetry.scratch) for i in cores]
        self.table = VisitedTable((self.options.cores - 1).bit_length())

    @property
    def states(self) -> int:
        """How many states were found."""
        return sum(w.count for w in self.workers)

    @property
    def failed_steps(self) -> int:
        """How many steps failed."""
        return sum(int(w.found.results[FAILED_STEPS]) for w in self.workers)

    @property
    def depth(self) -> int:
        """The depth of the deepest state."""
        return len(self.levels) - (2 if self._counts() == self.levels[-1] else 1)

    @property
    def bytes(self) -> int:
        """The memory that the states take."""
        return sum(w.count * w.each for w in self.workers) + self.table.bytes

    def run(self) -> None:
        """Search until everything is seen, something wrong is found, or a bound is hit.

        Ctrl-C ends the search, too; what was found so far is kept.

        :raises Stopped: it came while kernels were compiled.
        """
        with noted():
            self._run()
        self.transitions = sum(int(w.found.results[TRANSITIONS]) for w in self.workers)

    def _run(self) -> None:
        if self.checkpoint is None or not self.checkpoint.load(self):
            self._begin()
        while True:
            self._finish_level()
            if self.incomplete:
                break
            if self._counts() == self.levels[-1]:
                break
            if not self.options.keep_going and self.wrong():
                self.incomplete = "stopped at the first violation"
                return
            self._begin_level()
        if self.checkpoint is not None:
            self.checkpoint.save(self)

    def wrong(self) -> bool:
        """Whether anything found so far is a violation."""
        specs = [(i, p.spec) for i, p in enumerate(self.program.properties)]
        specs = [(i, spec) for i, spec in specs if not spec.informational]
        every_state = [i for i, spec in specs if spec.kind.quantifier is Quantifier.EVERY_STATE]
        seen = [self.property_seen(i) for i in every_state]
        failed = [self.property_failed(i) for i, _ in specs]
        return any([self.deadlock(), self.race(), self.failures(), *seen, *failed])

    # --- What was found ---------------------------------------------------------------------------

    def deadlock(self) -> Sighting | None:
        """Return the first state without a step in which some thread is not finished."""
        return self._first([w.found.deadlock for w in self.workers])

    def race(self) -> Sighting | None:
        """Return the first state in which two accesses race."""
        return self._first([w.found.race for w in self.workers])

    def property_seen(self, index: int) -> Sighting | None:
        """Return the first state in which an ``always`` is false or a ``sometimes`` true."""
        return self._first([w.found.property_seen for w in self.workers], index)

    def property_failed(self, index: int) -> Sighting | None:
        """Return the first state in which a property cannot be evaluated."""
        return self._first([w.found.property_failed for w in self.workers], index)

    def failures(self) -> list[Sighting]:
        """Return a first state for each place at which a step fails, the shallowest first."""
        depths = [w.found.failed[:: 1 + w.words] for w in self.workers]
        rows = {int(row) for d in depths for row in np.flatnonzero(d != NEVER)}
        found = [self._first([w.found.failed for w in self.workers], row) for row in rows]
        return sorted({s for s in found if s is not None})

    def _first(self, records: list[Vector], number: int = 0) -> Sighting | None:
        sightings = [read_record(r, number, self.compiled.words) for r in records]
        return min((s for s in sightings if s is not None), default=None)

    def level(self, depth: int) -> list[Chunk]:
        """Return where the states of that *depth* are."""
        starts, ends = [*self.levels, self._counts()][depth : depth + 2]
        return [Chunk(i, lo, hi) for i, (lo, hi) in enumerate(zip(starts, ends, strict=True))]

    def _counts(self) -> tuple[int, ...]:
        return tuple(w.count for w in self.workers)

    # --- One level --------------------------------------------------------------------------------

    def _begin(self) -> None:
        first = self.workers[0]
        packed = self.compiled.pack(self._initial_states())
        first.boxed = len(packed) // first.words
        if len(first.sources) < first.boxed:
            first.new_box(first.boxed)
        first.box[: len(packed)] = packed
        self._canonicalise(first)
        self.levels.append(self._counts())
        while first.busy:
            self._make_room()
            self._work(first)
        self._begin_level()

    def _initial_states(self) -> list[State]:
        """Return the initial states, or as many as a bound lets through."""
        states: dict[State, None] = {}
        for state in Stepper(self.program).each_initial_state():
            states[state] = None
            if len(states) % _LOOK_EVERY == 0:
                self.incomplete = self._hit_bound(len(states), len(states) * 8 * len(state))
                if self.incomplete:
                    break
        return list(states)

    def _begin_level(self) -> None:
        """Let the states that were discovered last be the ones to expand."""
        self.levels.append(self._counts())
        self.todo.add(self.chunks(len(self.levels) - 2))
        self._share_sightings()

    def _share_sightings(self) -> None:
        """Tell each worker which properties were seen: a ``sometimes`` need not be looked for."""
        first, *others = self.workers
        for w in others:
            merge_records(first.found.property_seen, w.found.property_seen, w.words)
        for w in others:
            w.found.property_seen[:] = first.found.property_seen

    def chunks(self, depth: int) -> list[Chunk]:
        """Return the states of that *depth* in portions for all cores."""
        level = self.level(depth)
        total = sum(hi - lo for _, lo, hi in level)
        shares = 8 * len(self.workers) if len(self.workers) > 1 else 1
        size = min(CHUNK, max(LEAST_CHUNK, total // shares))
        return [
            Chunk(owner, at, min(at + size, hi))
            for owner, lo, hi in level
            for at in range(lo, hi, size)
        ]

    def _finish_level(self) -> None:
        active = self.workers if self.todo.states >= SMALL_LEVEL else self.workers[:1]
        while self.todo or any(w.busy for w in self.workers):
            try:
                self._make_room()
            except MemoryError as error:
                # What was begun cannot be finished, so a checkpoint would not be whole.
                self.incomplete, self.checkpoint = str(error), None
                return
            self.each(self._work, active)
            self._look_around()
            if self._pause and not any(w.busy for w in self.workers):
                # All chunks that were begun are finished: what there is now is whole.
                self._pause = False
                if self.incomplete:
                    return
                if self.checkpoint is not None:
                    self.checkpoint.save(self)

    def each(self, work: Callable[[Worker], None], workers: list[Worker]) -> None:
        """Let each of *workers* do *work*, the first of them on this thread."""
        others = [self._pool.submit(work, w) for w in workers[1:]] if self._pool else []
        try:
            work(workers[0])
        except BaseException:
            self._pause = True
            raise
        finally:
            for other in others:
                other.result()

    def _work(self, w: Worker) -> None:
        """Expand chunks until there are none left, or room must be made, or all are to stop."""
        while True:
            if w.unboxed < w.boxed:
                w.unboxed, w.count = insert(
                    w.box, w.unboxed, w.boxed, w.shape, self._owners, w.number,
                    self.table.owner_bits, self.table.memory.array, self.table.slots,
                    self.table.number_bits, w.hashes, w.places, w.count, w.limit,
                )  # fmt: skip
                if w.unboxed < w.boxed:
                    self._crowded = True
                    self._overflowing |= w.count + BLOCK <= w.limit
                    return
                if w.chunk is None and w is self.workers[0]:
                    self._look_around()
            if w.chunk is None:
                if self._pause or self._crowded or not self._take_chunk(w):
                    return
            self._expand(w)

    def _take_chunk(self, w: Worker) -> bool:
        w.chunk = self.todo.take(w.number)
        if w.chunk is None:
            return False
        owner, lo, hi = w.chunk
        of, depth = self.workers[owner], len(self.levels) - 2
        machine, states = self.compiled.machine, of.states.array
        if self.program.properties:
            look_at_properties(machine, states, lo, hi, depth, w.here, w.ram, w.found)
        if self._races:
            look_for_races(machine, states, lo, hi, depth, w.here, w.ram, w.found)
        return True

    def _expand(self, w: Worker) -> None:
        """Fill the box with successors of the chunk, and shorten it by what was expanded."""
        assert w.chunk is not None
        owner, lo, hi = w.chunk
        done = self.fill_box(w, w.chunk, len(self.levels) - 2, False)
        w.chunk = Chunk(owner, done, hi) if done < hi else None
        w.expanded += done - lo

    def fill_box(
        self, w: Worker, chunk: Chunk, depth: int, for_graph: bool, as_it_is: bool = False
    ) -> int:
        """Put the successors of *chunk*, or of its beginning, into the box of *w*.

        :param for_graph: see :func:`~quiesce.explorer.native.kernels.expand.expand`.
        :param as_it_is: do not replace them by their representatives.
        :returns: which state of the chunk is the first that was not expanded.
        """
        owner, lo, hi = chunk
        of, results = self.workers[owner], w.found.results
        while True:
            expand(
                self.compiled.machine, of.states.array, lo, hi, depth,
                w.box, w.sources, w.movers, w.here, w.ram, w.found, self.ample,
                self.symmetry, for_graph,
            )  # fmt: skip
            if results[DONE] > lo or lo == hi:
                break
            # One state has more successors than the box holds.
            w.new_box(2 * len(w.sources))
        w.boxed, w.unboxed = int(results[BOXED]), 0
        if not as_it_is:
            self._canonicalise(w)
        return int(results[DONE])

    def _canonicalise(self, w: Worker) -> None:
        if self.symmetry.group_count:
            canonicalise_all(w.box, w.boxed, w.words, self.symmetry, w.found.scratch)

    # --- Room, bounds and what is seen from outside -----------------------------------------------

    def _make_room(self) -> None:
        """Let each worker find room for some more states, in the table and in its own vector.

        All of them stand still: vectors may move when they grow.
        """
        states, cores = self.states, len(self.workers)
        if states + cores * _SPARE > self.table.limit or self._overflowing:
            needed = max(states + cores * _SPARE, self.table.limit + 1)
            self.table.make_room(needed, self.workers)
        self._crowded = self._overflowing = False
        share = (self.table.limit - states) // cores
        for w in self.workers:
            # The vector costs nothing before it is written.
            w.make_room(w.count + share)
            w.limit = w.count + share
        self._owners = np.array([w.states.address for w in self.workers], np.int64)

    def _look_around(self) -> None:
        """Tell how far the search is, and let all stop if there is a reason."""
        now = time.monotonic()
        if self.options.progress is not None and now - self._told >= 0.5:
            self._told = now
            queue = self.states - sum(w.expanded for w in self.workers)
            transitions = sum(int(w.found.results[TRANSITIONS]) for w in self.workers)
            self.options.progress(
                Progress(self.states, transitions, self.depth, queue, now - self.started)
            )
        if not self.incomplete:
            self.incomplete = self._hit_bound(self.states, self._bytes_after_growth())
        if self.incomplete or (self.checkpoint is not None and self.checkpoint.due):
            self._pause = True

    def _hit_bound(self, states: int, needed: int) -> str:
        """Return why the search cannot go on with so many *states* and *needed* bytes, or nothing."""
        bounds = self.options.bounds
        if bounds.max_states is not None and states > bounds.max_states:
            return f"the bound of {bounds.max_states:,} states was hit"
        if states > MOST_STATES:
            return f"there are more than {MOST_STATES:,} states, which cannot be numbered"
        return bounds.ends_now() or self.out_of_memory(needed)

    def out_of_memory(self, needed: int) -> str:
        """Return why *needed* bytes are too many, or nothing."""
        most = self.options.bounds.max_memory
        if most is not None and needed > most:
            return f"the bound of {most:,} bytes of memory was hit"
        if needed > self._memory:
            return f"the {self._memory:,} bytes of memory that were free are used up"
        return ""

    def _bytes_after_growth(self) -> int:
        """Return the memory that the states take when room has been made once more."""
        table = self.table.bytes_for(self.states + len(self.workers) * (_SPARE + CHUNK))
        return sum(w.count * w.each for w in self.workers) + table
