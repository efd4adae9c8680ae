# SPDX-License-Identifier: Apache-2.0
"""Which stuck task waits for which: the wait-for graph of a dump.

An edge is printed ("likely owned by"), follows from the lists of held locks, or is inferred from the
functions of two stacks. The last lock that is listed for a task is the one that it waits for, if the
task took it where it is blocked: lockdep lists a lock before the task has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quiesce.explain.judge.annotations import look_up
from quiesce.explain.judge.call_path import above_the_lock, is_generic, is_wrapper, useful
from quiesce.explain.judge.modes import plain_name
from quiesce.explain.judge.roles import role_of
from quiesce.explain.judge.wait_functions import (
    FROZEN,
    Awaited,
    event_of,
    held_in,
    lock_taken_in,
    lock_wait_of,
)
from quiesce.explain.judge.words import LockNames, short_name
from quiesce.explain.read.model import PrintedFrame, PrintedLock, StuckTask

_SCHEDULING = re.compile(
    r"_*schedule\w*|context_switch|__switch_to\w*|io_schedule\w*|preempt_schedule\w*|freezable_schedule\w*"
    r"|schedule_\w+|__cond_resched\w*|_cond_resched|try_to_freeze\w*|prepare_to_wait\w*|finish_wait"
    r"|switch_to\w*|do_nanosleep|hrtimer_nanosleep"
)
_DEPTH = 14


@dataclass(frozen=True)
class WaitTarget:
    """What a task waits for.

    :param words: as a verb phrase: "waits for open_mutex".
    :param key: by which the task that has it is found; empty if it cannot be.
    :param name: of the lock; empty for an event.
    :param event: of the table, if it is one.
    :param inferred: True if it follows from the source and not from the dump.
    """

    function: str
    words: str
    key: str = ""
    name: str = ""
    event: Awaited | None = None
    inferred: bool = False


@dataclass(frozen=True)
class Has:
    """What a task holds or has done: its key, in words, and whether that is inferred."""

    key: str
    words: str
    inferred: bool = False
    function: str = ""


@dataclass(frozen=True)
class Node:
    """One task of the dump.

    :param stuck: True if it is blocked, not only in the list of locks.
    """

    task: StuckTask
    wanted: WaitTarget
    has: tuple[Has, ...]
    stuck: bool

    @property
    def name(self) -> str:
        return self.task.name


@dataclass(frozen=True)
class Edge:
    """Node *waiter* waits for node *holder*; *via* says what the holder has."""

    waiter: int
    holder: int
    via: Has | None


@dataclass(frozen=True)
class WaitGraph:
    """All tasks of a dump and which waits for which: at most one edge leaves each task."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def after(self, node: int) -> Edge | None:
        """Return the edge that leaves *node*."""
        return next((edge for edge in self.edges if edge.waiter == node), None)

    def path_from(self, node: int) -> tuple[list[int], int]:
        """Return the nodes on the way from *node*, and where in it a cycle begins (-1 for none)."""
        path = [node]
        while (edge := self.after(path[-1])) is not None:
            if edge.holder in path:
                return path, path.index(edge.holder)
            path.append(edge.holder)
        return path, -1

    def waiters_of(self, node: int) -> list[int]:
        """Return all stuck tasks that wait for *node*, directly or through others."""
        return [
            index
            for index, one in enumerate(self.nodes)
            if one.stuck and index != node and node in self.path_from(index)[0]
        ]


def build_graph(tasks: Sequence[StuckTask]) -> WaitGraph:
    """Return the graph of *tasks*."""
    names = LockNames(lock for task in tasks for lock in task.held)
    listed = any(task.held for task in tasks)
    nodes = tuple(_node(task, names, listed) for task in tasks)
    return WaitGraph(nodes, tuple(_edges(nodes)))


