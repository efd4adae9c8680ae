# SPDX-License-Identifier: Apache-2.0
"""Tasks: what the protocol language has of a thread."""

from __future__ import annotations

import enum

from quiesce.protocol.component import Protocol
from quiesce.protocol.reserved import reserve
from quiesce.protocol.scalars import Enum, Int


class TaskState(enum.Enum):
    """``task_struct.__state``, as far as sleeping and waking needs it."""

    TASK_RUNNING = "R"
    TASK_UNINTERRUPTIBLE = "D"


TASK_RUNNING = TaskState.TASK_RUNNING
TASK_UNINTERRUPTIBLE = TaskState.TASK_UNINTERRUPTIBLE


@reserve
class Task(Protocol):
    """``struct task_struct`` of one thread of the scenario: what another thread may do to it."""

    state = Enum(TASK_RUNNING)

    non_block_count = Int(0, high=7)
    """How many sections that must not sleep it is in (``non_block_start()``)."""

    tid: int = -1
    """0-based number of the thread in its scenario."""

    name: str = ""
    """``notifier/0``"""

    def __repr__(self) -> str:
        return self.name or "task"
