# SPDX-License-Identifier: Apache-2.0
"""Starvation: fair runs that go on for ever without what was promised.

Fairness assumed, as the kernel gives it:

* weak, for every thread: one that can move all the time does move;
* strong, for a thread at a step whose waiters queue (``@atomic(queued=True)``: spinlock_t, qrwlock,
  mutex, rwsem): one that can take the step again and again does take it.

A fair run that avoids a goal for ever ends in a strongly connected part of the states without the
goal. With strong fairness, finding one is the emptiness problem of Streett automata: where a thread
can again and again take its queued step and never moves, the states in which it can are removed and
what is left is cut into components again (E. A. Emerson, C.-L. Lei, "Modalities for model checking:
branching time strikes back", POPL 1985; O. Lichtenstein, A. Pnueli, POPL 1985). Each removal loses a
state, so it ends.

The lasso that is printed is itself a fair run: its loop meets every thread's condition, and
:func:`is_fair` checks it, after shortening too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from quiesce.compiler.program import Program
from quiesce.explorer.graph import Graph


@dataclass(frozen=True, slots=True)
class Lasso:
    """A run that goes on for ever: from state *entry*, *loop* (edge numbers) leads back to it.

    An empty loop is a run that ends in *entry*, where nobody can move.
    """

    entry: int
    loop: tuple[int, ...]


class FairCycles:
    """Looks for fair cycles in an explored graph.

    :param fairness: ``strong`` (weak for all, strong for queued steps), ``weak``, or ``none``.
    """

    def __init__(self, program: Program, graph: Graph, fairness: str = "strong") -> None:
        self.graph = graph
        self.fairness = fairness
        self.threads = len(program.threads)
        self._queued = [[at.queued for at in t.kind.locations] for t in program.threads]
        self._base = [t.base for t in program.threads]
        count = graph.expanded
        self.moves = [0] * count
        """For each state, the set of threads that can move, as a mask."""
        for state in range(count):
            mask = 0
            for edge in graph.edges(state):
                mask |= 1 << graph.threads[edge]
            self.moves[state] = mask

    def strongly_enabled(self, state: int) -> int:
        """Return the threads that can take a queued step in *state*, as a mask."""
        if self.fairness != "strong":
            return 0
        values = self.graph.states[state]
        mask = 0
        for thread in range(self.threads):
            if self.moves[state] >> thread & 1 and self._queued[thread][values[self._base[thread]]]:
                mask |= 1 << thread
        return mask

    def find(self, avoids: Sequence[bool], without: int = -1) -> Lasso | None:
        """Return a fair lasso whose loop stays in the states that *avoids* marks; the earliest one.

        :param without: a thread that must not move in the loop, or -1.
        """
        graph = self.graph
        best: Lasso | None = None
        region = [s for s in range(graph.expanded) if avoids[s]]
        todo = list(self._components(region, set(region), without))
        while todo:
            component = todo.pop()
            entry = min(component)
            if best is not None and graph.depth[entry] >= graph.depth[best.entry]:
                continue
            members = set(component)
            moved, disabled, strong = self._summary(component, members, without)
            starved = strong & ~moved
            if starved:
                rest = [s for s in component if not self.strongly_enabled(s) & starved]
                todo += self._components(rest, set(rest), without)
                continue
            everyone = (1 << self.threads) - 1
            if self.fairness != "none" and (moved | disabled) != everyone:
                continue
            loop = self._loop(entry, members, moved, without)
            best = Lasso(entry, loop)
        return best

    def find_dead_end(self, avoids: Sequence[bool]) -> Lasso | None:
        """Return the earliest run that simply ends in a state that *avoids* marks."""
        unknown = set(self.graph.unknown_beyond())
        for state in range(self.graph.expanded):
            if avoids[state] and not self.moves[state] and state not in unknown:
                return Lasso(state, ())
        return None

    def _summary(
        self, component: Iterable[int], members: set[int], without: int
    ) -> tuple[int, int, int]:
        """Return the threads that move inside, those disabled somewhere, those queued-enabled somewhere."""
        graph = self.graph
        moved = disabled = strong = 0
        everyone = (1 << self.threads) - 1
        for state in component:
            disabled |= everyone & ~self.moves[state]
            strong |= self.strongly_enabled(state)
            for edge in graph.edges(state):
                if graph.threads[edge] != without and graph.targets[edge] in members:
                    moved |= 1 << graph.threads[edge]
        return moved, disabled, strong

    def _inside(self, state: int, members: set[int], without: int) -> list[int]:
        graph = self.graph
        return [
            e
            for e in graph.edges(state)
            if graph.targets[e] in members and graph.threads[e] != without
        ]

    def _components(self, region: list[int], members: set[int], without: int) -> list[list[int]]:
        """Return the strongly connected components of *region* that contain a cycle.

        R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1(2), 1972, with an
        explicit stack.
        """
        graph = self.graph
        order: dict[int, int] = {}
        low: dict[int, int] = {}
        on_stack: set[int] = set()
        stack: list[int] = []
        found: list[list[int]] = []
        for root in region:
            if root in order:
                continue
            work: list[tuple[int, int]] = [(root, graph.first[root])]
            order[root] = low[root] = len(order)
            stack.append(root)
            on_stack.add(root)
            while work:
                state, edge = work[-1]
                if edge < graph.first[state + 1]:
                    work[-1] = (state, edge + 1)
                    target = graph.targets[edge]
                    if target not in members or graph.threads[edge] == without:
                        continue
                    if target not in order:
                        order[target] = low[target] = len(order)
                        stack.append(target)
                        on_stack.add(target)
                        work.append((target, graph.first[target]))
                    elif target in on_stack:
                        low[state] = min(low[state], order[target])
                    continue
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[state])
                if low[state] == order[state]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == state:
                            break
                    if len(component) > 1 or any(
                        graph.targets[e] == state and graph.threads[e] != without
                        for e in graph.edges(state)
                    ):
                        found.append(component)
        return found

    # --- The loop ---------------------------------------------------------------------------------

    def _loop(self, entry: int, members: set[int], moved: int, without: int) -> tuple[int, ...]:
        """Return a fair loop from *entry* through *members*, as short as it is found to be."""
        best = self._tour(entry, members, moved, without)
        # A thread that waits somewhere on the loop need not move in it: try to leave each out.
        needed = moved
        for thread in range(self.threads):
            if needed >> thread & 1:
                shorter = self._tour(entry, members, needed & ~(1 << thread), without)
                if shorter and len(shorter) <= len(best) and self.is_fair(shorter):
                    best, needed = shorter, needed & ~(1 << thread)
        assert self.is_fair(best)
        return best

    def _tour(self, entry: int, members: set[int], must_move: int, without: int) -> tuple[int, ...]:
        """Return a closed walk in which each thread of *must_move* moves and the others wait somewhere."""
        graph = self.graph
        everyone = (1 << self.threads) - 1
        if self.fairness == "none":
            must_move = 0
        wait_for = everyone & ~must_move if self.fairness != "none" else 0
        here = entry
        wait_for &= self.moves[here]
        walk: list[int] = []
        while must_move or wait_for:
            path = self._shortest(
                here,
                members,
                without,
                lambda edge, m=must_move, w=wait_for: bool(  # type: ignore[misc]
                    m >> graph.threads[edge] & 1 or w & ~self.moves[graph.targets[edge]]
                ),
            )
            if path is None:
                return ()
            for edge in path:
                must_move &= ~(1 << graph.threads[edge])
                wait_for &= self.moves[graph.targets[edge]]
            walk += path
            here = graph.targets[walk[-1]]
        if here != entry or not walk:
            back = self._shortest(here, members, without, lambda e: graph.targets[e] == entry)
            assert back is not None
            walk += back
        return tuple(walk)

    def _shortest(
        self, start: int, members: set[int], without: int, wanted: Callable[[int], bool]
    ) -> list[int] | None:
        """Return the edges of a shortest path from *start* whose last edge is *wanted*."""
        graph = self.graph
        came: dict[int, int] = {start: -1}
        queue = deque([start])
        while queue:
            state = queue.popleft()
            for edge in self._inside(state, members, without):
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
        from bisect import bisect_right

        return bisect_right(self.graph.first, edge) - 1

    def is_fair(self, loop: Sequence[int]) -> bool:
        """Whether going round *loop* for ever is a fair run."""
        if self.fairness == "none":
            return True
        graph = self.graph
        moved = disabled = strong = 0
        everyone = (1 << self.threads) - 1
        for edge in loop:
            state = graph.targets[edge]
            moved |= 1 << graph.threads[edge]
            disabled |= everyone & ~self.moves[state]
            strong |= self.strongly_enabled(state)
        return (moved | disabled) == everyone and not strong & ~moved
