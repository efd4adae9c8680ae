# SPDX-License-Identifier: Apache-2.0
"""What is asked about runs that go on forever, of whichever graph of all steps there is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from quiesce.compiler.program import Program
from quiesce.explorer.findings import Finding, Path
from quiesce.explorer.native.kernels.stuck import AT_REST, STUCK_ALONE, STUCK_TOGETHER
from quiesce.explorer.native.liveness import StepGraph
from quiesce.explorer.reference import describe
from quiesce.explorer.reference.fairness import NONE_LEFT_OUT, LeftOut
from quiesce.explorer.reference.getting_on import may_spin
from quiesce.explorer.reference.representatives import representatives
from quiesce.explorer.reference.stepper import State
from quiesce.properties import NO_DEADLOCK, NO_STUCK_THREAD, BuiltInKind

Threads = tuple[int, ...]


class EndlessRun:
    """A run that goes on forever.

    :param state: in which its loop begins; *path*: the stem and one turn of the loop; *loop_start*: the steps
        of the stem; *movers*: the threads that move in the loop.
    """

    def __init__(self, state: State, path: Path, loop_start: int, movers: Threads) -> None:
        self.state, self.path, self.loop_start, self.movers = state, path, loop_start, movers


class Forever(ABC):
    """Stuck threads, livelock, starvation and ``eventually``."""

    def __init__(self, graph: StepGraph, fairness: str) -> None:
        self.graph = graph
        self.program: Program = graph.program
        self.fairness = fairness
        self.stuck = graph.find_stuck_threads()

    # --- What each graph answers by itself --------------------------------------------------------

    @abstractmethod
    def lasso(
        self, avoids: npt.NDArray[np.bool_], left_out: LeftOut = NONE_LEFT_OUT
    ) -> EndlessRun | None:
        """Return the fair run that is first in states that *avoids* marks from some point on."""

    @abstractmethod
    def starving(
        self, number: int, wanted: npt.NDArray[np.uint64], spins: bool
    ) -> EndlessRun | None:
        """Return a fair run in which thread *number* waits, or spins, in states that *wanted* has it in."""

    @abstractmethod
    def ending(self, number: int) -> tuple[State, Path, Threads, Threads]:
        """Return a state with that number, a path to it, who is stuck in it and who can move."""

    # --- Questions --------------------------------------------------------------------------------

    def deadlock(self) -> Finding | None:
        """Return the first state in which only stuck threads ever move, or several are stuck."""
        at_rest = self.stuck.first(AT_REST, None)
        if at_rest is not None:
            return self._stuck_forever(at_rest, False, NO_DEADLOCK)
        return self._stuck_forever(self.stuck.first(STUCK_TOGETHER, True), True, NO_DEADLOCK)

    def alone(self) -> Finding | None:
        """Return the first state in which one thread is stuck while others run on."""
        return self._stuck_forever(self.stuck.first(STUCK_ALONE, False), True, NO_STUCK_THREAD)

    def _stuck_forever(
        self, number: int | None, others_run: bool, asked: BuiltInKind
    ) -> Finding | None:
        if number is None:
            return None
        state, path, threads, able = self.ending(number)
        return describe.stuck_forever(self.program, state, threads, able, others_run, path, asked)

    def livelock(self) -> Finding | None:
        """Return a fair run in which threads take steps forever and none gets on."""
        threads = self.program.threads
        if not any(may_spin(k) for k in self.program.kinds):
            return None
        not_daemons = sum(1 << i for i, t in enumerate(threads) if not t.daemon)
        run = self.lasso(
            np.ones(self.graph.count, np.bool_),
            LeftOut(progress=self.graph.everyone, must_move=not_daemons),
        )
        if run is None:
            return None
        return describe.livelock_finding(
            self.program, run.state, run.movers, run.path, run.loop_start
        )

    def starvation(self) -> Finding | None:
        """Return the shortest fair run in which a thread waits or spins forever, and is not stuck."""
        best: Finding | None = None
        for number in representatives(self.program):
            found = self._starved(number)
            if found is not None and (best is None or len(found.path) < len(best.path)):
                best = found
        return best

    def _starved(self, number: int) -> Finding | None:
        kind = self.program.threads[number].kind
        waits = self.graph.marks(
            [[at.waits and k is kind for at in k.locations] for k in self.program.kinds]
        )
        run, spins = self.starving(number, waits & ~self.stuck.masks, False), False
        if may_spin(kind):
            spinning = self.starving(number, ~self.stuck.masks, True)
            if spinning is not None and (run is None or len(spinning.path) < len(run.path)):
                run, spins = spinning, True
        if run is None:
            return None
        return describe.starving_finding(
            self.program, run.state, number, spins, run.path, run.loop_start
        )

    def never_again(self, index: int) -> Finding | None:
        """Return a fair run in which the ``eventually`` number *index* is false from some point on."""
        prop, avoids = self.program.properties[index], self.graph.false_in(index)
        run = self.lasso(avoids)
        if run is not None:
            return describe.never_again_finding(prop, False, run.path, run.loop_start)
        end = self.graph.find_dead_end(avoids)
        if end is None:
            return None
        _, path, _, _ = self.ending(end.entry)
        return describe.never_again_finding(prop, True, path, len(path) - 1)
