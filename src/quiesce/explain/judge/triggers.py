# SPDX-License-Identifier: Apache-2.0
"""What set a task going, told by the outer functions of its stack: a system call, an interrupt, ...

A :class:`Trigger` has three wordings: what the task was doing when ("on a write to a sysfs file"), who
it is where no name is printed ("a kworker", "a softirq"), and the short form in brackets
("flistxattr()", "boot").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from quiesce.explain.judge.call_path import is_generic, is_wrapper, own_context, useful
from quiesce.explain.judge.modes import plain_name
from quiesce.explain.read.model import PrintedFrame


@dataclass(frozen=True)
class Trigger:
    """What set a task going.

    :param when: completes "a lock was taken ...": "on a write to a sysfs file"; empty if unknown.
    :param who: what kind of task it is: "any task", "a kworker", "a softirq".
    :param seen: the short form: "flistxattr()", "boot", "sd_probe()".
    """

    when: str = ""
    who: str = "any task"
    seen: str = ""


_SYSCALL = re.compile(
    r"_*(?:x64|ia32|arm64|s390x?|riscv|se|do|compat)_(?:compat_)?sys_(?P<a>\w+)|ksys_(?P<b>\w+)"
    r"|(?:SyS|SYSC|compat_SyS)_(?P<c>\w+)|__sys_(?P<d>\w+)|sys_(?P<e>\w+)|do_sys_(?P<f>open\w*|poll\w*)"
)
_CALL_WORDS = {
    "openat": "open", "openat2": "open", "creat": "open", "close": "close", "newfstatat": "stat",
    "pwrite64": "write", "pread64": "read", "writev": "writev", "unlinkat": "unlink",
    "renameat2": "rename", "renameat": "rename", "mkdirat": "mkdir", "fchmodat": "chmod",
    "clone": "fork", "clone3": "fork", "vfork": "fork", "umount2": "umount", "execveat": "execve",
    "exit_group": "exit", "socketcall": "a socket call", "mmap_pgoff": "mmap",
}  # fmt: skip

# Innermost contexts first: each is searched in the whole of the task's own context.
_EVENTS: tuple[tuple[str, Trigger], ...] = (
    (r"exc_nmi|\w*nmi_handle\w*|nmi_panic", Trigger("in an NMI", "an NMI", "NMI")),
    (r"cgroup_file_write|cgroup\w*_procs_write\w*|cgroup1?_\w+_write",
     Trigger("on a write to a cgroup file", "any task", "cgroup write")),
    (r"kernfs_fop_write\w*|sysfs_write_file|sysfs_kf_write",
     Trigger("on a write to a sysfs file", "any task", "sysfs write")),
    (r"kernfs_fop_read\w*|kernfs_seq_\w+|sysfs_read_file|sysfs_kf_seq_show",
     Trigger("on a read of a sysfs file", "any task", "sysfs read")),
    (r"proc_sys_write|proc_sys_call_handler", Trigger("on a write to a sysctl", "any task", "sysctl")),
    (r"kswapd", Trigger("in kswapd", "kswapd", "kswapd")),
    (r"do_wp_page|wp_page_copy|do_cow_fault",
     Trigger("in a copy-on-write page fault", "any task", "page fault")),
    (r"do_user_addr_fault|(?:__)?do_page_fault|handle_mm_fault|exc_page_fault",
     Trigger("in a page fault", "any task", "page fault")),
    (r"usb_disconnect", Trigger("when a USB device is unplugged", "a kworker", "unplug")),
    (r"device_release_driver\w*|device_unregister|bus_remove_device|\w+_disconnect|\w+_remove_one",
     Trigger("when a device is removed", "any task", "device removal")),
    (r"suspend_enter|pm_suspend|dpm_suspend\w*|dpm_resume\w*|suspend_devices_and_enter|hibernat\w+",
     Trigger("during suspend or resume", "any task", "suspend")),
    (r"sock_close|__sock_release", Trigger("when a socket is closed", "any task", "close()")),
    (r"do_exit", Trigger("when a task exits", "any task", "exit()")),
    (r"cleanup_mnt|deactivate_super|generic_shutdown_super",
     Trigger("when a file system is unmounted", "any task", "umount()")),
    (r"rtnetlink_rcv_msg|nfnetlink_rcv_msg|genl_rcv_msg|netlink_rcv_skb",
     Trigger("on a netlink request", "any task", "netlink")),
    (r"_cpu_up|cpu_up|cpuhp_bringup_\w+", Trigger("when a CPU is brought up", "any task", "CPU up")),
    (r"_cpu_down|cpu_down\w*", Trigger("when a CPU is taken down", "any task", "CPU down")),
    (r"mmc_rescan|hub_event|scsi_scan_\w+|scsi_probe_\w+",
     Trigger("when a device is found", "any task", "device scan")),
    (r"really_probe|driver_probe_device|\w+_device_probe|__device_attach\w*|__driver_attach\w*",
     Trigger("when a device is probed", "any task", "device probe")),
)  # fmt: skip
_TABLE = tuple((re.compile(pattern), trigger) for pattern, trigger in _EVENTS)
_BOOT = re.compile(r"kernel_init_freeable|start_kernel|do_initcalls?|smp_init|do_basic_setup")
_MODULE = re.compile(r"do_init_module|load_module|init_module_from_file")
_PROBE = re.compile(r"(?!_*(?:really|driver|local|bus|device)_)\w+_probe")
_WORK = re.compile(r"process_one_work|process_scheduled_works|run_workqueue")
_SOFTIRQ = re.compile(r"_*handle_softirqs\w*|_*do_softirq\w*|run_ksoftirqd|call_softirq")
_HARDIRQ = re.compile(
    r"handle_irq_event\w*|do_IRQ|gic_handle_irq|common_interrupt\w*|el1\w*_interrupt\w*|__irq_svc"
    r"|sysvec_\w+|asm_sysvec_\w+|apic_timer_interrupt|generic_handle_\w*irq\w*|do_ext_irq|do_io_irq"
)
_CALLBACKS = re.compile(
    r"rcu_core\w*|rcu_do_batch|rcu_process_callbacks|run_timer_softirq|call_timer_fn|expire_timers"
    r"|__run_timers\w*|run_timer_base|__run_timer_base|net_rx_action|net_tx_action|tasklet_\w+|blk_done_softirq"
    r"|blk_complete_reqs|hrtimer_\w+|__hrtimer_\w+|__napi_poll|rcu_cpu_kthread|invoke_rcu_\w+|__do_softirq"
)


def trigger_of(frames: Sequence[PrintedFrame]) -> Trigger:
    """Return what set the task with this stack going; empty words if the stack does not tell."""
    everything = [plain_name(frame.function) for frame in useful(frames)]
    own = [plain_name(frame.function) for frame in own_context(frames)]
    if len(own) < len(everything):
        return _interrupt(own, everything[len(own) :])
    for pattern, trigger in _TABLE:
        if any(pattern.fullmatch(name) for name in own):
            return _refined(trigger, own)
    return _system_call(own) or _thread(own)


def _refined(trigger: Trigger, names: list[str]) -> Trigger:
    """Name the function that a device probe runs, and the task that runs it."""
    who = "a kworker" if trigger.who == "any task" and _runs_work(names) else trigger.who
    seen = trigger.seen
    if trigger.seen == "device probe":
        seen = next((f"{n}()" for n in reversed(names) if _PROBE.fullmatch(n)), seen)
    if any(_BOOT.fullmatch(name) for name in names):
        seen = "boot"
    return Trigger(trigger.when, who, seen)


def _runs_work(names: Sequence[str]) -> bool:
    return any(_WORK.fullmatch(name) for name in names)


def _interrupt(own: list[str], entered: list[str]) -> Trigger:
    """The stack of an interrupt on top of a task: *own* is the handler's part, innermost first."""
    handlers = [name for name in own if not _CALLBACKS.fullmatch(name)]
    function = handlers[-1] if handlers else ""
    if any(name.startswith(("rcu_core", "rcu_do_batch", "rcu_process")) for name in own):
        return Trigger(f"in an RCU callback{_named(function)}", "a softirq", "RCU callback")
    if any(name in ("call_timer_fn", "expire_timers", "__run_timers") for name in own):
        return Trigger(f"in a timer{_named(function)}", "a softirq", "timer")
    for name in entered:
        if _SOFTIRQ.fullmatch(name):
            return Trigger(f"in a softirq{_named(function)}", "a softirq", "softirq")
        if "nmi" in name:
            return Trigger("in an NMI", "an NMI", "NMI")
        if _HARDIRQ.fullmatch(name):
            break
    return Trigger(f"in an interrupt{_named(function)}", "an interrupt", "interrupt")


