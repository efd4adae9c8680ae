# SPDX-License-Identifier: Apache-2.0
"""The locks that ``watch()`` puts in the place of those of :mod:`threading`.

Each wraps a real lock and behaves as it does. An acquire that tells nothing new adds a few list and
set operations. What is new goes to the engine before the thread waits, so that an inversion that does
deadlock has been reported.

A signal handler may raise between any two calls. So the real lock is acquired by ``for``, which
handles no signal between the acquire and the next instruction, and nothing is called after it.
The methods that release are in :data:`quiesce.watch.signals.DEFERRED` instead.
"""

from __future__ import annotations

import sys
from _thread import allocate_lock
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

from quiesce.watch.classes import SPECIAL, WatchClass
from quiesce.watch.lock_base import (
    THREADING,
    TypeOfLocks,
    WatchedBase,
    class_of_new,
    drop,
    register,
    try_to_acquire,
)
from quiesce.watch.signals import PENDING, deliver, not_interrupted
from quiesce.watch.thread_state import LOCAL, NORMAL, ThreadState, new_state

_getframe = sys._getframe
_REAL_LOCK = type(allocate_lock())
SELF_DEADLOCK_AFTER = 0.5
"""Seconds that a thread waits for a lock of its own until it is reported: another thread may release it."""


class WatchedLock(WatchedBase):
    """A ``threading.Lock``."""

    __slots__ = ("locked", "locked_lock")

    locked: Callable[[], bool]
    locked_lock: Callable[[], bool]

    def __new__(cls) -> Any:
        if sys.version_info < (3, 13):
            raise TypeError("cannot create '_thread.lock' instances")
        return _new_lock(_getframe(1))

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("type '_thread.lock' is not an acceptable base type")

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The real type, so that ``isinstance(lock, type(threading.Lock()))`` is as before."""
        return _REAL_LOCK

    def __enter__(self) -> bool:
        return self._acquire(_getframe(1))

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See ``threading.Lock.acquire``."""
        if blocking and timeout == -1:
            return self._acquire(_getframe(1))
        return try_to_acquire(self, blocking, timeout, _getframe(1))

    def _acquire(self, frame: FrameType) -> bool:
        state: ThreadState
        try:
            state = LOCAL.state
        except AttributeError:
            state = new_state()
        if frame.f_globals is THREADING and frame.f_back is not None:
            frame = frame.f_back
        held = state.held
        cls = self.cls
        if (held[-1].key if held else state.context) not in self.known or cls not in state.took:
            cls.engine.note(state, self, frame, True)
            if self.holder is state:
                self._wait_for_itself(state, frame)
        held.append(self)
        try:
            for _ in self._take:
                break
        except BaseException:
            state.forget(self)
            raise
        self.holder = state
        self.key = cls if state.context is NORMAL else SPECIAL
        self.code = frame.f_code
        self.lasti = frame.f_lasti
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        holder = self.holder
        self.holder = None
        self._free()
        if holder is not None:
            held = holder.held
            if held and held[-1] is self:
                del held[-1]
            else:
                holder.forget(self)
            try:
                if holder is not LOCAL.state:
                    self.cls.handed_over = True
            except AttributeError:
                self.cls.handed_over = True
        if PENDING:
            deliver(_getframe(1))

    def release(self) -> None:
        """See ``threading.Lock.release``."""
        self.__exit__(None, None, None)

    acquire_lock = acquire
    release_lock = release

    def _wait_for_itself(self, state: ThreadState, frame: FrameType) -> None:
        """Wait for a lock that this thread holds; return if another thread releases it, or report it."""
        if self._lock.acquire(True, SELF_DEADLOCK_AFTER):
            self.cls.handed_over = True
            self._lock.release()
        elif self.holder is state:
            self.cls.engine.tell_self_deadlock(state, self, frame)

    def _at_fork_reinit(self) -> None:
        drop(self)
        self._lock._at_fork_reinit()


class NewLock(metaclass=TypeOfLocks):
    """Makes watched locks, where ``threading.Lock`` is not their type."""

    def __new__(cls) -> Any:
        return _new_lock(_getframe(1))

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("threading.Lock is not a type")


def _new_lock(frame: FrameType) -> Any:
    inner = allocate_lock()
    made = class_of_new[0](frame) if class_of_new else None
    return inner if made is None else wrap_lock(inner, made)


def wrap_lock(inner: Any, cls: WatchClass) -> WatchedLock:
    """Return *inner*, a real lock that is free, as a watched lock of *cls*."""
    lock: WatchedLock = object.__new__(WatchedLock)
    lock._begin(inner, cls)
    lock.locked = lock.locked_lock = inner.locked
    return lock


register(WatchedLock, "lock", WatchedLock, _REAL_LOCK)
register(NewLock, "allocate_lock", WatchedLock, _REAL_LOCK)
LOCK: Any = WatchedLock if sys.version_info >= (3, 13) else NewLock
"""What stands for ``threading.Lock``: a function until 3.12, the type of the locks from 3.13 on."""
not_interrupted(WatchedLock.__exit__, WatchedLock.release)
