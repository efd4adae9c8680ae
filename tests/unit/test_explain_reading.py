# SPDX-License-Identifier: Apache-2.0
"""Reading: what is a report and what is not, names, frames, prefixes, what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from quiesce.explain.read.frames import parse_frame
from quiesce.explain.read.kind import all_kinds
from quiesce.explain.read.lock_text import parse_lock, split_name
from quiesce.explain.read.log_lines import clean_line
from quiesce.explain.read.model import PrintedReport
from quiesce.explain.read.read_log import MAX_REPORTS, read_text
from quiesce.explain.read.titles import parse_title

FIXTURES = Path(__file__).parents[1] / "data" / "splats"


def _fixture(name: str) -> str:
    return (FIXTURES / f"{name}.txt").read_text(encoding="utf-8")


def _one(text: str) -> PrintedReport:
    reports = read_text(text).reports
    assert len(reports) == 1
    return reports[0]


def test_our_reports_are_of_every_kind_and_read_whole() -> None:
    kinds = set()
    for path in FIXTURES.glob("*.txt"):
        report = _one(path.read_text(encoding="utf-8"))
        assert report.missing == (), path.stem
        kinds.add(report.kind)
    assert kinds == {kind.name for kind in all_kinds()}


def test_a_circular_report_in_full() -> None:
    report = _one(_fixture("circular_five_links"))
    assert report.kind == "circular"
    assert report.kernel == "6.15.0-rc2-toy-00012-gabcdef"
    assert report.task == "kworker/3:1/77"
    assert report.chain_length == 5
    assert [link.number for link in report.links] == [4, 3, 2, 1, 0]
    assert report.wanted is not None and report.wanted.name == "rtnl_mutex"
    assert report.links[1].lock.base == "(wq_completion)toy-wq"
    assert report.links[1].lock.version == 3
    assert (report.links[3].lock.base, report.links[3].lock.subclass) == ("&toy->tree_lock", 1)
    assert (report.links[3].lock.outer, report.links[3].lock.inner) == (4, 4)
    assert [frame.function for frame in report.links[2].frames][:3] == [
        "fs_reclaim_acquire",
        "__kmalloc_noprof",
        "toy_grow",
    ]
    assert len(report.held) == report.declared_held == 2
    assert report.chain_names[1] == "(wq_completion)toy-wq#3"
    assert [step.cpu for step in report.scenario] == [0, 1, 1, 0]


NOT_REPORTS = {
    "nothing": "",
    "blank lines": "\n\n\n",
    "a patch with the format strings": """\
