# SPDX-License-Identifier: Apache-2.0
"""The validator: lockdep of Linux 6.12 as a library, fed with events.

The validator is what callers see of it; its state is a :class:`~quiesce.lockdep.core.Core`, and the checks
are functions over that: :mod:`~quiesce.lockdep.acquiring`, :mod:`~quiesce.lockdep.interrupts`,
:mod:`~quiesce.lockdep.order_checks`, :mod:`~quiesce.lockdep.usage_marks`.

Like the kernel's, a validator reports once: the first report sets ``debug_locks`` to False, and from then on
nothing is checked. Only suspicious RCU usage leaves it on.

Two modes. By default the validator is *exact*: it finds every strong cycle of what was held and
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

from collections.abc import Callable, Hashable, Sequence

from quiesce.lockdep import acquiring, interrupts
from quiesce.lockdep.classes import LockClass, LockClassKey, LockdepMap, LockType, WaitType
from quiesce.lockdep.core import Core
from quiesce.lockdep.frames import Frame, Stack
from quiesce.lockdep.held import HeldLock, LockdepTask
from quiesce.lockdep.reports import Report
from quiesce.lockdep.reports_misuse import (
    HeldAtExitReport,
    HeldFreedReport,
    HeldReturningUserReport,
    RcuReport,
)
from quiesce.lockdep.snapshot import KernelIdent, held_info

SIZEOF_LOCKDEP_MAP = 0x28


class Validator:
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
        self._core = Core(raw_nesting, like_linux, KernelIdent(release, build, taint))

    # What was found.

    @property
    def debug_locks(self) -> bool:
        """False once something was reported: nothing is checked any more."""
        return self._core.debug_locks

    @property
    def report(self) -> Report | None:
        """The first report, or None; suspicious RCU usage does not count as one."""
        return self._core.report

    @property
    def reports(self) -> list[Report]:
        """Every report in order, suspicious RCU usage included."""
        return self._core.reports

    @property
    def classes(self) -> list[LockClass]:
        """Every lock class, by index."""
        return self._core.classes

    @property
    def like_linux(self) -> bool:
        """True if the answer is Linux's, and not the exact one."""
        return self._core.like_linux

    def resume(self) -> None:
        """Continue to check after a report, to see more than the first finding.

        What the reported event would have done was not done: a lock that it acquires is not held.
        """
        self._core.resume()

    def trace(self) -> tuple[Frame, ...]:
        """Return the stack of the event that is being checked."""
        return self._core.trace()

    def warn(
        self, task: LockdepTask, condition: str, *, stack: Stack | None = None
    ) -> Report | None:
        """Report a ``DEBUG_LOCKS_WARN_ON(condition)``.

        :param stack: of the event; None for the one that is being checked.
        """
        return self._core.warn(task, condition, stack=stack)

    # Locks and tasks.

    def new_address(self) -> int:
        """Return a made-up address for one more lock, the same on every run."""
        return self._core.new_address()

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
        inner, outer = self._core.wait_numbers[wait_inner], self._core.wait_numbers[wait_outer]
        return LockdepMap(key, name, inner, outer, lock_type, self._core.new_address())

    def task(self, comm: str, pid: int = 1) -> LockdepTask:
        """Make a task, with interrupts on and nothing held."""
        task = LockdepTask(comm, pid, self._core.chains)
        self._core.tasks.append(task)
        return task

    def passing_task(
        self, comm: str, pid: int = 0, held: Sequence[tuple[LockdepMap, bool, Stack]] = ()
    ) -> LockdepTask:
        """Make a task that the validator does not keep, and that holds *held* already.

        :param held: locks, outermost first; whether by trylock; where. Nothing is checked about them.
        """
        core = self._core
        task = LockdepTask(comm, pid, core.chains)
        for lock, trylock, stack in held:
            cls = core.register_class(lock, 0)
            task.held.append(
                HeldLock(cls, lock, stack, None, 0, trylock, 0, True, False, False, 0, task.chain)
            )
            task.chain = task.chain.follow(cls.index << 2)
        return task

    def class_of(self, lock: LockdepMap) -> LockClass:
        """Return the class of *lock*, which has a key."""
        return self._core.register_class(lock, 0)

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
        cls = self._core.register_class(lock, 0)
        cls.cmp_fn = cmp_fn
        cls.print_fn = print_fn

    # Taking and releasing.

    def acquire(
        self,
        task: LockdepTask,
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
        core = self._core
        if not core.debug_locks:
            return None
        core.stack = stack
        acquiring.lock_acquire(
            core,
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
        return core.end_event()

    def release(self, task: LockdepTask, lock: LockdepMap, *, stack: Stack = ()) -> Report | None:
        """*task* releases *lock* (``lock_release()``).

        Locks taken later than it and still held are put back one by one, with all checks, since
        they now follow directly what was below: in the report of the v2 patch that is how
        mmap_lock -> slots_lock comes about.
        """
        return acquiring.release(self._core, task, lock, stack=stack)

    def downgrade(self, task: LockdepTask, lock: LockdepMap, *, stack: Stack = ()) -> Report | None:
        """*task* turns a lock that it holds as a writer into a reader's (``lock_downgrade()``)."""
        return acquiring.downgrade(self._core, task, lock, stack=stack)

    def is_held(self, task: LockdepTask, lock: LockdepMap) -> bool:
        """Tell whether *task* holds *lock*, in whatever context."""
        return acquiring.is_held(self._core, task, lock)

    # Interrupts.

    def hardirqs_off(self, task: LockdepTask, *, stack: Stack = ()) -> None:
        """Hard interrupts are off from here on."""
        interrupts.hardirqs_off(self._core, task, stack=stack)

    def hardirqs_on(self, task: LockdepTask, *, stack: Stack = ()) -> Report | None:
        """Hard interrupts come on: whatever *task* holds may now be interrupted."""
        return interrupts.hardirqs_on(self._core, task, stack=stack)

    def softirqs_off(self, task: LockdepTask, *, stack: Stack = ()) -> None:
        """Soft interrupts (bottom halves) are off from here on."""
        interrupts.softirqs_off(self._core, task, stack=stack)

    def softirqs_on(self, task: LockdepTask, *, stack: Stack = ()) -> Report | None:
        """Soft interrupts come on; while hard ones are off, none can actually arrive."""
        return interrupts.softirqs_on(self._core, task, stack=stack)

    def hardirq_enter(self, task: LockdepTask, *, threaded: bool = False) -> None:
        """A hard interrupt starts on *task*.

        :param threaded: its handler would run in a thread on PREEMPT_RT, and so may take
            spinlock_t.
        """
        interrupts.hardirq_enter(task, threaded=threaded)

    def hardirq_exit(self, task: LockdepTask) -> None:
        """The innermost hard interrupt ends."""
        interrupts.hardirq_exit(task)

    def softirq_enter(self, task: LockdepTask) -> None:
        """A soft interrupt starts on *task*."""
        interrupts.softirq_enter(task)

    def softirq_exit(self, task: LockdepTask) -> None:
        """The innermost soft interrupt ends."""
        interrupts.softirq_exit(task)

    # The life of locks and tasks.

    def init_map(self, lock: LockdepMap, name: str, key: Hashable | None = None) -> None:
        """*lock* is initialized again (``lockdep_init_map_type()``).

        :param key: its new key; None keeps the old one.
        """
        lock.name = name
        if key is not None:
            lock.key = key
        lock.class_cache = [None] * len(lock.class_cache)

    def free(self, task: LockdepTask, *locks: LockdepMap, stack: Stack = ()) -> Report | None:
        """The memory of *locks* is freed or initialized again (``debug_check_no_locks_freed()``)."""
        if not self._core.debug_locks:
            return None
        self._core.stack = stack
        for hlock in task.held:
            if hlock.instance in locks:
                start = hlock.instance.address
                self._core.fail(
                    HeldFreedReport,
                    task,
                    lock=held_info(hlock),
                    start=start,
                    end=start + SIZEOF_LOCKDEP_MAP - 1,
                )
                return self._core.report
        return None

    def task_exit(self, task: LockdepTask, *, stack: Stack = ()) -> Report | None:
        """*task* ends or freezes (``debug_check_no_locks_held()``)."""
        if not self._core.debug_locks or not task.held:
            return None
        self._core.stack = stack
        self._core.fail(HeldAtExitReport, task)
        return self._core.report

    def return_to_user(self, task: LockdepTask, *, stack: Stack = ()) -> Report | None:
        """*task* returns from a system call (``lockdep_sys_exit()``)."""
        if not self._core.debug_locks or not task.held:
            return None
        self._core.stack = stack
        self._core.fail(HeldReturningUserReport, task)
        return self._core.report

    def rcu_suspicious(
        self, task: LockdepTask, place: str, message: str, *, stack: Stack = ()
    ) -> Report:
        """RCU is used in a way that nothing justifies (``lockdep_rcu_suspicious()``).

        :param place: ``file:line``.
        :param message: for example ``suspicious rcu_dereference_check() usage``.
        """
        self._core.stack = stack
        report = self._core.make_report(
            RcuReport, task, place=place, message=message, debug_locks=self._core.debug_locks
        )
        self._core.reports.append(report)
        return report
