# SPDX-License-Identifier: Apache-2.0
"""Classes of watched locks, the orders seen between them, and places in source code."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import count
from pathlib import PurePath
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ref

from quiesce.lockdep.classes import LockdepMap, LockType
from quiesce.lockdep.frames import Frame
from quiesce.watch.instances import InstanceOrder

if TYPE_CHECKING:
    from quiesce.lockdep.validator import Validator


class Examiner(Protocol):
    """The engine, as the locks and the rules see it."""

    validator: Validator

    def note(self, state: Any, lock: Any, frame: FrameType, waits: bool) -> None:
        """A thread is about to acquire *lock*, in a way that may tell something new."""

    def tell_self_deadlock(self, state: Any, lock: Any, frame: FrameType) -> None:
        """Report that a thread waits for a lock that it holds itself."""

    def class_of(self, frame: FrameType) -> WatchClass | None:
        """Return the class of the lock that *frame* makes; None if it is not to be watched."""

    def class_at(self, site: Any) -> WatchClass:
        """Return the class of a site."""

    def enroll(self, lock: LockdepMap, name: str, made_at: Frame) -> None:
        """Give a lock_map a class of its own."""

    def enqueue(self, work: Callable[[], None]) -> None:
        """Queue *work*, which needs the validator for itself."""

    def run(self, state: Any, work: Callable[[], None]) -> None:
        """Queue *work*, and work through the queue."""

    def publish(self, finding: Any) -> None:
        """Report *finding*."""


NOTHING_KNOWN: frozenset[Any] = frozenset()
"""What is known of a lock whose next acquire must be examined."""

TRIED = "acquired without waiting"
"""The key of a held lock that was acquired by a trylock or with a timeout."""
SPECIAL = "acquired in a finaliser or a signal handler"
"""The key of a lock that such a context holds."""

SERIALS = count(1)
"""Numbers for lock objects. Unlike ids they are never used again."""


def place(code: CodeType, lasti: int) -> Frame:
    """Return where in *code* the instruction at *lasti* stands."""
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return Frame(code.co_qualname, code.co_filename, line)
    return Frame(code.co_qualname, code.co_filename, code.co_firstlineno)


def short(frame: Frame) -> str:
    """Return the place as ``file.py:12``."""
    path = PurePath(frame.file)
    name = f"{path.parent.name}/{path.name}" if path.name == "__init__.py" else path.name
    return f"{name}:{frame.line}"


def source_line(frame: Frame) -> str:
    """Return the line of source at *frame*; empty if there is no such file."""
    return linecache.getline(frame.file, frame.line).strip()


def stack_of(frame: FrameType | None, ours: tuple[str, ...]) -> tuple[Frame, ...]:
    """Return the stack, innermost first.

    :param ours: file names and folders whose frames are left out.
    """
    frames = []
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(ours):
            frames.append(Frame(code.co_qualname, code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return tuple(frames)


@dataclass(frozen=True, slots=True)
class Witness:
    """How an order was seen first: a lock was acquired with another one held.

    :ivar thread: name of the thread.
    :ivar held_at: where the first lock was acquired.
    :ivar wanted_at: where the second was.
    :ivar stack: at the second, innermost frame first.
    :ivar held: serial number of the first lock object.
    :ivar wanted: that of the second.
    """

    thread: str
    held_at: Frame
    wanted_at: Frame
    stack: tuple[Frame, ...]
    held: int
    wanted: int


@dataclass(slots=True, eq=False)
class ClassEdge:
    """A class was acquired with another one held.

    :ivar gates: serial numbers of locks that were held every time. They exclude each other.
    :ivar cycle: the cycle that it is a part of, once that was reported.
    :ivar places: where it was seen since then.
    """

    witness: Witness
    gates: frozenset[int]
    cycle: ClassCycle | None = None
    places: set[Place] = field(default_factory=set)


Place = tuple[CodeType, int, CodeType, int]


@dataclass(slots=True, eq=False)
class ClassCycle:
    """Classes that are acquired in a cycle.

    :ivar path: class held, class acquired, and the edge between them.
    :ivar told_in: the tests that it was reported in.
    """

    path: list[tuple[WatchClass, WatchClass, ClassEdge]]
    report: Any
    told_in: set[str] = field(default_factory=set)


class WatchClass:
    """Locks that are made by one instruction, and are judged together.

    :ivar known: keys (a class, or a context) with which an acquire tells nothing new.
    :ivar after: by class, the orders seen with a lock of this class held.
    :ivar handed_over: a lock of it was released by a thread that did not acquire it. It is then a
        signal, and is not followed.
    """

    __slots__ = (
        "after",
        "engine",
        "handed_over",
        "instances",
        "key",
        "known",
        "made_at",
        "map",
        "name",
        "reported",
    )

    def __init__(
        self,
        engine: Examiner,
        key: Hashable,
        name: str,
        made_at: Frame,
        address: int,
    ) -> None:
        self.engine = engine
        self.key = key
        self.name = name
        self.made_at = made_at
        self.known: set[Any] = set()
        self.after: dict[WatchClass, ClassEdge] = {}
        self.handed_over = False
        self.reported: set[str] = set()
        self.instances = InstanceOrder()
        self.map = LockdepMap(key, self.full_name, 0, 0, LockType.NORMAL, address)

    def __repr__(self) -> str:
        return f"<WatchClass {self.full_name}>"

    @property
    def full_name(self) -> str:
        """The name and the place: ``Server.lock (app.py:12)``."""
        where = short(self.made_at)
        return f"{self.name} ({where})" if self.name else where

    @property
    def label(self) -> str:
        """The name without the place, if it has one."""
        return self.name or short(self.made_at)


@dataclass(frozen=True, slots=True)
class Took:
    """A thread or a job acquired a lock.

    :ivar lock: the lock object, if it still exists.
    """

    lock: ref[Any]
    at: tuple[CodeType, int]
    thread: str


@dataclass(frozen=True, slots=True)
class HeldNow:
    """A lock on the list of a thread, as it was when the thread acquired another one."""

    cls: WatchClass
    serial: int
    waited: bool
    code: CodeType
    lasti: int

    @property
    def at(self) -> Frame:
        """Where it was acquired."""
        return place(self.code, self.lasti)
