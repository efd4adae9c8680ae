# SPDX-License-Identifier: Apache-2.0
"""Dumps of stuck tasks: who waits for whom, which task is at the root, and what is not shown."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from explain_reports import stack

from quiesce.commands.explain import explain_command
from quiesce.explain.judge.answer import Answer, Judgement
from quiesce.explain.judge.wait_functions import event_of, lock_wait_of
from quiesce.explain.log import explain_text

FIXTURES = Path(__file__).parents[1] / "data" / "splats"
MUTEX = "__schedule schedule schedule_preempt_disabled __mutex_lock"
COMPLETION = "__schedule schedule schedule_timeout wait_for_completion"


def _task(
    name: str, functions: str, held: Sequence[str] = (), seconds: int = 122
) -> tuple[str, str]:
    """Return the block of a hung task and its list of held locks."""
    comm, _, pid = name.rpartition("/")
    lines = [f"INFO: task {comm}:{pid} blocked for more than {seconds} seconds."] if seconds else []
    lines += [
        f"task:{comm}   state:D stack:0     pid:{pid}   tgid:{pid}  ppid:1  flags:0x00000002",
        "Call Trace:",
        *stack(functions),
    ]
    locks = [f"{len(held)} lock{'s' if len(held) > 1 else ''} held by {name}:"] if held else []
    locks += [f" #{number}: {lock}" for number, lock in enumerate(held)]
    return "\n".join(lines), "\n".join(locks)


def _lock(name: str, at: str, address: str = "ffff888100000010", usage: str = "+.+.") -> str:
    return f"{address} ({name}){{{usage}}}-{{4:4}}, at: {at}+0x18/0x1f0"


def _dump(*tasks: tuple[str, str]) -> str:
    blocks = "\n".join(block for block, _ in tasks)
    locks = "\n".join(listed for _, listed in tasks if listed)
    listing = f"\nShowing all locks held in the system:\n{locks}\n\n{'=' * 45}\n"
    return f"{blocks}\n      Not tainted 6.12.0-toy #1\n{listing if locks else ''}"


def _answer(*tasks: tuple[str, str]) -> Answer:
    (one,) = explain_text(_dump(*tasks)).reports
    return one.explanation.answer


def test_two_tasks_that_wait_for_each_other() -> None:
    one = _task("a/1", f"{MUTEX} toy_one", [_lock("&x->a", "toy_outer", "ffff888100000aa0"),
                                            _lock("&x->b", "toy_one", "ffff888100000bb0")])  # fmt: skip
    other = _task("b/2", f"{MUTEX} toy_two", [_lock("&x->b", "toy_outer", "ffff888100000bb0"),
                                              _lock("&x->a", "toy_two", "ffff888100000aa0")])  # fmt: skip
    answer = _answer(one, other)
    assert answer.text.startswith("Hung: deadlock. a/1 holds a and waits for b")
    assert [row.arrow for row in answer.rows] == ["<- 2", "<- 1"]
    # The same classes, but another object: no cycle is claimed.
    apart = _task("b/2", f"{MUTEX} toy_two", [_lock("&x->b", "toy_outer", "ffff888100000cc0"),
                                              _lock("&x->a", "toy_two", "ffff888100000dd0")])  # fmt: skip
    assert "deadlock" not in _answer(one, apart).text


def test_the_last_listed_lock_is_wanted_only_where_the_task_took_it() -> None:
    wanted = _answer(_task("a/1", f"{MUTEX} toy_one", [_lock("toy_lock", "toy_one")]))
    assert wanted.rows[0].waits == "waits for toy_lock" and wanted.rows[0].holds == ()
    held = _answer(_task("a/1", f"{COMPLETION} toy_one", [_lock("toy_lock", "toy_outer")]))
    assert held.rows[0].holds == ("holds toy_lock",) and "completion" in held.rows[0].waits


def test_several_tasks_wait_for_one_at_the_root() -> None:
    root = _task("root/9", f"{COMPLETION} toy_load", [_lock("toy_lock", "toy_outer")])
    waiters = [
        _task(f"w/{n}", f"{MUTEX} toy_open", [_lock("toy_lock", "toy_open")]) for n in range(1, 5)
    ]
    answer = _answer(*waiters, root)
    assert answer.text.startswith("Hung: root/9 waits for a completion in toy_load()")
    assert answer.rows[1].who.startswith("root/9") and answer.rows[1].arrow == "<- 3"
    assert not answer.rows[2].in_report
    assert "w/2, w/3, w/4 wait for these rows as well" in " ".join(answer.notes)


def test_a_task_that_waits_for_what_it_holds_itself() -> None:
    held = [_lock("toy_lock", "toy_outer"), _lock("toy_lock", "toy_inner")]
    answer = _answer(_task("a/1", f"{MUTEX} toy_inner toy_outer", held))
    assert answer.text.startswith("Hung: deadlock") and answer.rows[0].arrow == "<- 1"


def test_a_holder_that_is_not_stuck_is_named() -> None:
    text = _dump(_task("a/1", f"{MUTEX} toy_open", [_lock("toy_lock", "toy_open")]))
    text = text.replace(
        "\n\n=====", f"\n1 lock held by other/7:\n #0: {_lock('toy_lock', 'toy_use')}\n\n====="
    )
    (one,) = explain_text(text).reports
    assert one.explanation.answer.text.startswith("Hung: other/7 holds toy_lock")
    assert one.explanation.answer.rows[1].arrow == "<- none"


def test_without_lists_the_holder_is_inferred_or_not_shown() -> None:
    remove = _task(
        "kworker/0:0/7", f"{MUTEX} del_gendisk toy_remove device_del process_one_work kthread"
    )
    close = _task(
        "fsck/15", "__schedule schedule blk_queue_enter toy_command toy_release blkdev_put __fput"
    )
    both = _answer(remove, close)
    assert both.text.startswith("Hung: deadlock (inferred; the dump lists no locks).")
    assert "Inferred from kernel source: del_gendisk() freezes the queue" in both.notes[0]
    alone = _answer(remove)
    assert "Which task holds open_mutex is not shown" in alone.text
    assert not alone.rows[1].in_report and alone.fixes == ()


def test_kvm_memslot_update_that_starves() -> None:
    functions = (
        "__schedule schedule kvm_swap_active_memslots kvm_set_memslot kvm_vm_ioctl __x64_sys_ioctl"
    )
    locks = [
        _lock("&kvm->slots_lock", "kvm_vm_ioctl"),
        _lock("&kvm->slots_arch_lock", "kvm_set_memslot"),
    ]
    answer = _answer(_task("vmm/5", functions, locks))
    assert answer.text.startswith("Hung: starvation, not deadlock (inferred)")
    assert answer.rows[0].holds == ("holds slots_lock, slots_arch_lock",)
    assert "SRCU wait is yet to come" in answer.notes[0]
    without = _answer(_task("vmm/5", functions, locks[:1]))
    assert "SRCU wait" not in without.notes[0]
    elsewhere = _answer(_task("vmm/5", functions.replace("kvm_swap_active_memslots", "toy"), locks))
    assert "starvation" not in elsewhere.text


def test_the_same_tasks_named_again_are_the_same_problem() -> None:
    dump = _dump(_task("a/1", f"{MUTEX} toy_open", [_lock("toy_lock", "toy_open")]))
    log = explain_text(dump + dump.replace("122", "245"))
    assert len(log.reports) == 2 and len(log.problems) == 1 and log.problems[0].count == 2


def test_all_tasks_of_one_pass_are_one_report() -> None:
    log = explain_text(_dump(*(_task(f"t/{n}", f"{MUTEX} toy_open") for n in range(1, 4))))
    (one,) = log.reports
    assert [task.name for task in one.report.tasks] == ["t/1", "t/2", "t/3"]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("wait_for_completion", "waits for a completion"),
        ("__synchronize_srcu", "waits for SRCU readers"),
        ("synchronize_rcu_expedited", "waits for an RCU grace period"),
        ("folio_wait_writeback", "waits for writeback"),
        ("__folio_lock", "waits for a locked folio"),
        ("__flush_work", "waits for a work item"),
        ("bio_queue_enter", "waits to enter the queue"),
        ("rcuwait_wait_event", "waits for an rcuwait"),
    ],
)
def test_waits_for_events_have_names(function: str, words: str) -> None:
    event = event_of(function)
    assert event is not None and event.words == words
    assert event_of("toy_" + function) is None


@pytest.mark.parametrize(
    ("function", "lock"),
    [
        ("__mutex_lock", ("mutex", "")),
        ("rwsem_down_write_slowpath", ("rwsem", "write")),
        ("down_read_killable", ("rwsem", "read")),
        ("percpu_rwsem_wait", ("percpu rwsem", "")),
        ("vfs_read", None),
    ],
)
def test_waits_for_locks_are_told_from_others(function: str, lock: tuple[str, str] | None) -> None:
    assert lock_wait_of(function) == lock


@pytest.mark.parametrize("old", [True, False])
def test_layouts_of_old_kernels(old: bool) -> None:
    line = "gizmod          D ffff88007a2dd140     0   912      1 0x00000000"
    text = (FIXTURES / "hung_likely_owner.txt").read_text(encoding="utf-8")
    if old:
        text = "\n".join(line if " pid:912 " in x else x for x in text.split("\n"))
    (one,) = explain_text(text).reports
    assert one.report.tasks[0].state == "D" and one.report.tasks[0].name == "gizmod/912"


def test_which_lock_forbids_sleeping_and_where_it_was_taken() -> None:
    text = (FIXTURES / "sleeping_under_spinlock.txt").read_text(encoding="utf-8")
    (one,) = explain_text(text).reports
    answer = one.explanation.answer
    assert answer.verdict is Judgement.MISUSE
    assert "with gizmo_slots_lock held (taken in gizmo_setup())" in answer.text
    alone = text.replace(
        "{2:2}", "{4:4}"
    )  # a mutex does not forbid it, so preemption is off otherwise
    (one,) = explain_text(alone).reports
    assert "with preemption off (turned off in gizmo_setup())" in one.explanation.answer.text


def test_a_cpu_that_spins_waits_or_loops() -> None:
    spins = (FIXTURES / "soft_lockup.txt").read_text(encoding="utf-8")
    assert (
        "spins for a lock in gizmo_update()"
        in explain_text(spins).reports[0].explanation.answer.text
    )
    loops = spins.replace("native_queued_spin_lock_slowpath", "gizmo_wait").replace(
        "_raw_spin_lock+", "gizmo_wait+"
    )
    text = explain_text(loops).reports[0].explanation.answer.text
    assert "runs in gizmo_wait()" in text and "waits for a lock" in text
    stall = (FIXTURES / "rcu_stall.txt").read_text(encoding="utf-8")
    assert "until other CPUs answer" in explain_text(stall).reports[0].explanation.answer.text


def test_what_is_not_about_waiting_is_named_in_one_line() -> None:

    log = "BUG: KASAN: slab-use-after-free in gizmo_free+0x10/0x20\nRead of size 8 by task toyd/4\n"
    out, err = io.StringIO(), io.StringIO()
    code = explain_command(log, out=out, err=err)
    assert code == 3 and "KASAN: slab-use-after-free in gizmo_free (line 1)" in out.getvalue()
    assert "no report about waiting found" in err.getvalue()
    assert explain_command("nothing\nhere\n", out=io.StringIO(), err=io.StringIO()) == 0
