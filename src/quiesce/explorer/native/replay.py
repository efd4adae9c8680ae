# SPDX-License-Identifier: Apache-2.0
"""From the number of a state to the steps that lead there, found again with the reference stepper.

The search keeps who discovered each state, and no more. Walking back gives the packed states of the
path, each perhaps a representative of others like it; walking forward with the reference stepper, from
a real initial state, the step that leads to a state with that representative is taken. So the path is made of
real states, whatever reductions were on, and every native finding is confirmed by the reference.
"""

from __future__ import annotations

import numpy as np

from quiesce.explorer.findings import Path
from quiesce.explorer.native.canonical import canonicalise_all
from quiesce.explorer.native.search import MOST_STATES, Search
from quiesce.explorer.native.tables import Vector
from quiesce.explorer.reference import State, Stepper


class Mismatch(Exception):
    """The native explorer and the reference stepper disagree: a defect of ours."""


class Replay:
    """Finds paths in what a search has explored."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.stepper = Stepper(search.program)
        self._scratch = np.zeros(int(search.symmetry.sizes[0]), np.int64)

    def representative(self, state: State) -> bytes:
        """Return the packed words that the search keeps for *state*."""
        words = self.search.compiled.pack([state])
        if self.search.symmetry.sizes[5]:
            canonicalise_all(
                words, 1, self.search.compiled.words, self.search.symmetry, self._scratch
            )
        return words.tobytes()

    def path_to(self, number: int) -> tuple[Path, State]:
        """Return the path to state *number*, and a real state that it stands for.

        :raises Mismatch: there is none.
        """
        chain: list[Vector] = []
        while number != MOST_STATES:
            chain.append(self.search.words_of(number))
            number = self.search.parent_of(number)
        wanted = [words.tobytes() for words in reversed(chain)]
        initial = self.stepper.initial_states()
        first = next((i for i, s in enumerate(initial) if self.representative(s) == wanted[0]), -1)
        if first < 0:
            raise Mismatch("a path does not begin in an initial state")
        path, state = [first], initial[first]
        for target in wanted[1:]:
            action, state = self.step(state, target)
            path.append(action)
        return tuple(path), state

    def step(self, state: State, target: bytes, thread: int = -1) -> tuple[int, State]:
        """Return the step (of *thread*, if given) from *state* to one that *target* stands for.

        :raises Mismatch: there is none.
        """
        for action, step in enumerate(self.stepper.successors(state)):
            if step.failure is None and thread in (-1, step.thread):
                if self.representative(step.target) == target:
                    return action, step.target
        raise Mismatch("the reference stepper cannot take a step that the native explorer took")
