# SPDX-License-Identifier: Apache-2.0
"""What all the checks share: the classes, the mode, the stack of the event, and the reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from quiesce.lockdep.classes import (
    HEAP_OBJECTS,
    MAX_SUBCLASSES,
    LockClass,
    LockdepMap,
    wait_numbers,
)
from quiesce.lockdep.frames import Frame, Stack, frames_of, ip_of
from quiesce.lockdep.held import ChainNode, LockdepTask
from quiesce.lockdep.reports import Report
from quiesce.lockdep.reports_misuse import (
    LimitsReport,
    LockdepWarnReport,
    NonStaticKeyReport,
)
from quiesce.lockdep.search import PathSearch, exact_search, linux_search
from quiesce.lockdep.snapshot import KernelIdent, task_info

Found = TypeVar("Found")
AnyReport = TypeVar("AnyReport", bound=Report)

MAX_LOCK_DEPTH = 48
MAX_LOCKDEP_KEYS = 8192
MAX_LOCKDEP_ENTRIES = 32768
MAX_LOCKDEP_CHAINS = 65536


class Core:
    """The state of one validator. See :class:`quiesce.lockdep.validator.Validator` for the parameters.

    :ivar debug_locks: False once something was reported: nothing is checked any more.
    :ivar report: the first report, or None; suspicious RCU usage does not count as one.
    :ivar reports: every report in order, suspicious RCU usage included.
    :ivar classes: every class, by index.
    """

    def __init__(self, raw_nesting: bool, like_linux: bool, ident: KernelIdent) -> None:
        self.like_linux = like_linux
        self.ident = ident
        self.wait_numbers = wait_numbers(raw_nesting)
        self.debug_locks = True
        self.report: Report | None = None
        self.reports: list[Report] = []
        self.classes: list[LockClass] = []
        self.tasks: list[LockdepTask] = []
        self.stack: Stack = ()
        self._missed: Report | None = None
        self.chains = ChainNode()
        self.chain_count = 0
        self.dependency_count = 0
        self.used_in = [0, 0]
        """By interrupt state, the classes used in it, as a bit set."""
        self.enabled = [0, 0]
        """By interrupt state, the classes used while it could come, as a bit set."""
        self._by_key: dict[tuple[Any, int], LockClass] = {}
        self._next_address = HEAP_OBJECTS

    def trace(self) -> tuple[Frame, ...]:
        """Return the stack of the event that is being checked."""
        return frames_of(self.stack)

    def make_report(self, kind: type[AnyReport], task: LockdepTask, **fields: Any) -> AnyReport:
        """Build a report about *task*, now."""
        return kind(ident=self.ident, task=task_info(task), stack=self.trace(), **fields)

    def fail(
        self,
        kind: type[Report],
        task: LockdepTask,
        *,
        linux_would_miss: bool = False,
        **fields: Any,
    ) -> bool:
        """Report; return whether to go on with the event.

        What Linux would miss is kept until the event is over, since Linux would go on and may find
        something else in it; then that is the report.
        """
        if linux_would_miss:
            if self._missed is None:
                self._missed = self.make_report(kind, task, linux_would_miss=True, **fields)
            return True
        self._publish(self.make_report(kind, task, **fields))
        return False

    def end_event(self) -> Report | None:
        """Finish an event; return its report, or None."""
        missed = self._missed
        if missed is not None:
            self._missed = None
            if self.debug_locks:
                self._publish(missed)
        return self.report

    def _publish(self, report: Report) -> None:
        self.debug_locks = False
        self.report = report
        self.reports.append(report)

    def resume(self) -> None:
        """Continue to check after a report, for callers that want more than the first finding.

        What the reported event would have done was not done: a lock that it took is not held.
        """
        self.debug_locks = True
        self.report = None

    def warn(
        self, task: LockdepTask, condition: str, *, stack: Stack | None = None
    ) -> Report | None:
        """Report a ``DEBUG_LOCKS_WARN_ON(condition)``.

        :param stack: of the event; None for the one that is being checked.
        """
        if stack is not None:
            self.stack = stack
        if self.debug_locks:
            self.fail(LockdepWarnReport, task, condition=condition, ip=ip_of(self.stack))
        return self.report

    def find(
        self, look: Callable[[PathSearch], Found | None], *, linux: bool = True
    ) -> tuple[Found | None, bool]:
        """Return what *look* finds in the dependencies, and whether Linux would have missed it.

        Where Linux finds something too, its finding is returned, so that the report is Linux's.

        :param linux: Linux looks at this point at all.
        """
        if self.like_linux:
            return look(linux_search), False
        found = look(exact_search)
        if found is None:
            return None, False
        as_linux = look(linux_search) if linux else None
        return (found, True) if as_linux is None else (as_linux, False)

    def new_address(self) -> int:
        """Return a made-up address for one more lock, the same on every run."""
        self._next_address += 0x40
        return self._next_address

    def class_of(self, lock: LockdepMap, subclass: int, task: LockdepTask) -> LockClass | None:
        """Return the class of *lock*, registering it if need be; None if that had to be reported.

        This is ``register_lock_class()``.
        """
        if not 0 <= subclass < MAX_SUBCLASSES:
            self.fail(LimitsReport, task, limit=f"looking up invalid subclass: {subclass}")
            return None
        if lock.key is None:
            self.fail(NonStaticKeyReport, task, lock=lock.name)
            return None
        full = self.like_linux and len(self.classes) >= MAX_LOCKDEP_KEYS
        if full and (lock.key, subclass) not in self._by_key:
            self.fail(LimitsReport, task, limit="MAX_LOCKDEP_KEYS too low!")
            return None
        return self.register_class(lock, subclass)

    def register_class(self, lock: LockdepMap, subclass: int) -> LockClass:
        """Return the class of a lock that has a key, new or known."""
        cls = self._by_key.get((lock.key, subclass))
        if cls is None:
            cls = LockClass(len(self.classes), lock, subclass, self._name_version(lock))
            self.classes.append(cls)
            self._by_key[lock.key, subclass] = cls
        lock.class_cache[subclass] = cls
        return cls

    def class_without_subclass(self, lock: LockdepMap) -> LockClass | None:
        """Return the class of *lock* with subclass 0, if it is known."""
        return lock.class_cache[0] or self._by_key.get((lock.key, 0))

    def _name_version(self, lock: LockdepMap) -> int:
        # A subclass shares the version of its key, but only once the key's subclass 0 is known:
        # count_matching_names() compares with the address of that one.
        base = self._by_key.get((lock.key, 0))
        if base is not None:
            return base.name_version
        same_name = (cls.name_version for cls in self.classes if cls.name == lock.name)
        return max(same_name, default=0) + 1
