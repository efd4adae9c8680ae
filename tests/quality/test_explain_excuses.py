# SPDX-License-Identifier: Apache-2.0
"""The table of excuses: each rule finds its evidence, and is silent where that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from explain_reports import Step, circular, inconsistent, recursive

from quiesce.explain.judge.answer import Answer, Judgement
from quiesce.explain.judge.excuse_rules import RULES
from quiesce.explain.log import Explained, explain_text

RECLAIM = Step(
    "fs_reclaim", "fs_reclaim_acquire __kmalloc_noprof toyfs_attr toyfs_list ksys_read", types="0:0"
)
EVICTING = (
    "down_write toyfs_evict_inode evict dispose_list prune_icache_sb super_cache_scan do_shrink_slab "
    "shrink_slab shrink_node balance_pgdat kswapd kthread"
)
WRITING = (
    "down_write toyfs_map toyfs_writepages do_writepages pageout shrink_folio_list shrink_node "
    "balance_pgdat kswapd kthread"
)


def _one(text: str) -> Explained:
    (one,) = explain_text(text).reports
    return one


def _answer(text: str) -> Answer:
    return _one(text).explanation.answer


def _codes(text: str) -> list[str]:
    return [excuse.code for excuse in _one(text).explanation.excuses]


def test_the_table_in_the_document_is_the_table_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reading_splats.md").read_text(encoding="utf-8")
    for rule in RULES:
        assert f"| {rule.code} | {rule.name} | {rule.evidence} |" in text


def test_f_reclaim_evicts_only_what_is_not_in_use() -> None:
    lock = "&toyfs_ilock_class"
    evicting = [Step(lock, EVICTING), RECLAIM]
    answer = _answer(circular(evicting, task="kswapd0/77"))
    assert answer.verdict is Judgement.UNDECIDED
    assert "can the inode that reclaim evicts in row 1" in answer.text and "row 2" in answer.text
    assert "__GFP_NOLOCKDEP" in answer.fixes[0] and "toyfs_attr()" in answer.fixes[0]
    # Writeback gives nothing up, and a lock of the file system is not that of an inode.
    assert "f" not in _codes(circular([Step(lock, WRITING), RECLAIM]))
    assert "f" not in _codes(circular([Step("sb_internal", EVICTING), RECLAIM]))


def test_f_the_inode_of_a_recursive_report() -> None:
    text = recursive("&toyfs_ilock_class", f"{EVICTING} try_to_free_pages __alloc_pages toyfs_buf")
    answer = _answer(text)
    assert answer.verdict is Judgement.CANNOT_HANG and "two inodes" in answer.text
    assert "evicts only inodes without users" in answer.notes[0]
    assert answer.fixes[0].startswith("Pass __GFP_NOLOCKDEP to the allocation in toyfs_buf()")


def test_c_two_addresses() -> None:
    answer = _answer(recursive("&sock->lock", "__mutex_lock toy_release"))
    assert answer.verdict is Judgement.CANNOT_HANG
    assert "ffff888100000020" in answer.text and "ffff888100000010" in answer.text
    assert answer.rows[0].arrow == "<- none"
    same = _answer(recursive("&sock->lock", "__mutex_lock toy_release", wanted="ffff888100000020"))
    assert same.text.startswith("Hangs. ") and same.rows[0].arrow == "<- 1"


def test_c_class_names_tell_parent_and_child() -> None:
    first = Step("&ea_inode->i_rwsem/1", "down_write toyfs_iget toyfs_expand vfs_truncate")
    second = Step("&ei->i_data_sem/3", "down_write toyfs_write toyfs_set vfs_setxattr")
    answer = _answer(circular([first, second]))
    assert answer.verdict is Judgement.UNDECIDED and "two inodes" in answer.text
    assert "ea_inode" in answer.notes[0] and "nesting level" in answer.fixes[0]
    # Locks of two kinds of objects say nothing of the sort.
    other = Step("&dev->toy_mutex", "__mutex_lock toyfs_write toyfs_set vfs_setxattr")
    assert "c" not in _codes(circular([first, other]))


@pytest.mark.parametrize(("driver", "asks"), [("loop", True), ("nbd", False)])
def test_c_stacks_of_two_drivers(driver: str, asks: bool) -> None:
    first = Step("&q->toy_lock", "__mutex_lock nbd_config nbd_ioctl")
    second = Step("&toy_glob", f"__mutex_lock {driver}_configure {driver}_ioctl")
    third = Step("&q->toy_other", f"__mutex_lock {driver}_reread {driver}_open")
    assert ("c" in _codes(circular([first, second, third]))) == asks


def test_j_a_lock_that_was_only_put_back_in() -> None:
    moved = "reacquire_held_locks __lock_release lock_release up_write toy_cow toy_search toy_ioctl"
    steps = [
        Step("toy-tree-01", "down_read_nested toy_tree_read_lock toy_read toy_search", "++++"),
        Step("toy-tree-02", "down_write_nested toy_tree_lock toy_new toy_rename"),
        Step("toy-moved-02/1", moved),
    ]
    answer = _answer(circular(steps))
    assert answer.verdict is Judgement.UNDECIDED and "Row 3 only shows a release" in answer.text
    assert "toy_cow()" in answer.notes[0] and "up_write" not in " ".join(
        (answer.text, *answer.fixes)
    )
    steps[2] = Step(
        "toy-moved-02/1", "down_write_nested toy_tree_lock toy_cow toy_search toy_ioctl"
    )
    assert "j" not in _codes(circular(steps))


def test_h_a_trylock_does_not_wait() -> None:
    steps = [Step("toy_a", "mutex_trylock toy_one"), Step("toy_b", "__mutex_lock toy_two")]
    answer = _answer(circular(steps))
    assert answer.verdict is Judgement.CANNOT_HANG and "only tries toy_a" in answer.text
    steps[0] = Step("toy_a", "__mutex_lock toy_one")
    assert _answer(circular(steps)).text == (
        "Hangs. Each task holds what another one waits for; they only have to run at the same time."
    )


def test_e_an_object_that_is_being_set_up() -> None:
    known = Step(
        "&q->toy_lock", "__mutex_lock toy_store kernfs_fop_write_iter vfs_write ksys_write"
    )
    new = Step("toy_glob", "__mutex_lock toy_tags blk_mq_init_allocated_queue toy_add")
    answer = _answer(circular([known, new]))
    assert (
        answer.verdict is Judgement.UNDECIDED
        and "reach the queue that row 2 is setting up" in answer.text
    )
    old = Step("toy_glob", "__mutex_lock toy_tags toy_switch toy_ioctl")
    assert "e" not in _codes(circular([known, old]))


def test_d_a_gate_on_all_paths() -> None:
    gate = "(rtnl_mutex){+.+.}-{3:3}, at: toy_outer+0x1/0x20"
    first = Step("toy_a", "__mutex_lock toy_one rtnetlink_rcv_msg netlink_sendmsg")
    second = Step("toy_b", "__mutex_lock toy_two rtnetlink_rcv_msg netlink_sendmsg")
    assert "rtnl_mutex held exclusively" in _answer(circular([first, second], held=[gate])).text
    alone = Step("toy_b", "__mutex_lock toy_two toy_work process_one_work worker_thread")
    assert "d" not in _codes(circular([first, alone], held=[gate]))
    assert "d" not in _codes(circular([first, second]))


def test_g_suspended_or_seen_at_boot() -> None:
    suspended = Step(
        "toy_a", "__mutex_lock toy_one dpm_suspend suspend_devices_and_enter pm_suspend"
    )
    call = Step("toy_b", "__mutex_lock toy_two vfs_ioctl __x64_sys_ioctl do_syscall_64")
    assert "suspends the system" in _answer(circular([suspended, call])).text
    work = Step("toy_b", "__mutex_lock toy_two toy_fn process_one_work worker_thread kthread")
    assert "g" not in _codes(circular([suspended, work]))
    boot = [
        Step(name, f"__mutex_lock {name}_init do_one_initcall kernel_init_freeable kernel_init")
        for name in ("toy_a", "toy_b")
    ]
    assert "run again after boot" in _answer(circular(boot)).text
    assert "g" not in _codes(circular([boot[0], work]))


def test_a_declared_edge_is_said_to_be_one() -> None:
    frozen = Step(
        "&q->toy_lock",
        "__mutex_lock toy_change+0x54/0x130 toy_store kernfs_fop_write_iter vfs_write",
    )
    alloc = Step(
        "fs_reclaim", "fs_reclaim_acquire __kmalloc_noprof toy_alloc toy_init", types="0:0"
    )
    declared = Step(
        "&q->q_usage_counter(io)#34", "blk_alloc_queue toy_add toy_probe", "++++", "0:0"
    )
    text = circular([frozen, alloc, declared])
    answer = _answer(text)
    assert answer.rows[0].holds == ("has frozen the queue",)
    assert answer.rows[1].arrow == "goes on in 3"
    assert (
        answer.rows[2].who == "the same task (declared in blk_alloc_queue(), no task waited there)"
    )
    assert answer.verdict is Judgement.HANGS_IF and "e" not in _codes(text)


def test_who_enters_waits_for_who_froze() -> None:
    """The side of the holder follows from what the other one waits for, whatever is printed."""
    lock = Step("&q->limits", "__mutex_lock toy_limits toy_work process_one_work worker_thread")
    enters = Step(
        "&q->q_usage_counter(queue)#3", "blk_queue_enter toy_command toy_probe", "++++", "0:0"
    )
    answer = _answer(circular([lock, enters]))
    assert answer.rows[0].holds == ("has frozen the queue",)
    assert answer.rows[1].waits == "waits to enter the queue"
    assert answer.text == "Hangs if both rows mean the same queue."
    freezes = Step("&q->q_usage_counter(queue)#3", "blk_mq_freeze_queue toy_command", "++++", "0:0")
    answer = _answer(circular([lock, freezes]))
    assert answer.rows[0].holds == ("is using the queue",)
    assert answer.rows[1].waits.startswith("freezes the queue")


def test_two_places_of_one_function_are_one_task() -> None:
    first = Step("toy_b", "__mutex_lock toy_change+0x54/0x130 toy_store")
    second = Step("toy_c", "__mutex_lock toy_tags toy_switch toy_change+0xe4/0x130 toy_probe")
    third = Step("toy_a", "__mutex_lock toy_other toy_read")
    answer = _answer(circular([first, second, third]))
    assert "One task can be rows 1 and 2" in answer.notes[0]
    assert "Taking toy_b before toy_a does not help" in answer.refused
    assert answer.fixes[0].startswith(
        "Do what takes toy_c before toy_change() takes toy_a and toy_b"
    )
    # An earlier place of the function is not further on.
    before = Step("toy_c", "__mutex_lock toy_tags toy_switch toy_change+0x14/0x130 toy_probe")
    assert _answer(circular([first, before, third])).refused == ""


def test_interrupts_turned_on_while_a_lock_is_held() -> None:
    now = (
        "mark_lock mark_held_locks lockdep_hardirqs_on_prepare trace_hardirqs_on _raw_spin_unlock_irq "
        "toy_inner toy_middle toy_work process_one_work worker_thread"
    )
    before = "_raw_spin_lock_irqsave toy_wake toy_done __do_softirq irq_exit_rcu asm_sysvec_call_function"
    text = inconsistent(
        "&toy->wait", was="IN-SOFTIRQ-W", becomes="SOFTIRQ-ON-W", before=before, now=now
    )
    answer = _answer(text)
    assert "toy_inner() has turned softirqs on" in answer.text
    assert "spin_lock_irqsave()" in answer.fixes[0] and "toy_inner()" in answer.fixes[0]
    assert "does not help" in answer.refused
    taken = now.partition("_raw_spin_unlock_irq ")[2]
    plain = inconsistent(
        "&toy->wait",
        was="IN-SOFTIRQ-W",
        becomes="SOFTIRQ-ON-W",
        before=before,
        now=f"lock_acquire _raw_spin_lock {taken}",
    )
    assert "spin_lock_bh()" in _answer(plain).fixes[0]


def test_an_nmi_comes_also_with_interrupts_off() -> None:
    text = inconsistent(
        "(toy_lock).lock",
        was="INITIAL USE",
        becomes="IN-NMI",
        before="_raw_spin_lock_irqsave down_interruptible toy_register toy_init do_one_initcall",
        now="lock_acquire _raw_spin_lock_irqsave down_trylock toy_trylock toy_dump panic nmi_panic",
    )
    answer = _answer(text)
    assert answer.text.startswith("Hangs if an NMI that takes toy_lock in toy_dump()")
    assert "toy_register()" in answer.text and answer.rows[0].who.startswith(
        "an NMI on top of toyd/42"
    )
    assert "irq_work" in answer.fixes[0] and "does not help" in answer.refused
    assert not any("irqsave" in fix for fix in answer.fixes)
    assert "down_trylock() waits for no semaphore" in answer.notes[0]


def test_a_core_lock_is_taken_elsewhere_as_well() -> None:
    for lock, enough in (("init_mm.page_table_lock", False), ("&toy->lock", True)):
        text = inconsistent(
            lock,
            was="SOFTIRQ-ON-W",
            becomes="IN-SOFTIRQ-W",
            before="_raw_spin_lock toy_change toy_init do_one_initcall",
            now="lock_acquire _raw_spin_lock toy_change toy_free rcu_core __do_softirq irq_exit_rcu",
        )
        answer = _answer(text)
        assert ("is not enough" in answer.refused) == (not enough)
        assert any("spin_lock_bh()" in fix for fix in answer.fixes) == enough


def test_the_mode_of_a_held_lock_is_inferred_or_called_unknown() -> None:
    def report(at: str) -> str:
        return recursive(
            "cpu_hotplug_lock",
            "cpus_read_lock toy_slow toy_prepare cpuhp_invoke_callback",
            holding="ffffffff81000000",
            wanted="ffffffff81000000",
            at=at,
            usage="++++",
            types="0:0",
        )

    known = _answer(report("_cpu_up"))
    assert known.text.startswith("Hangs. ") and known.rows[0].holds == (
        "holds cpu_hotplug_lock (write)",
    )
    unknown = _answer(report("toy_outer"))
    assert unknown.verdict is Judgement.HANGS_IF and "held for writing in row 1, or" in unknown.text
    assert unknown.rows[0].holds == ("holds cpu_hotplug_lock",)
