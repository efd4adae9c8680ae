# SPDX-License-Identifier: Apache-2.0
"""A watched ``threading.RLock``. See :mod:`quiesce.watch.locks`."""

from __future__ import annotations

import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from quiesce.watch.classes import SPECIAL, WatchClass
from quiesce.watch.lock_base import (
    THREADING,
    WatchedBase,
    class_of_new,
    drop,
    register,
    try_to_acquire,
)
from quiesce.watch.signals import PENDING, deliver, not_interrupted
from quiesce.watch.thread_state import LOCAL, NORMAL, new_state

_getframe = sys._getframe
_REAL_RLOCK: Any = threading._CRLock  # type: ignore[attr-defined]
_real_factory: Any = threading.RLock
_WAITING = ("threading", "quiesce.watch.endings")


class WatchedRLock(WatchedBase):
    """A ``threading.RLock``, with what CPython's own modules ask of one."""

    __slots__ = ("count", "restored")

    count: int
    restored: bool

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # With arguments, which mean nothing, the factory warns.
        inner = _real_factory(*args, **kwargs) if args or kwargs else _REAL_RLOCK()
        made = class_of_new[0](_getframe(1)) if class_of_new and cls is WatchedRLock else None
        return inner if made is None else wrap_rlock(inner, made)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The real type, so that ``isinstance(lock, type(threading.RLock()))`` is as before."""
        return _REAL_RLOCK

    def once(self) -> None:
        """See the base."""
        self.count = 1
        self.restored = False

    def __getattr__(self, name: str) -> Any:
        # locked(), and whatever private method a later version adds.
        return getattr(self._lock, name)

    def __enter__(self) -> bool:
        return self._acquire(_getframe(1))

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See ``threading.RLock.acquire``."""
        if blocking and timeout == -1:
            return self._acquire(_getframe(1))
        try:
            again = self.holder is LOCAL.state
        except AttributeError:
            again = False
        if again:
            self._lock.acquire(blocking, timeout)
            self.count += 1
            return True
        return try_to_acquire(self, blocking, timeout, _getframe(1))

    def _acquire(self, frame: FrameType) -> bool:
        try:
            state = LOCAL.state
        except AttributeError:
            state = new_state()
        if self.holder is state:
            for _ in self._take:
                break
            self.count += 1
            return True
        if frame.f_globals is THREADING and frame.f_back is not None:
            frame = frame.f_back
        held = state.held
        cls = self.cls
        if (held[-1].key if held else state.context) not in self.known or cls not in state.took:
            cls.engine.note(state, self, frame, True)
        held.append(self)
        try:
            for _ in self._take:
                break
        except BaseException:
            state.forget(self)
            raise
        self.holder = state
        self.count = 1
        self.restored = False
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
        try:
            mine = self.holder is LOCAL.state
        except AttributeError:
            mine = False
        if not mine:
            # Not the owner: the real lock raises RuntimeError.
            self._free()
        elif self.count > 1:
            self.count -= 1
            self._free()
        else:
            holder: Any = self.holder
            self.holder = None
            self._free()
            held = holder.held
            if held and held[-1] is self:
                del held[-1]
            else:
                holder.forget(self)
        if PENDING:
            deliver(_getframe(1))

    def release(self) -> None:
        """See ``threading.RLock.release``."""
        self.__exit__(None, None, None)

    # For Condition.wait(), which releases all levels together.

    def _is_owned(self) -> bool:
        return bool(self._lock._is_owned())

    def _release_save(self) -> Any:
        count = self.count
        drop(self)
        saved = count, self._lock._release_save()
        if PENDING:
            deliver(_getframe(1))
        return saved

    def _acquire_restore(self, saved: Any) -> None:
        count, inner = saved
        state = LOCAL.state
        frame = _getframe(1)
        self.cls.engine.note(state, self, frame, True)
        state.held.append(self)
        self._lock._acquire_restore(inner)
        self.holder, self.count, self.key = state, count, self.cls
        self.restored = True
        outside: FrameType | None = frame
        while outside is not None and outside.f_globals.get("__name__") in _WAITING:
            outside = outside.f_back
        where = outside or frame
        self.code, self.lasti = where.f_code, where.f_lasti
        if PENDING:
            deliver(frame)

    def _at_fork_reinit(self) -> None:
        drop(self)
        self._lock._at_fork_reinit()


def wrap_rlock(inner: Any, cls: WatchClass) -> WatchedRLock:
    """Return *inner*, a real RLock that is free, as a watched lock of *cls*."""
    lock: WatchedRLock = object.__new__(WatchedRLock)
    lock._begin(inner, cls)
    lock.count = 0
    lock.restored = False
    return lock


register(WatchedRLock, "RLock", WatchedRLock, _REAL_RLOCK)
not_interrupted(
    WatchedRLock.__exit__,
    WatchedRLock.release,
    WatchedRLock._release_save,
    WatchedRLock._acquire_restore,
)