def _node(task: StuckTask, names: LockNames, listed: bool) -> Node:
    frames = [f for f in useful(task.frames) if not _SCHEDULING.fullmatch(plain_name(f.function))]
    own = _last_is_wanted(task, frames)
    wanted = _wanted(frames, own, names)
    held = task.held[:-1] if own is not None else task.held
    has = [Has(_key(lock), _holds(lock, names)) for lock in held]
    if not (listed and task.lists_held):
        has += _inferred_holds(frames, wanted)
    else:
        has += [one for one in _inferred_holds(frames, wanted) if one.key == FROZEN]
    stuck = bool(task.frames) and (
        bool(task.seconds) or task.state.startswith("D") or bool(task.owner)
    )
    return Node(task, wanted, tuple(_unique(has)), stuck)


def _unique(has: list[Has]) -> Iterator[Has]:
    seen: set[str] = set()
    for one in has:
        if one.words not in seen:
            seen.add(one.words)
            yield one


# --- What a task waits for ----------------------------------------------------------------------------


def _last_is_wanted(task: StuckTask, frames: Sequence[PrintedFrame]) -> PrintedLock | None:
    """Return the last listed lock if the task waits for it: it is taken where the task is blocked."""
    if not task.held or not frames:
        return None
    last = task.held[-1]
    near = _near_the_wait(frames)
    waits_for_lock = any(lock_wait_of(name) for name in near)
    note = look_up(last)
    annotation = note.nature.is_annotation
    if note.insiders and any(frame.function.startswith(note.insiders) for frame in last.at):
        return None  # the worker that runs the item
    if not waits_for_lock and not annotation:
        return None
    places = {plain_name(frame.function) for frame in last.at}
    if annotation and role_of(last.base) is not None and not waits_for_lock:
        event = next((e for name in near if (e := event_of(name)) is not None), None)
        return last if event is not None and places & set(near) else None
    return last if places & set(near) else None


def _near_the_wait(frames: Sequence[PrintedFrame]) -> list[str]:
    """Return the functions from the wait to the function that called for it, and its caller."""
    names = [plain_name(frame.function) for frame in frames]
    end = 0
    while end < len(names) and (
        is_wrapper(names[end]) or lock_wait_of(names[end]) or event_of(names[end])
    ):
        end += 1
    return names[: end + 2]


def _wanted(
    frames: Sequence[PrintedFrame], own: PrintedLock | None, names: LockNames
) -> WaitTarget:
    names_in = [plain_name(frame.function) for frame in frames[:_DEPTH]]
    function = _function(frames)
    if own is not None:
        return _wanted_lock(own, function, names_in, names)
    waits = _waits_of(names_in)
    events = [(name, event) for name in waits if (event := event_of(name)) is not None]
    special = [(name, event) for name, event in events if not event.generic]
    if special or (events and not any(lock_wait_of(name) for name in waits)):
        name, event = (special or events)[0]
        shown = name if event.key or event.starves else _caller_of(names_in, waits)
        return WaitTarget(shown, event.words, event.key, event=event, inferred=event.inferred)
    for name in waits:
        lock = lock_wait_of(name)
        if lock is not None:
            return _unlisted_lock(lock, function, names_in)
    words = f"waits in {function}()" if function else "is blocked"
    return WaitTarget(function, words)


def _waits_of(names: Sequence[str]) -> list[str]:
    """Return the functions from the innermost on that only wait, for a lock or for an event."""
    end = 0
    while end < len(names) and (
        is_wrapper(names[end]) or lock_wait_of(names[end]) or event_of(names[end])
    ):
        end += 1
    return list(names[:end])


def _caller_of(names: Sequence[str], waits: Sequence[str]) -> str:
    """Return the function that called those that only wait."""
    rest = names[len(waits) :]
    if rest and not is_generic(rest[0]):
        return rest[0]
    return waits[-1] if waits else ""


def _function(frames: Sequence[PrintedFrame]) -> str:
    rest = above_the_lock(frames)
    return plain_name(rest[0].function) if rest else ""