+\tpr_warn("======================================================\\n");
+\tpr_warn("WARNING: possible circular locking dependency detected\\n");
+\tprint_kernel_ident();
+\tpr_warn("%s/%d is trying to acquire lock:\\n",
""",
    "the source itself": """\
\tpr_warn("WARNING: inconsistent lock state\\n");
\tprint_kernel_ident();
\tpr_warn("--------------------------------\\n");
\tpr_warn("%s/%d [HC%u[%lu]:SC%u[%lu]:HE%u:SE%u] takes:\\n",
""",
    "a patch that adds a report to a document": """\
+======================================================
+WARNING: possible circular locking dependency detected
+5.12.0 #1 Not tainted
+------------------------------------------------------
+foo/1 is trying to acquire lock:
""",
    "documentation with a heading": """\
WARNING: possible circular locking dependency detected
------------------------------------------------------

This is printed when a cycle is found. The task is trying to acquire a lock that depends on another.
""",
    "prose": """\
I saw
WARNING: possible recursive locking detected
and then the machine hung. The kernel was not tainted, it is trying to acquire lock after lock.
""",
    "a subject": "Subject: WARNING: inconsistent lock state\nHi, does somebody see this too?\n",
    "a mail about a hung task": """\
Subject: INFO: task kworker/0:1:10 blocked for more than 120 seconds.
Hi, I see this message from time to time, without a stack. Any idea?
""",
    "the sizes of lockdep's tables": """\
[    0.694672] ... MAX_LOCKDEP_SUBCLASSES:  8
[    0.694673] ... MAX_LOCK_DEPTH:          48
[    0.694674] ... MAX_LOCKDEP_KEYS:        8192
""",
}


@pytest.mark.parametrize("name", NOT_REPORTS)
def test_what_only_looks_like_a_report_is_none(name: str) -> None:
    assert read_text(NOT_REPORTS[name]).reports == ()


def test_the_same_text_is_a_report_when_the_kernel_printed_it() -> None:
    """The counterpart of the patch above: without its plus signs it is one."""
    text = NOT_REPORTS["a patch that adds a report to a document"].replace("+", "")
    assert _one(text).kind == "circular"


@pytest.mark.parametrize(
    ("cut_at", "lacks"),
    [
        ("stack backtrace:", "the stack backtrace"),
        ("1 lock held by", "the list of held locks"),
        (" Possible unsafe", "lockdep's scenario table"),
        ("-> #0", "link #1"),
        ("the existing", "the dependency chain"),
        ("but task is", "the lock that is already held"),
    ],
)
def test_what_is_cut_off_is_said(cut_at: str, lacks: str) -> None:
    text = _fixture("circular_two_mutexes")
    report = _one(text[: text.index(cut_at)])
    if lacks == "link #1":  # the chain ends after its first link, which is #1: #0 is not there
        assert any("link #0" in missing.what for missing in report.missing)
    else:
        assert lacks in [missing.what for missing in report.missing]
    assert not report.complete


def test_links_in_the_middle_that_are_missing_are_named() -> None:
    text = _fixture("circular_five_links")
    start, end = text.index("-> #3"), text.index("-> #1")
    report = _one(text[:start] + text[end:])
    assert [m.what for m in report.missing] == ["links #2 to #3 of the chain"]
    assert report.chain_length == 5


def test_a_lock_missing_from_the_held_list_is_said() -> None:
    text = _fixture("held_at_exit")
    cut = "\n".join(line for line in text.split("\n") if not line.startswith(" #1:"))
    assert [m.what for m in _one(cut).missing] == ["1 of 2 held locks"]


def test_without_the_headline_it_is_still_read() -> None:
    text = _fixture("circular_two_mutexes")
    report = _one(text[text.index("toyd/4242 is trying") :])
    assert report.kind == "circular" and report.chain_length == 2
    assert "the headline" in [missing.what for missing in report.missing]


def test_several_reports_in_one_log() -> None:
    names = ("circular_two_mutexes", "rcu_dereference", "circular_two_mutexes", "held_freed")
    reports = read_text("boot\n".join(_fixture(name) for name in names)).reports
    assert [r.kind for r in reports] == ["circular", "rcu", "circular", "held-freed"]
    assert all(report.complete for report in reports)


def test_a_report_ends_where_another_trouble_begins() -> None:
    text = _fixture("held_at_exit")
    text = text[: text.index("stack backtrace")]
    oops = "------------[ cut here ]------------\nkernel BUG at mm/slab.c:1!\nCall Trace:\n oops_fn+0x1/0x2\n"
    report = _one(text + oops)
    assert report.backtrace == ()


def test_more_reports_than_are_read_are_counted() -> None:
    """Each of these is a headline and its proof."""
    text = "=" * 29 + "\nWARNING: suspicious RCU usage\n6.9.0 #1 Not tainted\n" + "-" * 29 + "\n"
    log = read_text(text * (MAX_REPORTS + 7))
    assert len(log.reports) == MAX_REPORTS
    assert log.unread == 7


@pytest.mark.parametrize(
    ("text", "name", "usage", "types"),
    [
        ("ffff (rtnl_mutex){+.+.}-{3:3}, at: f+0x1/0x2", "", "", None),
        ("ffffffff8d678fe8 (rtnl_mutex){+.+.}-{3:3}, at: f+0x1/0x2", "rtnl_mutex", "+.+.", (3, 3)),
        ("(____ptrval____) (&rq->lock){?.-.}, at: f+0x1/0x2", "&rq->lock", "?.-.", (None, None)),
        (" (&bus->mutex){+.+.+.}, at: [<c000>] .f+0x1/0x2", "&bus->mutex", "+.+.+.", (None, None)),
        (
            '#3: 00000000659c1dc9 ((wq_completion)"%s"wiphy_name(local->hw.wiphy)){+.+.}, at: f+0x1/0x2',
            '(wq_completion)"%s"wiphy_name(local->hw.wiphy)',
            "+.+.",
            (None, None),
        ),
        (
            "-> #1 ((work_completion)(&(&wb->dwork)->work)){+.+.}-{0:0}:",
            "(work_completion)(&(&wb->dwork)->work)",
            "+.+.",
            (0, 0),
        ),
        ("-> #2 (subsys mutex#3){+.+.+.}:", "subsys mutex#3", "+.+.+.", (None, None)),
        (
            "c2979b94 (per_cpu_ptr(&cpu_lock, cpu)){-.-.}-{2:2}, at: f+0x1/0x2",
            "per_cpu_ptr(&cpu_lock, cpu)",
            "-.-.",
            (2, 2),
        ),
        (
            "ffff888012869e20 (&(&mapping->tree_lock)->rlock){..-.}, at: f+0x1/0x2",
            "&(&mapping->tree_lock)->rlock",
            "..-.",
            (None, None),
        ),
        (
            "ffff888012869e20 (&((spinlock_t *)hcd->lock)->rlock){..-.}, at: f+0x1/0x2",
            "&((spinlock_t *)hcd->lock)->rlock",
            "..-.",
            (None, None),
        ),
        (
            "ffff888012869e20 (rcu_read_lock){....}-{1:3}, at: f+0x1/0x2",
            "rcu_read_lock",
            "....",
            (1, 3),
        ),
    ],
)
def test_lock_names(
    text: str, name: str, usage: str, types: tuple[int | None, int | None] | None
) -> None:
    lock = parse_lock(text)
    if types is None:  # four digits are no address, and a word before the name is no lock
        assert lock is None
        return
    assert lock is not None
    assert (lock.name, lock.usage, (lock.outer, lock.inner)) == (name, usage, types)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("&type->s_umount_key#45/1", ("&type->s_umount_key", 45, 1)),
        ("&mm->mmap_lock#2", ("&mm->mmap_lock", 2, 0)),
        ("&ei->i_data_sem/2", ("&ei->i_data_sem", 1, 2)),
        ("rtnl_mutex", ("rtnl_mutex", 1, 0)),
        ("(wq_completion)writeback/8:0", ("(wq_completion)writeback/8:0", 1, 0)),
        ("#3", ("#3", 1, 0)),
    ],
)
def test_split_name(name: str, parts: tuple[str, int, int]) -> None:
    assert split_name(name) == parts


@pytest.mark.parametrize(
    ("text", "function", "source", "reliable"),
    [
        ("down_read+0x48/0x250", "down_read", "", True),
        ("? find_held_lock+0x40/0xb0 [kvm]", "find_held_lock", "", False),
        ("[<ffffffff82d4e304>] f+0x0/0x1b", "f", "", True),
        ("[<ffffffff82d4e304>] ? f+0x0/0x1b", "f", "", False),
        ("[c00000000adc2be0] [c000000000940868] f+0xec/0x144 (unreliable)", "f", "", False),
        ("[<c0014b08>] (unwind+0x0/0xf0) from [<c039d4b0>] (g+0x250/0x29c)", "unwind", "", True),
        ("show_stack from dump_stack_lvl+0x1/0x2", "show_stack", "", True),
        ("[<none>] f+0x1/0x2", "f", "", True),
        ("[< inline >] f mm/memory.c:12", "f", "mm/memory.c:12", True),
        ("f+0x1/0x2 net/core/dev.c:12", "f", "net/core/dev.c:12", True),
        (
            "lock_sock include/net/sock.h:1600 [inline]",
            "lock_sock",
            "include/net/sock.h:1600",
            True,
        ),
        (
            "ip6_output (net/ipv6/ip6_output.c:247) ",
            "ip6_output",
            "net/ipv6/ip6_output.c:247",
            True,
        ),
        ("free_pid at kernel/pid.c:131", "free_pid", "kernel/pid.c:131", True),
        ("_RNvXCs_5rnullModule4init+0x904/0xc30", "_RNvXCs_5rnullModule4init", "", True),
        (".g5_cpufreq_init+0x9cc/0xa28", "g5_cpufreq_init", "", True),
        ("0xffffffffc0a1b2c3", "", "", True),
    ],
)
def test_frames(text: str, function: str, source: str, reliable: bool) -> None:
    frame = parse_frame(text)
    assert frame is not None
    assert (frame.function, frame.source, frame.reliable) == (function, source, reliable)


@pytest.mark.parametrize(
    "text",
    [
        "Hardware name: LENOVO ThinkCentre",
        "RIP: 0010:f+0x1/0x2",
        "Code: 83 ff 03 74 3b",
        "hardirqs last  enabled at (39163): [<ffffffff8126d829>] f+0x6b/0x79",
        "(rtnl_mutex){+.+.}-{3:3}, at: f+0x1/0x2",
        "usb 1-1: new high-speed USB device",
        "lock(&rq->lock);",
        "and this is what f said",
    ],
)
def test_what_is_no_frame(text: str) -> None:
    assert parse_frame(text) is None


def test_prefixes_keep_the_caller_and_the_indentation() -> None:
    (line,) = clean_line(7, "> [   64.555204][ T5115]        down_read+0x48/0x250\r\n")
    assert (line.number, line.depth, line.caller, line.prefixed) == (7, 1, "T5115", True)
    assert line.text == "       down_read+0x48/0x250"


def test_lines_of_other_programs_are_known() -> None:
    (line,) = clean_line(1, "Feb 20 23:47:01 host systemd[1]: Started Session 1.")
    assert line.foreign
    (line,) = clean_line(1, "Feb 20 23:47:01 host kernel: WARNING: suspicious RCU usage")
    assert not line.foreign and line.text == "WARNING: suspicious RCU usage"


def test_titles_of_old_and_new_kernels() -> None:
    assert parse_title("[ INFO: possible circular locking dependency detected ]") is not None
    assert parse_title("[ INFO: suspicious RCU usage. ]") is not None
    assert parse_title("WARNING: HARDIRQ-READ-safe -> HARDIRQ-READ-unsafe lock order detected")
    assert parse_title('Summary: WARNING: inconsistent lock state, "inconsistent') is None
    assert parse_title('pr_warn("WARNING: inconsistent lock state\\n");') is None
