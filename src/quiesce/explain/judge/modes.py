# SPDX-License-Identifier: Apache-2.0
"""How a lock was taken, told by the function that took it.

The report prints no mode. ``rlock(`` in the table of newer kernels says "reader" but not of which
kind, and the kind decides: a *fair* reader waits behind a waiting writer, a *recursive* one does
not (``down_read`` is the first, ``rcu_read_lock`` and ``srcu_read_lock`` the second, ``read_lock``
the second only in interrupts: ``read_lock_is_recursive()`` in include/linux/lockdep.h).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from quiesce.explain.read.model import PrintedFrame


class AcquireMode(Enum):
    """How a lock is taken; the value is what the JSON output says."""

    EXCLUSIVE = "exclusive"
    READ = "read"
    RECURSIVE_READ = "recursive-read"
    SYNC = "sync"
    UNKNOWN = "unknown"

    @property
    def reads(self) -> bool:
        return self in (AcquireMode.READ, AcquireMode.RECURSIVE_READ)


@dataclass(frozen=True)
class Acquisition:
    """One way of taking a lock.

    :param mode: as a writer, a reader, ...
    :param primitive: ``mutex``, ``rwsem``, ``spinlock``, ...; empty when the function is unknown.
    :param function: what told, for the reader to check; empty when nothing did.
    :param caller: the function that called it: where in the code the lock is taken.
    :param trylock: True when it is taken only if it is free.
    """

    mode: AcquireMode
    primitive: str = ""
    function: str = ""
    caller: PrintedFrame | None = None
    trylock: bool = False


UNKNOWN = Acquisition(AcquireMode.UNKNOWN)

_INTERNAL = re.compile(
    r"(?:__lock_acquire|lock_acquire|validate_chain|check_prevs?_add|check_noncircular|check_deadlock"
    r"|lock_sync|mark_lock|mark_usage|mark_held_locks|lockdep_hardirqs_on_prepare|reacquire_held_locks"
    r"|__lock_release|lock_release|lockdep_\w+|print_\w+|__raw_read_trylock|trace_hardirqs_on\w*"
    r"|__mark_lock\w*|mark_lock_irq|valid_state|check_\w+|dump_stack\w*|__dump_stack|show_stack"
    r"|verify_lock_unused|debug_check_no_locks_\w+|alloc_list_entry|show_trace\w*|add_lock_to_list"
    r"|register_lock_class|assign_lock_key|__might_resched|unwind_backtrace|dump_backtrace|save_trace|stack_trace_save|do_lock_acquire)$"
)
_E, _R, _RR, _S = (
    AcquireMode.EXCLUSIVE,
    AcquireMode.READ,
    AcquireMode.RECURSIVE_READ,
    AcquireMode.SYNC,
)
_FUNCTIONS: tuple[tuple[str, str, AcquireMode], ...] = (
    (
        r"(?:__)?(?:ww_)?mutex_(?:lock|trylock)\w*|__mutex_lock\w*|class_mutex_constructor",
        "mutex",
        _E,
    ),
    (r"ww_mutex_lock\w*|__ww_mutex_lock\w*", "ww_mutex", _E),
    (r"(?:_*)rt_mutex_(?:lock|trylock|slowlock)\w*", "rt_mutex", _E),
    (r"percpu_down_read\w*|__percpu_down_read\w*", "percpu_rwsem", _R),
    (r"percpu_down_write\w*", "percpu_rwsem", _E),
    (r"(?:__)?down_read\w*|rwsem_down_read\w*|class_rwsem_read_constructor", "rwsem", _R),
    (r"(?:__)?down_write\w*|rwsem_down_write\w*|class_rwsem_write_constructor", "rwsem", _E),
    (r"cpus_read_lock|get_online_cpus|cpuset_read_lock", "percpu_rwsem", _R),
    (r"cpus_write_lock|cpu_hotplug_begin|_cpu_up|_cpu_down", "percpu_rwsem", _E),
    (
        r"(?:__)?sb_start_(?:write|pagefault|intwrite)\w*|file_start_write|mnt_want_write\w*|lo_write_bvec"
        r"|kiocb_start_write",
        "percpu_rwsem",
        _R,
    ),
    (r"sb_wait_write|freeze_super|thaw_super_locked", "percpu_rwsem", _E),
    (
        r"_*(?:raw_)?(?:_raw_)?read_(?:lock|trylock)\w*|queued_read_lock\w*|rt_read_lock",
        "rwlock",
        _R,
    ),
    (r"_*(?:raw_)?write_(?:lock|trylock)\w*|queued_write_lock\w*|rt_write_lock", "rwlock", _E),
    (
        r"_*(?:raw_)?spin_(?:lock|trylock)\w*|do_raw_spin_lock|rt_spin_lock\w*|_atomic_dec_and_lock\w*"
        r"|task_rq_lock|raw_spin_rq_lock\w*",
        "spinlock",
        _E,
    ),
    (r"(?:__)?lock_sock\w*|lock_sock_fast", "socket lock", _E),
    (r"(?:__)?fs_reclaim_acquire|__perform_reclaim|balance_pgdat|kswapd", "fs_reclaim", _E),
    (r"(?:__)?srcu_read_lock\w*", "srcu", _RR),
    (r"(?:__)?synchronize_srcu\w*", "srcu", _S),
    (r"rcu_read_lock\w*|rcu_lock_acquire", "rcu", _RR),
    (r"start_this_handle|jbd2__journal_start", "jbd2_handle", _R),
    (r"jbd2_might_wait_for_commit|jbd2_log_wait_commit", "jbd2_handle", _E),
    (
        r"kernfs_get_active|kernfs_fop_(?:write_iter|write|readdir|llseek)|kernfs_seq_start"
        r"|sysfs_get_active|sysfs_(?:write|read)_file",
        "kernfs",
        _R,
    ),
    (
        r"kernfs_drain|_*kernfs_remove\w*|sysfs_deactivate|sysfs_addrm_finish|sysfs_remove_\w+",
        "kernfs",
        _E,
    ),
    (
        r"bio_queue_enter|__bio_queue_enter|blk_queue_enter|blk_try_enter_queue|blk_alloc_queue",
        "block queue",
        _R,
    ),
    (r"blk_mq_freeze_queue\w*|blk_freeze_\w+|blk_mq_freeze_\w+", "block queue", _E),
    (r"ldsem_down_read\w*|tty_ldisc_ref_wait|tty_ldisc_ref", "ldsem", _R),
    (r"ldsem_down_write\w*|tty_ldisc_lock\w*", "ldsem", _E),
    (r"read_seqcount\w*|seqcount_lockdep_reader_access", "seqcount", _RR),
    (r"(?:do_)?write_seqcount\w*|write_seqlock\w*", "seqcount", _E),
    (r"console_lock|down_console_sem", "console semaphore", _E),
    (r"inode_lock(?:_nested)?|ext4_xattr_inode_iget", "rwsem", _E),
    (
        r"inode_lock_shared\w*|filemap_invalidate_lock_shared|mmap_read_lock\w*|i_mmap_lock_read",
        "rwsem",
        _R,
    ),
    (r"filemap_invalidate_lock|mmap_write_lock\w*|i_mmap_lock_write", "rwsem", _E),
    (r"(?:__)?might_fault", "rwsem", _R),
    (r"r?rw_enter_read|_*rw_rlock\w*|_*sx_slock\w*|lockmgr_slock\w*", "rwsem", _R),
    (r"r?rw_enter_write|_*rw_wlock\w*|_*sx_xlock\w*|lockmgr_xlock\w*", "rwsem", _E),
    (r"mtx_enter\w*|_*mtx_lock\w*", "mutex", _E),
    (r"\w+_down_read", "rwsem", _R),
    (r"\w+_down_write", "rwsem", _E),
    (r"process_one_work|process_scheduled_works", "work item", _E),
    (
        r"(?:__)?flush_work\w*|start_flush_work|(?:__)?cancel_\w*work\w*|(?:__)?flush_delayed_work"
        r"|drain_workqueue|destroy_workqueue|touch_w\w+_lockdep_map",
        "work item",
        _E,
    ),
)
_TABLE = tuple((re.compile(rf"(?:{pattern})$"), what, mode) for pattern, what, mode in _FUNCTIONS)
_INTERRUPTS = re.compile(
    r"(?:handle_irq|do_IRQ|common_interrupt|__do_softirq|handle_softirqs|run_timer_softirq"
    r"|sysvec_apic_timer_interrupt|hrtimer_interrupt)$"
)
_ALLOCATOR = re.compile(
    r"_*(?:fs_reclaim_acquire|might_alloc|slab_\w+|k[mz]alloc\w*|kmem_cache_\w+|kvmalloc\w*|vmalloc\w*"
    r"|do_kmalloc\w*|k\w*alloc_\w*noprof|(?:get_free|alloc)_pages?\w*|alloc_frozen_pages\w*|mempool_alloc\w*"
    r"|prepare_alloc_pages|slab_pre_alloc_hook|kmalloc_\w+|folio_alloc\w*|vmalloc_\w+|perform_reclaim)$"
)
_FREEZE = re.compile(r"(?:__)?blk_(?:mq_)?freeze_\w+|blk_freeze_\w+")
_DEPTH = 7


def plain_name(function: str) -> str:
    """Return *function* without what the compiler appended: ``.isra.0``, ``.part.1``, ``.cold``."""
    return function.partition(".")[0]


def is_internal(function: str) -> bool:
    """True for the functions of lockdep itself, which stand innermost in its stacks."""
    return _INTERNAL.match(plain_name(function)) is not None


def is_freeze(function: str) -> bool:
    """True for the functions that freeze a block queue."""
    return _FREEZE.match(plain_name(function)) is not None


def of_function(function: str) -> Acquisition:
    """Return how *function* takes its lock, UNKNOWN when it is not known to take any."""
    name = plain_name(function)
    for pattern, primitive, mode in _TABLE:
        if pattern.match(name):
            return Acquisition(mode, primitive, name, None, "trylock" in name)
    return UNKNOWN


def of_trace(frames: Sequence[PrintedFrame]) -> Acquisition:
    """Return how the lock was taken that *frames*, innermost first, are the stack of.

    lockdep's own functions are skipped; of the locking functions that follow the innermost decides
    and the first function above them is the caller.
    """
    reliable = [f for f in frames if f.reliable and f.function]
    start = 0
    while start < len(reliable) and _INTERNAL.match(plain_name(reliable[start].function)):
        start += 1
    rest = reliable[start : start + _DEPTH]
    found = UNKNOWN
    caller: PrintedFrame | None = rest[0] if rest else None
    for index, frame in enumerate(rest):
        one = of_function(frame.function)
        if one.mode is AcquireMode.UNKNOWN:
            caller = frame
            break
        found = one if found.mode is AcquireMode.UNKNOWN else found
        caller = rest[index + 1] if index + 1 < len(rest) else None
    if found.primitive == "fs_reclaim":
        # The function that allocates is of interest, not the allocator.
        named = (f for f in reliable[start:] if not _ALLOCATOR.match(plain_name(f.function)))
        caller = next(named, caller)
    mode = found.mode
    if found.primitive == "rwlock" and mode is AcquireMode.READ:
        in_interrupt = any(_INTERRUPTS.match(plain_name(f.function)) for f in reliable)
        mode = AcquireMode.RECURSIVE_READ if in_interrupt else AcquireMode.READ
    return Acquisition(mode, found.primitive, found.function, caller, found.trylock)


@dataclass(frozen=True)
class SeenUsage:
    """What the usage characters say about a class.

    :param wrote: some acquisition for write had interrupts on, or was in one.
    :param read: the same for read.
    """

    wrote: bool
    read: bool


def seen(usage: str, early: bool = False) -> SeenUsage:
    """Decode ``{+.+.}``: write and read columns alternate, for hardirq, softirq (and reclaim).

    :param early: the layout of the first 2.6 kernels, whose four columns are hardirq and softirq for
        write, then the two for read (and whose signs are swapped, which does not matter here).
    """
    if early and len(usage) == 4:
        usage = usage[0] + usage[2] + usage[1] + usage[3]
    return SeenUsage(any(c != "." for c in usage[0::2]), any(c != "." for c in usage[1::2]))
