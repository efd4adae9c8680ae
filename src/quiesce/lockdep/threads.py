# SPDX-License-Identifier: Apache-2.0
"""lockdep over a scenario that runs on real threads: the listener that feeds the validator."""

from __future__ import annotations

import sys
from types import FrameType

from quiesce.harmless import one_line
from quiesce.lockdep.classes import LockdepMap
from quiesce.lockdep.explored import declare_lock
from quiesce.lockdep.frames import Frame
from quiesce.lockdep.held import LockdepTask as LockdepTask
from quiesce.lockdep.reports import Report
from quiesce.lockdep.validator import Validator
from quiesce.protocol import Mode, Protocol, Task
from quiesce.protocol.actions import kernel_stack

_OURS = (
    "quiesce.threads",
    "quiesce.protocol",
    "quiesce.primitives",
    "quiesce.lockdep",
    "threading",
)


class ThreadLockdep:
    """Hears of every lock that the threads take (see :class:`quiesce.threads.Listener`).

    A thread that has to wait for a lock is reported to the validator when it begins to, as the kernel
    does: the order is wrong whether or not the wait ends.

    :param comm: the name of all tasks in reports; empty for the kind of each thread.
    """

    def __init__(self, comm: str = "", validator: Validator | None = None) -> None:
        self.comm = comm
        self.validator = validator if validator is not None else Validator()
        self._locks: dict[int, LockdepMap] = {}
        self._tasks: dict[int, LockdepTask] = {}
        self._wanted: set[tuple[int, int]] = set()

    @property
    def report(self) -> Report | None:
        """The first report, if there is one."""
        return self.validator.report

    def waits(self, task: Task, lock: Protocol, mode: Mode) -> None:
        """*task* begins to wait for *lock*."""
        self._acquire(task, lock, mode, trylock=False)
        self._wanted.add((task.tid, id(lock)))

    def acquires(self, task: Task, lock: Protocol, mode: Mode, trylock: bool) -> None:
        """*task* has got *lock*; if it had to wait, the validator knows already."""
        key = task.tid, id(lock)
        if key in self._wanted:
            self._wanted.discard(key)
        else:
            self._acquire(task, lock, mode, trylock)

    def releases(self, task: Task, lock: Protocol) -> None:
        """*task* has released *lock*."""
        if self.validator.report is None:
            self.validator.release(self._task(task), self._lock(lock), stack=_stack())

    def _acquire(self, task: Task, lock: Protocol, mode: Mode, trylock: bool) -> None:
        if self.validator.report is None:
            self.validator.acquire(
                self._task(task),
                self._lock(lock),
                read=mode.value,
                trylock=trylock,
                stack=_stack(),
            )

    def _task(self, task: Task) -> LockdepTask:
        if task.tid not in self._tasks:
            comm = self.comm or task.name.partition("/")[0]
            self._tasks[task.tid] = self.validator.task(one_line(comm), 1 + task.tid)
        return self._tasks[task.tid]

    def _lock(self, lock: Protocol) -> LockdepMap:
        if id(lock) not in self._locks:
            self._locks[id(lock)] = declare_lock(self.validator, lock)
        return self._locks[id(lock)]


def _stack() -> tuple[Frame, ...]:
    """Return the protocol's own functions on the calling thread's stack, innermost first."""
    codes = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith(_OURS):
            codes.append(frame.f_code)
        frame = frame.f_back
    return tuple(Frame(name) for name in kernel_stack(codes))
