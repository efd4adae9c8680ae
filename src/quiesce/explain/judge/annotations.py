# SPDX-License-Identifier: Apache-2.0
"""What the names in a report stand for when they are not, or not quite, locks.

lockdep checks ``lockdep_map`` objects, and many of them belong to no lock: they mark a context
(memory reclaim), or stand for waiting until something has finished (a work item). Two thirds of the
circular reports on public lists contain one. For each the question is who can wait for whom:

* a *context* blocks no task. To "take" it is to enter it, and what happens "with it held" happens in
  the same task. A cycle through a context has one task fewer than lockdep's table shows.
* a *wait* blocks one side only: tasks that wait for the end (a flush, a drain, a freeze) wait for
  the tasks inside; the tasks inside (the worker) do not wait when they enter.
* a *home-made lock* is a real lock of which lockdep knows no wait type, so it prints ``{0:0}`` as
  for the others: per-CPU rwsems, socket locks, seqcounts.

Sources are the kernel functions named with each entry, as of Linux 6.12.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from quiesce.explain.judge.modes import AcquireMode
from quiesce.explain.read.model import PrintedLock


class Nature(Enum):
    """What kind of thing a lock class is; see the module's text."""

    LOCK = "lock"
    HOME_MADE = "home-made lock"
    CONTEXT = "context"
    WAIT = "wait"
    RCU = "rcu"
    UNKNOWN_MAP = "unknown"

    @property
    def is_annotation(self) -> bool:
        """True when no lock stands behind the name."""
        return self not in (Nature.LOCK, Nature.HOME_MADE)


@dataclass(frozen=True)
class Note:
    """What is known about a lock class.

    :param nature: lock, home-made lock, context, wait, rcu.
    :param stands_for: in a clause that completes "it stands for ...".
    :param blocks: who waits for whom, as a sentence.
    :param readers: how readers treat a waiting writer: ``fair``, ``recursive``, ``try`` or empty.
    :param insiders: functions that take it and never wait (the worker, the reader).
    :param source: the kernel function to read.
    :param usual: how it is taken where the function does not tell.
    :param two_sides: True if it is entered by some and closed by others, and each side waits only
        for the other one.
    """

    nature: Nature
    stands_for: str
    blocks: str
    readers: str = ""
    insiders: tuple[str, ...] = ()
    source: str = ""
    usual: AcquireMode = AcquireMode.UNKNOWN
    two_sides: bool = False


_WORKER = ("process_one_work", "process_scheduled_works", "worker_thread", "run_workqueue")
_FREEZE = (
    "Each task that writes to the file system takes it for read; the only writer is freeze_super(). "
    "A reader that comes while a freeze is pending waits for it."
)

