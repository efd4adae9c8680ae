# SPDX-License-Identifier: Apache-2.0
"""``await`` with a lock of :mod:`threading` held.

An event loop runs one step of one task after the other, in one thread. A task that is suspended with a
lock held stops the whole loop as soon as another task of the loop acquires that lock: the thread then waits
for itself. So at the end of each step the locks that the step has acquired must be released.
"""

from __future__ import annotations

import sys
from typing import Any

from quiesce.watch.classes import Examiner, place
from quiesce.watch.findings import FindingSide, WatchFinding
from quiesce.watch.semaphores import Unit
from quiesce.watch.thread_state import ThreadState, current

_engine: list[Examiner] = []
_real_run: list[Any] = []


def start(engine: Examiner, *, load: bool) -> None:
    """Follow the steps of event loops from here on.

    :param load: import asyncio; else only a program that has imported it is followed.
    """
    _engine[:] = [engine]
    if load or "asyncio.events" in sys.modules:
        from asyncio import events

        _real_run[:] = [events.Handle._run]
        events.Handle._run = _run  # type: ignore[method-assign]


def stop() -> None:
    """Put the method back."""
    _engine.clear()
    if _real_run:
        # It stays in _real_run: a step that is under way ends in _run().
        from asyncio import events

        events.Handle._run = _real_run[0]  # type: ignore[method-assign]


def _run(self: Any) -> None:
    state = current()
    before = list(state.held)
    _real_run[0](self)
    if state.held and _engine and not state.busy:
        for lock in state.held:
            if not any(lock is one for one in before) and not isinstance(lock, Unit):
                _tell(_engine[0], state, lock)


def _tell(engine: Examiner, state: ThreadState, lock: Any) -> None:
    cls = lock.cls
    if "await" in cls.reported or cls.handed_over or lock.code is None:
        return
    cls.reported.add("await")
    engine.publish(
        WatchFinding(
            "await",
            f"possible deadlock: a task of an event loop is suspended with {cls.label} held",
            ((cls.name, cls.made_at),),
            (
                FindingSide(
                    state.name, f"holds {cls.label} at an await", (place(lock.code, lock.lasti),)
                ),
            ),
            (
                "Another task of the loop that acquires it waits forever: both run in one thread.",
                f"Fix: release {cls.label} before the await, or use asyncio.Lock.",
            ),
        )
    )