def _named(function: str) -> str:
    return f", {function}()" if function else ""


def _system_call(names: list[str]) -> Trigger | None:
    for name in names:  # innermost first: the wrapper nearest to the work names the call best
        match = _SYSCALL.fullmatch(name)
        if match is None:
            continue
        call = next(group for group in match.groups() if group is not None)
        call = call.removeprefix("compat_").removeprefix("new").removeprefix("x86_")
        if call in ("call", "call_base", "syscall") or call.startswith("syscall"):
            continue
        call = _CALL_WORDS.get(call, call)
        words = call if " " in call else f"{call}()"
        return Trigger(f"in {words}", "any task", words)
    return None


def _thread(names: list[str]) -> Trigger:
    if any(_MODULE.fullmatch(name) for name in names):
        return Trigger("when a module is loaded", "any task", "module load")
    if any(_BOOT.fullmatch(name) for name in names):
        return Trigger("at boot", "any task", "boot")
    outer = [name for name in names if not is_generic(name) and not is_wrapper(name)]
    function = outer[-1] if outer else ""
    seen = f"{function}()" if function else ""
    if _runs_work(names):
        return Trigger(f"in work item {seen}" if function else "", "a kworker", seen)
    if "kthread" in names or any(name.startswith("ret_from_fork") for name in names):
        if function:
            return Trigger(f"in kernel thread {seen}", "a kernel thread", seen)
        return Trigger("", "a kernel thread", "")
    return Trigger("", "any task", "")
