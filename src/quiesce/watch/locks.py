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
import threading
from _thread import allocate_lock
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FrameType, TracebackType
from typing import Any, NoReturn
from weakref import ref

from quiesce.watch.classes import NOTHING_KNOWN, SERIALS, SPECIAL, TRIED, WatchClass
from quiesce.watch.signals import PENDING, deliver, not_interrupted
from quiesce.watch.thread_state import LOCAL, NORMAL, ThreadState, new_state

_getframe = sys._getframe
_THREADING = vars(threading)
_REAL_LOCK = type(allocate_lock())
_REAL_RLOCK: Any = threading._CRLock  # type: ignore[attr-defined]
SELF_DEADLOCK_AFTER = 0.5
"""Seconds that a thread waits for a lock of its own until it is reported: another thread may release it."""

ClassOf = Callable[[FrameType], WatchClass | None]
_class_of: list[ClassOf] = []


def watch_new_locks(class_of: ClassOf | None) -> None:
    """From here on, locks are watched whose class *class_of* returns; None ends it."""
    _class_of[:] = [] if class_of is None else [class_of]


class _TypeOfLocks(type):
    """The type of the watched locks' types: a lock that was made before is an instance, too."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return type(instance) in _INSTANCES[cls]


class _WatchedBase(metaclass=_TypeOfLocks):
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

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle '{type(self._lock).__name__}' object")

    def __repr__(self) -> str:
        return f"<watched {self.cls.full_name} {self._lock!r}>"


class WatchedLock(_WatchedBase):
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
        return _try(self, blocking, timeout, _getframe(1))

    def _acquire(self, frame: FrameType) -> bool:
        state: ThreadState
        try:
            state = LOCAL.state
        except AttributeError:
            state = new_state()
        if frame.f_globals is _THREADING and frame.f_back is not None:
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
        _drop(self)
        self._lock._at_fork_reinit()


class NewLock(metaclass=_TypeOfLocks):
    """Makes watched locks, where ``threading.Lock`` is not their type."""

    def __new__(cls) -> Any:
        return _new_lock(_getframe(1))

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("threading.Lock is not a type")


def _new_lock(frame: FrameType) -> Any:
    inner = allocate_lock()
    made = _class_of[0](frame) if _class_of else None
    return inner if made is None else wrap_lock(inner, made)


class WatchedRLock(_WatchedBase):
    """A ``threading.RLock``, with what CPython's own modules ask of one."""

    __slots__ = ("count",)

    count: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        inner = _REAL_RLOCK(*args, **kwargs)
        made = _class_of[0](_getframe(1)) if _class_of and cls is WatchedRLock else None
        return inner if made is None else wrap_rlock(inner, made)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The real type, so that ``isinstance(lock, type(threading.RLock()))`` is as before."""
        return _REAL_RLOCK

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
        return _try(self, blocking, timeout, _getframe(1))

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
        if frame.f_globals is _THREADING and frame.f_back is not None:
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
        _drop(self)
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
        outside = frame.f_back if frame.f_globals is _THREADING and frame.f_back else frame
        self.code, self.lasti = outside.f_code, outside.f_lasti
        if PENDING:
            deliver(frame)

    def _at_fork_reinit(self) -> None:
        _drop(self)
        self._lock._at_fork_reinit()


def wrap_lock(inner: Any, cls: WatchClass) -> WatchedLock:
    """Return *inner*, a real lock that is free, as a watched lock of *cls*."""
    lock: WatchedLock = object.__new__(WatchedLock)
    lock._begin(inner, cls)
    lock.locked = lock.locked_lock = inner.locked
    return lock


def wrap_rlock(inner: Any, cls: WatchClass) -> WatchedRLock:
    """Return *inner*, a real RLock that is free, as a watched lock of *cls*."""
    lock: WatchedRLock = object.__new__(WatchedRLock)
    lock._begin(inner, cls)
    lock.count = 0
    return lock


def _drop(lock: Any) -> None:
    """No thread holds *lock* any more."""
    holder, lock.holder = lock.holder, None
    if holder is not None:
        holder.forget(lock)


def _try(lock: Any, blocking: bool, timeout: float, frame: FrameType) -> bool:
    """Acquire without waiting, or with a timeout: this makes no order of its own."""
    try:
        state = LOCAL.state
    except AttributeError:
        state = new_state()
    if frame.f_globals is _THREADING and frame.f_back is not None:
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
            if type(lock) is WatchedRLock:
                lock.count = 1
            state.held.append(lock)
            return True
        return False
    return False


_INSTANCES: dict[type, tuple[type, ...]] = {
    WatchedLock: (WatchedLock, _REAL_LOCK),
    NewLock: (WatchedLock, _REAL_LOCK),
    WatchedRLock: (WatchedRLock, _REAL_RLOCK),
}
LOCK: Any = WatchedLock if sys.version_info >= (3, 13) else NewLock
"""What stands for ``threading.Lock``: a function until 3.12, the type of the locks from 3.13 on."""
for _type, _name in ((WatchedLock, "lock"), (NewLock, "allocate_lock"), (WatchedRLock, "RLock")):
    _type.__module__, _type.__qualname__, _type.__name__ = "_thread", _name, _name

not_interrupted(
    WatchedLock.__exit__,
    WatchedLock.release,
    WatchedRLock.__exit__,
    WatchedRLock.release,
    WatchedRLock._release_save,
    WatchedRLock._acquire_restore,
    ThreadState.forget,
    _drop,
)
