# SPDX-License-Identifier: Apache-2.0
"""Acquiring, releasing and downgrading: the stack of held locks, and the checks in their order.

The order of the checks in :func:`lock_acquire` is that of ``__lock_acquire()``, since it decides which report
comes out.
"""

from __future__ import annotations

from quiesce.lockdep.classes import LOCKDEP_NO_TRACK, LOCKDEP_NO_VALIDATE, LockdepMap
from quiesce.lockdep.core import MAX_LOCK_DEPTH, Core
from quiesce.lockdep.frames import Stack, ip_of
from quiesce.lockdep.held import HeldLock, LockdepTask
from quiesce.lockdep.order_checks import validate_chain
from quiesce.lockdep.reports import Report
from quiesce.lockdep.reports_irq import WaitContextReport
from quiesce.lockdep.reports_misuse import LimitsReport, NestedNotTakenReport, UnlockBalanceReport
from quiesce.lockdep.snapshot import held_info, task_info
from quiesce.lockdep.usage_marks import mark_usage
from quiesce.lockdep.wait_context import task_wait_context, wait_context_allows

MAX_REFERENCES = 2048
"""References of one held entry are eleven bits wide."""

FAILED, PUSHED, MERGED = range(3)


def lock_acquire(
    core: Core,
    task: LockdepTask,
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
        cls = core.class_of(lock, subclass, task)
        if cls is None:
            return FAILED

    held = task.held
    if nest_lock is not None and held and not sync and held[-1].cls is cls:
        return _merge(core, task, held[-1], max(references, 1))

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
    if cls.wait_inner and not wait_context_allows(task, hlock, core.wait_numbers):
        _fail_wait_context(core, task, hlock)
        return FAILED
    if not mark_usage(core, task, hlock):
        return FAILED

    head = not held or held[-1].irq_context != hlock.irq_context
    chain = (core.chains if head else task.chain).follow(cls.index << 2 | read)
    if nest_lock is not None and not is_held(core, task, nest_lock):
        core.fail(NestedNotTakenReport, task, lock=held_info(hlock), nest_lock=nest_lock.name)
        return FAILED
    if not validate_chain(core, task, hlock, chain, head):
        return FAILED
    if sync:
        return PUSHED

    held.append(hlock)
    task.chain = chain
    if len(held) >= MAX_LOCK_DEPTH:
        _fail_depth(core, task)
        return FAILED
    return PUSHED


def _merge(core: Core, task: LockdepTask, top: HeldLock, references: int) -> int:
    """Count one more lock of a class that the same nest_lock covers; no checks at all."""
    top.references = max(top.references, 1) + references
    if top.references >= MAX_REFERENCES:
        core.warn(task, "hlock->references < references")
        return FAILED
    return MERGED


def _fail_wait_context(core: Core, task: LockdepTask, hlock: HeldLock) -> None:
    context = task_wait_context(task, core.wait_numbers)
    core.fail(WaitContextReport, task, lock=held_info(hlock), context=context)


def _fail_depth(core: Core, task: LockdepTask) -> None:
    depth = len(task.held)
    core.fail(
        LimitsReport,
        task,
        limit="MAX_LOCK_DEPTH too low!",
        detail=(f"depth: {depth}  max: {MAX_LOCK_DEPTH}!",),
        show_all=tuple(task_info(other) for other in core.tasks if other.held),
    )


def _find_held(core: Core, task: LockdepTask, lock: LockdepMap) -> int | None:
    """Return the index of *lock* on the stack of *task* (``find_held_lock()``).

    The search does not leave the innermost interrupt context.
    """
    held = task.held
    for index in range(len(held) - 1, -1, -1):
        hlock = held[index]
        if hlock.irq_context != held[-1].irq_context:
            return None
        if _matches(core, hlock, lock):
            return index
    return None


def _matches(core: Core, hlock: HeldLock, lock: LockdepMap) -> bool:
    if hlock.instance is lock:
        return True
    # A merged entry stands for any lock of its class; for subclass 0, as in the kernel.
    return bool(hlock.references) and core.class_without_subclass(lock) is hlock.cls


def _reacquire(core: Core, task: LockdepTask, cut: int, start: int) -> None:
    """Cut the stack at *cut* and take what was held from *start* on again."""
    again = task.held[start:]
    task.chain = task.held[cut].prev_chain
    del task.held[cut:]
    for hlock in again:
        result = lock_acquire(
            core,
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


def is_held(core: Core, task: LockdepTask, lock: LockdepMap) -> bool:
    """Tell whether *task* holds *lock*, in whatever context."""
    return any(_matches(core, hlock, lock) for hlock in task.held)


def release(core: Core, task: LockdepTask, lock: LockdepMap, *, stack: Stack = ()) -> Report | None:
    """Do what ``lock_release()`` does.

    Locks acquired later than *lock* and still held are put back one by one, with all checks, since they now
    directly follow what was below.
    """
    if not core.debug_locks or lock.key is LOCKDEP_NO_TRACK:
        return None
    core.stack = stack
    held = task.held
    if held and held[-1].instance is lock and not held[-1].references:
        task.chain = held.pop().prev_chain
        return None
    index = _find_held(core, task, lock)
    if index is None:
        core.fail(UnlockBalanceReport, task, lock=lock.name, ip=ip_of(stack))
        return core.report
    hlock = held[index]
    if hlock.references:
        hlock.references -= 1
        if hlock.references:
            return None
    _reacquire(core, task, index, index + 1)
    return core.end_event()


def downgrade(
    core: Core, task: LockdepTask, lock: LockdepMap, *, stack: Stack = ()
) -> Report | None:
    """Do what ``lock_downgrade()`` does: *task* turns a writer's lock into a reader's."""
    if not core.debug_locks:
        return None
    core.stack = stack
    if not task.held:
        core.warn(task, "!depth")
        return core.report
    index = _find_held(core, task, lock)
    if index is None:
        core.fail(UnlockBalanceReport, task, lock=lock.name, ip=ip_of(stack))
        return core.report
    task.held[index].read = 1
    task.held[index].stack = stack
    _reacquire(core, task, index, index)
    return core.end_event()
