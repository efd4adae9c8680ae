# SPDX-License-Identifier: Apache-2.0
"""What is found about runs that go on forever on the graph of all states, without reductions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quiesce.explorer.findings import Path
from quiesce.explorer.native.forever import EndlessRun, Forever, Threads
from quiesce.explorer.native.liveness import StepGraph
from quiesce.explorer.native.replay import Replay
from quiesce.explorer.reference.fairness import NONE_LEFT_OUT, LeftOut
from quiesce.explorer.reference.stepper import State


class WholeSpace(Forever):
    """Decides on a :class:`StepGraph`."""

    def __init__(self, graph: StepGraph, fairness: str) -> None:
        super().__init__(graph, fairness)
        self._replay = Replay(graph.search)

    def lasso(
        self, avoids: npt.NDArray[np.bool_], left_out: LeftOut = NONE_LEFT_OUT
    ) -> EndlessRun | None:
        """Return the fair run that is first in states that *avoids* marks from some point on."""
        graph, replay = self.graph, self._replay
        found = graph.find_fair_cycle(avoids, self.fairness, left_out)
        if found is None:
            return None
        stem, entry = replay.path_to(graph.sighting(found.entry))
        loop, state = [], entry
        for edge in found.loop:
            target = graph.sighting(int(graph.targets[edge])).words
            action, _, state = replay.step(state, target, int(graph.movers[edge]))
            loop.append(action)
        movers = tuple(int(graph.movers[edge]) for edge in found.loop)
        return EndlessRun(entry, (*stem, *loop), len(stem) - 1, movers)

    def starving(
        self, number: int, wanted: npt.NDArray[np.uint64], spins: bool
    ) -> EndlessRun | None:
        """Return a fair run in which thread *number* waits, or spins, in states that *wanted* has it in."""
        own = 1 << number
        left_out = LeftOut(progress=own, must_move=own) if spins else LeftOut(moves=own)
        return self.lasso(wanted & np.uint64(own) != 0, left_out)

    def ending(self, number: int) -> tuple[State, Path, Threads, Threads]:
        """Return a state with that number, a path to it, who is stuck in it and who can move."""
        path, state = self._replay.path_to(self.graph.sighting(number))
        stuck, moves = int(self.stuck.masks[number]), int(self.graph.moves[number])
        return state, path, _members(stuck), _members(moves)


def _members(mask: int) -> Threads:
    """Return the threads of a mask."""
    return tuple(t for t in range(mask.bit_length()) if mask >> t & 1)
