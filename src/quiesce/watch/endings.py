# SPDX-License-Identifier: Apache-2.0
"""Waiting for an end: of a thread, a job, an event. To the validator it is a lock_map.

Who waits for the end of a thread with a lock held, waits forever if the thread has still to acquire that
lock. So each thread and each job of an executor remembers which lock objects it acquired, and an event,
a condition or a queue remembers what the threads that set or fed it had acquired before. It counts only
if all of them had, and if it is the same lock object.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.thread
import queue
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from quiesce.lockdep.classes import LockdepMap, LockType
from quiesce.lockdep.frames import Frame
from quiesce.lockdep.reports import CircularReport, Report
from quiesce.watch.classes import Examiner, Took, WatchClass, place
from quiesce.watch.findings import FindingSide, WatchFinding, in_library
from quiesce.watch.semaphores import Unit
from quiesce.watch.thread_state import ThreadState, current, others

_TOOK = "_quiesce_took"
_BY = "_quiesce_by"
_STANDARD = {
    threading.__file__,
    queue.__file__,
    concurrent.futures._base.__file__,
    concurrent.futures.thread.__file__,
    __file__,
}
_engine: list[Examiner] = []
_undo: list[tuple[Any, str, Any]] = []


def start(engine: Examiner) -> None:
    """Follow waits from here on."""
    _engine[:] = [engine]
    _put(threading.Thread, "join", _waiting(_thread_took, "{name} to end"))
    _put(concurrent.futures.Future, "result", _waiting(_job_took, "the job of a Future to end"))
    _put(concurrent.futures.Future, "exception", _waiting(_job_took, "the job of a Future to end"))
    _put(concurrent.futures.thread._WorkItem, "run", _job)
    _put(threading.Event, "wait", _waiting(_set_by, "an Event to be set"))
    _put(threading.Event, "set", _feeding)
    _put(threading.Condition, "wait", _waiting(_notified_by, "a Condition to be notified"))
    _put(threading.Condition, "notify", _feeding)
    _put(queue.Queue, "get", _waiting(_set_by, "an item of a Queue", blocking=True))
    _put(queue.Queue, "put", _feeding)


def stop() -> None:
    """Put the methods back."""
    _engine.clear()
    while _undo:
        owner, name, original = _undo.pop()
        setattr(owner, name, original)


def _put(owner: Any, name: str, wrapper_of: Callable[[Any], Any]) -> None:
    original = vars(owner)[name]
    wrapper = wrapper_of(original)
    for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(wrapper, attribute, getattr(original, attribute))
    wrapper.__wrapped__ = original
    _undo.append((owner, name, original))
    setattr(owner, name, wrapper)


# What ends.


def _thread_took(thread: Any) -> Any:
    return thread.__dict__.setdefault(_TOOK, {})


def _job_took(future: Any) -> Any:
    return future.__dict__.setdefault(_TOOK, {})


def _set_by(thing: Any) -> Any:
    return thing.__dict__.get(_BY)


def _notified_by(condition: Any) -> Any:
    # The conditions inside an Event, a Queue or a Semaphore are not what the program waits for.
    caller = sys._getframe(2).f_code.co_filename
    return None if caller in _STANDARD else condition.__dict__.get(_BY)


def _job(original: Any) -> Any:
    """Let a job of an executor remember what it acquires, for its Future."""

    def run(self: Any) -> Any:
        state = current()
        outer = state.took
        state.took_outer.append(outer)
        state.took = _job_took(self.future)
        try:
            return original(self)
        finally:
            state.took = outer
            state.took_outer.pop()

    return run


def _feeding(original: Any) -> Any:
    """Let an event remember what the thread that sets it had acquired before."""

    def feed(self: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        if not state.busy:
            mine = {} if state.is_main else dict(state.took)
            for lock in state.held:
                mine[lock.cls] = Took(lock.me, (lock.code, lock.lasti), state.name)
            before = self.__dict__.get(_BY)
            if before is not None:
                mine = {cls: took for cls, took in before.items()
                        if cls in mine and mine[cls].lock == took.lock}  # fmt: skip
            self.__dict__[_BY] = mine
        return original(self, *args, **kwargs)

    return feed


# Who waits.


def _waiting(
    took_of: Callable[[Any], Any], what: str, *, blocking: bool = False
) -> Callable[[Any], Any]:
    """Return what wraps a method that waits.

    :param blocking: the method has a parameter ``block`` before ``timeout``.
    """

    def wrapper_of(original: Any) -> Any:
        def wait(self: Any, *args: Any, **kwargs: Any) -> Any:
            state = current()
            if not state.held or state.busy or not _without_limit(args, kwargs, blocking):
                return original(self, *args, **kwargs)
            took = took_of(self)
            own = getattr(self, "_lock", None)
            _check(
                state, took, what.format(name=getattr(self, "name", "it")), own, sys._getframe(1)
            )
            was, state.waiting = state.waiting, took
            try:
                return original(self, *args, **kwargs)
            finally:
                state.waiting = was

        return wait

    return wrapper_of


def _without_limit(args: tuple[Any, ...], kwargs: dict[str, Any], blocking: bool) -> bool:
    if blocking:
        block = args[0] if args else kwargs.get("block", True)
        args = args[1:]
        if not block:
            return False
    return (args[0] if args else kwargs.get("timeout")) is None


def _check(state: ThreadState, took: Any, what: str, own: Any, frame: FrameType | None) -> None:
    if not took or any(took is mine for mine in (state.took, *state.took_outer)):
        return
    for lock in list(state.held):
        other = took.get(lock.cls)
        if lock.cls.handed_over or lock is own or isinstance(lock, Unit):
            continue
        if getattr(lock, "restored", False):
            # wait() has released it meanwhile, so that the other side may have had it for that reason.
            continue
        if other is not None and other.lock is lock.me:
            while frame is not None and frame.f_code.co_filename in _STANDARD:
                frame = frame.f_back
            if frame is not None:
                at = place(frame.f_code, frame.f_lasti)
                _tell(state, state.name, lock, at, other, what)
            return


def blocked(state: ThreadState, lock: Any, frame: FrameType) -> None:
    """The thread is about to wait for *lock*. Report it if the holder waits for this thread."""
    holder = lock.holder
    if holder is None or holder is state:
        return
    waiting = holder.waiting
    if waiting is not None and any(waiting is took for took in (state.took, *state.took_outer)):
        took = Took(lock.me, (frame.f_code, frame.f_lasti), state.name)
        at = place(lock.code, lock.lasti)
        _tell(state, holder.name, lock, at, took, f"{state.name}")


def _tell(state: ThreadState, waiter: str, lock: Any, at: Frame, took: Took, what: str) -> None:
    cls: WatchClass = lock.cls
    told = f"end {at.file}:{at.line}"
    if told in cls.reported or not _engine:
        return
    cls.reported.add(told)
    engine = _engine[0]
    held_at = place(lock.code, lock.lasti)
    taken_at = place(*took.at)

    def examine() -> None:
        report = _as_lock_map(engine, cls, what, (waiter, held_at, at), (took.thread, taken_at))
        engine.publish(
            WatchFinding(
                "wait-for-end",
                f"possible deadlock: {waiter} waits for {what} with {cls.label} held",
                ((cls.name, cls.made_at),),
                (
                    FindingSide(waiter, f"holds {cls.label} and waits for {what}", (held_at, at)),
                    FindingSide(took.thread, f"acquires {cls.label} before that", (taken_at,)),
                ),
                (
                    "If the first holds the lock when the second asks for it, both wait forever.",
                    f"Fix: release {cls.label} before the wait.",
                ),
                report,
            )
        )

    engine.run(state, examine)


def _as_lock_map(
    engine: Examiner,
    cls: WatchClass,
    what: str,
    waits: tuple[str, Frame, Frame],
    takes: tuple[str, Frame],
) -> Report | None:
    """Return what the validator says: the thread holds a map until it ends, the other waits for the map."""
    validator = engine.validator
    name = f"(end){what}"
    key = ("end", cls.key, what, waits[2])
    end = LockdepMap(key, name, 0, 0, LockType.NORMAL, validator.new_address())
    engine.enroll(end, name, waits[2])
    worker = validator.passing_task(takes[0])
    validator.acquire(worker, end, stack=(takes[1],))
    validator.acquire(worker, cls.map, stack=(takes[1],))
    waiter = validator.passing_task(waits[0])
    validator.resume()
    validator.acquire(waiter, cls.map, stack=(waits[1],))
    report = validator.acquire(waiter, end, sync=True, stack=(waits[2],))
    validator.resume()
    return report if isinstance(report, CircularReport) else None


def before_fork(engine: Examiner) -> None:
    """Report locks of the program that other threads hold: the child has copies that stay locked."""
    state = current()
    if state.busy:
        return
    alive = set(threading._active)  # type: ignore[attr-defined]
    for other in others():
        if other.ident not in alive:
            continue
        for lock in other.all_held():
            if lock.code is not None and lock.holder is other and not isinstance(lock, Unit):
                _tell_fork(engine, state, other, lock)


def _tell_fork(engine: Examiner, state: ThreadState, other: ThreadState, lock: Any) -> None:
    cls = lock.cls
    if "fork" in cls.reported or in_library(cls.made_at.file):
        return
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (
        in_library(frame.f_code.co_filename) or frame.f_code.co_filename.startswith(_HERE)
    ):
        frame = frame.f_back
    if frame is None:
        return
    cls.reported.add("fork")
    engine.publish(
        WatchFinding(
            "fork",
            f"fork with a lock held: {cls.label} stays locked in the child",
            ((cls.name, cls.made_at),),
            (
                FindingSide(other.name, f"holds {cls.label}", (place(lock.code, lock.lasti),)),
                FindingSide(state.name, "forks", (place(frame.f_code, frame.f_lasti),)),
            ),
            (
                "The thread that would release it does not exist in the child.",
                "Fix: fork before threads start, use spawn, or acquire it before the fork.",
            ),
        )
    )


_HERE = __file__.rpartition("endings")[0]
