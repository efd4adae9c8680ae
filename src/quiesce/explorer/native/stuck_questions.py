# SPDX-License-Identifier: Apache-2.0
"""What decides whether a thread is stuck, as bits of its kind: it moves, changes something, leaves a loop."""

from __future__ import annotations

import numpy as np

from quiesce.compiler.loops import SourceLoop
from quiesce.compiler.program import Program
from quiesce.explorer.native.kernels.threaded_stuck import ENABLED, FIRST_LOOP
from quiesce.explorer.native.quotient_edges import NotReducible
from quiesce.explorer.reference.getting_on import exits_around, loops_left

_BITS = 32


class StuckQuestions:
    """The bits that stand for the loops of each kind.

    :ivar asked: for each (kind, location), the loops with an exit around it; *final*: whether it is the end.
    :ivar left: for each (kind, location, depth), the loops that a step of that depth leaves.
    :ivar unknown: all bits but one: what is said where nothing is known.
    :raises NotReducible: there are not enough bits.
    """

    def __init__(self, program: Program, locations: int) -> None:
        kinds = program.kinds
        self.depths = 1 + max(
            (len(k.nest.around(at.position)) for k in kinds for at in k.locations), default=0
        )
        self.asked = np.zeros(len(kinds) * locations, np.int64)
        self.final = np.zeros(len(kinds) * locations, np.int64)
        self.left = np.zeros(len(kinds) * locations * self.depths, np.int64)
        self.unknown = (1 << _BITS) - 1 & ~ENABLED
        for number, kind in enumerate(kinds):
            bits: dict[SourceLoop, int] = {}
            for location, at in enumerate(kind.locations):
                place = number * locations + location
                self.final[place] = at.final
                for loop in kind.nest.around(at.position):
                    bits.setdefault(loop, 1 << FIRST_LOOP + len(bits))
                for loop in exits_around(kind, location):
                    self.asked[place] |= bits[loop]
                for depth in range(self.depths):
                    for loop in loops_left(kind, location, depth):
                        self.left[place * self.depths + depth] |= bits[loop]
            if FIRST_LOOP + len(bits) > _BITS:
                raise NotReducible("a kind of threads has too many loops")
