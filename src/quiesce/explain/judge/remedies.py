# SPDX-License-Identifier: Apache-2.0
"""What would break a cycle: one or two instructions, best first.

The edge that is new comes first, since the code that added it is the one to change; edges on core locks
come last, since their order is fixed by much other code. Each instruction names the function in which
something moves. One that looks right and is not is refused, with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from quiesce.explain.judge.annotations import Nature
from quiesce.explain.judge.call_path import above_the_lock, mover
from quiesce.explain.judge.cycle import Cycle, HoldingPath
from quiesce.explain.judge.ladder import Ladder, allocates, function_of, one_task, reenters_notifier
from quiesce.explain.judge.modes import AcquireMode, plain_name
from quiesce.explain.judge.words import LockNames

MOST = 2
"""Fixes that are shown."""

_CORE = re.compile(
    r"&mm->mmap_(?:lock|sem)|mmap_lock|rtnl_mutex|&type->s_umount_key|sb_\w+|.*i_mutex\w*key.*|.*i_rwsem"
    r"|fs_reclaim|cpu_hotplug\w*(?:\.\w+)?|&q->q_usage_counter.*|(?:k-)?sk_lock-AF.*|slock-AF.*"
    r"|init_mm\.page_table_lock|pcpu_alloc_mutex|console_\w+|\(console_sem\)\.lock|kn->active|s_active"
    r"|rcu_\w+|jbd2_handle|tasklist_lock|cgroup_mutex|cgroup_threadgroup_rwsem|&p->pi_lock|&rq->\w*lock"
    r"|&of->mutex|&sighand->siglock|&dev->mutex|mapping\.invalidate_lock|&pipe->mutex|.*dentry.*d_lock.*"
    r"|.*d_lock|mmu_notifier\w*|(?:__)?mmu_notifier\w*|&folio_wait\w*|&xa->xa_lock|&lruvec->lru_lock"
    r"|&zone->lock|pool_lock|\(wq_completion\)events\w*|system_transition_mutex|namespace_sem|&p->lock"
    r"|&disk->open_mutex|&bdev->bd_mutex|event_mutex|text_mutex|slab_mutex|cpuset_rwsem|percpu\w*"
    r"|&inode->i_\w+|&base->lock|hrtimer_bases\.lock|module_mutex|uevent_sock_mutex|ftrace_lock"
)
"""Locks of the core kernel, whose order is fixed by much other code."""


@dataclass(frozen=True)
class Remedy:
    """A fix for one path: the less *cost*, the better."""

    cost: float
    text: str


def is_core(base: str) -> bool:
    """True if *base* is a lock of the core kernel."""
    return _CORE.fullmatch(base) is not None


def remedies(cycle: Cycle, ladder: Ladder, names: LockNames) -> tuple[tuple[str, ...], str]:
    """Return the best fixes for *cycle*, and one that is refused (empty if there is none)."""
    same = one_task(cycle)
    found: list[Remedy] = []
    for index, path in enumerate(cycle.paths):
        if path.declared or path.reacquired:
            continue
        text = _for_path(cycle, path, names)
        if same is not None and index == same[0] == 1:
            text = _move_out(path, cycle.paths[index - 1], same[1], names) or text
        if not text:
            continue
        cost = float(index > 0) + 2.0 * is_core(path.wants.lock.base) * is_core(
            path.holds.lock.base
        )
        fixed = is_core(path.holds.lock.base) and not path.holds.note.two_sides
        cost += 1.5 * (fixed and not path.wants.note.nature.is_annotation)
        cost += 4.0 * (same is not None and index == same[0] - 1)  # it would not help, see below
        cost -= 0.5 * (allocates(path) or path.wants.note.nature is Nature.WAIT)
        cost -= 1.5 * (same is not None and index == same[0] == 1)
        found.append(Remedy(cost, text))
    private = [wait for wait in ladder.writers if not is_core(wait.wanted.lock.base)]
    for wait in private:
        if wait.wanted.how.primitive == "rwsem":
            open_ = any(reenters_notifier(cycle, path) for path in cycle.paths)
            found.append(
                Remedy(-1.0 if open_ else 2.5, _count(wait.wanted.lock.base, cycle, names))
            )
    found.sort(key=lambda remedy: remedy.cost)
    texts = list(dict.fromkeys(remedy.text for remedy in found))
    refused = _refused(cycle, same, names) or _gfp(cycle)
    return tuple(texts[:MOST]), refused


def _for_path(cycle: Cycle, path: HoldingPath, names: LockNames) -> str:
    holds, function = names.of(path.holds.lock), mover(path.frames, allocates(path))
    place = f", in {function}()" if function else ""
    nature = path.wants.note.nature
    if path.holds.note.nature is Nature.CONTEXT:
        return _in_context(path, names, place)
    if path.wants.lock.base == "fs_reclaim" or allocates(path):
        if path.holds.note.nature.is_annotation and not path.holds.note.two_sides:
            return _scope(cycle, path, place)
        what = "the queue is frozen" if path.holds.note.two_sides else f"{holds} is taken"
        return f"Allocate before {what}{place}, or {_scope_words(cycle)} there."
    if nature is Nature.CONTEXT:
        if reenters_notifier(cycle, path):
            return ""
        return f"Do not enter {names.of(path.wants.lock)} with {holds} held{place}."
    if nature is Nature.WAIT:
        return _wait(path, names, place)
    if path.holds.note.two_sides:
        if path.holds.how.mode is AcquireMode.EXCLUSIVE:
            return f"Take {names.of(path.wants.lock)} before the queue is frozen{place}."
        return f"Take {names.of(path.wants.lock)} before the queue is entered{place}."
    if path.holds.note.nature is Nature.WAIT:
        return _inside(path, names, place)
    wants = names.of(path.wants.lock)
    if cycle.on_itself:
        return f"Do not take {wants} again{place}: drop it first, or call a variant that expects it held."
    return f"Take {wants} before {holds}{place}, or drop {holds} first."


def _in_context(path: HoldingPath, names: LockNames, place: str) -> str:
    """What is taken in reclaim or in a notifier: there only trying does not wait."""
    wants = names.of(path.wants.lock)
    where = "reclaim" if path.holds.lock.base == "fs_reclaim" else names.of(path.holds.lock)
    if path.wants.note.nature is Nature.CONTEXT or path.wants.note.two_sides:
        return ""
    return (
        f"Only try {wants} in {where}{place}, and skip the object if that fails; or defer the work."
    )


def _scope(cycle: Cycle, path: HoldingPath, place: str) -> str:
    words = _scope_words(cycle)
    return f"{words[0].upper()}{words[1:]}{place}: the allocation must not enter that reclaim."


def _scope_words(cycle: Cycle) -> str:
    bases = [path.wants.lock.base for path in cycle.paths]
    if any("mmu_notifier" in base for base in bases):
        return "use GFP_NOWAIT and expect that it fails"
    if any("q_usage_counter" in base or "elevator" in base for base in bases):
        return "call memalloc_noio_save()"
    return "call memalloc_nofs_save()"


def _gfp(cycle: Cycle) -> str:
    """Refuse GFP_NOFS where reclaim reaches its lock through the MMU notifiers."""
    through = [p for p in cycle.paths if "mmu_notifier" in p.wants.lock.base and allocates(p)]
    if not through:
        return ""
    return "GFP_NOFS does not help: every direct reclaim may call MMU notifiers."


def _wait(path: HoldingPath, names: LockNames, place: str) -> str:
    holds, lock = names.of(path.holds.lock), path.wants.lock
    held = "from inside it" if path.holds.lock.same_class(lock) else f"with {holds} held"
    name = names.of(lock)
    if path.passes:
        return ""
    if path.holds.note.two_sides:
        held = "while the queue is frozen"
    elif path.holds.note.nature is Nature.WAIT and held.startswith("with"):
        held = "from inside it" if holds == name else f"from {holds}"
    if path.wants.note.two_sides:
        verb = (
            "freeze the queue"
            if path.wants.how.mode is AcquireMode.EXCLUSIVE
            else "do I/O on the queue"
        )
        return f"Do not {verb} {held}{place}: drop it first, or do that before."
    if (
        path.wants.how.primitive == "work item"
        or "_completion)" in lock.base
        or "work" in lock.base
    ):
        kind = "workqueue " if lock.base.startswith("(wq_") else ""
        if held.startswith("with"):
            after = f"after {holds} is dropped{place}"
            return f"Flush or cancel {kind}{name} {after}, or cancel it without waiting."
        return (
            f"Do not wait for {kind}{name} {held}{place}: cancel it without waiting, or elsewhere."
        )
    if lock.base in ("kn->active", "s_active"):
        return f"Remove the sysfs file after {holds} is dropped{place}."
    if path.wants.how.mode is AcquireMode.SYNC:
        return f"Drop {holds} before the grace period{place}, or use call_srcu()."
    if lock.base == "jbd2_handle":
        return f"Start the handle before {holds} is taken{place}."
    if "timer" in lock.base:
        return f"Drop {holds} before waiting for the timer{place}, or delete it without waiting."
    return f"Do not wait for {name} {held}{place}."


def _inside(path: HoldingPath, names: LockNames, place: str) -> str:
    """The path runs inside something that others wait for: a work item, a sysfs operation."""
    wants = names.of(path.wants.lock)
    if path.passes:
        return ""
    if path.holds.lock.base in ("kn->active", "s_active"):
        return (
            f"Only try {wants} in the sysfs operation{place}, and restart the call if that fails."
        )
    if path.holds.lock.base == "jbd2_handle":
        return f"Take {wants} before the handle is started{place}."
    if "srcu" in path.holds.lock.base:
        return f"Take {wants} before the SRCU reader starts{place}."
    return f"Do not take {wants} in {names.of(path.holds.lock)}{place}: only try it, or take it elsewhere."


def _count(base: str, cycle: Cycle, names: LockNames) -> str:
    taker = next((p for p in cycle.paths if p.wants.lock.base == base), cycle.paths[0])
    function = function_of(taker)
    if any(reenters_notifier(cycle, path) for path in cycle.paths):
        return (
            f"Replace the rwsem with a count of open invalidations under a spinlock: {function}() then "
            "never waits for a writer. Price: overlapping invalidations can keep a writer waiting "
            "forever."
        )
    return (
        f"Replace {names.of(taker.wants.lock)} with a count of readers under a spinlock: {function}() "
        "then never waits for a writer. Price: readers can keep a writer waiting forever."
    )


def _move_out(path: HoldingPath, before: HoldingPath, shared: str, names: LockNames) -> str:
    """Both rows are places of *shared*: what the later one does must move in front of both locks."""
    stack = above_the_lock(path.frames, allocates(path))
    at = next((i for i, f in enumerate(stack) if plain_name(f.function) == shared), 0)
    inner = [plain_name(f.function) for f in stack[:at] if shared not in f.function]
    if not inner:
        return ""
    first = before.holds
    held = names.of(path.holds.lock)
    both = f"takes {names.of(first.lock)} and {held}"
    if first.note.two_sides:
        both = f"freezes the queue and takes {held}"
    return f"{_what(path, names)} before {shared}() {both}: move that part out of {_own_work(inner)}()."


def _what(path: HoldingPath, names: LockNames) -> str:
    name = names.of(path.wants.lock)
    if allocates(path) or "alloc" in function_of(path):
        return "Allocate"
    if path.wants.note.nature is Nature.WAIT:
        kind = "workqueue " if path.wants.lock.base.startswith("(wq_") else ""
        return f"Wait for {kind}{name}"
    return f"Do what takes {name}"


def _own_work(inner: list[str]) -> str:
    """Of the functions between the shared one and the lock, name one of another stage, near to it."""
    for name in reversed(inner):
        if not name.startswith("__"):
            return name
    return inner[-1]


def _refused(cycle: Cycle, same: tuple[int, str] | None, names: LockNames) -> str:
    if same is None or same[0] != 1:
        return ""
    path = cycle.paths[same[0] - 1]
    wants = names.of(path.wants.lock)
    if path.holds.note.two_sides:
        return (
            f"Taking {wants} before the freeze does not help: the queue is frozen in row {same[0] + 1} "
            "as well (inferred)."
        )
    if path.holds.note.nature.is_annotation:
        return ""
    holds = names.of(path.holds.lock)
    return (
        f"Taking {wants} before {holds} does not help: {holds} is held in row {same[0] + 1} as well "
        "(inferred)."
    )
