# SPDX-License-Identifier: Apache-2.0
"""What a blocked task waits for, told by the functions of its stack: a maintained table.

A task blocks on a lock, or on an *event*: a completion, a wait queue, a grace period, a folio, an answer.
For an event the table says in words what is awaited and what brings it about. The functions are those of
Linux 2.6.32 to 6.18; what follows from their source and not from the dump is called inferred.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FROZEN = "a frozen queue"
"""The key of what a task has that froze a block queue, and of what one waits for that enters it."""

INSIDE = "a queue in use"
"""The key of what a task has that is using a block queue, and of what one waits for that freezes it."""


@dataclass(frozen=True)
class Awaited:
    """Something that a task waits for and that is not a lock.

    :param words: as a verb phrase: "waits for a completion".
    :param by: what brings it about, as a noun phrase for a row; empty if that is not known.
    :param key: by which the task that has to act is found in a dump; empty if it cannot be.
    :param inferred: True if the words are not in the dump but in the source.
    :param generic: True if many kinds of waits use the function, so that its caller says more.
    :param starves: how it can be delayed forever although no task is blocked, as what those tasks do;
        *verdict*: the same in a sentence or two.
    :param notes: what is to be said of it, each with a lock that the task must hold for it (or "").
    :param fixes: what helps, best first.
    """

    words: str
    by: str = ""
    key: str = ""
    inferred: bool = False
    generic: bool = False
    starves: str = ""
    verdict: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    fixes: tuple[str, ...] = ()


_KVM = Awaited(
    "waits until mn_active_invalidate_count is 0",
    "any tasks between range_start and range_end",
    inferred=True,
    starves="keep the count above 0; need no lock that row 1 holds (inferred)",
    verdict=(
        "starvation, not deadlock (inferred). The memslot update sleeps until no invalidation is open, "
        "and new ones may start while it sleeps."
    ),
    notes=(
        (
            "slots_arch_lock",
            "Inferred: slots_arch_lock is still held, so the SRCU wait is yet to come.",
        ),
        ("", "An unpaired range_start or a lost wakeup would leave the same dump."),
    ),
    fixes=(
        "Wait only for the invalidations that were open when the update began: one count for old ones, "
        "one for new. `quiesce kvm check --design phased` holds; `--design count` shows the starvation, "
        "`quiesce kvm stall` measures it.",
        "Until then, avoid madvise(), mprotect() and fork() in the VMM while it changes memslots.",
    ),
)

EVENTS: tuple[tuple[str, Awaited], ...] = (
    (r"kvm_swap_active_memslots|install_new_memslots", _KVM),
    (r"blk_queue_enter|_*bio_queue_enter", Awaited("waits to enter the queue", "a task that has frozen the "
     "queue", FROZEN)),
    (r"blk_(?:mq_)?freeze_queue_wait\w*|blk_mq_freeze_queue\w*", Awaited("waits until the queue is unused",
     "a task that is using the queue", INSIDE)),
    (r"(?:__)?synchronize_srcu\w*|srcu_barrier", Awaited("waits for SRCU readers", "an SRCU reader")),
    (r"synchronize_rcu\w*|__wait_rcu_gp|rcu_barrier\w*|synchronize_sched\w*|exp_funnel_lock\w*"
     r"|synchronize_net", Awaited("waits for an RCU grace period", "an RCU reader, or a CPU that does not "
     "report a quiescent state")),
    (r"(?:__)?flush_work\w*|__cancel_work\w*|cancel_\w*work_sync|flush_delayed_work",
     Awaited("waits for a work item", "the worker that runs the item")),
    (r"__flush_workqueue|flush_workqueue|drain_workqueue|destroy_workqueue",
     Awaited("flushes a workqueue", "the workers of the queue")),
    (r"kthread_(?:stop|park)\w*", Awaited("waits for a kernel thread to end", "that thread")),
    (r"(?:timer_delete|del_timer|hrtimer_cancel)\w*", Awaited("waits for a timer to end", "the timer")),
    (r"kernfs_drain", Awaited("waits until a sysfs file is unused", "a task that uses the file")),
    (r"folio_wait_writeback\w*|wait_on_page_writeback\w*|(?:__)?filemap_fdatawait\w*",
     Awaited("waits for writeback", "the block device or the file system below")),
    (r"(?:__)?folio_lock\w*|(?:__)?lock_page\w*|folio_wait_bit\w*|(?:__)?wait_on_page_\w+"
     r"|folio_put_wait_locked|wait_on_page_bit\w*", Awaited("waits for a locked folio",
     "the task that locked the folio, or the I/O on it")),
    (r"(?:__)?wait_on_buffer|sync_buffer|sync_dirty_buffer\w*", Awaited("waits for a buffer", "its I/O")),
    (r"jbd2_log_wait_commit|jbd2_complete_transaction", Awaited("waits for the jbd2 commit",
     "the jbd2 thread")),
    (r"wait_transaction_(?:locked|switching)|add_transaction_credits|start_this_handle",
     Awaited("waits to start a jbd2 handle", "the jbd2 commit, which waits for running handles")),
    (r"jbd2_journal_commit_transaction|jbd2_journal_wait_updates", Awaited("commits a jbd2 transaction and "
     "waits", "running handles, or the block device")),
    (r"xlog_(?:grant_head_wait|ticket_queue)\w*|xfs_log_reserve", Awaited("waits for space in the XFS log",
     "writeback of the log's tail")),
    (r"xfs_buf_(?:lock|iowait)|xfs_buf_wait_unpin", Awaited("waits for an XFS buffer",
     "the task that locked the buffer, or its I/O")),
    (r"xfs_log_force\w*|xlog_wait\w*|xlog_cil_\w*force\w*", Awaited("waits for the XFS log",
     "the log's I/O")),
    (r"xfs_iunpin_wait|__xfs_iunpin_wait", Awaited("waits until an inode is unpinned", "a log force")),
    (r"wait_current_trans|btrfs_wait_for_commit|wait_for_commit|btrfs_commit_transaction\w*"
     r"|btrfs_wait_ordered\w*|btrfs_start_ordered\w*|reserve_ticket\w*|handle_reserve_ticket"
     r"|wait_reserve_ticket", Awaited("waits for a btrfs transaction or reservation",
     "the transaction that runs")),
    (r"request_wait_answer|fuse_\w*wait\w*", Awaited("waits for the FUSE server", "the FUSE daemon")),
    (r"rpc_wait_bit\w*|rpc_run_task|__rpc_execute|nfs_wait\w*|nfs4_\w*wait\w*|wait_on_commit",
     Awaited("waits for an answer over the network", "the NFS server")),
    (r"gfs2_glock_wait|glock_wait\w*|__?ocfs2_cluster_lock\w*|ocfs2_wait_for_mask|dlm_\w+wait\w*",
     Awaited("waits for a cluster lock", "the node that holds it")),
    (r"blk_mq_get_tag|sbitmap_\w+|wbt_wait|rq_qos_wait|blkcg_maybe_throttle\w*|ioc_rqos_throttle",
     Awaited("waits for a free request", "the device: requests that do not complete")),
    (r"blk_execute_rq|blk_mq_\w*wait\w*|blk_wait_io|submit_bio_wait|bio_await\w*|blkdev_issue_flush",
     Awaited("waits for I/O", "the device")),
    (r"md_super_wait|md_write_start|raid\d+_\w+|wait_barrier|md_\w*wait\w*|make_stripe_request",
     Awaited("waits for the md array", "its threads or devices")),
    (r"dm_\w*(?:wait|suspend)\w*|__dm_\w+|drbd_\w+", Awaited("waits for a device mapper or DRBD device",
     "the device")),
    (r"usb_kill_\w+|usb_start_wait_urb|usb_\w*wait\w*", Awaited("waits for the USB device", "the device")),
    (r"mmc_\w*wait\w*|__mmc_claim_host", Awaited("waits for the MMC host", "the task that claimed it")),
    (r"scsi_(?:error|block|eh|host)\w*|scsi_\w*wait\w*", Awaited("waits for the SCSI host",
     "its error handler or device")),
    (r"nvme_\w*(?:wait|freeze|sync)\w*|nvme_submit_\w+", Awaited("waits for the NVMe device", "the device")),
    (r"cv_wait\w*|__cv_wait\w*|txg_wait\w*|zio_wait|taskq_wait\w*", Awaited("waits for ZFS",
     "a ZFS thread or its I/O")),
    (r"inode_dio_wait\w*", Awaited("waits for direct I/O", "that I/O")),
    (r"pipe_(?:read|write|wait)\w*", Awaited("waits for a pipe", "the other end")),
    (r"futex_wait\w*|futex_\w*wait\w*", Awaited("waits for a futex", "user space")),
    (r"ep_poll|do_sys_poll|do_select|poll_schedule\w*", Awaited("polls", "user space or a device")),
    (r"vfork_done|wait_for_vfork_done", Awaited("waits for its vfork child", "the child")),
    (r"do_wait|kernel_wait4|zap_pid_ns_processes", Awaited("waits for a child to end", "the child")),
    (r"coredump_\w*|do_coredump|exit_mm|coredump_task_exit", Awaited("waits for a core dump",
     "the task that dumps core")),
    (r"percpu_ref_\w+", Awaited("waits until no reference is left", "the tasks that hold one")),
    (r"dma_fence_\w*wait\w*|dma_resv_wait\w*|drm_\w*wait\w*|i915_\w*wait\w*|amdgpu_\w*wait\w*",
     Awaited("waits for a DMA fence", "the GPU")),
    (r"wait_for_device_probe|device_block_probing|async_synchronize\w*", Awaited("waits for probes to end",
     "a driver's probe")),
    (r"(?:do_|__)?wait_for_common|wait_for_completion\w*", Awaited("waits for a completion",
     "the task that completes it", generic=True)),
    (r"rcuwait_\w+", Awaited("waits for an rcuwait", "the task that wakes it",
     generic=True)),
    (r"smp_call_function\w*|stop_(?:one|two)_cpus?\w*|stop_machine\w*|cpu_stop\w*",
     Awaited("waits for other CPUs", "a CPU that does not answer")),
    (r"out_of_line_wait_on_bit\w*|__wait_on_bit\w*|wait_on_bit\w*|bit_wait\w*",
     Awaited("waits for a bit", "the task that clears it", generic=True)),
)  # fmt: skip
"""Functions in which a task waits, innermost match wins; the first line of the table wins among equals."""

LOCKS: tuple[tuple[str, str, str], ...] = (
    (r"_*ww_mutex_lock\w*", "ww_mutex", ""),
    (r"_*mutex_lock\w*|__mutex_lock_slowpath", "mutex", ""),
    (r"_*rt_mutex_\w*lock\w*|rt_mutex_slowlock\w*|__rt_mutex_\w+", "rt_mutex", ""),
    (r"percpu_rwsem_wait|_*percpu_down_read\w*|_*percpu_down_write\w*", "percpu rwsem", ""),
    (r"rwsem_down_write_\w+|down_write\w*|rwsem_down_write_failed\w*|call_rwsem_down_write\w*",
     "rwsem", "write"),
    (r"rwsem_down_read_\w+|down_read\w*|rwsem_down_read_failed\w*|call_rwsem_down_read\w*", "rwsem", "read"),
    (r"__?down(?:_common|_interruptible|_killable|_timeout)?|down|down_interruptible|down_killable",
     "semaphore", ""),
    (r"__?lock_sock\w*|lock_sock_nested", "socket lock", ""),
    (r"ldsem_down_\w+|tty_ldisc_lock\w*", "ldsem", ""),
)  # fmt: skip
"""Functions in which a task waits for a lock: its primitive, and the mode if that tells one."""

LOCK_OF: tuple[tuple[str, str], ...] = (
    (r"rtnl_lock\w*|rtnl_net_lock\w*", "rtnl_mutex"),
    (r"del_gendisk|bdev_open\w*|blkdev_get\w*|bdev_release|blkdev_put|bdev_disk_changed|__blkdev_get",
     "open_mutex"),
    (r"cpus_read_lock|cpus_write_lock|get_online_cpus|cpu_hotplug_begin", "cpu_hotplug_lock"),
    (r"mmap_(?:read|write)_lock\w*", "mmap_lock"),
    (r"led_trigger_(?:un)?register\w*", "triggers_list_lock"),
    (r"cgroup_lock\w*|cgroup_kn_lock_live|cgroup_lock_and_drain_offline|cgroup_attach_lock", "cgroup_mutex"),
    (r"lock_mount\w*|namespace_lock|do_lock_mount", "namespace_sem"),
    (r"inode_lock\w*|vfs_setxattr|path_openat|do_unlinkat|do_rmdir|do_truncate|vfs_utimes|ext4_file_\w+"
     r"|ext4_buffered_write_iter|xfs_file_\w+|generic_file_write_iter|chmod_common|chown_common"
     r"|lookup_slow|filename_create|do_last|vfs_fallocate|fuse_file_write_iter|btrfs_file_write_iter",
     "i_rwsem"),
    (r"grab_super|super_lock\w*|deactivate_super|iterate_supers\w*|get_super\w*|__iterate_supers"
     r"|freeze_super|thaw_super\w*|sync_inodes_sb|writeback_inodes_sb\w*|try_to_writeback_inodes_sb",
     "s_umount"),
    (r"sb_wait_write|__sb_start_write|sb_start_write|mnt_want_write\w*|sb_start_\w+", "sb_writers"),
    (r"device_lock\w*|__device_driver_lock|device_release_driver\w*|__device_attach\w*|__driver_attach\w*"
     r"|usb_disconnect|hub_event|usb_lock_\w+", "dev->mutex"),
    (r"console_lock", "console_sem"),
    (r"genl_rcv\w*", "cb_lock"),
    (r"nl80211_\w+|cfg80211_\w+lock\w*", "wiphy mutex"),
    (r"kernfs_\w+", "kernfs_rwsem"),
    (r"acct_process|acct_pin_kill", "acct->lock"),
    (r"addrconf_\w+|linkwatch_event|default_device_exit\w*|unregister_netdev|register_netdev"
     r"|reg_\w+_work|netdev_run_todo", "rtnl_mutex"),
    (r"n_tty_read", "atomic_read_lock"),
    (r"tty_(?:open|release)\w*", "tty_mutex"),
)  # fmt: skip
"""Which lock is meant where the dump lists none, by the function that takes it (inferred)."""


@dataclass(frozen=True)
class InferredHold:
    """What a task has that runs in some function (inferred).

    :param key: of the lock; or FROZEN, INSIDE.
    :param words: as a verb phrase; empty for "holds KEY".
    """

    key: str
    words: str = ""


HOLDS: tuple[tuple[str, InferredHold], ...] = (
    (r"del_gendisk|elevator_(?:change|switch)|blk_mq_update_nr_hw_queues|elv_iosched_store",
     InferredHold(FROZEN, "has frozen the queue")),
    (r"bdev_release|blkdev_put|bdev_open\w*|blkdev_get_\w+|__blkdev_get|bdev_disk_changed|disk_scan_\w+",
     InferredHold("open_mutex")),
    (r"rtnetlink_rcv_msg|dev_ioctl|devinet_ioctl|inet_ioctl|unregister_netdev|register_netdev|linkwatch_event"
     r"|default_device_exit\w*|addrconf_\w*work\w*|rtnl_newlink|rtnl_dellink|__rtnl_newlink|tun_chr_close"
     r"|cleanup_net|ip_tunnel_delete_nets|dev_open|__dev_open|__dev_close\w*|netdev_run_todo",
     InferredHold("rtnl_mutex")),
    (r"generic_shutdown_super|kill_\w*super|deactivate_locked_super|freeze_super|reconfigure_super"
     r"|do_remount\w*|iterate_supers\w*|sync_filesystem|writeback_inodes_sb\w*", InferredHold("s_umount")),
    (r"ext4_buffered_write_iter|ext4_file_write_iter|xfs_file_buffered_write|btrfs_(?:buffered|direct)_write"
     r"|btrfs_file_write_iter|generic_file_write_iter|vfs_(?:unlink|rmdir|mkdir|create|rename|link|symlink)"
     r"|notify_change|vfs_removexattr|vfs_setxattr|ext4_fallocate|iomap_file_buffered_write|lookup_open"
     r"|__lookup_slow|iterate_dir|fuse_file_write_iter", InferredHold("i_rwsem")),
    (r"do_user_addr_fault|__do_page_fault|vm_mmap_pgoff|__vm_munmap|do_mprotect_pkey|madvise_\w+"
     r"|do_madvise|sys_mremap|__do_sys_brk|__do_sys_mremap", InferredHold("mmap_lock")),
    (r"_cpu_up|_cpu_down|cpuhp_setup_state\w*|__cpuhp_setup_state\w*", InferredHold("cpu_hotplug_lock")),
    (r"cgroup_(?:destroy_locked|mkdir|attach_task|procs_write|apply_control\w*|rmdir)\w*",
     InferredHold("cgroup_mutex")),
    (r"device_release_driver_internal|__device_attach|really_probe|usb_unbind_interface|hub_event"
     r"|usb_disconnect|device_shutdown", InferredHold("dev->mutex")),
    (r"submit_bio\w*|blk_mq_submit_bio|blk_mq_get_tag", InferredHold(INSIDE, "is using the queue")),
    (r"genl_rcv_msg|genl_family_rcv_msg\w*", InferredHold("cb_lock")),
    (r"do_mount|path_mount|do_move_mount", InferredHold("namespace_sem")),
    (r"led_trigger_register|led_trigger_unregister", InferredHold("triggers_list_lock")),
)  # fmt: skip
"""What a task has in the functions that called the one in which it waits (inferred)."""

_EVENTS = tuple((re.compile(pattern), event) for pattern, event in EVENTS)
_LOCKS = tuple((re.compile(pattern), primitive, mode) for pattern, primitive, mode in LOCKS)
_LOCK_OF = tuple((re.compile(pattern), name) for pattern, name in LOCK_OF)
_HOLDS = tuple((re.compile(pattern), held) for pattern, held in HOLDS)


def event_of(function: str) -> Awaited | None:
    """Return what a task waits for in *function*; None if that is not known."""
    return next((event for pattern, event in _EVENTS if pattern.fullmatch(function)), None)


def lock_wait_of(function: str) -> tuple[str, str] | None:
    """Return (primitive, mode) if a task waits for a lock in *function*, else None."""
    for pattern, primitive, mode in _LOCKS:
        if pattern.fullmatch(function):
            return primitive, mode
    return None


def lock_taken_in(function: str) -> str:
    """Return the name of the lock that *function* takes (inferred); empty if it is not known."""
    return next((name for pattern, name in _LOCK_OF if pattern.fullmatch(function)), "")


def held_in(function: str) -> InferredHold | None:
    """Return what the callees of *function* run with (inferred); None if it is not known."""
    return next((held for pattern, held in _HOLDS if pattern.fullmatch(function)), None)
