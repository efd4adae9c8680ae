# SPDX-License-Identifier: Apache-2.0
"""Starvation and livelock: fair runs that go on forever without what was promised.

Fairness assumed, as the kernel gives it:

* weak, for every thread: one that can move all the time does move;
* strong, for a thread at a step whose waiters queue (``@atomic(queued=True)``: spinlock_t, qrwlock,
  mutex, rwsem): one that can take the step again and again does take it.

A thread whose next step fails can take a step: fairness ends a run that keeps it from that step.

A fair run that avoids a goal forever ends in a strongly connected part of the states without the
goal. With strong fairness, finding one is the emptiness problem of Streett automata: where a thread
can again and again take its queued step and never moves, the states in which it can are removed and
what is left is cut into components again (E. A. Emerson, C.-L. Lei, "Modalities for model checking:
branching time strikes back", POPL 1985; O. Lichtenstein, A. Pnueli, POPL 1985). Each removal loses a
state, so it ends.

The lasso that is printed is itself a fair run: its loop meets every thread's condition, and
:func:`is_fair` checks it, after shortening too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from quiesce.compiler.program import Program
from quiesce.explorer.reference.components import strongly_connected
from quiesce.explorer.reference.graph import Graph


@dataclass(frozen=True, slots=True)
class Lasso:
    """A run that goes on forever: from state *entry*, *loop* (edge numbers) leads back to it.

    An empty loop is a run that ends in *entry*, where no thread can move.
    """

    entry: int
    loop: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Which steps a fair cycle must not contain, and which it must; threads as masks.

    :param moves: threads that must not move in it.
    :param progress: threads that must not get on in it (``getting_on.py``), and whose choices are fair.
    :param must_move: one of these threads must move in it; 0: any.
    """

    moves: int = 0
    progress: int = 0
    must_move: int = 0


NONE_LEFT_OUT = LeftOut()
FAILS = -1
"""Stands for the edges of steps that fail, which are not in the graph."""


