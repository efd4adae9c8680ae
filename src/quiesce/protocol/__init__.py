# SPDX-License-Identifier: Apache-2.0
"""What a protocol file imports. ``docs/language.md`` is the manual."""

from quiesce.protocol.actions import (
    EXCLUSIVE,
    READ_ONCE,
    SHARED,
    SHARED_RECURSIVE,
    WRITE_ONCE,
    Mode,
    acquires,
    atomic,
    choose,
    current,
    known_as,
    releases,
    wait_until,
)
from quiesce.protocol.arrays import (
    Array,
    PerTask,
    Ref,
    TaskRef,
    TaskSet,
    shared,
)
from quiesce.protocol.component import Protocol
from quiesce.protocol.scalars import Bool, Enum, Int
from quiesce.protocol.scenario import Scenario, always, eventually, sometimes, thread
from quiesce.protocol.task import (
    TASK_RUNNING,
    TASK_UNINTERRUPTIBLE,
    Task,
    TaskState,
)
from quiesce.protocol.thread_count import THREADS
from quiesce.protocol.variables import Set, Snapshot, Version

__all__ = [
    "EXCLUSIVE",
    "READ_ONCE",
    "SHARED",
    "SHARED_RECURSIVE",
    "TASK_RUNNING",
    "TASK_UNINTERRUPTIBLE",
    "THREADS",
    "WRITE_ONCE",
    "Array",
    "Bool",
    "Enum",
    "Int",
    "Mode",
    "PerTask",
    "Protocol",
    "Ref",
    "Scenario",
    "Set",
    "Snapshot",
    "Task",
    "TaskRef",
    "TaskSet",
    "TaskState",
    "Version",
    "acquires",
    "always",
    "atomic",
    "choose",
    "current",
    "eventually",
    "known_as",
    "releases",
    "shared",
    "sometimes",
    "thread",
    "wait_until",
]
