# SPDX-License-Identifier: Apache-2.0
"""Which functions of a stack an answer names: the one that waits, and the few that lead to it.

A stack of thirty frames has three to six that say something. Left out are the functions by which any
lock is taken (``mutex_lock``), wrappers of one lock that a subsystem made (``xfs_ilock``), the entry
from user space, and the plumbing between two functions of one subsystem.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from quiesce.explain.judge.modes import is_internal, plain_name
from quiesce.explain.read.model import PrintedFrame

LONGEST = 6
"""Functions of a chain that are shown."""

_WRAPPERS = re.compile(
    r"(?:_*\w*_)?(?:i?lock|rdlock|wrlock)(?:_nested|_killable|_interruptible|_shared|_exclusive|_all"
    r"|_bh|_irq|_irqsave|_slow|_slowpath|_fast|_common|_nowait|_internal|_two|_get)*\d?"
    r"|\w*_(?:down|up)_(?:read|write)\w*|\w*_(?:read|write)_(?:lock|trylock)\w*|_*lock_\w+"
    r"|\w+_unlock\w*|(?:up|__down|down)(?:_common|_read|_write|_interruptible|_killable|_timeout|_trylock|_nested|_nest_lock|_non_owner)*"
    r"|\w*trylock\w*|xfs_ilock\w*|xfs_iunlock\w*|mutex_\w+|rtnl_lock\w*|i_mmap_lock_\w+"
    r"|btrfs_(?:try_)?tree_(?:read_)?(?:un)?lock\w*|btrfs_lock_root_node|btrfs_read_lock_root_node"
    r"|__?sb_start_\w+|sb_start_\w+|mnt_want_write\w*|file_start_write|percpu_\w+|cpus_read_lock"
    r"|__?mutex_\w+|__?rt_mutex_\w+|rt_mutex_\w+|ww_mutex_\w+|rwsem_\w+|rwbase_\w+|__rw\w+lock\w*"
    r"|task_rq_lock|__task_rq_lock|raw_spin_rq_lock\w*|\w*spin_lock\w*|_raw_\w+|__raw_\w+"
    r"|class_\w+_constructor|device_lock\w*|drm_modeset_lock\w*|dma_resv_lock\w*|console_lock"
    r"|get_online_cpus|__wait_event\w*|wait_event\w*|do_wait_\w+|lockref_\w+|bit_spin_lock"
    r"|(?:__)?flush_(?:work|workqueue|delayed_work)|start_flush_work|touch_w\w+_lockdep_map"
    r"|(?:__)?cancel_\w*work\w*|drain_workqueue|destroy_workqueue|timer_delete\w*|del_(?:singleshot_)?timer_sync"
    r"|lockmgr\w*|_*vn_lock\w*|null_lock|vop_lock\w*|VOP_LOCK\w*|vget\w*|r?rw_enter\w*|mtx_enter\w*"
    r"|_*mtx_\w*lock\w*|_*sx_\w*lock\w*|_*rw_\w+lock\w*"
    r"|kernfs_drain|_*kernfs_remove\w*|sysfs_deactivate|sysfs_addrm_finish"
    r"|might_fault|__might_fault|fs_reclaim_acquire|__fs_reclaim_acquire|might_alloc\w*"
)
"""Functions that only take or release a lock: their caller is meant."""

_NOT_WRAPPERS = {"rwsem_optimistic_spin", "lock_page", "folio_lock", "lock_two_nondirectories"}
_NOT_LOCKS = re.compile(r".*(?:block|clock|flock)$|(?:un)?lockd(?:_\w+)?|.*_(?:block|clock)_\w+")

_ALLOCATORS = re.compile(
    r"_*(?:fs_reclaim_acquire|might_alloc|slab_\w+|k[mz]alloc\w*|kmem_cache_\w+|kvm?[mz]alloc\w*"
    r"|k[cv]*alloc\w*|vmalloc\w*|vzalloc\w*|do_kmalloc\w*|k\w*alloc_\w*noprof|kmalloc_\w+"
    r"|(?:get_free|alloc)_pages?\w*|get_zeroed_page\w*|alloc_frozen_pages\w*|mempool_alloc\w*"
    r"|prepare_alloc_pages|slab_pre_alloc_hook|folio_alloc\w*|vma_alloc_folio\w*|krealloc\w*"
    r"|perform_reclaim|kasan_\w+|stack_depot_\w+|__?kasan_\w+|alloc_slab_page|allocate_slab|new_slab"
    r"|__alloc_object|create_object|kmemleak_\w+|set_track_prepare|depot_\w+|kmemdup\w*|kstrdup\w*"
    r"|unpoison_\w+|memdup_user\w*|alloc_obj\w*|refill_\w+|___slab_alloc|alloc_from_pcs|save_stack"
    r"|set_track|__set_page_owner\w*|prep_new_page|post_alloc_hook|get_page_from_freelist"
    r"|kmem_z?alloc\w*|kmem_zone_\w+|alloc_percpu_\w+)"
)
"""Functions that allocate memory for any caller."""

_GENERIC = re.compile(
    r"entry_\w+|do_syscall\w*|_*x64_sys_\w+|x64_sys_call|_*(?:ia32|arm64|s390x|riscv|se|do)_sys_\w+"
    r"|_*sys_\w+|SyS_\w+|SYSC_\w+|ksys_\w+|do_fast_syscall\w*|__do_fast\w*|do_int80\w*|syscall\w*"
    r"|system_call\w*|invoke_syscall\w*|el0\w*|el1\w*|do_el0\w*|ret_from\w*|ret_fast\w*|tracesys\w*"
    r"|ia32_sys_call|sysenter\w*|__do_syscall|handle_exception|ret_to_user\w*|__ret_from_fork"
    r"|kthread|kthread_worker_fn|process_one_work|process_scheduled_works|worker_thread|run_workqueue"
    r"|start_kernel\w*|kernel_thread\w*|secondary_startup\w*|start_secondary\w*|rest_init|cpu_startup\w*"
    r"|smpboot_thread_fn|asm_\w+|exc_\w+|common_interrupt\w*|handle_irq\w*|do_idle|default_idle\w*"
    r"|__schedule\w*|schedule\w*|context_switch|__switch_to\w*|call_\w+_iter|do_iter_\w+|new_sync_\w+"
    r"|async_run_entry_fn|do_vfs_ioctl|vfs_ioctl|exit_to_user\w*|do_filp_open|do_init_module|load_module"
    r"|idempotent_init_module|init_module_from_file|do_dentry_open|prepare_exit_to\w*|task_work_run"
    r"|irqentry_\w+|syscall_exit\w*|block_ioctl|do_fsync|__sys_\w+|do_sys_\w+|do_preadv|do_pwritev"
    r"|invoke_\w+|kernel_init\w*|do_basic_setup|do_initcall\w*|x86_64_start\w*|cpuidle_\w+"
    r"|handle_fasteoi\w*|gic_\w+|generic_handle\w*|__handle_irq\w*|start_this_cpu|head_64|common_startup\w*"
)
_MILESTONES = re.compile(
    r"do_user_addr_fault|do_page_fault|handle_mm_fault|do_(?:anonymous|wp|swap|cow)_\w+|wp_page_copy"
    r"|filemap_fault|try_to_free_pages|kswapd|balance_pgdat|shrink_slab|prune_icache_sb|evict|pageout"
    r"|super_cache_scan|prune_dcache_sb|swap_writepage|submit_bio\w*|vfs_write|vfs_read|vfs_\w+"
    r"|kernfs_fop_\w+|seq_read\w*|sock_close|sock_(?:setsockopt|ioctl|sendmsg|recvmsg)\w*|\w*_setsockopt"
    r"|rtnetlink_rcv_msg|genl_rcv_msg|netlink_rcv_skb|rtnl_\w+|do_exit|__fput|mmput\w*|exit_mmap"
    r"|deactivate_super|generic_shutdown_super|kill_\w+_super|path_mount|do_new_mount|\w+_probe"
    r"|\w+_remove|\w+_disconnect|really_probe|hub_event|del_gendisk|add_disk\w*|rcu_core|rcu_do_batch"
    r"|delayed_put_task_struct|handle_softirqs|__do_softirq|run_timer_softirq|call_timer_fn"
    r"|try_to_wake_up|printk|vprintk\w*|console_unlock|notify_change|writeback_\w+|wb_workfn|\w+_ioctl"
    r"|do_mmap|do_munmap|__mmu_notifier_\w+|migrate_pages|compact_zone|\w+_netdevice\w*|unregister_\w+"
    r"|register_\w+|cpuhp_\w+|_cpu_(?:up|down)|flush_\w+|drain_\w+|cancel_\w+sync|kfree_rcu\w*|do_truncate"
)
_INTERRUPT_ENTRY = re.compile(
    r"_*handle_softirqs\w*|_*do_softirq\w*|call_softirq|asm_(?:sysvec|common|exc_nmi|call_irq)\w*"
    r"|sysvec_\w+|common_interrupt\w*|apic_timer_interrupt|smp_apic_timer\w*|ret_from_intr"
    r"|el1\w*_(?:irq|interrupt)\w*|el1h_64_irq\w*|handle_irq_event\w*|do_IRQ|_*irq_svc|gic_handle_irq"
    r"|exc_nmi|end_repeat_nmi|nmi_handle|do_ext_irq|do_io_irq|do_hardirq\w*|timer_interrupt"
    r"|decrementer_common\w*|hardware_interrupt\w*|do_interrupt_handler|handle_percpu\w*"
    r"|run_ksoftirqd|irq_exit\w*"
)


def is_wrapper(function: str) -> bool:
    """True if *function* only takes or releases a lock for its caller."""
    name = plain_name(function)
    if name in _NOT_WRAPPERS or _NOT_LOCKS.fullmatch(name):
        return False
    return is_internal(name) or _WRAPPERS.fullmatch(name) is not None


def is_allocator(function: str) -> bool:
    """True if *function* allocates memory for any caller."""
    return _ALLOCATORS.fullmatch(plain_name(function)) is not None


def is_generic(function: str) -> bool:
    """True if *function* says nothing about what the task was doing: entry code, schedulers."""
    return _GENERIC.fullmatch(plain_name(function)) is not None


def useful(frames: Sequence[PrintedFrame]) -> list[PrintedFrame]:
    """Return the frames that have a name and were really called."""
    return [frame for frame in frames if frame.reliable and frame.function]


def enters_interrupt(function: str) -> bool:
    """True if *function* is where an interrupt or softirq is entered."""
    return _INTERRUPT_ENTRY.fullmatch(plain_name(function)) is not None


def own_context(frames: Sequence[PrintedFrame]) -> list[PrintedFrame]:
    """Return the innermost context of a stack: up to where an interrupt or softirq was entered."""
    result: list[PrintedFrame] = []
    for frame in useful(frames):
        if enters_interrupt(frame.function):
            break
        result.append(frame)
    return result


def above_the_lock(frames: Sequence[PrintedFrame], allocating: bool = False) -> list[PrintedFrame]:
    """Return *frames* from the function that wanted the lock on, innermost first.

    :param allocating: skip the allocator as well: the function that allocates is meant.
    """
    rest = useful(frames)
    start = 0
    while start < len(rest) and is_wrapper(rest[start].function):
        start += 1
    if allocating:
        while start < len(rest) and (
            is_allocator(rest[start].function) or is_wrapper(rest[start].function)
        ):
            start += 1
    return rest[start:] or rest[-1:]


def waiter(frames: Sequence[PrintedFrame], allocating: bool = False) -> str:
    """Return the function that wanted the lock; empty if the stack is empty."""
    rest = above_the_lock(frames, allocating)
    return plain_name(rest[0].function) if rest else ""


_HELPERS = re.compile(
    r"_*(?:alloc|kmem|kmalloc|kzalloc|pcpu|debugfs|start_creating|copy|inline_copy|device|bus|kobject"
    r"|kobj|kernfs|sysfs|kthread|queue|flush|cancel|cpuhp|sbitmap|filemap|might|iput|evict|wait|msleep"
    r"|schedule|printk|vprintk|console|static_key|jump_label|stop_machine|smp_call|register|unregister"
    r"|get_user|put_user|memcpy|destroy|drain|synchronize|rcu|percpu|proc|idr|ida|fput|dput|mntput"
    r"|submit|blk_mq_alloc|blk_queue_enter|scsi_execute|usb_control|usb_start|i2c_transfer|regmap)_\w+"
    r"|kfree|vfree|iput|dput|fput|copy_\w+_user"
)


def mover(frames: Sequence[PrintedFrame], allocating: bool = False) -> str:
    """Return the function in which something has to move for the lock to be taken elsewhere.

    That is the one that wants the lock, unless many call it: then it is the nearest caller that
    belongs to the code in question.
    """
    names = [plain_name(frame.function) for frame in above_the_lock(frames, allocating)]
    for name in names:
        if is_generic(name):
            break
        if not _HELPERS.fullmatch(name) and not is_wrapper(name) and not is_allocator(name):
            return name
    return names[0] if names else ""


def chain(frames: Sequence[PrintedFrame], allocating: bool = False) -> tuple[str, ...]:
    """Return three to six functions that lead to the lock, the outermost first.

    The last one is the function that wants the lock, the first one the trigger; between them stand
    the functions at which the stack enters another subsystem or another stage of its work.
    """
    rest = above_the_lock(own_context(frames) or useful(frames), allocating)
    names: list[str] = []
    for frame in reversed(rest):
        name = plain_name(frame.function)
        if is_generic(name) or (is_wrapper(name) and frame is not rest[0]):
            continue
        if not frame.inlined or frame is rest[0] or _MILESTONES.fullmatch(name):
            names.append(name)
    if not names:
        return tuple(plain_name(frame.function) for frame in rest[:1])
    return tuple(_chosen(names))


def _chosen(names: list[str]) -> list[str]:
    if len(names) <= LONGEST:
        return names
    scores = [_score(names, index) for index in range(len(names))]
    order = sorted(range(len(names)), key=lambda index: (-scores[index], -index))
    return [names[index] for index in sorted(order[:LONGEST])]


def _score(names: list[str], index: int) -> float:
    """Return how much the function at *index* says: ends first, then changes of subsystem."""
    last = len(names) - 1
    if index in (0, last):
        return 100.0
    name = names[index]
    score = 3.0 - 0.35 * (last - index)  # what is near to the lock says more
    if _MILESTONES.fullmatch(name):
        score += 2.5
    if _prefix(name) != _prefix(names[index - 1]):
        score += 1.5
    if name.startswith(("__", "do_")):
        score -= 1.0
    return score


def _prefix(name: str) -> str:
    return name.strip("_").partition("_")[0]
