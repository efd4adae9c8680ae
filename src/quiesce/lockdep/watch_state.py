# SPDX-License-Identifier: Apache-2.0
"""What the watched locks of one ``watch()`` share: a validator, a task a thread, the reports."""

from __future__ import annotations

import _thread
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import CodeType, FrameType
from weakref import WeakKeyDictionary

from quiesce.harmless import harmless
from quiesce.lockdep.classes import LockdepMap, LockType
from quiesce.lockdep.frames import Frame
from quiesce.lockdep.held import Task
from quiesce.lockdep.reports import CircularReport, RecursiveReport, Report
from quiesce.lockdep.validator import Validator

_PACKAGE = __file__.rpartition("watch_state")[0]


def _is_ours(code: CodeType) -> bool:
    """Tell whether a frame says nothing about who takes a lock."""
    return code.co_filename == threading.__file__ or code.co_filename.startswith(_PACKAGE)


class LiveStack:
    """The stack of the running thread; walked only if the validator wants to keep it."""

    __slots__ = ("_code", "_frame", "_line")

    def __init__(self, frame: FrameType) -> None:
        code = frame.f_code
        while code.co_filename == threading.__file__ and frame.f_back is not None:
            frame = frame.f_back
            code = frame.f_code
        self._frame: FrameType | None = frame
        self._code = code
        self._line = frame.f_lineno

    def forget(self) -> None:
        """Let go of the frame, which would keep alive all that its function has in hand."""
        self._frame = None

    def ip(self) -> Frame:
        """Return the place that took the lock."""
        return Frame(self._code.co_qualname, self._code.co_filename, self._line)

    def frames(self) -> tuple[Frame, ...]:
        """Return the stack, innermost first, without the code of threading and of ours."""
        frames = []
        frame = self._frame
        while frame is not None:
            code = frame.f_code
            if not _is_ours(code):
                frames.append(Frame(code.co_qualname, code.co_filename, frame.f_lineno))
            frame = frame.f_back
        return tuple(frames)


Site = tuple[str, int]
"""Where locks are made: file and line. Locks of one site are one class."""


class InstanceMap(LockdepMap):
    """A watched lock as the validator knows it.

    :ivar later: locks of the same class that were taken with this one held, and where.
    """

    __slots__ = ("__weakref__", "later")

    later: WeakKeyDictionary[InstanceMap, tuple[Frame, ...]]


class Watch:
    """One ``watch()`` under way.

    :ivar reports: what was found, in order, each pair of classes once. Unlike the kernel the watch
        goes on after a report, so that one inversion does not hide the next.
    """

    def __init__(self, quiet: bool) -> None:
        self.reports: list[Report] = []
        self.watching = True
        self._quiet = quiet
        self._validator = Validator()
        # Re-entrant, since the garbage collector may run a finaliser that makes a lock right here.
        self._guard = _thread.RLock()
        self._inside = 0
        self._tasks = threading.local()
        self._reported: set[tuple[str, str]] = set()
        self._earlier: tuple[Frame, ...] = ()

    @property
    def report(self) -> Report | None:
        """The first report, or None."""
        return self.reports[0] if self.reports else None

    def stop(self) -> None:
        """Do not look any more."""
        self.watching = False

    def new_lock(self, site: Site) -> InstanceMap:
        """Make a lock of the class of *site*."""
        name = f"{Path(site[0]).name}:{site[1]}"
        with self._guard:
            lock = InstanceMap(site, name, 0, 0, LockType.NORMAL, self._validator.new_address())
            lock.later = WeakKeyDictionary()
            self._validator.set_lock_cmp_fn(lock, self._compare)
        return lock

    def acquire(self, lock: InstanceMap, trylock: bool, frame: FrameType) -> Task | None:
        """The calling thread is about to wait for *lock*, or has taken it without waiting.

        :return: the thread as a task; None if this is not to be followed.
        """
        ident = _thread.get_ident()
        if not self.watching or self._inside == ident:
            # A finaliser that the garbage collector runs in the midst of us is not followed.
            return None
        task = self.current_task()
        stack = LiveStack(frame)
        self._guard.acquire()
        self._inside = ident
        try:
            report = self._validator.acquire(task, lock, trylock=trylock, stack=stack)
            if report is not None:
                self._reported_now(report)
        finally:
            self._inside = 0
            self._guard.release()
            stack.forget()
        return task

    def release(self, lock: InstanceMap, task: Task, frame: FrameType) -> None:
        """*task* lets go of *lock*; it need not be the calling thread."""
        ident = _thread.get_ident()
        if not self.watching or self._inside == ident:
            return
        self._guard.acquire()
        self._inside = ident
        try:
            held = task.held
            if held and held[-1].instance is lock:
                self._validator.release(task, lock)
            # A lock whose acquire was reported is not on the stack.
            elif self._validator.is_held(task, lock):
                stack = LiveStack(frame)
                report = self._validator.release(task, lock, stack=stack)
                if report is not None:
                    self._reported_now(report)
                stack.forget()
        finally:
            self._inside = 0
            self._guard.release()

    def current_task(self) -> Task:
        """Return the calling thread as a task."""
        task: Task | None = getattr(self._tasks, "task", None)
        if task is None:
            thread = threading.current_thread()
            with self._guard:
                task = self._validator.task(thread.name, _thread.get_native_id())
            self._tasks.task = task
        return task

    def _reported_now(self, report: Report) -> None:
        self._validator.resume()
        if isinstance(report, CircularReport | RecursiveReport):
            pair = report.prev.cls.name, report.next.cls.name
            if pair in self._reported:
                return
            self._reported.add(pair)
        if isinstance(report, RecursiveReport):
            report = replace(report, earlier=self._earlier)
        self.reports.append(report)
        if not self._quiet:
            sys.stderr.write(f"\n{report.text()}{harmless(report.note)}\n")

    def _compare(self, held: LockdepMap, wanted: LockdepMap) -> int:
        """Allow locks of one class to nest in an order that never turns round."""
        assert isinstance(held, InstanceMap) and isinstance(wanted, InstanceMap)
        if held is wanted:
            return 0
        earlier = self._taken_under(wanted, held)
        if earlier is not None:
            self._earlier = earlier
            return 1
        if wanted not in held.later:
            held.later[wanted] = self._validator.trace()
        return -1

    def _taken_under(self, first: InstanceMap, last: InstanceMap) -> tuple[Frame, ...] | None:
        """Return where *last* was taken with *first* held, in one step or more; None if never."""
        seen = {first}
        queue = [first]
        while queue:
            for lock, trace in list(queue.pop().later.items()):
                if lock is last:
                    return trace
                if lock not in seen:
                    seen.add(lock)
                    queue.append(lock)
        return None
