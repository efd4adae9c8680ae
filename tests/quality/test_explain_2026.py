# SPDX-License-Identifier: Apache-2.0
"""Public reports that were once explained wrongly, each a kind: what its README asks for, line by line.

They are read from the shared reference folder, not copied; what they test, our own reports test in
``test_explain_excuses`` and ``test_explain_stuck``.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from quiesce.explain.judge.answer import Answer, Judgement
from quiesce.explain.log import Explained, explain_bytes, explain_text
from quiesce.explain.show.screen import screen_sections
from quiesce.report.formats.text import lines_of


@pytest.fixture
def folder(reference: Path) -> Path:
    path = reference / "splats" / "2026"
    if not path.is_dir():
        pytest.skip(f"{path} is not on this machine")
    return path


def _one(folder: Path, name: str) -> Explained:
    text = (folder / f"{name}.txt").read_text(encoding="utf-8", errors="replace")
    (one,) = explain_text(text).problems
    return one


def _answer(folder: Path, name: str) -> Answer:
    answer = _one(folder, name).explanation.answer
    lines = lines_of(screen_sections(answer))
    assert len(lines) <= 24 and max(map(len, lines)) <= 78
    return answer


def _said(answer: Answer) -> str:
    return " ".join((answer.text, *answer.notes, *answer.fixes, answer.refused))


def test_nmi_efivars(folder: Path) -> None:
    answer = _answer(folder, "nmi-efivars")
    assert answer.text.startswith("Hangs if an NMI") and "efivars_register()" in answer.text
    assert answer.rows[0].who.startswith("an NMI on top of syz.3.4916/16523")
    assert "irq_work" in answer.fixes[0] and "does not help" in answer.refused
    assert "down_trylock()" in _said(answer) and "irqsave" not in _said(answer)


def test_rcu_wrapped_line(folder: Path) -> None:
    one = _one(folder, "rcu-wrapped-line")
    answer = _answer(folder, "rcu-wrapped-line")
    assert (
        "rcu_dereference_check() at drivers/net/wireless/microchip/wilc1000/hif.c:386"
        in answer.text
    )
    assert "without a read-side section" in answer.text
    assert not any("source line" in missing.what for missing in one.report.missing)


def test_chain_only_0_missing(folder: Path) -> None:
    answer = _answer(folder, "chain-only-0-missing")
    assert answer.verdict is Judgement.UNDECIDED and "inode that reclaim evicts" in answer.text
    assert [row.arrow for row in answer.rows] == ["<- 2", "goes on in 1"]
    assert "stack of row 1 is not in this text" in _said(answer)


def test_reacquire_btrfs_reloc(folder: Path) -> None:
    answer = _answer(folder, "reacquire-btrfs-reloc")
    assert answer.verdict is Judgement.UNDECIDED
    assert "btrfs_force_cow_block()" in answer.notes[0] and "not an acquisition" in answer.notes[0]
    assert "up_write" not in _said(answer) and "lockdep_set_class" in answer.fixes[0]


def test_primed_queue_edge(folder: Path) -> None:
    one, answer = _one(folder, "primed-queue-edge"), _answer(folder, "primed-queue-edge")
    assert answer.verdict is Judgement.HANGS_IF and "reclaims memory" in answer.text
    assert (
        answer.rows[3].who == "the same task (declared in blk_alloc_queue(), no task waited there)"
    )
    assert "e" not in [excuse.code for excuse in one.explanation.excuses]
    assert answer.fixes[0].startswith("Allocate before elevator_change() freezes the queue")
    assert answer.refused.startswith("Taking elevator_lock before the freeze does not help")


def test_queue_roles_swapped(folder: Path) -> None:
    answer = _answer(folder, "queue-roles-swapped")
    assert answer.rows[0].holds == ("has frozen the queue",)
    assert answer.rows[1].waits == "waits to enter the queue"
    assert "read" not in answer.text and "writ" not in answer.text
    assert answer.fixes[0].startswith("Take limits_lock before the queue is frozen")


def test_irq_inside_itself(folder: Path) -> None:
    answer = _answer(folder, "irq-inside-itself")
    assert answer.fixes[0].startswith("Do not take refs_lock inside buffer_xa_class")


def test_alloc_under_spinlock(folder: Path) -> None:
    answer = _answer(folder, "alloc-under-spinlock")
    assert answer.verdict is Judgement.MISUSE and "pool->lock held" in answer.text
    assert "GFP_ATOMIC" in answer.fixes[0] and "allocate before" in answer.fixes[1]
    assert "_bh" not in _said(answer) and "inside itself" not in _said(answer)


def test_recursive_write_held(folder: Path) -> None:
    answer = _answer(folder, "recursive-write-held")
    assert answer.verdict is Judgement.HANGS and "which it holds itself" in answer.text
    assert answer.rows[0].holds == ("holds cpu_hotplug_lock (write)",)


def test_irqs_on_while_held(folder: Path) -> None:
    answer = _answer(folder, "irqs-on-while-held")
    assert "spin_unlock_irq() in __blk_mq_tag_busy()" in answer.notes[0]
    assert "spin_lock_irqsave()" in answer.fixes[0] and "__blk_mq_tag_busy()" in answer.fixes[0]
    assert "_bh" not in _said(answer)


def test_reclaim_pageout(folder: Path) -> None:
    one = _one(folder, "reclaim-pageout")
    assert "f" not in [excuse.code for excuse in one.explanation.excuses]
    assert _answer(folder, "reclaim-pageout").rows[1].holds == ("has frozen the queue",)


def test_reclaim_recursive(folder: Path) -> None:
    answer = _answer(folder, "reclaim-recursive")
    assert answer.verdict is Judgement.CANNOT_HANG
    assert "only inodes without users" in answer.notes[0] and "__GFP_NOLOCKDEP" in answer.fixes[0]


def test_reclaim_false_confirmed(folder: Path) -> None:
    answer = _answer(folder, "reclaim-false-confirmed")
    assert answer.verdict is Judgement.UNDECIDED and "row 1 be the inode" in answer.text
    assert "__GFP_NOLOCKDEP" in answer.fixes[0] and "nofs" not in _said(answer)


def test_two_objects_called_real(folder: Path) -> None:
    answer = _answer(folder, "two-objects-called-real")
    assert answer.verdict is Judgement.UNDECIDED and "tell two inodes apart" in answer.text
    assert "ea_inode" in answer.notes[0] and "nesting level" in answer.fixes[0]


def test_unlock_wrapped_name(folder: Path) -> None:
    answer = _answer(folder, "unlock-wrapped-name")
    assert (
        "releases reservation_ww_class_mutex in virtio_gpu_queue_fenced_ctrl_buffer()"
        in answer.text
    )


def test_hung_kvm(folder: Path) -> None:
    answer = _answer(folder, "hung-kvm")
    assert answer.text.startswith("Hung: starvation, not deadlock")
    assert answer.rows[0].holds == ("holds slots_lock, slots_arch_lock",)
    assert "mn_active_invalidate_count" in answer.rows[0].waits and not answer.rows[1].in_report
    assert "kvm check --design count" in answer.fixes[0].replace("`--design", "kvm check --design")
    assert "kvm stall" in answer.fixes[0]


def test_hung_rtnl_led(folder: Path) -> None:
    answer = _answer(folder, "hung-rtnl-led")
    assert answer.text.startswith("Hung: dhcpcd/615 waits for triggers_list_lock (write)")
    assert "Which task holds triggers_list_lock is not shown" in answer.text
    assert answer.rows[0].waits == "waits for rtnl_mutex" and answer.rows[0].arrow == "<- 2"
    assert answer.rows[1].holds == ("holds rtnl_mutex",)


def test_hung_sd_remove(folder: Path) -> None:
    answer = _answer(folder, "hung-sd-remove")
    assert answer.text.startswith("Hung: deadlock (inferred; the dump lists no locks).")
    assert answer.rows[0].holds == ("has frozen the queue",) and answer.rows[0].arrow == "<- 2"
    assert answer.rows[1].waits == "waits to enter the queue" and answer.rows[1].arrow == "<- 1"
    assert answer.fixes[0].startswith(
        "Take open_mutex before the queue is frozen, in del_gendisk()"
    )


@pytest.mark.parametrize("name", ["kmsg.txt", "journald-json.txt", "log.txt.gz"])
def test_sources(folder: Path, name: str) -> None:
    with open(folder / name, "rb") as stream:
        (one,) = explain_bytes(stream, name).problems
    assert one.report.complete and len(one.report.links) == 3
    assert one.report.task == "syz-executor.5/3699"
    answer = one.explanation.answer
    assert "holds wg->static_identity.lock" in answer.rows[0].holds
    assert "wg->static_identity.lock -> workqueue" in answer.chains[0].what
    assert answer.fixes[0].startswith("Flush or cancel workqueue wg-kex-wireguard1 after")


def test_utf_16(folder: Path) -> None:
    text = (folder / "rcu-wrapped-line.txt").read_text(encoding="utf-8")
    (one,) = explain_bytes(io.BytesIO(text.encode("utf-16")), "a log").problems
    assert one.explanation.answer == _answer(folder, "rcu-wrapped-line")


def test_two_cpus_no_caller(folder: Path) -> None:
    text = (folder / "two-cpus-no-caller.txt").read_text(encoding="utf-8")
    log = explain_text(text)
    assert log.exit_code == 3
    for one in log.problems:
        answer = one.explanation.answer
        assert answer.verdict is Judgement.UNDECIDED and not one.report.complete
        assert "two reports are mixed in lines 3-177" in answer.text
        assert "CONFIG_PRINTK_CALLER" in answer.text
        assert not one.report.links