_BY_NAME: tuple[tuple[str, Note], ...] = (
    (
        r"fs_reclaim",
        Note(
            Nature.CONTEXT,
            "memory reclaim that may call into file systems and drivers: kswapd, and any "
            "allocation that may reclaim directly (GFP_KERNEL)",
            "No task waits for it. The task that allocates does the reclaim itself, so what is "
            'taken "under fs_reclaim" is taken by the allocating task, or by kswapd.',
            source="fs_reclaim_acquire(), mm/page_alloc.c",
            usual=AcquireMode.EXCLUSIVE,
        ),
    ),
    (
        r"(?:__)?mmu_notifier_invalidate_range_start(?:_map)?",
        Note(
            Nature.CONTEXT,
            "being inside the start or the end callbacks of an MMU notifier invalidation (not "
            "between the two), and entering them, as every allocation that may reclaim does",
            "No task waits for it: any number of tasks can be inside together, although lockdep is told "
            "that it is exclusive.",
            source="mmu_notifier_invalidate_range_start(), include/linux/mmu_notifier.h",
            usual=AcquireMode.EXCLUSIVE,
        ),
    ),
    (
        r"\(work_completion\).*|\(?\(&.*work\)?(?:->work)?\)+|\(\(.*\)\.work\)|\(\w*work\w*\)",
        Note(
            Nature.WAIT,
            "the execution of that work item",
            "A task that flushes or cancels the item (flush_work(), cancel_work_sync()) waits until its "
            "function has returned; the worker that runs it does not wait.",
            insiders=_WORKER,
            source="process_one_work() and __flush_work(), kernel/workqueue.c",
            usual=AcquireMode.EXCLUSIVE,
        ),
    ),
    (
        r"\(wq_completion\).*",
        Note(
            Nature.WAIT,
            "the execution of any work item of that workqueue",
            "A task that flushes, drains or destroys the workqueue waits for all its items; a worker "
            "does not wait. All items of the queue, and all queues made by the same code, share it.",
            insiders=_WORKER,
            source="process_one_work() and __flush_workqueue(), kernel/workqueue.c",
            usual=AcquireMode.EXCLUSIVE,
        ),
    ),
    (
        r"\(?\(&.*timer.*\)|\(timer\)|\(\(.*timer.*\)\)",
        Note(
            Nature.WAIT,
            "the execution of that timer's callback",
            "timer_delete_sync() waits until the callback has returned; the callback does "
            "not wait when it starts.",
            insiders=("call_timer_fn", "expire_timers", "run_timer_softirq"),
            source="call_timer_fn(), kernel/time/timer.c",
            usual=AcquireMode.EXCLUSIVE,
        ),
    ),
    (
        r"sb_writers|sb_pagefaults|sb_internal",
        Note(
            Nature.HOME_MADE,
            "the freeze protection of a super block, a per-CPU rwsem: sb_writers for system calls, "
            "sb_pagefaults for page faults, sb_internal for the file system's own threads",
            _FREEZE,
            readers="fair",
            source="sb_start_write() and freeze_super(), fs/super.c",
            usual=AcquireMode.READ,
        ),
    ),
    (
        r"cpu_hotplug_lock(?:\.rw_sem|\.dep_map)?|cpu_hotplug\.(?:lock|dep_map)",
        Note(
            Nature.HOME_MADE,
            "the CPU hotplug lock, a per-CPU rwsem (cpus_read_lock(), cpus_write_lock())",
            "Readers share it; a reader that comes while a writer is pending waits for it.",
            readers="fair",
            source="cpus_read_lock(), kernel/cpu.c",
        ),
    ),
    (
        r"console_lock",
        Note(
            Nature.HOME_MADE,
            "the console semaphore, which lockdep cannot follow and is shown by this map",
            "console_lock() sleeps until the holder lets go; printk() only tries it.",
            source="console_lock(), kernel/printk/printk.c",
            usual=AcquireMode.EXCLUSIVE,
        ),
    ),
    (
        r"console_owner",
        Note(
            Nature.WAIT,
            "printing to the consoles as their owner, with a printk() on another CPU spinning to "
            "take over",
            "One printk() spins until the owner finishes its current record.",
            source="console_lock_spinning_enable(), kernel/printk/printk.c",
        ),
    ),
    (
        r"&q->q_usage_counter\((?:io|queue)\)|&q->q_usage_counter",
        Note(
            Nature.WAIT,
            "using a block queue: (io) for submitting I/O, (queue) for requests and settings; a "
            "lockdep map of the queue, not the percpu_ref of the same name",
            "A task that enters the queue waits while it is frozen; a task that freezes it waits until "
            "all tasks inside have left.",
            readers="fair",
            source="bio_queue_enter() and blk_freeze_queue_start(), block/blk-core.c, blk-mq.c",
            two_sides=True,
        ),
    ),
    (
        r"jbd2_handle",
        Note(
            Nature.WAIT,
            "a running jbd2 handle, that is a part of a journal transaction",
            "A task that waits for a commit waits for all handles of the transaction; handles share it.",
            readers="fair",
            source="start_this_handle() and jbd2_might_wait_for_commit()",
            usual=AcquireMode.READ,
        ),
    ),
    (
        r"kn->active|s_active|&kn->active.*",
        Note(
            Nature.WAIT,
            "a sysfs or kernfs attribute being read or written",
            "A task that removes the file waits in kernfs_drain() for all tasks inside; no task waits "
            "to enter: an attribute under removal is refused.",
            readers="try",
            insiders=(
                "kernfs_get_active",
                "kernfs_fop_write_iter",
                "kernfs_fop_write",
                "kernfs_seq_start",
                "kernfs_fop_readdir",
                "sysfs_write_file",
                "sysfs_read_file",
                "sysfs_get_active",
            ),
            source="kernfs_get_active() and kernfs_drain(), fs/kernfs/dir.c",
        ),
    ),
    (
        r"btrfs_trans_\w+|btrfs_ordered_extent|btrfs_state_change_\w+",
        Note(
            Nature.WAIT,
            "an event of a btrfs transaction that others wait for",
            "A task that waits for the event waits for all tasks inside; those share it.",
            readers="fair",
            source="btrfs_might_wait_for_event(), fs/btrfs/locking.h",
            usual=AcquireMode.READ,
        ),
    ),
    (
        r"(?:k-)?sk_lock-AF_\w+.*",
        Note(
            Nature.HOME_MADE,
            "the lock of a socket for process context (lock_sock()): a flag under a spinlock",
            "It is exclusive and sleeps. All sockets of the address family are one class.",
            source="lock_sock_nested(), net/core/sock.c",
            usual=AcquireMode.EXCLUSIVE,
        ),
    ),
    (
        r"rcu_read_lock(?:_bh|_sched|_trace)?|rcu_callback|rcu_tasks_trace.*",
        Note(
            Nature.RCU,
            "an RCU read-side section, or an RCU callback being run",
            "Readers never wait; synchronize_rcu() waits for them.",
            readers="recursive",
            source="rcu_read_lock(), include/linux/rcupdate.h",
        ),
    ),
    (
        r"dma_fence_map",
        Note(
            Nature.WAIT,
            "code that must run on until it has signalled a DMA fence",
            "A task that waits for a fence waits for that code.",
            readers="fair",
            source="dma_fence_begin_signalling(), drivers/dma-buf/dma-fence.c",
        ),
    ),
    (
        r"\w+_ww_class_acquire",
        Note(
            Nature.CONTEXT,
            "an acquire context of wound/wait mutexes, from ww_acquire_init() on",
            "No task waits for it; the locks are the *_ww_class_mutex, which back off from a cycle "
            "among themselves.",
            source="ww_acquire_init(), include/linux/ww_mutex.h",
        ),
    ),
    (
        r"cpuhp_state(?:-up|-down)?",
        Note(
            Nature.WAIT,
            "the hotplug callbacks that the CPU's own thread runs",
            "The task that brings the CPU up or down waits until the thread has run them.",
            insiders=("cpuhp_thread_fun",),
            source="cpuhp_thread_fun(), kernel/cpu.c",
        ),
    ),
    (
        r"\((?:complete|completion)\).*",
        Note(
            Nature.WAIT,
            "a completion (lockdep's crossrelease, 4.14 only)",
            "A task that waits for the completion waits for the task that will complete it.",
            source="kernel/sched/completion.c of 4.14",
        ),
    ),
    (
        r"&tty->ldisc_sem",
        Note(
            Nature.HOME_MADE,
            "the line discipline's own reader/writer semaphore",
            "Readers share it; a writer waits for them and later readers wait for it.",
            readers="fair",
            source="drivers/tty/tty_ldsem.c",
        ),
    ),
    (
        r".*(?:seqcount|syncp->seq|_core\.seq|->seq|_seq)",
        Note(
            Nature.HOME_MADE,
            "a sequence count",
            "A reader spins, or tries again, while a writer is inside; a writer never waits.",
            readers="recursive",
            insiders=("write_seqcount", "do_write_seqcount", "write_seqlock"),
            source="include/linux/seqlock.h",
        ),
    ),
    (
        r"(?!.*(?:mutex|lock|work|wq)).*srcu.*",
        Note(
            Nature.WAIT,
            "an SRCU read-side section",
            "Readers never wait; synchronize_srcu() waits for those that entered before it.",
            readers="recursive",
            insiders=("srcu_read_lock", "__srcu_read_lock"),
            source="srcu_read_lock(), include/linux/srcu.h",
        ),
    ),
    (
        r".*(?:lockdep_map|_dep_map|wait-type-override)",
        Note(
            Nature.CONTEXT,
            "a context that a driver marks for lockdep (its name says that it is a map)",
            "No task waits for a map.",
            source="lock_map_acquire(), include/linux/lockdep.h",
        ),
    ),
)
_TABLE = tuple((re.compile(pattern), note) for pattern, note in _BY_NAME)

