# SPDX-License-Identifier: Apache-2.0
"""lockdep, the kernel's lock validator, as a library. Start with :class:`Validator`."""

from quiesce.lockdep.classes import (
    LOCKDEP_NO_TRACK,
    LOCKDEP_NO_VALIDATE,
    LockClass,
    LockClassKey,
    LockdepMap,
    LockType,
    WaitType,
)
from quiesce.lockdep.frames import Frame, Stack
from quiesce.lockdep.held import Task
from quiesce.lockdep.reports import Report
from quiesce.lockdep.validator import Validator
from quiesce.lockdep.watch import watch

__all__ = [
    "LOCKDEP_NO_TRACK",
    "LOCKDEP_NO_VALIDATE",
    "Frame",
    "LockClass",
    "LockClassKey",
    "LockType",
    "LockdepMap",
    "Report",
    "Stack",
    "Task",
    "Validator",
    "WaitType",
    "watch",
]
