# SPDX-License-Identifier: Apache-2.0
"""The validator's events about interrupts: going on and off, starting and ending."""

from __future__ import annotations

from quiesce.lockdep.core import Core
from quiesce.lockdep.frames import Stack, ip_of
from quiesce.lockdep.held import LockdepTask
from quiesce.lockdep.reports import Report
from quiesce.lockdep.usage import ENABLED_HARDIRQ, ENABLED_SOFTIRQ
from quiesce.lockdep.usage_marks import mark_held_locks


def hardirqs_off(core: Core, task: LockdepTask, *, stack: Stack = ()) -> None:
    """Hard interrupts are off from here on."""
    if core.debug_locks and task.hardirqs_enabled:
        task.hardirqs_enabled = False
        task.hardirq_disable = task.stamp(ip_of(stack))


def hardirqs_on(core: Core, task: LockdepTask, *, stack: Stack = ()) -> Report | None:
    """Hard interrupts come on: whatever *task* holds may now be interrupted."""
    if not core.debug_locks or task.hardirqs_enabled:
        return None
    core.stack = stack
    if task.hardirq_context:
        core.warn(task, "lockdep_hardirq_context()")
        return core.report
    if mark_held_locks(core, task, ENABLED_HARDIRQ) and task.softirqs_enabled:
        mark_held_locks(core, task, ENABLED_SOFTIRQ)
    if core.debug_locks:
        task.hardirqs_enabled = True
        task.hardirq_enable = task.stamp(ip_of(stack))
    return core.end_event()


def softirqs_off(core: Core, task: LockdepTask, *, stack: Stack = ()) -> None:
    """Soft interrupts (bottom halves) are off from here on."""
    if core.debug_locks and task.softirqs_enabled:
        task.softirqs_enabled = False
        task.softirq_disable = task.stamp(ip_of(stack))


def softirqs_on(core: Core, task: LockdepTask, *, stack: Stack = ()) -> Report | None:
    """Soft interrupts come on; while hard ones are off, none can actually arrive."""
    if not core.debug_locks or task.softirqs_enabled:
        return None
    core.stack = stack
    task.softirqs_enabled = True
    task.softirq_enable = task.stamp(ip_of(stack))
    if task.hardirqs_enabled:
        mark_held_locks(core, task, ENABLED_SOFTIRQ)
    return core.end_event()


def hardirq_enter(task: LockdepTask, *, threaded: bool = False) -> None:
    """A hard interrupt starts on *task*.

    :param threaded: its handler would run in a thread on PREEMPT_RT, and so may take
        spinlock_t.
    """
    if task.hardirq_context == 0:
        task.hardirq_threaded = threaded
    task.hardirq_context += 1
    task.update_irq_context()


def hardirq_exit(task: LockdepTask) -> None:
    """The innermost hard interrupt ends."""
    task.hardirq_context = max(0, task.hardirq_context - 1)
    task.update_irq_context()


def softirq_enter(task: LockdepTask) -> None:
    """A soft interrupt starts on *task*."""
    task.softirq_context += 1
    task.update_irq_context()


def softirq_exit(task: LockdepTask) -> None:
    """The innermost soft interrupt ends."""
    task.softirq_context = max(0, task.softirq_context - 1)
    task.update_irq_context()
