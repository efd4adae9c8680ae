# SPDX-License-Identifier: Apache-2.0
"""Sleeping and being woken: ``set_current_state()``, ``schedule()``, ``wake_up_process()``.

The pattern of all sleeping, whose order matters::

    set_current_state(TASK_UNINTERRUPTIBLE)     the store
    if not condition:                           ... before the look at the condition
        schedule()
    __set_current_state(TASK_RUNNING)

A waker makes the condition true and then calls ``wake_up_process()``. Whichever comes first, the sleeper
sees the condition or the waker sees the sleeper; a wake-up before ``schedule()`` is not lost, since it
puts the state back and ``schedule()`` then returns at once.
"""

from __future__ import annotations

from quiesce.protocol import TASK_RUNNING, Task, TaskState, atomic, current, wait_until


@atomic(label="set_current_state")
def set_current_state(state: TaskState) -> None:
    """Announce that the running task is about to sleep (or no longer)."""
    current().state = state


@atomic(label="schedule")
def schedule() -> None:
    """Sleep until the task's state is ``TASK_RUNNING``, which may be so already."""
    wait_until(current().state == TASK_RUNNING)


@atomic(label="wake_up_process")
def wake_up_process(task: Task) -> bool:
    """Wake *task*; return whether it was asleep or about to be."""
    if task.state == TASK_RUNNING:
        return False
    task.state = TASK_RUNNING
    return True
