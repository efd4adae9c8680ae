# SPDX-License-Identifier: Apache-2.0
"""What watched locks of every kind have: their parts, their type, and acquiring without waiting."""

from __future__ import annotations

import _thread
import copyreg
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FrameType
from typing import Any, NoReturn
from weakref import ref

from quiesce.watch.classes import NOTHING_KNOWN, SERIALS, TRIED, WatchClass
from quiesce.watch.signals import not_interrupted
from quiesce.watch.thread_state import LOCAL, NORMAL, ThreadState, new_state

THREADING = vars(threading)

ClassOf = Callable[[FrameType], WatchClass | None]
class_of_new: list[ClassOf] = []


def watch_new_locks(class_of: ClassOf | None) -> None:
    """From here on, locks are watched whose class *class_of* returns; None ends it."""
    class_of_new[:] = [] if class_of is None else [class_of]


class TypeOfLocks(type):
    """The type of the watched locks' types: a lock that was made before is an instance, too."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return type(instance) in INSTANCES[cls]


class WatchedBase(metaclass=TypeOfLocks):
    """What both kinds of locks have.

    :ivar take: an iterator whose next item acquires the real lock.
    :ivar holder: the thread that acquired it, as long as it is held.
    :ivar code: where it was acquired, with *lasti*.
    :ivar key: what it is to the next acquire under it: its class, TRIED or SPECIAL.
    """

    __slots__ = (
        "__weakref__",
        "_free",
        "_lock",
        "_take",
        "cls",
        "code",
        "earlier",
        "holder",
        "key",
        "known",
        "lasti",
        "later",
        "me",
        "prune_at",
        "rank",
        "serial",
        "special_at",
    )

    def _begin(self, lock: Any, cls: WatchClass) -> None:
        self._lock = lock
        self._take: Iterator[bool] = iter(lock.acquire, None)
        self._free: Callable[[], None] = lock.release
        self.cls = cls
        self.known: Any = cls.known
        self.key: Any = cls
        self.holder: ThreadState | None = None
        self.code: CodeType | None = None
        self.lasti = 0
        self.serial = next(SERIALS)
        self.me = ref(self)
        self.rank = 0
        self.later: dict[Any, Any] | None = None
        self.earlier: set[Any] | None = None
        self.prune_at = 0
        self.special_at: Any = None

    def once(self) -> None:
        """An RLock is acquired for the first time."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle '{type(self._lock).__name__}' object")

    def __repr__(self) -> str:
        return f"<watched {self.cls.full_name} {self._lock!r}>"


INSTANCES: dict[type, tuple[type, ...]] = {}
"""By type of watched locks, the types whose objects are its instances."""


def register(kind: type, name: str, *instances: type) -> None:
    """Let *kind* stand for ``_thread.name``, and for objects of the types *instances*."""
    INSTANCES[kind] = instances
    kind.__module__, kind.__qualname__, kind.__name__ = "_thread", name, name


def _pickled_type(kind: type) -> Any:
    """Pickle a watched lock's type as what it stands for: another process may not watch."""
    name = "RLock" if kind.__name__ == "RLock" else "allocate_lock"
    return name if vars(_thread)[name] is kind else (_named, (name,))


def _named(name: str) -> Any:
    return vars(_thread)[name]


copyreg.pickle(TypeOfLocks, _pickled_type)


def drop(lock: Any) -> None:
    """No thread holds *lock* any more."""
    holder, lock.holder = lock.holder, None
    if holder is not None:
        holder.forget(lock)


def try_to_acquire(lock: Any, blocking: bool, timeout: float, frame: FrameType) -> bool:
    """Acquire without waiting, or with a timeout: this makes no order of its own."""
    try:
        state = LOCAL.state
    except AttributeError:
        state = new_state()
    if frame.f_globals is THREADING and frame.f_back is not None:
        frame = frame.f_back
    if len(state.held) > state.prune_at:
        state.prune()
    cls = lock.cls
    if state.context is not NORMAL or lock.known is NOTHING_KNOWN or cls not in state.took:
        cls.engine.note(state, lock, frame, False)
    for got in iter(partial(lock._lock.acquire, blocking, timeout), None):
        if got:
            lock.holder = state
            lock.key = TRIED
            lock.code = frame.f_code
            lock.lasti = frame.f_lasti
            lock.once()
            state.held.append(lock)
            return True
        return False
    return False


not_interrupted(ThreadState.forget, drop)
