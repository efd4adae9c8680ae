# SPDX-License-Identifier: Apache-2.0
"""The reports about locks used wrongly whatever the order: balance, lifetime, annotation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quiesce.lockdep.frames import Frame
from quiesce.lockdep.kernel_text import address_and_symbol, banner, held_lines, lock_line
from quiesce.lockdep.reports import OTHER_INFO, Report
from quiesce.lockdep.snapshot import HeldInfo, TaskInfo

TURNED_OFF = "turning off the locking correctness validator."


@dataclass(frozen=True, kw_only=True)
class UnlockBalanceReport(Report):
    """A lock is released that the task does not hold.

    :ivar lock: its name, :ivar ip: where it was released.
    """

    kind: ClassVar[str] = "unlock-balance"

    lock: str
    ip: Frame

    @property
    def title(self) -> str:
        return "WARNING: bad unlock balance detected!"

    def lines(self) -> list[str]:
        return [
            *banner(37, self.title, self.ident),
            f"{self.task.who} is trying to release lock ({self.lock}) at:",
            address_and_symbol(self.ip),
            "but there are no more locks to release!",
            "",
            OTHER_INFO,
            *held_lines(self.task),
            "",
            "stack backtrace:",
            *self._dump_stack(),
        ]


@dataclass(frozen=True, kw_only=True)
class NestedNotTakenReport(Report):
    """A lock was said to nest under another that is not held.

    :ivar lock: the lock to be taken, :ivar nest_lock: the name of the one not held.
    """

    kind: ClassVar[str] = "nested-not-taken"

    lock: HeldInfo
    nest_lock: str

    @property
    def title(self) -> str:
        return "WARNING: Nested lock was not taken"

    def lines(self) -> list[str]:
        return [
            *banner(34, self.title, self.ident),
            f"{self.task.who} is trying to lock:",
            lock_line(self.lock),
            "",
            "but this task is not holding:",
            self.nest_lock,
            "",
            "stack backtrace:",
            *self._dump_stack(),
            "",
            OTHER_INFO,
            *held_lines(self.task),
            "",
            "stack backtrace:",
            *self._dump_stack(),
        ]


@dataclass(frozen=True, kw_only=True)
class HeldFreedReport(Report):
    """Memory is freed, or a lock is initialized again, with that lock still held.

    :ivar start: first byte of the memory, :ivar end: last byte.
    """

    kind: ClassVar[str] = "held-freed"

    lock: HeldInfo
    start: int
    end: int

    @property
    def title(self) -> str:
        return "WARNING: held lock freed!"

    def lines(self) -> list[str]:
        memory = f"{self.start:016x}-{self.end:016x}"
        return [
            *banner(25, self.title, self.ident),
            f"{self.task.who} is freeing memory {memory}, with a lock still held there!",
            lock_line(self.lock),
            *held_lines(self.task),
            "",
            "stack backtrace:",
            *self._dump_stack(),
        ]


@dataclass(frozen=True, kw_only=True)
class HeldAtExitReport(Report):
    """A task ends, or freezes, with locks held."""

    kind: ClassVar[str] = "held-at-exit"

    @property
    def title(self) -> str:
        return f"WARNING: {self.task.who} still has locks held!"

    def lines(self) -> list[str]:
        return [
            *banner(36, self.title, self.ident),
            *held_lines(self.task),
            "",
            "stack backtrace:",
            *self._dump_stack(),
        ]


@dataclass(frozen=True, kw_only=True)
class HeldReturningUserReport(Report):
    """A system call returns with locks held."""

    kind: ClassVar[str] = "held-returning-user"

    @property
    def title(self) -> str:
        return "WARNING: lock held when returning to user space!"

    def lines(self) -> list[str]:
        return [
            *banner(48, self.title, self.ident),
            f"{self.task.who} is leaving the kernel with locks still held!",
            *held_lines(self.task),
        ]


@dataclass(frozen=True, kw_only=True)
class RcuReport(Report):
    """RCU-protected data is used without its lock. Does not turn the validator off.

    :ivar place: ``file:line``, :ivar message: what was wrong there.
    """

    kind: ClassVar[str] = "rcu"

    place: str
    message: str
    debug_locks: bool

    @property
    def title(self) -> str:
        return "WARNING: suspicious RCU usage"

    def lines(self) -> list[str]:
        return [
            *banner(29, self.title, self.ident),
            f"{self.place} {self.message}!",
            "",
            OTHER_INFO,
            "",
            "",
            f"rcu_scheduler_active = 2, debug_locks = {int(self.debug_locks)}",
            *held_lines(self.task),
            "",
            "stack backtrace:",
            *self._dump_stack(),
        ]


@dataclass(frozen=True, kw_only=True)
class NonStaticKeyReport(Report):
    """A heap or stack lock is acquired without having been initialized.

    :ivar lock: its name.
    """

    kind: ClassVar[str] = "non-static-key"

    lock: str

    @property
    def title(self) -> str:
        return "INFO: trying to register non-static key."

    def lines(self) -> list[str]:
        return [
            self.title,
            "The code is fine but needs lockdep annotation, or maybe",
            "you didn't initialize this object before use?",
            TURNED_OFF,
            *self._dump_stack(),
        ]


@dataclass(frozen=True, kw_only=True)
class LimitsReport(Report):
    """One of lockdep's fixed tables is full.

    :ivar limit: which one, :ivar detail: further lines that the kernel prints for it.
    :ivar show_all: every task with locks, where the kernel lists them.
    """

    kind: ClassVar[str] = "limits"

    limit: str
    detail: tuple[str, ...] = ()
    show_all: tuple[TaskInfo, ...] = ()

    @property
    def title(self) -> str:
        return f"BUG: {self.limit}"

    def lines(self) -> list[str]:
        lines = [self.title, TURNED_OFF, *self.detail]
        if self.show_all:
            lines += [*held_lines(self.task), "", "Showing all locks held in the system:"]
            for task in self.show_all:
                lines += held_lines(task)
            lines += ["", "=" * 45, ""]
        return [*lines, *self._dump_stack()]


@dataclass(frozen=True, kw_only=True)
class LockdepWarnReport(Report):
    """A ``DEBUG_LOCKS_WARN_ON()``: an interface was used in a way that it forbids.

    The kernel's line with the source file of the warning is not reproduced; the place printed is
    that of the caller.

    :ivar condition: the expression that was true.
    """

    kind: ClassVar[str] = "lockdep-warn"

    condition: str
    ip: Frame

    @property
    def title(self) -> str:
        return f"DEBUG_LOCKS_WARN_ON({self.condition})"

    def lines(self) -> list[str]:
        return [
            "------------[ cut here ]------------",
            self.title,
            f"WARNING: CPU: 0 PID: {self.task.pid} at {self.ip}",
            *self._dump_stack(),
            "---[ end trace 0000000000000000 ]---",
        ]
