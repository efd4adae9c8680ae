# SPDX-License-Identifier: Apache-2.0
"""What is found on representatives about runs that go on forever, as runs of the protocol."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quiesce.explorer.findings import Path
from quiesce.explorer.native.forever import EndlessRun, Forever, Threads
from quiesce.explorer.native.lift import Lift, Point
from quiesce.explorer.native.lift_loop import LoopDemands, LoopFinder
from quiesce.explorer.native.quotient import FairPart, Quotient
from quiesce.explorer.reference.fairness import NONE_LEFT_OUT, LeftOut
from quiesce.explorer.reference.stepper import State


class QuotientFindings(Forever):
    """Decides on a :class:`Quotient`.

    :raises NotReducible: by each question, if what was found could not be made a run of the protocol.
    """

    def __init__(self, graph: Quotient, fairness: str) -> None:
        super().__init__(graph, fairness)
        self._quotient = graph
        self._lift = Lift(graph)

    def lasso(
        self, avoids: npt.NDArray[np.bool_], left_out: LeftOut = NONE_LEFT_OUT
    ) -> EndlessRun | None:
        """Return the fair run that is first in states that *avoids* marks from some point on."""
        part = self._quotient.find_fair_part(avoids, self.fairness, left_out)
        return None if part is None else self._run(part, LoopDemands(-1, left_out, self.fairness))

    def starving(
        self, number: int, wanted: npt.NDArray[np.uint64], spins: bool
    ) -> EndlessRun | None:
        """Return a fair run in which thread *number* waits, or spins, in states that *wanted* has it in."""
        own = 1 << number
        left_out = LeftOut(progress=own, must_move=own) if spins else LeftOut(moves=own)
        if int(self._quotient.search.symmetry.like[number]) < 0:
            return self.lasso(wanted & np.uint64(own) != 0, left_out)
        part = self._quotient.find_fair_part_of(number, wanted, self.fairness, spins)
        return (
            None if part is None else self._run(part, LoopDemands(number, left_out, self.fairness))
        )

    def ending(self, number: int) -> tuple[State, Path, Threads, Threads]:
        """Return a state with that number, a path to it, who is stuck in it and who can move."""
        begin, moves, standing = self._lift.stem(number)
        stuck, able = int(self.stuck.masks[number]), int(self.graph.moves[number])
        return (
            moves[-1].state if moves else begin,
            self._lift.path(begin, moves),
            _standing_at(stuck, standing),
            _standing_at(able, standing),
        )

    def _run(self, part: FairPart, wanted: LoopDemands) -> EndlessRun:
        """Return a run of the protocol that stays in *part* from some point on."""
        lift = self._lift
        begin, moves, standing = lift.stem(int(part.graph.state_of[part.entry]))
        if wanted.followed >= 0:
            at = int(part.graph.at[part.entry])
            begin, moves, standing = lift.with_thread(begin, moves, standing, at, wanted.followed)
        finder = LoopFinder(lift, part, wanted)
        loop = finder.find(Point(part.entry, standing))
        entry = moves[-1].state if moves else begin
        finder.check(entry, loop)
        path = lift.path(begin, [*moves, *loop])
        return EndlessRun(entry, path, len(moves), tuple(move.thread for move in loop))


def _standing_at(mask: int, standing: tuple[int, ...]) -> Threads:
    """Return the threads that stand where *mask* has a bit, in order."""
    return tuple(sorted(standing[j] for j in range(len(standing)) if mask >> j & 1))
