# SPDX-License-Identifier: Apache-2.0
"""The validator: lockdep of Linux 6.12 as a library, fed with events.

The order of the checks in :meth:`Validator._lock_acquire` is that of ``__lock_acquire()``, since it
decides which report comes out. Like the kernel's, a validator reports once: the first report sets
``debug_locks`` to False, and from then on nothing is checked. Only suspicious RCU usage leaves it
on.

Two modes. By default the validator is *exact*: it finds every strong circle of what was held and
waited for. It records what Linux records, and beyond that what Linux leaves out:

- dependencies past a recursive reader, since ``A -(ER)-> B -(S*)-> C`` is not strong and does not
  stand for ``A -> C``; past a lock that its nest_lock excused from being connected; and past a
  local_lock, at which the interrupt checks stop;
- whether an interrupt's reader waits for waiting writers;
- dependencies and recursion that the chain cache hides, because it keys on class and reader kind
  only, and not on trylock, check, nest_lock, or what a comparison function says.

Where Linux itself would find nothing, the report says ``linux_would_miss``. With ``like_linux`` the
validator gives Linux's answer, the sizes of its tables included.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from quiesce.lockdep.classes import (
    LOCKDEP_NO_TRACK,
    LOCKDEP_NO_VALIDATE,
    LockClassKey,
    LockdepMap,
    LockType,
    WaitType,
)
from quiesce.lockdep.core import MAX_LOCK_DEPTH
from quiesce.lockdep.frames import Stack, ip_of
from quiesce.lockdep.held import HeldLock, Task
from quiesce.lockdep.interrupts import InterruptEvents
from quiesce.lockdep.order_checks import validate_chain
from quiesce.lockdep.reports import Report
from quiesce.lockdep.reports_irq import WaitContextReport
from quiesce.lockdep.reports_misuse import (
    HeldAtExitReport,
    HeldFreedReport,
    HeldReturningUserReport,
    LimitsReport,
    NestedNotTakenReport,
    RcuReport,
    UnlockBalanceReport,
)
from quiesce.lockdep.snapshot import KernelIdent, held_info, task_info
from quiesce.lockdep.usage_marks import mark_usage
from quiesce.lockdep.wait_context import task_wait_context, wait_context_allows

MAX_REFERENCES = 2048
"""References of one held entry are eleven bits wide."""
SIZEOF_LOCKDEP_MAP = 0x28

FAILED, PUSHED, MERGED = range(3)


class Validator(InterruptEvents):
    """Lockdep for the events of some tasks.

    Every event takes the stack that it happened on, innermost frame first; see
    :mod:`quiesce.lockdep.frames`. Every event returns the report that it caused, or None.

    :param raw_nesting: CONFIG_PROVE_RAW_LOCK_NESTING, which tells a raw_spinlock_t from a
        spinlock_t.
    :param like_linux: give Linux's answer, and not the exact one.
    :param release: kernel release, :param build: its build number, :param taint: its taint flags:
        what reports print below their title.
    """

    def __init__(
        self,
        *,
        raw_nesting: bool = False,
        like_linux: bool = False,
        release: str = "6.12.117",
        build: str = "#1",
        taint: str = "Not tainted",
    ) -> None:
        super().__init__(raw_nesting, like_linux, KernelIdent(release, build, taint))

    def lock(
        self,
        key: Hashable | None,
        name: str = "",
        *,
        wait_inner: WaitType = WaitType.INV,
        wait_outer: WaitType = WaitType.INV,
        lock_type: LockType = LockType.NORMAL,
    ) -> LockdepMap:
        """Make a lock.

        :param key: locks with equal keys are of one class. None is a lock that was never initialized.
        :param name: as reports print it; the key if empty.
        :param wait_inner: the strictest wait type that may be taken under it.
        :param wait_outer: the wait type of taking it, if another.
        """
        if not name:
            name = key.symbol if isinstance(key, LockClassKey) else str(key)
        inner, outer = self.wait_numbers[wait_inner], self.wait_numbers[wait_outer]
        return LockdepMap(key, name, inner, outer, lock_type, self.new_address())

    def task(self, comm: str, pid: int = 1) -> Task:
        """Make a task, with interrupts on and nothing held."""
        task = Task(comm, pid, self.chains)
        self.tasks.append(task)
        return task

    def set_lock_cmp_fn(
        self,
        lock: LockdepMap,
        cmp_fn: Callable[[LockdepMap, LockdepMap], int],
        print_fn: Callable[[LockdepMap], str] | None = None,
    ) -> None:
        """Allow locks of the class of *lock*, which has a key, to nest as *cmp_fn* says.

        :param cmp_fn: negative where its first lock may be held when its second is taken.
        :param print_fn: what tells the instances apart in reports.
        """
        cls = self.register_class(lock, 0)
        cls.cmp_fn = cmp_fn
        cls.print_fn = print_fn

    # Taking and releasing.

    def acquire(
        self,
        task: Task,
        lock: LockdepMap,
        *,
        read: int = 0,
        trylock: bool = False,
        check: bool = True,
        subclass: int = 0,
        nest_lock: LockdepMap | None = None,
        sync: bool = False,
        stack: Stack = (),
    ) -> Report | None:
        """*task* is about to wait for *lock* (``lock_acquire()``), or has taken it by trylock.

        :param read: 0 writer, 1 reader that a waiting writer blocks, 2 recursive reader.
        :param check: False for locks that are held but not checked, as RCU's.
        :param subclass: 0 to 7, which nesting level of its class.
        :param nest_lock: a lock, held, that makes the order within this class harmless.
        :param sync: only wait until the lock could be had, as synchronize_srcu() (``lock_sync()``).
        """
        if not self.debug_locks:
            return None
        self.stack = stack
        self._lock_acquire(
            task,
            lock,
            subclass,
            trylock,
            read,
            check,
            not task.hardirqs_enabled,
            nest_lock,
            stack,
            0,
            sync,
        )
        return self.end_event()

    def _lock_acquire(
        self,
        task: Task,
        lock: LockdepMap,
        subclass: int,
        trylock: bool,
        read: int,
        check: bool,
        hardirqs_off: bool,
        nest_lock: LockdepMap | None,
        stack: Stack,
        references: int,
        sync: bool,
    ) -> int:
        """Do what ``__lock_acquire()`` does, in its order."""
        key = lock.key
        if key is LOCKDEP_NO_TRACK:
            return FAILED
        if key is LOCKDEP_NO_VALIDATE:
            check = False
        cls = lock.class_cache[subclass] if 0 <= subclass < len(lock.class_cache) else None
        if cls is None:
            cls = self.class_of(lock, subclass, task)
            if cls is None:
                return FAILED

        held = task.held
        if nest_lock is not None and held and not sync and held[-1].cls is cls:
            return self._merge(task, held[-1], max(references, 1))

        hlock = HeldLock(
            cls,
            lock,
            stack,
            nest_lock,
            task.irq_context,
            trylock,
            read,
            check,
            sync,
            hardirqs_off,
            references,
            task.chain,
        )
        if cls.wait_inner and not wait_context_allows(task, hlock, self.wait_numbers):
            self._fail_wait_context(task, hlock)
            return FAILED
        if not mark_usage(self, task, hlock):
            return FAILED

        head = not held or held[-1].irq_context != hlock.irq_context
        chain = (self.chains if head else task.chain).follow(cls.index << 2 | read)
        if nest_lock is not None and not self.is_held(task, nest_lock):
            self.fail(NestedNotTakenReport, task, lock=held_info(hlock), nest_lock=nest_lock.name)
            return FAILED
        if not validate_chain(self, task, hlock, chain, head):
            return FAILED
        if sync:
            return PUSHED

        held.append(hlock)
        task.chain = chain
        if len(held) >= MAX_LOCK_DEPTH:
            self._fail_depth(task)
            return FAILED
        return PUSHED

    def _merge(self, task: Task, top: HeldLock, references: int) -> int:
        """Count one more lock of a class that the same nest_lock covers; no checks at all."""
        top.references = max(top.references, 1) + references
        if top.references >= MAX_REFERENCES:
            self.warn(task, "hlock->references < references")
            return FAILED
        return MERGED

    def _fail_wait_context(self, task: Task, hlock: HeldLock) -> None:
        context = task_wait_context(task, self.wait_numbers)
        self.fail(WaitContextReport, task, lock=held_info(hlock), context=context)

    def _fail_depth(self, task: Task) -> None:
        depth = len(task.held)
        self.fail(
            LimitsReport,
            task,
            limit="MAX_LOCK_DEPTH too low!",
            detail=(f"depth: {depth}  max: {MAX_LOCK_DEPTH}!",),
            show_all=tuple(task_info(other) for other in self.tasks if other.held),
        )

    def release(self, task: Task, lock: LockdepMap, *, stack: Stack = ()) -> Report | None:
        """*task* releases *lock* (``lock_release()``).

        Locks taken later than it and still held are put back one by one, with all checks, since
        they now follow directly what was below: in the seed's splat that is how mmap_lock ->
        slots_lock comes about.
        """
        if not self.debug_locks or lock.key is LOCKDEP_NO_TRACK:
            return None
        self.stack = stack
        held = task.held
        if held and held[-1].instance is lock and not held[-1].references:
            task.chain = held.pop().prev_chain
            return None
        index = self._find_held(task, lock)
        if index is None:
            self.fail(UnlockBalanceReport, task, lock=lock.name, ip=ip_of(stack))
            return self.report
        hlock = held[index]
        if hlock.references:
            hlock.references -= 1
            if hlock.references:
                return None
        self._reacquire(task, index, index + 1)
        return self.end_event()

    def downgrade(self, task: Task, lock: LockdepMap, *, stack: Stack = ()) -> Report | None:
        """*task* turns a lock that it holds as a writer into a reader's (``lock_downgrade()``)."""
        if not self.debug_locks:
            return None
        self.stack = stack
        if not task.held:
            self.warn(task, "!depth")
            return self.report
        index = self._find_held(task, lock)
        if index is None:
            self.fail(UnlockBalanceReport, task, lock=lock.name, ip=ip_of(stack))
            return self.report
        task.held[index].read = 1
        task.held[index].stack = stack
        self._reacquire(task, index, index)
        return self.end_event()

    def _find_held(self, task: Task, lock: LockdepMap) -> int | None:
        """Return the index of *lock* on the stack of *task* (``find_held_lock()``).

        The search does not leave the innermost interrupt context.
        """
        held = task.held
        for index in range(len(held) - 1, -1, -1):
            hlock = held[index]
            if hlock.irq_context != held[-1].irq_context:
                return None
            if self._matches(hlock, lock):
                return index
        return None

    def _matches(self, hlock: HeldLock, lock: LockdepMap) -> bool:
        if hlock.instance is lock:
            return True
        # A merged entry stands for any lock of its class; for subclass 0, as in the kernel.
        return bool(hlock.references) and self.class_without_subclass(lock) is hlock.cls

    def _reacquire(self, task: Task, cut: int, start: int) -> None:
        """Cut the stack at *cut* and take what was held from *start* on again."""
        again = task.held[start:]
        task.chain = task.held[cut].prev_chain
        del task.held[cut:]
        for hlock in again:
            result = self._lock_acquire(
                task,
                hlock.instance,
                hlock.cls.subclass,
                hlock.trylock,
                hlock.read,
                hlock.check,
                hlock.hardirqs_off,
                hlock.nest_lock,
                hlock.stack,
                hlock.references,
                False,
            )
            if result == FAILED:
                return

    def is_held(self, task: Task, lock: LockdepMap) -> bool:
        """Tell whether *task* holds *lock*, in whatever context."""
        return any(self._matches(hlock, lock) for hlock in task.held)

    # The life of locks and tasks.

    def init_map(self, lock: LockdepMap, name: str, key: Hashable | None = None) -> None:
        """*lock* is initialized again (``lockdep_init_map_type()``).

        :param key: its new key; None keeps the old one.
        """
        lock.name = name
        if key is not None:
            lock.key = key
        lock.class_cache = [None] * len(lock.class_cache)

    def free(self, task: Task, *locks: LockdepMap, stack: Stack = ()) -> Report | None:
        """The memory of *locks* is freed or initialized again (``debug_check_no_locks_freed()``)."""
        if not self.debug_locks:
            return None
        self.stack = stack
        for hlock in task.held:
            if hlock.instance in locks:
                start = hlock.instance.address
                self.fail(
                    HeldFreedReport,
                    task,
                    lock=held_info(hlock),
                    start=start,
                    end=start + SIZEOF_LOCKDEP_MAP - 1,
                )
                return self.report
        return None

    def task_exit(self, task: Task, *, stack: Stack = ()) -> Report | None:
        """*task* ends or freezes (``debug_check_no_locks_held()``)."""
        if not self.debug_locks or not task.held:
            return None
        self.stack = stack
        self.fail(HeldAtExitReport, task)
        return self.report

    def return_to_user(self, task: Task, *, stack: Stack = ()) -> Report | None:
        """*task* returns from a system call (``lockdep_sys_exit()``)."""
        if not self.debug_locks or not task.held:
            return None
        self.stack = stack
        self.fail(HeldReturningUserReport, task)
        return self.report

    def rcu_suspicious(self, task: Task, place: str, message: str, *, stack: Stack = ()) -> Report:
        """RCU is used in a way that nothing justifies (``lockdep_rcu_suspicious()``).

        :param place: ``file:line``.
        :param message: for example ``suspicious rcu_dereference_check() usage``.
        """
        self.stack = stack
        report = self.make_report(
            RcuReport, task, place=place, message=message, debug_locks=self.debug_locks
        )
        self.reports.append(report)
        return report
