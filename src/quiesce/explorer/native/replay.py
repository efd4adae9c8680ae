# SPDX-License-Identifier: Apache-2.0
"""From a state that the search has seen to the steps that lead there, found with the reference stepper.

The states of a shortest run (``trace_back.py``) are each perhaps a representative of others like it. Walking
forward with the reference stepper, from a real initial state, the step that leads to a state with that
representative is taken. So the path is made of real states, whatever reductions were on, and every
native finding is confirmed by the reference.
"""

from __future__ import annotations

import numpy as np

from quiesce.explorer.findings import Path
from quiesce.explorer.native.kernels.canonical import canonicalise_all
from quiesce.explorer.native.kernels.records import Sighting
from quiesce.explorer.native.search import Search
from quiesce.explorer.native.trace_back import Words, trace_back
from quiesce.explorer.reference.stepper import State, Stepper


class Mismatch(Exception):
    """The native explorer and the reference stepper disagree: an internal error."""


class Replay:
    """Finds paths in what a search has explored."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.stepper = Stepper(search.program)
        self._scratch = np.zeros(search.symmetry.scratch, np.int64)

    def representative(self, state: State) -> Words:
        """Return the packed words that the search keeps for *state*."""
        words = self.search.compiled.pack([state])
        if self.search.symmetry.group_count:
            canonicalise_all(
                words, 1, self.search.compiled.words, self.search.symmetry, self._scratch
            )
        return tuple(words.tolist())

    def path_to(self, sighting: Sighting, last_thread: int = -1) -> tuple[Path, State]:
        """Return the path to a state that was seen, and a real state that it stands for.

        :param last_thread: the thread that moves next there; -1 for any.
        :raises Mismatch: there is none.
        """
        first, *rest = trace_back(self.search, sighting, last_thread)
        initial = self.stepper.initial_states()
        number = next((i for i, s in enumerate(initial) if self.representative(s) == first), -1)
        if number < 0:
            raise Mismatch("a path does not begin in an initial state")
        path, state, mover = [number], initial[number], -1
        for target in rest:
            action, mover, state = self.step(state, target, preferred=mover)
            path.append(action)
        return tuple(path), state

    def step(
        self, state: State, target: Words, thread: int = -1, preferred: int = -1
    ) -> tuple[int, int, State]:
        """Return a step from *state* to one that *target* stands for: its number, thread and target.

        :param thread: the thread that must move, if it is not -1; *preferred*: the one that moves if it can.
        :raises Mismatch: there is none.
        """
        found = [
            (action, step.thread, step.target)
            for action, step in enumerate(self.stepper.successors(state))
            if step.failure is None
            and thread in (-1, step.thread)
            and self.representative(step.target) == target
        ]
        if not found:
            raise Mismatch("the reference stepper cannot take a step that the native explorer took")
        return min(found, key=lambda step: (step[1] != preferred, step[0]))
