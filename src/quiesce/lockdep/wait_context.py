# SPDX-License-Identifier: Apache-2.0
"""The wait-context check: may a lock that waits like this be taken here?

A context allows locks up to some wait type: a plain task any, a hardirq only those that always
spin, unless PREEMPT_RT would run it in a thread. Each lock held narrows it.
(``check_wait_context()``)
"""

from __future__ import annotations

from quiesce.lockdep.classes import LockType, WaitType
from quiesce.lockdep.held import HeldLock, LockdepTask


def task_wait_context(task: LockdepTask, numbers: dict[WaitType, int]) -> int:
    """Return the wait type that *task* allows before any lock is held."""
    if task.hardirq_context:
        return numbers[WaitType.CONFIG if task.hardirq_threaded else WaitType.SPIN]
    if task.softirq_context:
        return numbers[WaitType.CONFIG]
    return numbers[WaitType.MAX]


def wait_context_allows(
    task: LockdepTask, next_lock: HeldLock, numbers: dict[WaitType, int]
) -> bool:
    """Tell whether *task*, in its context and with the locks it holds there, may take *next_lock*.

    A trylock does not wait and may be taken anywhere; once held it narrows the context all the
    same.
    """
    cls = next_lock.cls
    if not cls.wait_inner or next_lock.trylock:
        return True
    allowed = task_wait_context(task, numbers)
    held = task.held
    start = len(held)
    while start and held[start - 1].irq_context == next_lock.irq_context:
        start -= 1
    for hlock in held[start:]:
        inner = hlock.cls.wait_inner
        if inner and (inner < allowed or hlock.cls.lock_type is LockType.WAIT_OVERRIDE):
            allowed = inner
    return (cls.wait_outer or cls.wait_inner) <= allowed
