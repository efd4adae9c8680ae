# SPDX-License-Identifier: Apache-2.0
"""The questions "does thread t ever leave loop l?" as bits, sixty-four at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quiesce.compiler.loops import SourceLoop
from quiesce.compiler.program import Program
from quiesce.explorer.reference.getting_on import exits_around, loops_left

Bits = npt.NDArray[np.uint64]
_GROUP = 64


class LoopQuestions(NamedTuple):
    """Up to sixty-four questions.

    :param asked: for each (thread, location), the loops with an exit around it.
    :param left: for each (thread, location, depth), the loops that a step of that depth leaves.
    :param depths: how many depths there are.
    """

    asked: Bits
    left: Bits
    depths: int


def loop_questions(program: Program, locations: int) -> Iterator[LoopQuestions]:
    """Yield all questions about *program*, a group at a time; none if no loop has an exit.

    :param locations: how many locations are counted for each thread.
    """
    places: dict[tuple[int, SourceLoop], list[int]] = {}
    for number, thread in enumerate(program.threads):
        for location in range(len(thread.kind.locations)):
            for loop in exits_around(thread.kind, location):
                places.setdefault((number, loop), []).append(location)
    depths = 1 + max(
        (
            len(k.nest.around(at.position))
            for k in program.kinds
            for at in k.locations
        ),
        default=0,
    )  # fmt: skip
    loops = list(places)
    for first in range(0, len(loops), _GROUP):
        asked: Bits = np.zeros(len(program.threads) * locations, np.uint64)
        left: Bits = np.zeros(len(asked) * depths, np.uint64)
        bits = {key: np.uint64(1 << i) for i, key in enumerate(loops[first : first + _GROUP])}
        for (number, loop), bit in bits.items():
            kind = program.threads[number].kind
            for location in places[number, loop]:
                asked[number * locations + location] |= bit
            for location in range(len(kind.locations)):
                at = (number * locations + location) * depths
                for depth in range(depths):
                    if loop in loops_left(kind, location, depth):
                        left[at + depth] |= bit
        yield LoopQuestions(asked, left, depths)
