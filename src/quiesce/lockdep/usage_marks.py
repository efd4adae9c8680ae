# SPDX-License-Identifier: Apache-2.0
"""Marking the usage of classes, and checking each new mark (``mark_lock()``)."""

from __future__ import annotations

from quiesce.lockdep.core import Core
from quiesce.lockdep.held import HARDIRQ_CONTEXT, SOFTIRQ_CONTEXT, HeldLock, LockdepTask
from quiesce.lockdep.irq_checks import conflicting_bit, find_inversion
from quiesce.lockdep.reports_irq import InconsistentReport, InversionReport
from quiesce.lockdep.snapshot import held_info, links
from quiesce.lockdep.usage import (
    DIRECTION,
    ENABLED_HARDIRQ,
    ENABLED_SOFTIRQ,
    READ,
    USAGE_NAMES,
    USED,
    USED_IN_HARDIRQ,
    USED_IN_SOFTIRQ,
    WAITS,
    state_name,
)

_HARDIRQS_ON = 4
_SOFTIRQS_ON = 8
_READER = 16
_WAITS_FOR_WRITERS = 32


def _plan(circumstances: int) -> tuple[int, tuple[int, ...]]:
    """Return the bits to set in these circumstances, as a mask and in the kernel's order."""
    bits = []
    if circumstances & HARDIRQ_CONTEXT:
        bits.append(USED_IN_HARDIRQ)
    if circumstances & SOFTIRQ_CONTEXT:
        bits.append(USED_IN_SOFTIRQ)
    if circumstances & _HARDIRQS_ON:
        bits.append(ENABLED_HARDIRQ)
        if circumstances & _SOFTIRQS_ON:
            bits.append(ENABLED_SOFTIRQ)
    bits.append(USED)
    if circumstances & _READER:
        bits = [bit + READ for bit in bits]
    if circumstances & _WAITS_FOR_WRITERS:
        bits += [bit + WAITS for bit in bits if not (bit >= USED or bit & DIRECTION)]
    return sum(1 << bit for bit in bits), tuple(bits)


_PLANS = tuple(_plan(circumstances) for circumstances in range(64))


def mark_usage(core: Core, task: LockdepTask, hlock: HeldLock) -> bool:
    """Mark that *hlock* is being taken by *task* now; False if that was reported.

    A trylock is not marked as used in an interrupt, since it cannot wait there. A lock that is only
    waited for (``lock_sync()``) is not marked as interruptible, since it is never held.
    """
    circumstances = _READER if hlock.read else 0
    if hlock.read == 1 and not core.like_linux:
        circumstances |= _WAITS_FOR_WRITERS
    if hlock.check:
        if not hlock.trylock:
            circumstances |= task.irq_context
        if not hlock.hardirqs_off and not hlock.sync:
            circumstances |= _HARDIRQS_ON
            if task.softirqs_enabled:
                circumstances |= _SOFTIRQS_ON
    mask, bits = _PLANS[circumstances]
    if not mask & ~hlock.cls.usage:
        return True
    return all(_mark_lock(core, task, hlock, bit) for bit in bits)


def mark_held_locks(core: Core, task: LockdepTask, bit: int) -> bool:
    """Mark all that *task* holds as interruptible; False if that was reported.

    :param bit: ENABLED_HARDIRQ or ENABLED_SOFTIRQ.
    """
    return all(
        _mark_lock(core, task, hlock, bit + READ if hlock.read else bit)
        for hlock in task.held
        if hlock.check
    )


def _mark_lock(core: Core, task: LockdepTask, hlock: HeldLock, bit: int) -> bool:
    cls = hlock.cls
    if cls.usage >> bit & 1:
        return True
    cls.usage |= 1 << bit
    if bit >= WAITS:
        return _check_inversion(core, task, hlock, bit - WAITS, linux=False)
    cls.usage_traces[bit] = core.trace()
    if bit >= USED:
        return True
    (core.enabled if bit & DIRECTION else core.used_in)[bit >> 2] |= cls.bit

    conflict = conflicting_bit(cls.usage, bit)
    if conflict is not None:
        return core.fail(
            InconsistentReport,
            task,
            lock=held_info(hlock),
            old=USAGE_NAMES[conflict],
            new=USAGE_NAMES[bit],
            old_trace=cls.usage_traces[conflict],
        )

    return _check_inversion(core, task, hlock, bit, linux=True)


def _check_inversion(
    core: Core, task: LockdepTask, hlock: HeldLock, bit: int, *, linux: bool
) -> bool:
    """Check what *bit*, new to the class of *hlock*, means to others; False if that was reported.

    :param linux: Linux looks here too.
    """
    inversion, missed = core.find(lambda search: find_inversion(search, hlock, bit), linux=linux)
    if inversion is not None:
        return core.fail(
            InversionReport,
            task,
            lock=held_info(hlock),
            forwards=inversion.forwards,
            state=state_name(inversion.bit),
            path=links(inversion.other.path(), core.trace()),
            linux_would_miss=missed,
        )
    return True
