# SPDX-License-Identifier: Apache-2.0
"""Where a lock is taken in an interrupt, and where with interrupts on, as the stacks of a report show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from quiesce.explain.judge.call_path import (
    above_the_lock,
    enters_interrupt,
    is_generic,
    is_wrapper,
    own_context,
    useful,
    waiter,
)
from quiesce.explain.judge.modes import is_internal, plain_name
from quiesce.explain.judge.triggers import trigger_of
from quiesce.explain.read.model import PrintedFrame, PrintedLock, PrintedReport

_TURNED_ON = re.compile(
    r"trace_hardirqs_on\w*|lockdep_hardirqs_on\w*|trace_softirqs_on|lockdep_softirqs_on"
)
_UNLOCK = re.compile(
    r"_*(?:raw_)?\w*unlock_(?:irq|bh)|_*local_bh_enable\w*|local_irq_enable|_*raw_local_irq_enable"
    r"|arch_local_irq_enable|_*(?:raw_)?\w*unlock_(?:irq|bh)\w*"
)


@dataclass(frozen=True)
class Enabled:
    """Interrupts were turned on while a lock was held.

    :param by: the function that did it: "_raw_spin_unlock_irq"; *caller*: the code that called it.
    """

    by: str
    caller: str


def turned_on(frames: Sequence[PrintedFrame]) -> Enabled | None:
    """Return the function that enabled interrupts in the stack of a usage that is not an acquisition."""
    names = [plain_name(frame.function) for frame in useful(frames)]
    if "mark_held_locks" not in names[:12]:
        return None
    start = names.index("mark_held_locks") + 1
    rest = names[start:]
    if not any(_TURNED_ON.fullmatch(name) for name in rest[:4]):
        return None
    by = ""
    for name in rest:
        if _UNLOCK.fullmatch(name):
            by = name
        elif not _TURNED_ON.fullmatch(name) and not is_internal(name) and not is_wrapper(name):
            return Enabled(by, name)
    return None


def function_in(frames: Sequence[PrintedFrame]) -> str:
    """Return the function that takes the lock in this stack."""
    return waiter(frames)


def interrupted(frames: Sequence[PrintedFrame]) -> str:
    """Return the function that an interrupt with this stack came on top of; empty if not seen."""
    rest = useful(frames)
    entries = [index for index, frame in enumerate(rest) if enters_interrupt(frame.function)]
    for frame in rest[entries[-1] + 1 :] if entries else ():
        name = plain_name(frame.function)
        if not (is_generic(name) or is_wrapper(name) or is_internal(name) or "interrupt" in name):
            return name
    return ""


def usage_frames(report: PrintedReport, lock: PrintedLock, mark: str) -> tuple[PrintedFrame, ...]:
    """Return the stack of *lock*'s usage whose name contains *mark*, by the dependency tree."""
    for block in report.blocks:
        if block.lock.same_class(lock):
            for usage in block.usages:
                if mark in usage.state:
                    return usage.frames
    return ()


def acquired_in(report: PrintedReport, lock: PrintedLock) -> tuple[PrintedFrame, ...]:
    """Return the stack in which *lock* was taken with the lock before it held; empty if not printed."""
    return next((block.acquired for block in report.blocks if block.lock.same_class(lock)), ())


def seen_at(frames: Sequence[PrintedFrame]) -> str:
    """Return " (seen: ioctl())" for the stack of a task that has no name; empty if unknown."""
    seen = trigger_of(frames).seen
    if not seen:
        return ""
    return " (seen at boot)" if seen == "boot" else f" (seen: {seen})"


def handler_chain(frames: Sequence[PrintedFrame]) -> tuple[PrintedFrame, ...]:
    """Return the part of *frames* that is the interrupt's own."""
    own = own_context(frames)
    return tuple(own) if own else tuple(above_the_lock(frames))
