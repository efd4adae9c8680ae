# SPDX-License-Identifier: Apache-2.0
"""Breadth-first search, a level at a time, on every core it is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from quiesce.compiler.program import Program
from quiesce.explorer.graph import Bounds, Progress
from quiesce.explorer.native import checkpoint
from quiesce.explorer.native.canonical import canonicalise_all
from quiesce.explorer.native.expand import BOXED, DEADLOCK, DONE, OVERFLOWED, TRANSITIONS, expand
from quiesce.explorer.native.interrupt import interruptible
from quiesce.explorer.native.properties import look_at_properties
from quiesce.explorer.native.race_kernel import look_for_races
from quiesce.explorer.native.symmetry import no_symmetry
from quiesce.explorer.native.tables import Compiled, Symmetry, ample_table
from quiesce.explorer.native.visited import insert, sort_by_shard
from quiesce.explorer.native.worker import Worker
from quiesce.explorer.reference import State, Stepper

MOST_STATES = (1 << 32) - 2
SAVE_EVERY = 30.0
"""Seconds between two checkpoints."""
LOOK_AHEAD = 8192
"""States whose properties are evaluated at a time."""


@dataclass(slots=True)
class SearchOptions:
    """How to search.

    :param cores: how many threads of ours share the work.
    :param keep_going: search on although something wrong was found.
    :param races: look for data races.
    """

    bounds: Bounds = field(default_factory=Bounds)
    cores: int = 1
    keep_going: bool = False
    races: bool = True
    progress: Callable[[Progress], None] | None = None


class Search:
    """A search of one program; :meth:`run` it, then ask."""

    def __init__(self, program: Program, options: SearchOptions) -> None:
        self.program = program
        self.options = options
        self.compiled = Compiled(program)
        self.workers: list[Worker] = []
        self.ample = ample_table(self.compiled, False)
        self.use_symmetry(no_symmetry(self.compiled))
        self.checkpoint = ""
        self._races = options.races and bool(self.compiled.machine.plain.any())
        self.levels: list[tuple[int, ...]] = []
        """For each depth, how many states each worker had when it began."""
        self.incomplete = ""
        self.transitions = 0
        self.started = time.monotonic()
        self._told = 0.0
        self._saved = self.started
        self._interrupted: list[bool] = []
        self._pool = ThreadPoolExecutor(options.cores) if options.cores > 1 else None

    def use_partial_order(self) -> bool:
        """Let steps go first that nothing else depends on; return whether there are any."""
        self.ample = ample_table(self.compiled, True)
        return bool(self.ample[0])

    @property
    def reduced(self) -> bool:
        """Whether some states or steps are left out."""
        return bool(self.ample[0]) or bool(self.symmetry.sizes[5])

    def use_symmetry(self, symmetry: Symmetry) -> None:
        """Keep one representative of all states that *symmetry* exchanges."""
        self.symmetry = symmetry
        self.workers = [
            Worker(self.compiled, i, self.options.cores, int(symmetry.sizes[0]))
            for i in range(self.options.cores)
        ]

    @property
    def states(self) -> int:
        """How many states were found."""
        return sum(w.count for w in self.workers)

    @property
    def depth(self) -> int:
        """The depth of the deepest state."""
        return max(0, len(self.levels) - 1)

    @property
    def bytes(self) -> int:
        """The memory that the states take."""
        return sum(w.bytes for w in self.workers)

    def run(self) -> None:
        """Search until everything is seen, something wrong is found, or a bound is hit.

        Ctrl-C ends the search, too; what was found so far is kept.
        """
        with interruptible() as self._interrupted:
            self._run()
        self.transitions = sum(int(w.found.results[TRANSITIONS]) for w in self.workers)

    def _run(self) -> None:
        ends = checkpoint.load(self, self.checkpoint) if self.checkpoint else None
        if ends is None:
            self._begin()
        while not self.incomplete:
            if ends is None:
                frontier = [(w.expanded, w.count) for w in self.workers]
                if all(lo == hi for lo, hi in frontier):
                    break
                self.levels.append(tuple(lo for lo, _ in frontier))
                ends = [hi for _, hi in frontier]
            self._level(ends)
            if not self.incomplete and not self.options.keep_going and self.wrong():
                if any(w.expanded < w.count for w in self.workers):
                    self.levels.append(tuple(w.expanded for w in self.workers))
                    self.incomplete = "stopped at the first violation"
                    ends = None
                break
            if not self.incomplete:
                ends = None
        if self.incomplete and ends is not None:
            if self.checkpoint:
                checkpoint.save(self, self.checkpoint, ends)
            # States beyond the level that was being expanded are one deeper.
            self.levels.append(tuple(ends))

    def wrong(self) -> bool:
        """Whether anything found so far is a violation."""
        for w in self.workers:
            if w.found.results[DEADLOCK] >= 0 or (w.found.failed_state >= 0).any():
                return True
            if w.found.results[2] > 0:
                return True
            if (w.found.property_failed >= 0).any():
                return True
            for prop, state in zip(self.program.properties, w.found.property_state, strict=False):
                if prop.spec.kind == "always" and state >= 0:
                    return True
        return False

    # --- Numbers ----------------------------------------------------------------------------------

    def words_of(self, number: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the packed words of state *number*."""
        place, shard = divmod(number, len(self.workers))
        words = self.compiled.words
        return self.workers[shard].states.array[place * words : (place + 1) * words].copy()

    def parent_of(self, number: int) -> int:
        """Return the number of the state that discovered state *number*; itself if it is initial."""
        place, shard = divmod(number, len(self.workers))
        return int(self.workers[shard].parents.array[place])

    def state(self, number: int) -> State:
        """Return state *number* as the reference stepper has it."""
        return self.compiled.unpack(self.words_of(number))

    def depth_of(self, number: int) -> int:
        """Return the depth of state *number*."""
        place, shard = divmod(number, len(self.workers))
        deepest = 0
        for depth, starts in enumerate(self.levels):
            if starts[shard] <= place:
                deepest = depth
        return deepest

    # --- One level --------------------------------------------------------------------------------

    def _begin(self) -> None:
        initial = Stepper(self.program).initial_states()
        packed = self.compiled.pack(initial)
        w = self.workers[0]
        count = len(initial)
        while len(w.box_parents) < count:
            w.grow_box()
        w.box[: len(packed)] = packed
        # An initial state is its own parent; initial states are few, and are told apart by replay.
        w.box_parents[:count] = MOST_STATES
        w.boxed = count
        self._sort(w)
        self._insert_all()

    def _level(self, ends: list[int]) -> None:
        while not self.incomplete and any(
            w.expanded < end for w, end in zip(self.workers, ends, strict=True)
        ):
            self._each(lambda w: self._expand(w, ends[w.shard]))
            self._insert_all()
            self._tell()
            self._check_bounds()
            if self.checkpoint and time.monotonic() - self._saved > SAVE_EVERY:
                checkpoint.save(self, self.checkpoint, ends)
                self._saved = time.monotonic()

    def _expand(self, w: Worker, end: int) -> None:
        machine, results, begin = self.compiled.machine, w.found.results, w.expanded
        states = w.states.array
        if self.program.properties and w.looked < min(end, begin + LOOK_AHEAD):
            upto = min(end, w.looked + LOOK_AHEAD)
            look_at_properties(
                machine, states, w.looked, upto, w.shards, w.shard, w.ram, w.found, w.cut.array
            )
            w.looked = upto
        if self.program.properties:
            end = min(end, w.looked)
        while True:
            expand(
                machine, states, w.cut.array, begin, end, w.shards, w.shard,
                w.box, w.box_parents, w.box_threads, w.ram, w.found, self.ample, False,
            )  # fmt: skip
            w.boxed = int(results[BOXED])
            w.expanded = int(results[DONE])
            if w.expanded > begin or begin == end:
                break
            w.grow_box()
        if self.symmetry.sizes[5]:
            canonicalise_all(w.box, w.boxed, w.words, self.symmetry, w.found.scratch)
        self._sort(w)
        if self._races:
            look_for_races(machine, states, begin, w.expanded, w.shards, w.shard, w.ram, w.found)

    def _insert_all(self) -> None:
        self._each(self._insert)
        for w in self.workers:
            w.boxed = 0

    def _insert(self, w: Worker) -> None:
        for other in self.workers:
            room = len(other.hashes)
            picks, at, end = other.picks, 0, other.boxed
            if w.shards > 1:
                picks, end = picks[w.shard * room :], int(other.picked[w.shard])
            while at < end:
                at, w.count = insert(
                    other.box, other.box_parents, other.hashes, picks, at, end, w.words, w.shards,
                    w.states.array, w.parents.array, w.table.array, w.scratch, w.count, w.limit,
                )  # fmt: skip
                if at < end:
                    w.grow()

    def _sort(self, w: Worker) -> None:
        """Find out which core each state in the box belongs to."""
        if w.shards > 1:
            sort_by_shard(w.box, w.boxed, w.words, w.shards, w.hashes, w.picks, w.picked)

    def _each(self, work: Callable[[Worker], None]) -> None:
        if self._pool is None:
            work(self.workers[0])
        else:
            for done in [self._pool.submit(work, w) for w in self.workers]:
                done.result()

    def _check_bounds(self) -> None:
        bounds = self.options.bounds
        states = self.states
        if self._interrupted:
            self.incomplete = "interrupted"
        elif any(w.found.results[OVERFLOWED] for w in self.workers):
            self.incomplete = "a step has more choices than there is room for"
        elif bounds.max_states is not None and states > bounds.max_states:
            self.incomplete = f"the bound of {bounds.max_states:,} states was hit"
        elif states > MOST_STATES - 2 * len(self.workers):
            self.incomplete = "there are more states than 32 bits can number"
        elif bounds.max_memory is not None:
            needed = sum(w.bytes_after_growth() for w in self.workers)
            if needed > bounds.max_memory:
                self.incomplete = f"the bound of {bounds.max_memory:,} bytes of memory was hit"

    def _tell(self) -> None:
        now = time.monotonic()
        if self.options.progress is not None and now - self._told >= 0.5:
            self._told = now
            queue = sum(w.count - w.expanded for w in self.workers)
            transitions = sum(int(w.found.results[TRANSITIONS]) for w in self.workers)
            self.options.progress(
                Progress(self.states, transitions, self.depth, queue, now - self.started)
            )
