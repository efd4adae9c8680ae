# SPDX-License-Identifier: Apache-2.0
"""Links of a chain that are not acquisitions.

Some code tells lockdep of an order without taking the locks ("priming"), so that a wrong order is
reported the first time it is used: no task ever waited in such a stack. And when a task releases a
lock that is not the last it took, lockdep takes those above it out and puts them back in
(``reacquire_held_locks()``): the stack is then that of a release.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from quiesce.explain.judge.modes import AcquireMode, is_internal, of_function, plain_name
from quiesce.explain.read.model import PrintedFrame, PrintedLock

PRIMING: tuple[tuple[str, str], ...] = (
    (r"blk_alloc_queue", "any reclaim may do I/O (block: Make request_queue lockdep splats show up "
     "earlier, 6.15)"),
    (r"dma_resv_lockdep", "any reclaim and any MMU notifier may take a dma_resv lock"),
    (r"fs_reclaim_taints_mutex|\w+_taints_mutex", "reclaim may take this mutex"),
    (r"i915_gem_shrinker_init|i915_gem_shrinker_taints_mutex", "the shrinker may take this mutex"),
    (r"jbd2_might_wait_for_commit|btrfs_might_wait_for_\w+", "this code may have to wait"),
    (r"\w*lockdep_prime\w*|\w*_lockdep_init|\w*init_lockdep\w*", "it is declared at initialization"),
    (r"mmu_notifier_range_init_\w+|mmu_notifier_invalidate_init", "reclaim may call MMU notifiers"),
    (r"cgroup_\w*lockdep\w*", "it is declared at initialization"),
)  # fmt: skip
"""Functions that declare an order, and what each of them says."""

_PRIMING = tuple((re.compile(pattern), meaning) for pattern, meaning in PRIMING)
_REACQUIRE = "reacquire_held_locks"
_RELEASE = re.compile(
    r"_*(?:lock_release|__lock_release|up_\w+|mutex_unlock\w*|_*raw_\w*unlock\w*|\w*_unlock\w*|rwsem_\w+"
    r"|__?mutex_unlock\w*|percpu_up_\w+|rt_mutex_\w*unlock\w*|ww_mutex_unlock)"
)
_DEPTH = 3


def declared_in(lock: PrintedLock, frames: Sequence[PrintedFrame]) -> str:
    """Return the function in which *lock* was only declared; empty for an acquisition."""
    rest = [frame for frame in frames if frame.reliable and frame.function]
    start = 0
    while start < len(rest) and is_internal(rest[start].function):
        start += 1
    for frame in rest[start : start + _DEPTH]:
        name = plain_name(frame.function)
        if any(pattern.fullmatch(name) for pattern, _ in _PRIMING):
            return name
        if of_function(name).mode is not AcquireMode.UNKNOWN:
            return ""
    return ""


def declares_what(function: str) -> str:
    """Return what the priming *function* declares, as a clause; empty if it is not known."""
    for pattern, meaning in _PRIMING:
        if pattern.fullmatch(function):
            return meaning
    return ""


def reacquired_in(frames: Sequence[PrintedFrame]) -> str:
    """Return the function whose release made lockdep take the lock out and in; else empty."""
    names = [plain_name(frame.function) for frame in frames if frame.reliable and frame.function]
    if _REACQUIRE not in names[:6]:
        return ""
    for name in names[names.index(_REACQUIRE) + 1 :]:
        if _RELEASE.fullmatch(name) is None and not is_internal(name):
            return name
    return _REACQUIRE
