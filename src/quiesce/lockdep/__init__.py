# SPDX-License-Identifier: Apache-2.0
"""lockdep, the kernel's lock validator, as a library. Start with :class:`Validator`."""

from typing import TYPE_CHECKING, Any

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
from quiesce.lockdep.held import LockdepTask
from quiesce.lockdep.reports import Report
from quiesce.lockdep.validator import Validator

if TYPE_CHECKING:
    from quiesce.watch import watch

__all__ = [
    "LOCKDEP_NO_TRACK",
    "LOCKDEP_NO_VALIDATE",
    "Frame",
    "LockClass",
    "LockClassKey",
    "LockType",
    "LockdepMap",
    "LockdepTask",
    "Report",
    "Stack",
    "Validator",
    "WaitType",
    "watch",
]


def __getattr__(name: str) -> Any:
    # The watch stands on top of this package and has a package of its own.
    if name == "watch":
        from quiesce.watch import watch

        return watch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
