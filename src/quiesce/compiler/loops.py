# SPDX-License-Identifier: Apache-2.0
"""The loops of a thread's source, and which of them each step stays in.

Whether a thread gets on depends on the loops that it leaves (``docs/language.md``, "Getting on"): a
thread that stays in a loop which has an exit spins. Loops are those of the source and not the cycles of
the control flow graph, where a ``while`` that is the first statement of another one is merged with it.

Every step from one location to another must say which loops it leaves. Where two paths between the same
two locations leave different loops, :meth:`LoopNest.missing_locations` names places for more locations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from quiesce.compiler.ir import Code, inside_atomic, reachable, successors
from quiesce.errors import Loc


@dataclass(frozen=True, slots=True)
class SourceLoop:
    """One loop of the source, outside atomic regions.

    :param start: position of its first operation; *stop*: the position after its last one.
    :param depth: 1 for an outermost loop, 2 for a loop in it, and so on.
    :param exits: control can leave it.
    :param loc: where it stands.
    """

    start: int
    stop: int
    depth: int
    exits: bool
    loc: Loc

    def __contains__(self, position: int) -> bool:
        return self.start <= position < self.stop


class LoopNest:
    """The loops of one thread's code that control can reach."""

    def __init__(self, code: Code) -> None:
        self._ops = code.ops
        self._innermost: list[tuple[SourceLoop, ...]] = [()] * len(code.ops)
        inside, reached = inside_atomic(code.ops), reachable(code.ops)
        spans = sorted(
            ((s.start.position, s.stop.position, s.loc) for s in code.marks.loops),
            key=lambda span: (span[0], -span[1]),
        )
        for start, stop, loc in spans:
            if start == stop or inside[start] or not reached[start]:
                continue
            exits = any(
                not start <= after < stop
                for i in range(start, stop)
                if reached[i]
                for after in successors(code.ops, i)
            )
            around = self._innermost[start]
            loop = SourceLoop(start, stop, len(around) + 1, exits, loc)
            self._innermost[start:stop] = [(*around, loop)] * (stop - start)

    def around(self, position: int) -> tuple[SourceLoop, ...]:
        """Return the loops that *position* is in, the outermost first."""
        return self._innermost[position]

    def steps(self, starts: set[int]) -> dict[tuple[int, int], int]:
        """Return for each step the depth of the smallest loop that all of it is in; 0 for no loop.

        :param starts: the positions of the locations, :meth:`missing_locations` among them.
        :returns: by the positions of the two locations that a step lies between.
        """
        return {(a, b): depth for a in starts for b, depth, _ in self._ends(starts, a)}

    def missing_locations(self, starts: set[int]) -> set[int]:
        """Return where a location is needed for each step to leave the same loops on all its paths."""
        missing: set[int] = set()
        for a in starts:
            ends = list(self._ends(starts, a))
            deepest: dict[int, int] = {}
            for b, depth, _ in ends:
                deepest[b] = max(depth, deepest.get(b, 0))
            missing |= {left for b, depth, left in ends if depth < deepest[b]}
        return missing

    def _ends(self, starts: set[int], start: int) -> Iterator[tuple[int, int, int]]:
        """Yield how each path of a step from *start* ends: where, in which loop, where it left one.

        The last is the operation at which the path was first outside the larger loop; -1 if it left none.
        """
        around = self.around(start)
        seen: set[tuple[int, int, int]] = set()
        todo = [(after, len(around), -1) for after in successors(self._ops, start)]
        while todo:
            position, depth, left = todo.pop()
            while depth and position not in around[depth - 1]:
                depth, left = depth - 1, position
            if (position, depth, left) in seen:
                continue
            seen.add((position, depth, left))
            if position in starts:
                yield position, depth, left
            else:
                todo += [(after, depth, left) for after in successors(self._ops, position)]
