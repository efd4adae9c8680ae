# SPDX-License-Identifier: Apache-2.0
"""What is left of a level, in chunks: each core takes what it stored itself first, then helps the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Chunk(NamedTuple):
    """Some states of one level: the worker whose states they are, and from which to which."""

    owner: int
    lo: int
    hi: int


class Chunks:
    """Chunks of states that no core has begun.

    A core's own states are still in its cache; those of others come from theirs.
    """

    def __init__(self, cores: int, chunks: Iterable[Chunk] = ()) -> None:
        self._of: list[deque[Chunk]] = [deque() for _ in range(cores)]
        self.add(chunks)

    def add(self, chunks: Iterable[Chunk]) -> None:
        """Append *chunks*."""
        for chunk in chunks:
            self._of[chunk.owner].append(chunk)

    def take(self, core: int) -> Chunk | None:
        """Return a chunk for *core*, or None if there is none left; safe to call from any thread."""
        try:
            return self._of[core].popleft()
        except IndexError:
            pass
        for queue in sorted(self._of, key=len, reverse=True):
            try:
                return queue.pop()
            except IndexError:
                continue
        return None

    @property
    def states(self) -> int:
        """How many states there are in all of them."""
        return sum(chunk.hi - chunk.lo for chunk in self)

    def __iter__(self) -> Iterator[Chunk]:
        return (chunk for queue in self._of for chunk in queue)

    def __bool__(self) -> bool:
        return any(self._of)
