# SPDX-License-Identifier: Apache-2.0
"""The locks that ``watch()`` puts in the place of those of :mod:`threading`.

Each wraps the real one and behaves as it does. What waits is told before it waits: an inversion that
does deadlock has then been reported.
"""

from __future__ import annotations

import sys
import threading
from _thread import RLock, get_ident
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Protocol

from quiesce.lockdep.held import Task
from quiesce.lockdep.watch_state import InstanceMap, Site, Watch


class _RealLock(Protocol):
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...
    def locked(self) -> bool: ...


class WatchedLock:
    """A ``threading.Lock``."""

    def __init__(self, watch: Watch, site: Site, lock: _RealLock) -> None:
        self._watch = watch
        self._lock = lock
        self._map = watch.new_lock(site)
        self._holder: Task | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See ``threading.Lock.acquire``."""
        return self._acquire(blocking, timeout, sys._getframe(1))

    def release(self) -> None:
        """See ``threading.Lock.release``."""
        self._release(sys._getframe(1))

    def locked(self) -> bool:
        """See ``threading.Lock.locked``."""
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self._acquire(True, -1, sys._getframe(1))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release(sys._getframe(1))

    def _at_fork_reinit(self) -> None:
        self._holder = None
        self._lock._at_fork_reinit()  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._map.name} {self._lock!r}>"

    def _acquire(self, blocking: bool, timeout: float, frame: FrameType) -> bool:
        watch = self._watch
        if not blocking or timeout >= 0:
            got = self._lock.acquire(blocking, timeout)
            if got:
                self._holder = watch.acquire(self._map, True, frame)
            return got
        task = watch.acquire(self._map, False, frame)
        try:
            self._lock.acquire(blocking, timeout)
        except BaseException:
            if task is not None:
                watch.release(self._map, task, frame)
            raise
        self._holder = task
        return True

    def _release(self, frame: FrameType) -> None:
        # Whoever lets go of it, it is its holder that no longer holds it.
        holder, self._holder = self._holder, None
        if holder is not None:
            self._watch.release(self._map, holder, frame)
        self._lock.release()


class WatchedRLock:
    """A ``threading.RLock``, with what ``threading.Condition`` asks of one."""

    def __init__(self, watch: Watch, site: Site, lock: RLock) -> None:
        self._watch = watch
        self._lock = lock
        self._map = watch.new_lock(site)
        self._owner = 0
        self._count = 0
        self._holder: Task | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See ``threading.RLock.acquire``."""
        return self._acquire(blocking, timeout, sys._getframe(1))

    def release(self) -> None:
        """See ``threading.RLock.release``."""
        self._release(sys._getframe(1))

    def __enter__(self) -> bool:
        return self._acquire(True, -1, sys._getframe(1))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release(sys._getframe(1))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._map.name} {self._lock!r}>"

    def _acquire(self, blocking: bool, timeout: float, frame: FrameType) -> bool:
        if self._owner == get_ident():
            self._lock.acquire(blocking, timeout)
            self._count += 1
            return True
        watch = self._watch
        if not blocking or timeout >= 0:
            if not self._lock.acquire(blocking, timeout):
                return False
            task = watch.acquire(self._map, True, frame)
        else:
            task = watch.acquire(self._map, False, frame)
            try:
                self._lock.acquire(blocking, timeout)
            except BaseException:
                if task is not None:
                    watch.release(self._map, task, frame)
                raise
        self._owner, self._count, self._holder = get_ident(), 1, task
        return True

    def _release(self, frame: FrameType) -> None:
        if self._owner == get_ident():
            self._count -= 1
            if self._count == 0:
                self._forget(frame)
        # The real lock complains if this is not its owner.
        self._lock.release()

    def _forget(self, frame: FrameType) -> None:
        holder = self._holder
        self._owner, self._count, self._holder = 0, 0, None
        if holder is not None:
            self._watch.release(self._map, holder, frame)

    # For Condition.wait(), which lets go of every level at once.

    def _is_owned(self) -> bool:
        return self._owner == get_ident()

    def _release_save(self) -> Any:
        count = self._count
        if self._is_owned():
            self._forget(sys._getframe(1))
        return count, self._lock._release_save()  # type: ignore[attr-defined]

    def _acquire_restore(self, state: Any) -> None:
        count, inner = state
        task = self._watch.acquire(self._map, False, sys._getframe(1))
        self._lock._acquire_restore(inner)  # type: ignore[attr-defined]
        self._owner, self._count, self._holder = get_ident(), count, task

    def _at_fork_reinit(self) -> None:
        self._owner, self._count, self._holder = 0, 0, None
        self._lock._at_fork_reinit()  # type: ignore[attr-defined]


def watched_semaphore(
    base: type[threading.Semaphore], watch: Watch, site_of: Callable[[FrameType], Site | None]
) -> type[threading.Semaphore]:
    """Return a subclass of ``Semaphore`` or ``BoundedSemaphore`` that tells *watch*.

    A class and not a wrapper, since ``BoundedSemaphore`` and programs derive from ``Semaphore``; and
    *base* is named instead of ``super()``, since ``BoundedSemaphore.__init__`` calls the initialiser
    of whatever ``threading.Semaphore`` is at that time.

    :param site_of: the place that makes a semaphore; None if it is not to be watched.
    """

    class WatchedSemaphore(base):  # type: ignore[valid-type, misc]
        _map: InstanceMap | None = None

        def __init__(self, value: int = 1) -> None:
            base.__init__(self, value)
            site = site_of(sys._getframe(1))
            if site is not None and value:
                self._map = watch.new_lock(site)
                # Once for each unit held, oldest first.
                self._holders: list[Task] = []

        def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
            return self._watched_acquire(blocking, timeout, sys._getframe(1))

        def release(self, n: int = 1) -> None:
            self._watched_release(n, sys._getframe(1))

        def __enter__(self) -> bool:
            return self._watched_acquire(True, None, sys._getframe(1))

        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None:
            self._watched_release(1, sys._getframe(1))

        def _watched_acquire(self, blocking: bool, timeout: float | None, frame: FrameType) -> bool:
            if self._map is None:
                return base.acquire(self, blocking, timeout)
            mine = watch.current_task()
            again = mine in self._holders
            if again or not blocking or timeout is not None:
                if not base.acquire(self, blocking, timeout):
                    return False
                if not again:
                    watch.acquire(self._map, True, frame)
            else:
                task = watch.acquire(self._map, False, frame)
                try:
                    base.acquire(self)
                except BaseException:
                    if task is not None:
                        watch.release(self._map, task, frame)
                    raise
            self._holders.append(mine)
            return True

        def _watched_release(self, n: int, frame: FrameType) -> None:
            base.release(self, n)
            if self._map is None:
                return
            mine = watch.current_task()
            for _ in range(min(n, len(self._holders))):
                holder = mine if mine in self._holders else self._holders[0]
                self._holders.remove(holder)
                if holder not in self._holders:
                    watch.release(self._map, holder, frame)

    return WatchedSemaphore