class FairCycles:
    """Looks for fair cycles in an explored graph.

    :param progress: for each edge, whether its thread gets on by it; needed to leave such edges out.
    :param fairness: ``strong`` (weak for all, strong for queued steps), ``weak``, or ``none``.
    """

    def __init__(
        self,
        program: Program,
        graph: Graph,
        fairness: str = "strong",
        progress: Sequence[int] = (),
    ) -> None:
        self.graph = graph
        self.progress = progress
        self.fairness = fairness
        self.threads = len(program.threads)
        self._queued = [[at.queued for at in t.kind.locations] for t in program.threads]
        self._base = [t.base for t in program.threads]
        count = graph.expanded
        self.enabled = [0] * count
        """For each state, the threads that can take a step, be it one that fails, as a mask."""
        for state in range(count):
            mask = 0
            for edge in graph.edges(state):
                mask |= 1 << graph.threads[edge]
            self.enabled[state] = mask
        self._failing: dict[tuple[int, int], int] = {}
        """How many steps of a thread fail in a state."""
        for failed in graph.failures:
            self.enabled[failed.source] |= 1 << failed.thread
            key = failed.source, failed.thread
            self._failing[key] = self._failing.get(key, 0) + 1
        self._refused: set[int] = set()
        """Edges that are left out because an option of the same choice leads out of the component."""

    def strongly_enabled(self, state: int) -> int:
        """Return the threads that can take a queued step in *state*, as a mask."""
        if self.fairness != "strong":
            return 0
        values = self.graph.states[state]
        mask = 0
        for thread in range(self.threads):
            if (
                self.enabled[state] >> thread & 1
                and self._queued[thread][values[self._base[thread]]]
            ):
                mask |= 1 << thread
        return mask

    def find(self, avoids: Sequence[bool], left_out: LeftOut = NONE_LEFT_OUT) -> Lasso | None:
        """Return a fair lasso whose loop stays in the states that *avoids* marks; the earliest one."""
        graph = self.graph
        self._refused.clear()
        best: Lasso | None = None
        todo = self._components([s for s in range(graph.expanded) if avoids[s]], left_out)
        while todo:
            component = todo.pop()
            entry = min(component)
            if best is not None and graph.depth[entry] >= graph.depth[best.entry]:
                continue
            members = set(component)
            if left_out.progress and self._refuse_choices(component, members, left_out):
                todo += self._components(component, left_out)
                continue
            moved, disabled, strong = self._summary(component, members, left_out)
            if left_out.must_move and not moved & left_out.must_move:
                continue
            starved = strong & ~moved
            if starved:
                rest = [s for s in component if not self.strongly_enabled(s) & starved]
                todo += self._components(rest, left_out)
                continue
            everyone = (1 << self.threads) - 1
            if self.fairness != "none" and (moved | disabled) != everyone:
                continue
            best = Lasso(entry, self._loop(entry, members, moved, left_out))
        return best

    def find_dead_end(self, avoids: Sequence[bool]) -> Lasso | None:
        """Return the earliest run that simply ends in a state that *avoids* marks."""
        for state in range(self.graph.expanded):
            if avoids[state] and not self.enabled[state]:
                return Lasso(state, ())
        return None

    def _summary(
        self, component: Iterable[int], members: set[int], left_out: LeftOut
    ) -> tuple[int, int, int]:
        """Return the threads that move inside, those disabled somewhere, those queued-enabled somewhere."""
        moved = disabled = strong = 0
        everyone = (1 << self.threads) - 1
        for state in component:
            disabled |= everyone & ~self.enabled[state]
            strong |= self.strongly_enabled(state)
            for edge in self._inside(state, members, left_out):
                moved |= 1 << self.graph.threads[edge]
        return moved, disabled, strong

    def _inside(self, state: int, members: set[int], left_out: LeftOut) -> list[int]:
        """Return the edges from *state* that stay in *members* and are not left out."""
        graph = self.graph
        return [
            e
            for e in graph.edges(state)
            if graph.targets[e] in members and not self._is_left_out(e, left_out)
        ]

    def _refuse_choices(
        self, component: Iterable[int], members: set[int], left_out: LeftOut
    ) -> bool:
        """Leave out the steps of a thread whose choices are fair where an option leads out of *component*.

        A run that stays in the component and comes to that state again and again would have to take that
        option. So the thread does not move there. Return whether there was such a step.
        """
        found = False
        for state in component:
            by_thread: dict[int, list[int]] = {}
            for edge in self.graph.edges(state):
                if left_out.progress >> self.graph.threads[edge] & 1:
                    by_thread.setdefault(self.graph.threads[edge], []).append(edge)
            inside = set(self._inside(state, members, left_out))
            for thread, edges in by_thread.items():
                stay = [e for e in edges if e in inside]
                options = len(edges) + self._failing.get((state, thread), 0)
                if stay and len(stay) < options:
                    self._refused.update(stay)
                    found = True
        return found

    def _is_left_out(self, edge: int, left_out: LeftOut) -> bool:
        if edge in self._refused:
            return True
        bit = 1 << self.graph.threads[edge]
        return bool(left_out.moves & bit or (left_out.progress & bit and self.progress[edge]))

    def _components(self, region: list[int], left_out: LeftOut) -> list[list[int]]:
        """Return the strongly connected components of *region* that contain a cycle."""
        graph = self.graph

        def passable(edge: int) -> bool:
            return not self._is_left_out(edge, left_out)

        return [
            component
            for component in strongly_connected(graph, region, passable)
            if len(component) > 1
            or any(
                graph.targets[e] == component[0] and passable(e) for e in graph.edges(component[0])
            )
        ]

    # --- The loop ---------------------------------------------------------------------------------

    def _loop(
        self, entry: int, members: set[int], moved: int, left_out: LeftOut
    ) -> tuple[int, ...]:
        """Return a fair loop from *entry* through *members*, as short as it is found to be."""
        if self.fairness == "none":
            # Only a thread that must move has to.
            moved &= left_out.must_move
            moved &= -moved
        best = self._tour(entry, members, moved, left_out)
        # A thread that waits somewhere on the loop need not move in it: try to leave each out.
        needed = moved
        for thread in range(self.threads):
            if needed >> thread & 1:
                shorter = self._tour(entry, members, needed & ~(1 << thread), left_out)
                if shorter and len(shorter) <= len(best) and self._will_do(shorter, left_out):
                    best, needed = shorter, needed & ~(1 << thread)
        while untaken := self.untaken(best, left_out):
            for edge in sorted(untaken):
                best += self._detour(entry, edge, members, left_out)
        assert self._will_do(best, left_out)
        return best

    def untaken(self, loop: Sequence[int], left_out: LeftOut) -> set[int]:
        """Return the options that *loop* is offered and never takes, of threads whose choices are fair.

        One that fails has no edge: it is :data:`FAILS`. No loop takes it.
        """
        graph, taken = self.graph, set(loop)
        options: set[int] = set()
        for edge in taken:
            thread, source = graph.threads[edge], self._source(edge)
            if left_out.progress >> thread & 1:
                options.update(e for e in graph.edges(source) if graph.threads[e] == thread)
                if (source, thread) in self._failing:
                    options.add(FAILS)
        return options - taken

    def _detour(
        self, entry: int, edge: int, members: set[int], left_out: LeftOut
    ) -> tuple[int, ...]:
        """Return a closed walk from *entry* that takes *edge*."""
        graph = self.graph
        source, target = self._source(edge), graph.targets[edge]
        walk: list[int] = []
        if source != entry:
            walk += (
                self._shortest(entry, members, left_out, lambda e: graph.targets[e] == source) or []
            )
        walk.append(edge)
        if target != entry:
            walk += (
                self._shortest(target, members, left_out, lambda e: graph.targets[e] == entry) or []
            )
        return tuple(walk)

    def _will_do(self, loop: Sequence[int], left_out: LeftOut) -> bool:
        """Whether *loop* is fair and a thread that must move does."""
        movers = {self.graph.threads[e] for e in loop}
        must = left_out.must_move
        return self.is_fair(loop) and (not must or any(must >> t & 1 for t in movers))

    def _tour(
        self, entry: int, members: set[int], must_move: int, left_out: LeftOut
    ) -> tuple[int, ...]:
        """Return a closed walk in which each thread of *must_move* moves and the others wait somewhere."""
        graph = self.graph
        everyone = (1 << self.threads) - 1
        wait_for = everyone & ~must_move if self.fairness != "none" else 0
        here = entry
        wait_for &= self.enabled[here]
        walk: list[int] = []
        while must_move or wait_for:
            path = self._shortest(
                here,
                members,
                left_out,
                lambda edge, m=must_move, w=wait_for: bool(  # type: ignore[misc]
                    m >> graph.threads[edge] & 1 or w & ~self.enabled[graph.targets[edge]]
                ),
            )
            if path is None:
                return ()
            for edge in path:
                must_move &= ~(1 << graph.threads[edge])
                wait_for &= self.enabled[graph.targets[edge]]
            walk += path
            here = graph.targets[walk[-1]]
        if here != entry or not walk:
            back = self._shortest(here, members, left_out, lambda e: graph.targets[e] == entry)
            assert back is not None
            walk += back
        return tuple(walk)

    def _shortest(
        self, start: int, members: set[int], left_out: LeftOut, wanted: Callable[[int], bool]
    ) -> list[int] | None:
        """Return the edges of a shortest path from *start* whose last edge is *wanted*."""
        graph = self.graph
        came: dict[int, int] = {start: -1}
        queue = deque([start])
        while queue:
            state = queue.popleft()
            for edge in self._inside(state, members, left_out):
                if wanted(edge):
                    path = [edge]
                    while came[state] != -1:
                        path.append(came[state])
                        state = self._source(came[state])
                    return path[::-1]
                target = graph.targets[edge]
                if target not in came:
                    came[target] = edge
                    queue.append(target)
        return None

    def _source(self, edge: int) -> int:
        """Return the state that *edge* leaves."""
        return bisect_right(self.graph.first, edge) - 1

    def is_fair(self, loop: Sequence[int]) -> bool:
        """Whether going round *loop* forever is a fair run."""
        if self.fairness == "none":
            return True
        graph = self.graph
        moved = disabled = strong = 0
        everyone = (1 << self.threads) - 1
        for edge in loop:
            state = graph.targets[edge]
            moved |= 1 << graph.threads[edge]
            disabled |= everyone & ~self.enabled[state]
            strong |= self.strongly_enabled(state)
        return (moved | disabled) == everyone and not strong & ~moved
