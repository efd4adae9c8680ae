# SPDX-License-Identifier: Apache-2.0
"""Semaphores: their methods are replaced while a watch lasts, so that the classes stay what they are.

A semaphore is a lock as long as the threads that acquire it release it. One that starts at 0 is a
signal, and is not watched; nor is one that a thread releases without having acquired it.
"""

from __future__ import annotations

import sys
import threading
from itertools import count
from types import CodeType, FrameType
from typing import Any
from weakref import ref

from quiesce.watch.classes import SERIALS, SPECIAL, TRIED, Examiner, WatchClass
from quiesce.watch.sites import creation_site
from quiesce.watch.thread_state import NORMAL, ThreadState, current

_Semaphore = threading.Semaphore
_real_init = _Semaphore.__init__
_real_acquire = _Semaphore.acquire
_real_release = _Semaphore.release
_real_bounded_release = threading.BoundedSemaphore.release
_NAME = "_quiesce_units"
_engine: list[Examiner] = []


class Unit:
    """One unit of a semaphore that a thread holds; what a lock is to the list of held locks."""

    __slots__ = (
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
        "semaphore",
        "serial",
    )

    def __init__(self, units: Units, state: ThreadState, frame: FrameType, key: Any) -> None:
        self.cls = units.cls
        self.known = units.cls.known
        self.serial = units.serial
        self.holder = state
        self.key = key
        self.code: CodeType = frame.f_code
        self.lasti = frame.f_lasti
        # For the order among the semaphores of one class, all units stand for the semaphore.
        self.me = units.me

    def __getattr__(self, name: str) -> Any:
        return getattr(self.me(), name)


class Units:
    """What is known of one semaphore.

    :ivar held: the units held, oldest first.
    """

    __slots__ = (
        "__weakref__",
        "cls",
        "count",
        "earlier",
        "held",
        "later",
        "me",
        "prune_at",
        "rank",
        "serial",
    )

    def __init__(self, cls: WatchClass) -> None:
        self.cls = cls
        self.held: list[Unit] = []
        self.serial = next(SERIALS)
        self.me = ref(self)
        self.rank = 0
        self.later: dict[Any, Any] | None = None
        self.earlier: set[Any] | None = None
        self.prune_at = 0
        self.count = count()


def start(engine: Examiner) -> None:
    """Watch semaphores that are made from here on."""
    _engine[:] = [engine]
    _Semaphore.__init__ = _init  # type: ignore[method-assign]
    _Semaphore.acquire = _Semaphore.__enter__ = _acquire  # type: ignore[method-assign]
    _Semaphore.release = _release  # type: ignore[method-assign]
    threading.BoundedSemaphore.release = _bounded_release  # type: ignore[method-assign]


def stop() -> None:
    """Put the methods back."""
    _engine.clear()
    _Semaphore.__init__ = _real_init  # type: ignore[method-assign]
    _Semaphore.acquire = _Semaphore.__enter__ = _real_acquire  # type: ignore[method-assign]
    _Semaphore.release = _real_release  # type: ignore[method-assign]
    threading.BoundedSemaphore.release = _real_bounded_release  # type: ignore[method-assign]


def _init(self: Any, value: int = 1) -> None:
    _real_init(self, value)
    frame: FrameType | None = sys._getframe(1)
    if frame is not None and frame.f_code.co_filename == threading.__file__:
        # BoundedSemaphore.__init__ calls this one.
        if frame.f_code.co_qualname != "BoundedSemaphore.__init__":
            return
        frame = frame.f_back
    if value and _engine and frame is not None and creation_site(frame) is not None:
        cls = _engine[0].class_of(frame)
        if cls is not None:
            self.__dict__[_NAME] = Units(cls)


def _acquire(self: Any, blocking: bool = True, timeout: float | None = None) -> bool:
    """See ``threading.Semaphore.acquire``."""
    units: Units | None = self.__dict__.get(_NAME)
    if units is None:
        return _real_acquire(self, blocking, timeout)
    state = current()
    frame = sys._getframe(1)
    again = any(unit.holder is state for unit in units.held)
    waits = blocking and timeout is None
    unit = Unit(units, state, frame, units.cls if waits else TRIED)
    if state.context is not NORMAL:
        unit.key = SPECIAL
    if waits and not again:
        units.cls.engine.note(state, unit, frame, True)
    if not _real_acquire(self, blocking, timeout):
        return False
    units.held.append(unit)
    if not again:
        state.held.append(unit)
    return True


def _release(self: Any, n: int = 1) -> None:
    """See ``threading.Semaphore.release``."""
    _real_release(self, n)
    _released(self, n)


def _bounded_release(self: Any, n: int = 1) -> None:
    """See ``threading.BoundedSemaphore.release``."""
    _real_bounded_release(self, n)
    _released(self, n)


def _released(self: Any, n: int) -> None:
    units: Units | None = self.__dict__.get(_NAME)
    if units is None:
        return
    state = current()
    for _ in range(n):
        held = units.held
        mine = [unit for unit in held if unit.holder is state]
        if not mine:
            units.cls.handed_over = True
        if not held:
            return
        # Without one of its own, the thread is taken to release the oldest.
        unit = mine[-1] if mine else held[0]
        held.remove(unit)
        unit.holder.forget(unit)
