# SPDX-License-Identifier: Apache-2.0
"""Python's own contexts, with the kernel's rule for interrupts.

A finaliser that a garbage collection runs is a softirq: a collection may start at any allocation, in
any thread, with any lock held. A signal handler is a hardirq: it runs in the main thread, between any
two instructions. A Lock that such a context waits for, and that the code which it interrupts acquires
as well, can deadlock a thread with itself. An RLock cannot.

A finaliser often acquires the lock of the very object that is collected, which no other code can hold.
So a lock object counts only if ordinary code acquires it after the collection did.
"""

from __future__ import annotations

import gc
from types import FrameType
from typing import Any

from quiesce.lockdep.frames import Frame
from quiesce.lockdep.reports import Report
from quiesce.watch import findings
from quiesce.watch.classes import NOTHING_KNOWN, Examiner, WatchClass, place
from quiesce.watch.thread_state import IN_GC, IN_SIGNAL, NORMAL, ThreadState, current


class ContextRules:
    """Finds lock objects that a context and the code that it interrupts both acquire."""

    def __init__(self, engine: Examiner) -> None:
        self._engine = engine

    def acquired(self, state: ThreadState, lock: Any, frame: FrameType, waits: bool) -> None:
        """A thread acquires *lock* in a special context, or after it was acquired in one."""
        at = _program_place(frame)
        if state.context is not NORMAL:
            if waits and not hasattr(lock, "count"):
                lock.special_at = (state.context, state.name, at)
                lock.known = NOTHING_KNOWN
                self._acquired_before(state, lock)
            return
        context, thread, inside = lock.special_at
        if context is IN_SIGNAL and not state.is_main:
            return
        lock.known = lock.cls.known
        self._tell(lock.cls, context, (thread, inside), (state.name, at))

    def _acquired_before(self, state: ThreadState, lock: Any) -> None:
        """Signal handlers interrupt one thread. What that acquired before, it may acquire again."""
        took = state.took.get(lock.cls)
        if state.context is IN_SIGNAL and took is not None and took.lock() is lock:
            context, thread, inside = lock.special_at
            earlier = place(*took.at)
            self._tell(lock.cls, context, (thread, inside), (took.thread, earlier))

    def _tell(
        self, cls: WatchClass, context: str, inside: tuple[str, Frame], outside: tuple[str, Frame]
    ) -> None:
        if context in cls.reported:
            return
        cls.reported.add(context)

        def examine() -> None:
            report = self._validate(cls, context, inside, outside)
            self._engine.publish(findings.context_conflict(cls, context, inside, outside, report))

        self._engine.enqueue(examine)

    def _validate(
        self, cls: WatchClass, context: str, inside: tuple[str, Frame], outside: tuple[str, Frame]
    ) -> Report | None:
        validator = self._engine.validator
        ordinary = validator.passing_task(outside[0])
        validator.acquire(ordinary, cls.map, stack=(outside[1],))
        task = validator.passing_task(inside[0])
        if context is IN_GC:
            validator.softirq_enter(task)
        else:
            validator.hardirq_enter(task)
        report = validator.acquire(task, cls.map, stack=(inside[1],))
        validator.resume()
        return report


def _program_place(frame: FrameType) -> Frame:
    """Return the innermost place outside the standard library; the place itself if there is none."""
    outer: FrameType | None = frame
    while outer is not None and findings.in_library(outer.f_code.co_filename):
        outer = outer.f_back
    found = outer if outer is not None else frame
    return place(found.f_code, found.f_lasti)


def _on_gc(phase: str, _info: dict[str, int]) -> None:
    state = current()
    if phase == "start":
        state.enter(IN_GC)
    else:
        state.leave(IN_GC)


def start() -> None:
    """Follow garbage collections."""
    if _on_gc not in gc.callbacks:
        gc.callbacks.append(_on_gc)


def stop() -> None:
    """Follow them no more."""
    if _on_gc in gc.callbacks:
        gc.callbacks.remove(_on_gc)
