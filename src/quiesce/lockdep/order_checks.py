# SPDX-License-Identifier: Apache-2.0
"""The order checks: recursion, cycles, and what a new dependency means (``validate_chain()``)."""

from __future__ import annotations

from enum import Enum

from quiesce.lockdep.closure import leads_to, record
from quiesce.lockdep.core import MAX_LOCKDEP_CHAINS, MAX_LOCKDEP_ENTRIES, Core
from quiesce.lockdep.held import ChainNode, HeldLock, LockdepTask
from quiesce.lockdep.irq_checks import find_bad_order, transparent
from quiesce.lockdep.reports import CircularReport, RecursiveReport
from quiesce.lockdep.reports_irq import SafeUnsafeReport
from quiesce.lockdep.reports_misuse import LimitsReport
from quiesce.lockdep.search import PathNode, PathSearch, dependency_kind
from quiesce.lockdep.snapshot import held_info, links
from quiesce.lockdep.usage import state_name


class _Recursion(Enum):
    NONE = "no lock of this class is in the way"
    SERIALISED = "one is, and the nest_lock takes care of it"
    REPORTED = "one is"


def validate_chain(
    core: Core, task: LockdepTask, hlock: HeldLock, chain: ChainNode, head: bool
) -> bool:
    """Check what waiting for *hlock* adds to the known orders; False if that was reported.

    :param chain: the sequence of what is held in this context, *hlock* last.
    :param head: nothing is held in this context.
    """
    if hlock.trylock or not hlock.check:
        return True
    # Linux looks at each chain once. Exactly speaking the cache hides too much, so its hits only
    # tell what Linux would not see.
    linux = not chain.cached
    if linux:
        if core.like_linux and core.chain_count >= MAX_LOCKDEP_CHAINS:
            return core.fail(LimitsReport, task, limit="MAX_LOCKDEP_CHAINS too low!")
        chain.cached = True
        core.chain_count += 1
    elif core.like_linux:
        return True

    recursion = _check_deadlock(core, task, hlock, linux)
    if recursion is _Recursion.SERIALISED:
        hlock.serialised = True
        return True
    if recursion is _Recursion.REPORTED:
        return False
    return head or _check_prevs_add(core, task, hlock, linux)


def _check_deadlock(core: Core, task: LockdepTask, hlock: HeldLock, linux: bool) -> _Recursion:
    cls = hlock.cls
    nested = False
    for prev in task.held:
        if prev.instance is hlock.nest_lock:
            nested = True
        if prev.cls is not cls:
            continue
        if hlock.read == 2 and prev.read:
            continue
        if cls.cmp_fn is not None and cls.cmp_fn(prev.instance, hlock.instance) < 0:
            continue
        if nested:
            return _Recursion.SERIALISED
        going_on = _report_recursion(core, task, prev, hlock, not linux)
        return _Recursion.NONE if going_on else _Recursion.REPORTED
    return _Recursion.NONE


def _report_recursion(
    core: Core, task: LockdepTask, prev: HeldLock, hlock: HeldLock, missed: bool
) -> bool:
    cmp_fn = prev.cls.cmp_fn
    return core.fail(
        RecursiveReport,
        task,
        next=held_info(hlock),
        prev=held_info(prev),
        comparison=cmp_fn(prev.instance, hlock.instance) if cmp_fn is not None else None,
        linux_would_miss=missed,
    )


def _check_prevs_add(core: Core, task: LockdepTask, hlock: HeldLock, linux: bool) -> bool:
    """Add the dependencies of *hlock* on what is held in this context, innermost first.

    One lock that was itself waited for stands for all below it, as they are connected to it; but
    not if it was taken as a recursive reader, or excused by its nest_lock, or is transparent to
    the interrupt checks. Linux stops there all the same.
    """
    for prev in reversed(task.held):
        if prev.irq_context != hlock.irq_context:
            break
        if not prev.check:
            continue
        if not _check_prev_add(core, task, prev, hlock, linux):
            return False
        if not prev.trylock:
            if core.like_linux or _stands_for_those_below(prev):
                break
            linux = False
    return True


def _stands_for_those_below(prev: HeldLock) -> bool:
    return prev.read != 2 and not prev.serialised and not transparent(prev.cls)


def _check_prev_add(
    core: Core, task: LockdepTask, prev: HeldLock, hlock: HeldLock, linux: bool
) -> bool:
    cls = hlock.cls
    if prev.cls is cls and cls.cmp_fn is not None:
        if cls.cmp_fn(prev.instance, hlock.instance) < 0:
            return True
    kind = dependency_kind(prev.read, hlock.read)
    edge = prev.cls.after.get(cls)
    if edge is not None and not kind & ~edge.dep and not core.like_linux:
        # Known, hence checked when it was new, as was all that came later.
        if linux and kind & ~edge.linux_dep:
            record(prev.cls, cls, kind, core.trace(), linux=True)
        return True
    if not _check_noncircular(core, task, prev, hlock, linux):
        return False
    if not _check_irq_order(core, task, prev, hlock, linux):
        return False
    if edge is None:
        # Each dependency takes two entries of Linux's table, one for each direction.
        if core.like_linux and 2 * core.dependency_count >= MAX_LOCKDEP_ENTRIES:
            return core.fail(LimitsReport, task, limit="MAX_LOCKDEP_ENTRIES too low!")
        core.dependency_count += 1
    record(prev.cls, cls, kind, core.trace(), linux=linux)
    return True


def _check_noncircular(
    core: Core, task: LockdepTask, prev: HeldLock, hlock: HeldLock, linux: bool
) -> bool:
    if not leads_to(hlock.cls, prev.cls):
        return True

    def closes(node: PathNode) -> bool:
        return node.cls is prev.cls and (prev.read == 0 or not node.only_xr)

    def look(search: PathSearch) -> PathNode | None:
        return search(hlock.cls, hlock.read == 2, closes)

    target, missed = core.find(look, linux=linux)
    if target is None:
        return True
    if prev.cls is hlock.cls:
        return _report_recursion(core, task, prev, hlock, missed)
    return core.fail(
        CircularReport,
        task,
        next=held_info(hlock),
        prev=held_info(prev),
        chain=links(target.path(), core.trace()),
        linux_would_miss=missed,
    )


def _may_connect_irqs(core: Core, prev: HeldLock, hlock: HeldLock) -> bool:
    """Tell whether any path at all could lead from a safe class over these two to an unsafe one."""
    hardirq, softirq = core.used_in
    if not hardirq and not softirq:
        return False
    before = prev.cls.ancestors | prev.cls.bit
    after = hlock.cls.reach | hlock.cls.bit
    return bool(
        (before & hardirq and after & core.enabled[0])
        or (before & softirq and after & core.enabled[1])
    )


def _check_irq_order(
    core: Core, task: LockdepTask, prev: HeldLock, hlock: HeldLock, linux: bool
) -> bool:
    if not _may_connect_irqs(core, prev, hlock):
        return True
    bad, missed = core.find(lambda search: find_bad_order(search, prev, hlock), linux=linux)
    if bad is None:
        return True
    return core.fail(
        SafeUnsafeReport,
        task,
        next=held_info(hlock),
        prev=held_info(prev),
        state=state_name(bad.safe_bit),
        safe_path=links(bad.safe.path(), ()),
        safe_trace=bad.safe.cls.usage_traces[bad.safe_bit],
        unsafe_path=links(bad.unsafe.path(), core.trace()),
        unsafe_trace=bad.unsafe.cls.usage_traces[bad.unsafe_bit],
        linux_would_miss=missed,
    )
