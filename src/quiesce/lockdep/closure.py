# SPDX-License-Identifier: Apache-2.0
"""Recording dependencies, and which classes lead to which.

The second is what keeps the checks affordable: if no path of any strength leads from the class to
be acquired to the one held, there is no cycle, and no search is needed. Each class carries the set
of classes that it leads to, and of those that lead to it, as a bit set in one Python integer.
"""

from __future__ import annotations

from quiesce.lockdep.classes import Dependency, LockClass
from quiesce.lockdep.frames import Frame


def leads_to(source: LockClass, target: LockClass) -> bool:
    """Tell whether *source* is *target* or some path, strong or not, goes from one to the other."""
    return source is target or bool(source.reach & target.bit)


def record(
    prev: LockClass,
    next_class: LockClass,
    kind: int,
    trace: tuple[Frame, ...],
    *,
    linux: bool,
) -> None:
    """Add the dependency *prev* -> *next_class*, or the new *kind* to one that exists.

    The trace kept is that of the first recording; of the first by Linux, once Linux records it.

    :param linux: Linux records it too.
    """
    edge = prev.after.get(next_class)
    if edge is None:
        edge = Dependency(prev, next_class, trace)
        prev.after[next_class] = edge
        next_class.before[prev] = edge
        _close(prev, next_class)
    edge.dep |= kind
    if linux:
        if not edge.linux_dep:
            edge.trace = trace
            prev.linux_after.append(edge)
            next_class.linux_before.append(edge)
        edge.linux_dep |= kind


def _close(prev: LockClass, next_class: LockClass) -> None:
    """Spread what the new dependency connects, as far as it is news."""
    if prev.reach & next_class.bit:
        return
    reached = next_class.reach | next_class.bit
    stack = [prev]
    while stack:
        cls = stack.pop()
        # Reachability is transitive: if this class already reaches everything, so do its predecessors.
        if reached & ~cls.reach:
            cls.reach |= reached
            stack.extend(cls.before)
    reaching = prev.ancestors | prev.bit
    stack = [next_class]
    while stack:
        cls = stack.pop()
        if reaching & ~cls.ancestors:
            cls.ancestors |= reaching
            stack.extend(cls.after)