_PLAIN_LOCK = Note(Nature.LOCK, "", "")
_UNKNOWN = Note(
    Nature.UNKNOWN_MAP,
    "something that lockdep was told no wait type for: an annotation, or a lock made by hand",
    "Whether a task waits for it can only be read in the code that takes it.",
)
_OLD_WORKQUEUE = Note(
    Nature.WAIT,
    "the execution of any work item of that workqueue",
    "A task that flushes or destroys the workqueue waits for all its items; a worker does not wait.",
    insiders=_WORKER,
    source="kernel/workqueue.c before 4.15",
)
_REAL_TAKERS = (
    "mutex_lock",
    "down_read",
    "down_write",
    "_raw_",
    "spin_lock",
    "percpu_down",
    "rt_mutex",
    "lock_sock",
    "ww_mutex",
)
_MAX_NAME = 300
_NOTIFIER = re.compile(r"(?:__)?mmu_notifier_invalidate_range_start(?:_map)?")


def look_up(lock: PrintedLock, takers: tuple[str, ...] = ()) -> Note:
    """Return what is known about *lock*.

    :param takers: functions seen taking it, innermost first: by them a workqueue of an old kernel,
        whose class has an arbitrary name, and an unknown class without wait type are told apart.
    """
    name = lock.base[:_MAX_NAME]
    if lock.inner:  # a wait type proves a lock, whatever its name; RCU has one too
        return _note_of(name) if name.startswith("rcu") else _PLAIN_LOCK
    if (note := _note_of(name)) is not _PLAIN_LOCK:
        return note
    functions = (*takers, *(frame.function for frame in lock.at))
    if any(f.startswith((*_WORKER, "flush_workqueue")) for f in functions[:1]):
        return _OLD_WORKQUEUE
    if lock.inner == 0:
        real = any(f.lstrip("_").startswith(_REAL_TAKERS) or f.startswith("_raw_") for f in takers)
        return (
            Note(Nature.HOME_MADE, "a lock without a declared wait type", "") if real else _UNKNOWN
        )
    return _PLAIN_LOCK


def is_notifier(lock: PrintedLock) -> bool:
    """True for the lockdep map of the MMU notifier callbacks."""
    return _NOTIFIER.fullmatch(lock.base) is not None


def _note_of(name: str) -> Note:
    for pattern, note in _TABLE:
        if pattern.fullmatch(name):
            return note
    return _PLAIN_LOCK