def _wanted_lock(
    lock: PrintedLock, function: str, names_in: Sequence[str], names: LockNames
) -> WaitTarget:
    name = names.of(lock)
    role = role_of(lock.base) if look_up(lock).nature.is_annotation else None
    if role is not None:
        words = (role.close or role.enter).format(name)
        return WaitTarget(function, words, _key(lock), name)
    mode = next(
        (m for n in names_in if (found := lock_wait_of(n)) is not None and (m := found[1])), ""
    )
    words = f"waits for {name}{f' ({mode})' if mode else ''}"
    return WaitTarget(function, words, _key(lock), name)


def _unlisted_lock(lock: tuple[str, str], function: str, names_in: Sequence[str]) -> WaitTarget:
    primitive, mode = lock
    name = ""
    for one in names_in:
        name = name or lock_taken_in(one)
        if one == function:
            break
    shown = f" ({mode})" if mode else ""
    if name:
        return WaitTarget(function, f"waits for {name}{shown}", name, name, inferred=True)
    article = "an" if primitive.startswith("rw") else "a"
    return WaitTarget(function, f"waits for {article} {primitive}{shown}")


# --- What a task has ----------------------------------------------------------------------------------


def _key(lock: PrintedLock) -> str:
    """Return what is equal for two mentions of one lock: the address, or the class."""
    note = look_up(lock)
    if lock.address and "ptrval" not in lock.address and not note.nature.is_annotation:
        return f"{short_name(lock.base)}@{lock.address}"
    return f"{lock.base}#{lock.version}"


def _holds(lock: PrintedLock, names: LockNames) -> str:
    role = role_of(lock.base) if look_up(lock).nature.is_annotation else None
    return role.inside.format(names.of(lock)) if role is not None else f"holds {names.of(lock)}"


def _inferred_holds(frames: Sequence[PrintedFrame], wanted: WaitTarget) -> list[Has]:
    """Return what the functions outside of the wait are known to run with, the innermost first."""
    found: dict[str, Has] = {}
    names = [plain_name(frame.function) for frame in frames]
    start = names.index(wanted.function) if wanted.function in names else 0
    for name in names[start:]:
        held = held_in(name)
        if held is None or held.key == wanted.key or held.key == wanted.name:
            continue
        if name == wanted.function and held.key != FROZEN:
            continue  # the function in which it waits is not past that lock
        words = held.words or f"holds {held.key}"
        taken = "" if held.words else f" (taken in {name}())"
        found[held.key] = Has(held.key, f"{words}{taken}", True, name)  # the outermost one took it
    return list(found.values())


# --- Edges --------------------------------------------------------------------------------------------


def _edges(nodes: Sequence[Node]) -> Iterator[Edge]:
    for index, node in enumerate(nodes):
        if not node.stuck:
            continue
        edge = _by_owner(nodes, index) or _by_key(nodes, index)
        if edge is not None:
            yield edge


def _by_owner(nodes: Sequence[Node], index: int) -> Edge | None:
    owner = nodes[index].task.owner
    for other, node in enumerate(nodes):
        if owner and node.name == owner and other != index:
            wanted = nodes[index].wanted
            held = (has for has in node.has if has.key == wanted.key and not has.inferred)
            named = Has(wanted.key, f"holds {wanted.name}") if wanted.name else None
            return Edge(index, other, next(held, named))
    return None


def _by_key(nodes: Sequence[Node], index: int) -> Edge | None:
    wanted = nodes[index].wanted
    if not wanted.key:
        return None
    own = next((has for has in nodes[index].has if has.key == wanted.key), None)
    if own is not None and "@" in wanted.key:
        return Edge(index, index, own)  # the same lock twice, by its address
    found: Edge | None = None
    for other, node in enumerate(nodes):
        if other == index:
            continue
        for has in node.has:
            if has.key == wanted.key or (has.inferred and has.key == wanted.name != ""):
                edge = Edge(index, other, has)
                if node.stuck or not node.task.frames:
                    return edge
                found = found or edge
    return found
