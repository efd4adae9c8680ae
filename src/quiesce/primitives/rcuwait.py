# SPDX-License-Identifier: Apache-2.0
"""struct rcuwait: a place for one task to wait at (``include/linux/rcuwait.h``).

There is one slot. The caller must serialize waiters; KVM does it with ``slots_lock``::

    prepare_to_rcuwait(w)
    while not condition:
        set_current_state(TASK_UNINTERRUPTIBLE)
        ... drop the lock that protects the condition ...
        schedule()
        ... take it again ...
    finish_rcuwait(w)

The waker reads the slot and then wakes whom it found there: two steps, kept alive by RCU. The task
may have gone on in between, so a wake-up can come late and find the task in its next sleep: hence
the ``while``.
"""

from __future__ import annotations

from quiesce.primitives.schedule import wake_up_process
from quiesce.protocol import READ_ONCE, TASK_RUNNING, Protocol, TaskRef, atomic, current


class RcuWait(Protocol):
    """One waiter, any number of wakers.

    :param name: how traces call it; empty: from the owner's class and the attribute.
    """

    task = TaskRef()

    def __init__(self, name: str = "") -> None:
        self.name = name

    @atomic(label="prepare_to_rcuwait")
    def prepare_to_rcuwait(self) -> None:
        """Put the running task in the slot, which must be empty."""
        assert self.task is None, "an rcuwait has room for one waiter"
        self.task = current()

    @atomic(label="finish_rcuwait")
    def finish_rcuwait(self) -> None:
        """Empty the slot; the running task does not sleep any more."""
        self.task = None
        current().state = TASK_RUNNING

    def wake_up(self) -> None:
        """Wake the waiter, if there is one (``rcuwait_wake_up()``)."""
        task = READ_ONCE(self.task)
        if task is not None:
            wake_up_process(task)
