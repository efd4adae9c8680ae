# SPDX-License-Identifier: Apache-2.0
"""Strong paths through the dependencies: Linux's search, and an exact one.

A dependency ``A -> B`` has a kind of two letters. The first says how A was held: E exclusively, S
as any reader. The second says how B was waited for: N by a writer or a reader that a waiting writer
blocks, R by a recursive reader. ``X -(*R)-> Y -(S*)-> Z`` is no deadlock, since a recursive reader
never waits for another reader; any other pair of neighbours is. A path without such a pair is
*strong*, and a deadlock is a strong path that comes back to its start. (Linux 5.10, "lockdep:
Extend __bfs() to work with multiple types of dependencies";
Documentation/locking/lockdep-design.rst.)

Along a path it is enough to know whether every way into the last class so far ends in ``*R``, which
the kernel calls ``only_xr``. Backwards the letters swap their roles, and ``only_xr`` means that
every way out starts with ``S*``.

Linux visits each class once, and marks it visited before it looks at the strength of the way in. So
a class that is first met over a way that is not strong hides the strong ways that come later: a
real deadlock goes unreported, and recording the same dependencies in another order makes it
visible. The exact search visits a class once for each value of ``only_xr``, where False subsumes
True.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from quiesce.lockdep.classes import Dependency, LockClass
from quiesce.lockdep.frames import Frame

SR = 1
ER = 2
SN = 4
EN = 8

_SWAP_SHARED_RECURSIVE = tuple(
    (dep & (SR | EN)) | (SN if dep & ER else 0) | (ER if dep & SN else 0) for dep in range(16)
)
"""The kind of a dependency as seen backwards: E and N change places, and so do S and R."""


def dependency_kind(prev_read: int, next_read: int) -> int:
    """Return the kind of the dependency made by waiting for *next* while *prev* is held."""
    kind = SR if next_read == 2 else SN
    return kind if prev_read else kind << 1


class PathNode:
    """A class reached by a search; its parents lead back to the root.

    :ivar edge: the dependency that led here; None at the root.
    """

    __slots__ = ("cls", "edge", "only_xr", "parent")

    def __init__(
        self, cls: LockClass, edge: Dependency | None, parent: PathNode | None, only_xr: bool
    ) -> None:
        self.cls = cls
        self.edge = edge
        self.parent = parent
        self.only_xr = only_xr

    @property
    def trace(self) -> tuple[Frame, ...]:
        """Where the dependency that led here was recorded; empty at the root."""
        return self.edge.trace if self.edge is not None else ()

    def path(self) -> list[PathNode]:
        """Return the nodes from here back to the root."""
        nodes = [self]
        while (parent := nodes[-1].parent) is not None:
            nodes.append(parent)
        return nodes


Match = Callable[[PathNode], bool]
Skip = Callable[[LockClass], bool]


class PathSearch(Protocol):
    """Breadth-first search from a class along strong paths, forwards or backwards."""

    def __call__(
        self,
        root: LockClass,
        only_xr: bool,
        match: Match,
        *,
        backwards: bool = False,
        skip: Skip | None = None,
    ) -> PathNode | None:
        """Return the nearest node that *match* accepts, the root included; None if there is none.

        :param only_xr: forwards, the root is waited for as a recursive reader; backwards, it is
            held as a reader.
        :param skip: classes that are neither matched nor passed through.
        """


def exact_search(
    root: LockClass,
    only_xr: bool,
    match: Match,
    *,
    backwards: bool = False,
    skip: Skip | None = None,
) -> PathNode | None:
    """Search so that no strong path is missed. See :class:`PathSearch`."""
    # What is known of each class: absent, True (reached with only_xr), or False (reached freely).
    reached: dict[LockClass, bool] = {root: only_xr}
    queue = deque([PathNode(root, None, None, only_xr)])
    while queue:
        node = queue.popleft()
        if skip is not None and skip(node.cls):
            continue
        if match(node):
            return node
        for cls, edge in (node.cls.before if backwards else node.cls.after).items():
            if reached.get(cls) is False:
                continue
            dep = _SWAP_SHARED_RECURSIVE[edge.dep] if backwards else edge.dep
            if node.only_xr:
                dep &= ~(SR | SN)
                if not dep:
                    continue
            weak = not dep & (SN | EN)
            if weak and cls in reached:
                continue
            reached[cls] = weak
            queue.append(PathNode(cls, edge, node, weak))
    return None


def linux_search(
    root: LockClass,
    only_xr: bool,
    match: Match,
    *,
    backwards: bool = False,
    skip: Skip | None = None,
) -> PathNode | None:
    """Search as ``__bfs()`` of Linux 6.12 does, over what Linux has recorded."""
    visited: set[LockClass] = set()
    queue = deque([PathNode(root, None, None, only_xr)])
    while queue:
        node = queue.popleft()
        if node.cls in visited:
            continue
        visited.add(node.cls)
        if node.parent is not None and node.edge is not None:
            dep = node.edge.linux_dep
            dep = _SWAP_SHARED_RECURSIVE[dep] if backwards else dep
            if node.parent.only_xr:
                dep &= ~(SR | SN)
            if not dep:
                continue
            node.only_xr = not dep & (SN | EN)
        if skip is not None and skip(node.cls):
            continue
        if match(node):
            return node
        if backwards:
            queue.extend(PathNode(edge.near, edge, node, False) for edge in node.cls.linux_before)
        else:
            queue.extend(PathNode(edge.far, edge, node, False) for edge in node.cls.linux_after)
    return None
