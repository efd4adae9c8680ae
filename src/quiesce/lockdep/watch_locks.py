# SPDX-License-Identifier: Apache-2.0
"""The locks that ``watch()`` puts in the place of those of :mod:`threading`.

Each wraps the real one and behaves as it does. What waits is told before it waits: an inversion that
does deadlock has then been reported.
"""

from __future__ import annotations

import sys
from _thread import RLock, get_ident
from types import FrameType, TracebackType
from typing import Any, Protocol

from quiesce.lockdep.held import Task
from quiesce.lockdep.watch_state import Site, Watch


class _RealLock(Protocol):
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...
    def locked(self) -> bool: ...


class _RealSemaphore(Protocol):
    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool: ...
    def release(self, n: int = 1) -> None: ...


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


class WatchedSemaphore:
    """A ``threading.Semaphore`` or ``BoundedSemaphore`` that starts above 0."""

    def __init__(self, watch: Watch, site: Site, semaphore: _RealSemaphore) -> None:
        self._watch = watch
        self._semaphore = semaphore
        self._map = watch.new_lock(site)
        self._holders: list[Task] = []
        """Once for each unit held, oldest first."""

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """See ``threading.Semaphore.acquire``."""
        return self._acquire(blocking, timeout, sys._getframe(1))

    def release(self, n: int = 1) -> None:
        """See ``threading.Semaphore.release``."""
        self._semaphore.release(n)
        for _ in range(n):
            self._release(sys._getframe(1))

    def __enter__(self) -> bool:
        return self._acquire(True, None, sys._getframe(1))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._semaphore.release()
        self._release(sys._getframe(1))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._map.name} {self._semaphore!r}>"

    def _acquire(self, blocking: bool, timeout: float | None, frame: FrameType) -> bool:
        watch = self._watch
        mine = watch.current_task()
        if mine in self._holders or not blocking or timeout is not None:
            got = self._semaphore.acquire(blocking, timeout)
            if got:
                if mine not in self._holders:
                    watch.acquire(self._map, True, frame)
                self._holders.append(mine)
            return got
        task = watch.acquire(self._map, False, frame)
        try:
            self._semaphore.acquire()
        except BaseException:
            if task is not None:
                watch.release(self._map, task, frame)
            raise
        self._holders.append(mine)
        return True

    def _release(self, frame: FrameType) -> None:
        mine = self._watch.current_task()
        if not self._holders:
            return
        holder = mine if mine in self._holders else self._holders[0]
        self._holders.remove(holder)
        if holder not in self._holders:
            self._watch.release(self._map, holder, frame)
