# SPDX-License-Identifier: Apache-2.0
"""Breadth-first exploration with the reference stepper: every reachable state and every step.

The whole graph is kept, since stuck threads and starvation are properties of it. States are numbered
in the order of discovery, so the number of a state's depth never decreases.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from quiesce import stopping
from quiesce.explorer.reference.evaluate import StepFailure
from quiesce.explorer.reference.peak_memory import peak_memory
from quiesce.explorer.reference.stepper import State, Step, Stepper


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a search gives up and says so.

    :param max_states: number of states.
    :param max_memory: peak memory of the process, in bytes.
    :param max_seconds: time since *started*, a time of ``time.monotonic()``.
    """

    max_states: int | None = None
    max_memory: int | None = None
    max_seconds: float | None = None
    started: float = field(default_factory=time.monotonic, compare=False)
    look: Callable[[int], None] | None = field(default=None, compare=False)
    """Is told before each state is expanded how many states there are, and may raise what ends the search."""

    @property
    def deadline(self) -> float | None:
        """The time of ``time.monotonic()`` at which to stop."""
        return None if self.max_seconds is None else self.started + self.max_seconds

    @property
    def time_text(self) -> str:
        """The reason that is given when the time is over."""
        return f"the bound of {self.max_seconds or 0:g} s was hit"

    def ends_now(self) -> str:
        """Return why a search ends here, whatever its size: it was interrupted, or the time is over."""
        if stopping.reason():
            return stopping.reason()
        deadline = self.deadline
        return self.time_text if deadline is not None and time.monotonic() >= deadline else ""


@dataclass(slots=True)
class Progress:
    """What a search has done so far; handed to the progress callback."""

    states: int
    transitions: int
    depth: int
    queue: int
    seconds: float


@dataclass(slots=True)
class FailedStep:
    """A step that failed: the *action*-th step from state *source*."""

    source: int
    action: int
    thread: int
    failure: StepFailure


@dataclass(slots=True)
class Graph:
    """The states and steps found.

    ``targets[first[s]:first[s + 1]]`` are the states after ``s``; ``threads`` says which thread moved,
    ``actions`` which of the stepper's successors it was.
    """

    states: list[State] = field(default_factory=list)
    index: dict[State, int] = field(default_factory=dict)
    depth: array[int] = field(default_factory=lambda: array("l"))
    parent: array[int] = field(default_factory=lambda: array("l"))
    parent_action: array[int] = field(default_factory=lambda: array("l"))
    first: array[int] = field(default_factory=lambda: array("l"))
    targets: array[int] = field(default_factory=lambda: array("l"))
    threads: array[int] = field(default_factory=lambda: array("l"))
    actions: array[int] = field(default_factory=lambda: array("l"))
    failures: list[FailedStep] = field(default_factory=list)
    transitions: int = 0
    incomplete: str = ""
    initial: int = 0

    def unknown_beyond(self) -> list[int]:
        """Return the states after which a run is not known, since a step fails there."""
        return [f.source for f in self.failures]

    @property
    def expanded(self) -> int:
        """How many states have had their successors computed."""
        return len(self.first) - 1

    def add(self, state: State, parent: int, action: int, depth: int) -> int:
        """Return the number of *state*, adding it if it is new."""
        number = self.index.get(state)
        if number is None:
            number = self.index[state] = len(self.states)
            self.states.append(state)
            self.depth.append(depth)
            self.parent.append(parent)
            self.parent_action.append(action)
        return number

    def expand(self, number: int, steps: list[Step]) -> None:
        """Enter *steps*, all that can be taken from state *number*: the first that is not expanded yet."""
        depth = self.depth[number] + 1
        for action, step in enumerate(steps):
            self.transitions += 1
            if step.failure is not None:
                self.failures.append(FailedStep(number, action, step.thread, step.failure))
                continue
            self.targets.append(self.add(step.target, number, action, depth))
            self.threads.append(step.thread)
            self.actions.append(action)
        self.first.append(len(self.targets))

    def edges(self, state: int) -> range:
        """Return the numbers of the edges that leave *state*."""
        return range(self.first[state], self.first[state + 1])

    def edge(self, state: State, action: int) -> int:
        """Return the number of the edge that is step number *action* from *state*, which is expanded."""
        return next(e for e in self.edges(self.index[state]) if self.actions[e] == action)


OnState = Callable[[int, State, list[Step]], bool]
"""Called for each state as it is expanded, with its steps; true: finish this depth, then stop."""

_CHECK_EVERY = 64
"""States between two looks at what may end the search from outside."""


def explore(
    stepper: Stepper,
    on_state: OnState,
    bounds: Bounds,
    progress: Callable[[Progress], None] | None = None,
) -> Graph:
    """Explore breadth-first from the initial states, until everything is seen or a bound is hit."""
    graph = Graph()
    started = time.monotonic()
    for number, state in enumerate(stepper.each_initial_state()):
        graph.add(state, -1, 0, 0)
        if number % _CHECK_EVERY == 0:
            graph.incomplete = _over(bounds) or _too_many(bounds, len(graph.states))
            if graph.incomplete:
                break
    graph.initial = len(graph.states)
    graph.first.append(0)
    stop_after: int | None = None
    current = 0
    while current < len(graph.states) and not graph.incomplete:
        depth = graph.depth[current]
        if stop_after is not None and depth > stop_after:
            graph.incomplete = "stopped at the first violation"
            break
        if current % _CHECK_EVERY == 0:
            if progress is not None:
                seconds = time.monotonic() - started
                queue = len(graph.states) - current
                progress(Progress(len(graph.states), graph.transitions, depth, queue, seconds))
            graph.incomplete = _over(bounds)
        if bounds.look is not None:
            bounds.look(len(graph.states))
        graph.incomplete = graph.incomplete or _too_many(bounds, len(graph.states))
        if graph.incomplete:
            break
        state = graph.states[current]
        steps = stepper.successors(state)
        if on_state(current, state, steps) and stop_after is None:
            stop_after = depth
        graph.expand(current, steps)
        current += 1
    return graph


def expand_only(stepper: Stepper, states: list[State]) -> Graph:
    """Return a graph in which *states*, and no others, are expanded: the first ones, in their order."""
    graph = Graph()
    for state in states:
        graph.add(state, -1, 0, 0)
    graph.first.append(0)
    for number, state in enumerate(states):
        graph.expand(number, stepper.successors(state))
    return graph


def _over(bounds: Bounds) -> str:
    """Return why a search ends here for its time or its memory; empty: it goes on."""
    if bounds.max_memory is not None and peak_memory() > bounds.max_memory:
        return f"the bound of {bounds.max_memory:,} bytes of memory was hit"
    return bounds.ends_now()


def _too_many(bounds: Bounds, states: int) -> str:
    if bounds.max_states is not None and states > bounds.max_states:
        return f"the bound of {bounds.max_states:,} states was hit"
    return ""
