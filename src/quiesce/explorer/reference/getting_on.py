# SPDX-License-Identifier: Apache-2.0
"""Which steps of a graph let their thread get on: see "Getting on" in ``docs/language.md``.

A thread that takes steps forever stays in some smallest loop of its source. It gets on if that loop has
no exit. A step of which not all is in one loop that has an exit cannot be taken again and again by a
thread that spins. Such steps are called *progress* here, as in Spin (G. J. Holzmann, "The model checker
SPIN", IEEE TSE 23(5), 1997): a thread spins in a cycle exactly if it moves there and none of its steps is
progress.
"""

from __future__ import annotations

from array import array

from quiesce.compiler.loops import SourceLoop
from quiesce.compiler.program import Program, ThreadKind
from quiesce.explorer.reference.graph import Graph
from quiesce.explorer.reference.stepper import State


def exits_around(kind: ThreadKind, location: int) -> list[SourceLoop]:
    """Return the loops with an exit that a thread at *location* may fail to leave, the outermost first.

    Loops around one without an exit are left out: inside that one the thread gets on.
    """
    found: list[SourceLoop] = []
    for loop in kind.nest.around(kind.locations[location].position):
        found = [*found, loop] if loop.exits else []
    return found


def loops_left(kind: ThreadKind, location: int, depth: int) -> list[SourceLoop]:
    """Return the loops with an exit that a thread no longer fails to leave by a step from *location*.

    :param depth: that of the smallest loop that all of the step is in.
    """
    kept = {loop.start for loop in exits_around(kind, location) if loop.depth <= depth}
    around = kind.nest.around(kind.locations[location].position)
    return [loop for loop in around if loop.exits and loop.start not in kept]


def may_spin(kind: ThreadKind) -> bool:
    """Whether any loop of *kind* has an exit."""
    return any(exits_around(kind, i) for i in range(len(kind.locations)))


def loop_around(program: Program, state: State, thread: int) -> SourceLoop | None:
    """Return the innermost loop with an exit that *thread* is in, or None."""
    declared = program.threads[thread]
    around = exits_around(declared.kind, state[declared.base])
    return around[-1] if around else None


class GettingOn:
    """For each edge of *graph*, which loops it leaves.

    ``depths[e]`` is the depth of the smallest loop that all of edge e is in, 0 for no loop;
    ``progress[e]`` is 1 if its thread gets on by it.
    """

    def __init__(self, program: Program, graph: Graph) -> None:
        self.depths = array("B", bytes(len(graph.targets)))
        self.progress = bytearray(len(graph.targets))
        threads = program.threads
        for state in range(graph.expanded):
            for edge in graph.edges(state):
                thread = threads[graph.threads[edge]]
                kind, here = thread.kind, graph.states[state][thread.base]
                there = graph.states[graph.targets[edge]][thread.base]
                depth = kind.loop_depth[here, there]
                around = kind.nest.around(kind.locations[here].position)
                self.depths[edge] = depth
                self.progress[edge] = depth == 0 or not around[depth - 1].exits
