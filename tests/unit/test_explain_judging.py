# SPDX-License-Identifier: Apache-2.0
"""Explaining: modes, annotations, cycles, interleavings, reasons, fingerprints, every output."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

import quiesce
from quiesce.commands.explain import explain_command
from quiesce.errors import UsageError
from quiesce.explain.judge.annotations import Nature, look_up
from quiesce.explain.judge.answer import Judgement
from quiesce.explain.judge.cycle import Blocking, Cycle
from quiesce.explain.judge.fingerprint import canonical_rotation
from quiesce.explain.judge.kinds import cycle_of
from quiesce.explain.judge.modes import AcquireMode, of_trace, seen
from quiesce.explain.log import Explained, explain_text
from quiesce.explain.read.lock_text import parse_lock
from quiesce.explain.read.model import PrintedFrame, PrintedLock
from quiesce.explain.read.read_log import read_text
from quiesce.explain.show import as_html, as_json, as_markdown, as_text

FIXTURES = Path(__file__).parents[1] / "data" / "splats"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.txt"))


def _fixture(name: str) -> str:
    return (FIXTURES / f"{name}.txt").read_text(encoding="utf-8")


def _explain(text: str) -> Explained:
    (one,) = explain_text(text).reports
    return one


def _cycle(text: str) -> Cycle:
    (report,) = read_text(text).reports
    cycle = cycle_of(report)
    assert cycle is not None
    return cycle


def _lock(text: str) -> PrintedLock:
    lock = parse_lock(f"ffff888012869e20 {text}, at: f+0x1/0x2")
    assert lock is not None
    return lock


@pytest.mark.parametrize("name", NAMES)
def test_explanations_of_our_reports(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"explain/{name}.txt", as_text.render(explain_text(_fixture(name))))


def test_explanation_of_the_seed(reference: Path, golden: Callable[[str, str], None]) -> None:
    path = reference / "splats" / "other" / "kvm-mmu_notifier_slots_lock-5.12.txt"
    golden("explain/seed.txt", as_text.render(explain_text(path.read_text(encoding="utf-8"))))


def test_the_seed_says_what_its_maintainers_needed(reference: Path) -> None:
    path = reference / "splats" / "other" / "kvm-mmu_notifier_slots_lock-5.12.txt"
    one = _explain(path.read_text(encoding="utf-8"))
    pseudo, slots = one.explanation.locks
    assert pseudo.annotation and not slots.annotation
    assert (slots.mode, slots.held_mode) == ("read", "read")
    assert "no writer has been seen" in slots.usage_text
    assert len(one.explanation.interleavings[0].waits) == 3
    answer = one.explanation.answer
    assert answer.verdict is Judgement.HANGS_IF
    assert "a writer of mmu_notifier_slots_lock queues" in answer.text
    assert [row.arrow for row in answer.rows] == ["<- 2", "<- 3", "<- 1"]
    assert [row.in_report for row in answer.rows] == [True, True, False]
    assert "count of open invalidations" in answer.fixes[0] and "Price" in answer.fixes[0]


@pytest.mark.parametrize(
    ("text", "nature"),
    [
        ("(fs_reclaim){+.+.}-{0:0}", Nature.CONTEXT),
        ("(mmu_notifier_invalidate_range_start){+.+.}-{0:0}", Nature.CONTEXT),
        ("((work_completion)(&(&wb->dwork)->work)){+.+.}-{0:0}", Nature.WAIT),
        ("((wq_completion)events){+.+.}-{0:0}", Nature.WAIT),
        ("((&(&rtwdev->watch_dog_work)->work)){+.+...}", Nature.WAIT),
        ("((&dum_hcd->timer)){+.-.}-{0:0}", Nature.WAIT),
        ("(&q->q_usage_counter(io)#55){++++}-{0:0}", Nature.WAIT),
        ("(kn->active#72){.+.+}-{0:0}", Nature.WAIT),
        ("(s_active#22){++++.+}", Nature.WAIT),
        ("(jbd2_handle){++++}-{0:0}", Nature.WAIT),
        ("(btrfs_trans_num_writers){++++}-{0:0}", Nature.WAIT),
        ("(&kvm->srcu){.+.+}-{0:0}", Nature.WAIT),
        ("(dma_fence_map){++++}-{0:0}", Nature.WAIT),
        ("(reservation_ww_class_acquire){+.+.}-{0:0}", Nature.CONTEXT),
        ("(rcu_read_lock){....}-{1:3}", Nature.RCU),
        ("(sb_internal#2){.+.+}-{0:0}", Nature.HOME_MADE),
        ("(sb_writers#11){.+.+}-{0:0}", Nature.HOME_MADE),
        ("(cpu_hotplug_lock){++++}-{0:0}", Nature.HOME_MADE),
        ("(sk_lock-AF_INET6){+.+.}-{0:0}", Nature.HOME_MADE),
        ("(console_lock){+.+.}-{0:0}", Nature.HOME_MADE),
        ("(&syncp->seq#2){+.+.}-{0:0}", Nature.HOME_MADE),
        ("((console_sem).lock){-.-.}-{2:2}", Nature.LOCK),
        ("(slock-AF_INET){+.-.}-{2:2}", Nature.LOCK),
        ("(&kvm->mmu_notifier_slots_lock){.+.+}-{3:3}", Nature.LOCK),
        ("(&ssp->srcu_gp_mutex){+.+.}-{3:3}", Nature.LOCK),
        ("(rtnl_mutex){+.+.+.}", Nature.LOCK),
        ("(&(&timer->lock)->rlock){+.+...}", Nature.LOCK),
        ("(toy_thing){+.+.}-{0:0}", Nature.UNKNOWN_MAP),
    ],
)
def test_what_a_name_stands_for(text: str, nature: Nature) -> None:
    assert look_up(_lock(text)).nature is nature


@pytest.mark.parametrize(
    ("functions", "mode", "primitive", "caller"),
    [
        (
            "__lock_acquire lock_acquire __mutex_lock mutex_lock_nested f",
            AcquireMode.EXCLUSIVE,
            "mutex",
            "f",
        ),
        ("down_read f", AcquireMode.READ, "rwsem", "f"),
        ("lock_acquire down_write_nested f", AcquireMode.EXCLUSIVE, "rwsem", "f"),
        (
            "lock_acquire.part.0 lock_acquire _raw_spin_lock_irqsave f",
            AcquireMode.EXCLUSIVE,
            "spinlock",
            "f",
        ),
        ("lock_acquire _raw_read_lock f vfs_read", AcquireMode.READ, "rwlock", "f"),
        (
            "lock_acquire _raw_read_lock f handle_softirqs __do_softirq",
            AcquireMode.RECURSIVE_READ,
            "rwlock",
            "f",
        ),
        ("lock_acquire srcu_read_lock f", AcquireMode.RECURSIVE_READ, "srcu", "f"),
        ("lock_sync __synchronize_srcu f", AcquireMode.SYNC, "srcu", "f"),
        ("percpu_down_read __sb_start_write f", AcquireMode.READ, "percpu_rwsem", "f"),
        (
            "fs_reclaim_acquire __kmalloc_noprof toy_grow f",
            AcquireMode.EXCLUSIVE,
            "fs_reclaim",
            "toy_grow",
        ),
        ("lock_acquire f", AcquireMode.UNKNOWN, "", "f"),
    ],
)
def test_modes_by_function(functions: str, mode: AcquireMode, primitive: str, caller: str) -> None:
    how = of_trace([PrintedFrame(name) for name in functions.split()])
    assert (how.mode, how.primitive) == (mode, primitive)
    assert how.caller is not None and how.caller.function == caller


def test_usage_characters() -> None:
    assert (seen("{.+.+}"[1:-1]).wrote, seen(".+.+").read) == (False, True)
    assert (seen("+.+.").wrote, seen("+.+.").read) == (True, False)
    assert (seen("+.+.+.").wrote, seen("++++.+").read) == (True, True)
    assert not seen("....").wrote and not seen("....").read


def test_two_mutexes_are_two_tasks_that_wait() -> None:
    cycle = _cycle(_fixture("circular_two_mutexes"))
    assert len(cycle.tasks) == 2
    assert [wait.blocking for wait in cycle.waits] == [Blocking.BLOCKS] * 2
    answer = _explain(_fixture("circular_two_mutexes")).explanation.answer
    assert answer.text == "Hangs if both rows mean the same toy object."


def test_five_links_with_reclaim_and_a_worker_are_three_tasks() -> None:
    """Allocation and reclaim are one task, the work item and its worker another."""
    cycle = _cycle(_fixture("circular_five_links"))
    assert len(cycle.paths) == 5
    assert [path.number for path in cycle.paths if path.passes] == [2, 4]
    assert len(cycle.tasks) == 3
    one = _explain(_fixture("circular_five_links"))
    assert len(one.explanation.interleavings) == 2
    assert "reclaims memory" in one.explanation.answer.text
    assert [row.arrow for row in one.explanation.answer.rows] == [
        "<- 2",
        "<- 3",
        "goes on in 4",
        "<- 5",
        "goes on in 1",
    ]


def test_readers_of_fair_locks_need_a_writer_and_recursive_ones_never_wait() -> None:
    fair = _cycle(_fixture("circular_all_readers"))
    assert {wait.blocking for wait in fair.waits} <= {Blocking.NEEDS_WRITER, Blocking.MAYBE}
    # In an interrupt the same read_lock() is recursive: it does not wait behind a writer.
    text = _fixture("circular_all_readers").replace(
        "toy_find+0x18/0x40 [toy]", "__do_softirq+0x1/0x2"
    )
    one = _explain(text)
    assert one.explanation.answer.verdict is Judgement.CANNOT_HANG
    assert one.explanation.excuses[0].code == "a"


def test_two_objects_of_one_class_are_told_from_one() -> None:
    text = _fixture("recursive_two_objects")
    two = _explain(text).explanation.answer
    assert two.verdict is Judgement.CANNOT_HANG and "ffff88810aaaa018" in two.text
    assert two.rows[0].arrow == "<- none" and "other order" in two.notes[0]
    same = _explain(text.replace("ffff88810aaaa018", "ffff88810bbbb018")).explanation.answer
    assert same.verdict is Judgement.HANGS and same.rows[0].arrow == "<- 1"
    hidden = _explain(
        re.sub("ffff88810(aaaa|bbbb)018", "(____ptrval____)", text)
    ).explanation.answer
    assert hidden.verdict is Judgement.UNDECIDED and "No address is printed" in hidden.text
    assert hidden.fixes[0].startswith("If they are two: annotate") and len(hidden.fixes) == 2


def test_tables_of_two_tasks_fit_into_a_commit_message() -> None:
    for name in NAMES:
        for interleaving in _explain(_fixture(name)).explanation.interleavings:
            lines = interleaving.text.split("\n")
            if len(lines[1].split()) <= 2 and "CPU" not in lines[0]:
                assert max(map(len, lines)) <= 72, name


def _rotate(text: str) -> str:
    """The same two-lock cycle, caught at its other edge and in another boot."""
    swapped = (
        text.replace("cfg_mutex", "@").replace("io_mutex", "cfg_mutex").replace("@", "io_mutex")
    )
    return swapped.replace("&toy->cfg_mutex)", "&toy->cfg_mutex#7)")


def test_fingerprints() -> None:
    text = _fixture("circular_two_mutexes")
    name = _explain(text).fingerprint
    assert _explain(_rotate(text)).fingerprint == name
    assert _explain(text.replace("4242", "17").replace("ffff8881", "ffff9992")).fingerprint == name
    assert _explain(text.replace("io_mutex", "tx_mutex")).fingerprint != name
    assert _explain(text.replace("io_mutex)", "io_mutex/1)")).fingerprint != name
    cut = _explain(text[: text.index("the existing")])
    assert cut.fingerprint != name
    assert len({_explain(_fixture(n)).fingerprint for n in NAMES}) == len(NAMES)


@pytest.mark.parametrize("names", ["abc", "aab", "abab", "a", "baa", "cabab"])
def test_canonical_rotation_is_the_least(names: str) -> None:
    rotations = [tuple(names[i:] + names[:i]) for i in range(len(names))]
    assert {canonical_rotation(list(rotation)) for rotation in rotations} == {min(rotations)}


def test_the_same_problem_twice_is_grouped_and_counted() -> None:
    text = _fixture("circular_two_mutexes")
    log = explain_text(text + "boot\n" + _rotate(text) + "boot\n" + _fixture("held_freed"))
    assert [one.count for one in log.reports] == [2, 2, 1]
    assert [one.same_as for one in log.reports] == [None, 0, None]
    shown = as_text.render(log)
    assert shown.count("New edge") == 1 and "seen 2 times" in shown


def test_json_has_the_promised_keys() -> None:
    data = json.loads(as_json.to_json(explain_text(_fixture("circular_five_links"))))
    assert data["schema"] == 1
    (report,) = data["reports"]
    promised = (
        "kind title kernel task complete missing locks links held verdict fingerprint explanation"
    )
    assert set(promised.split()) <= set(report)
    assert report["links"] == 5 and report["complete"] is True and report["missing"] == []
    assert report["held"] == ["(wq_completion)toy-wq#3", "(work_completion)(&(&toy->dwork)->work)"]
    assert report["verdict"] == "hangs-if" and report["answer"]["rows"][0]["arrow"] == "<- 2"
    assert report["proof"]["verdict"] == "blocks"
    by_name = {lock["name"]: lock for lock in report["locks"]}
    assert by_name["fs_reclaim"]["annotation"] is True
    assert by_name["rtnl_mutex"]["annotation"] is False
    assert by_name["rtnl_mutex"]["mode"] == "exclusive"
    assert by_name["(wq_completion)toy-wq#3"]["class"] == "(wq_completion)toy-wq"


def test_a_chain_that_lacks_only_link_0_is_complete() -> None:
    """The header has its lock and its place."""
    text = _fixture("circular_two_mutexes")
    whole, cut = _explain(text), _explain(text[: text.index("-> #0")])
    assert cut.explanation.answer.text == whole.explanation.answer.text
    assert len(cut.explanation.answer.rows) == 2
    assert "stack of row 1 is not in this text" in cut.explanation.answer.notes[0]


def test_what_is_there_of_a_cut_chain_is_shown() -> None:
    text = _fixture("circular_five_links")
    start, end = text.index("-> #3"), text.index("-> #1")
    one = _explain(text[:start] + text[end:])
    answer = one.explanation.answer
    assert answer.verdict is Judgement.UNDECIDED and "links #2 to #3" in answer.text
    assert [(row.number, row.arrow) for row in answer.rows] == [
        (1, "<- 2"),
        (2, "<- ?"),
        (5, "<- 1"),
    ]
    assert one.proof.verdict == "incomplete"


def test_output_is_the_same_every_time() -> None:
    text = "".join(_fixture(name) for name in NAMES)
    assert as_json.to_json(explain_text(text)) == as_json.to_json(explain_text(text))


class _Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        if tag in ("article", "table", "ul", "ol", "pre", "nav", "body", "html", "code"):
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.stack and self.stack[-1] == tag:
            self.stack.pop()


def test_the_page_is_balanced_and_takes_no_names_for_tags() -> None:
    text = _fixture("circular_two_mutexes").replace("io_mutex", "x<script>alert(1)</script>")
    page = as_html.render(explain_text(text + _fixture("rcu_dereference")))
    parser = _Balance()
    parser.feed(page)
    assert parser.stack == [] and parser.scripts == 0
    assert page.count("<article") == 2 and "prefers-color-scheme" in page


def test_markdown_keeps_names_as_they_are() -> None:
    text = as_markdown.render(explain_text(_fixture("circular_five_links")), verbose=True)
    assert "`(work_completion)(&(&toy->dwork)->work)`" in text
    assert text.count("```") % 2 == 0


def _run(
    text: str, json: bool = False, markdown: bool = False, quiet: bool = False
) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = explain_command(text, json=json, markdown=markdown, quiet=quiet, out=out, err=err)
    return code, out.getvalue(), err.getvalue()


def test_the_command_and_its_exit_codes(tmp_path: Path) -> None:
    whole = FIXTURES / "circular_two_mutexes.txt"
    code, out, err = _run(str(whole))
    assert (code, err) == (0, "") and out.startswith("Hangs if")
    cut = tmp_path / "cut.txt"
    cut.write_text(_fixture("circular_two_mutexes").split("stack backtrace")[0], encoding="utf-8")
    code, out, err = _run(str(cut))
    assert code == 3 and "stack backtrace" in err
    code, out, err = _run("nothing\nhere\n")
    assert (code, out) == (0, "") and "no report about waiting" in err
    code, out, err = _run(str(whole), quiet=True)
    assert code == 0 and "Fix" not in out
    code, out, err = _run(str(whole), json=True)
    assert json.loads(out)["reports"][0]["kind"] == "circular"


def test_the_command_refuses_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the log"):
        _run(str(tmp_path / "not-there"))
    with pytest.raises(UsageError, match="exclude each other"):
        _run("a\nb\n", json=True, markdown=True)
    with pytest.raises(UsageError, match="no report in this log that a model"):
        explain_command("a\nb\n", model=tmp_path / "m", out=io.StringIO(), err=io.StringIO())


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    explain_command(_fixture("held_freed"), html=page, out=io.StringIO(), err=io.StringIO())
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_library_gives_objects() -> None:
    (one,) = quiesce.explain(_fixture("held_freed"))
    assert one.report.kind == "held-freed"
    assert quiesce.explain("no report") == ()


def test_the_document_shows_what_we_print(request: pytest.FixtureRequest) -> None:
    """Each block of docs/reading_splats.md is the golden text of that name."""
    path = Path(__file__).parents[2] / "docs" / "reading_splats.md"
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(r"<!-- explained: (\w+) -->\n```\n(.*?)```\n<!-- end -->", re.DOTALL)
    assert len(pattern.findall(text)) == 6

    def current(match: re.Match[str]) -> str:
        golden_text = (path.parent.parent / "tests/golden/explain" / f"{match[1]}.txt").read_text(
            encoding="utf-8"
        )
        return f"<!-- explained: {match[1]} -->\n```\n{golden_text}```\n<!-- end -->"

    wanted = pattern.sub(current, text)
    if request.config.getoption("--update-golden"):
        path.write_text(wanted, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == wanted, "run `make golden`"


def test_a_report_that_was_cut_after_its_two_locks_still_says_what_they_are() -> None:
    """Many mails quote no more than this."""
    text = """\
> ======================================================
> WARNING: possible circular locking dependency detected
> 5.12.0-rc3+ #6 Tainted: G OE
> ------------------------------------------------------
> toy/3069 is trying to acquire lock:
> ffffffff9c775ca0 (mmu_notifier_invalidate_range_start){+.+.}-{0:0},
> at: __mmu_notifier_invalidate_range_end+0x5/0x190
>
> but task is already holding lock:
> ffffaff7410a9160 (&toy->slots_lock){.+.+}-{3:3}, at:
> toy_invalidate_range_start+0x36d/0x4f0 [toy]
"""
    one = _explain(text)
    assert one.report.holding is not None and one.report.holding.where is not None
    assert one.report.holding.where.module == "toy"
    answer = one.explanation.answer
    assert answer.verdict is Judgement.UNDECIDED and one.proof.verdict == "incomplete"
    assert answer.rows[0].who == "toy/3069 in __mmu_notifier_invalidate_range_end()"
    assert "annotation" in answer.notes[0] and "only readers of slots_lock" in answer.notes[1]


def test_reclaim_in_an_interrupt_is_an_allocation_that_may_sleep() -> None:
    text = _fixture("inconsistent_hardirq").replace("&gz->q_lock", "fs_reclaim")
    text = text.replace("-{2:2}", "-{0:0}")
    one = _explain(text)
    answer = one.explanation.answer
    assert answer.verdict is Judgement.MISUSE
    assert "a hard interrupt allocates memory in gizmo_irq()" in answer.text
    assert "GFP_ATOMIC" in answer.fixes[0]
    # The same report about a lock is about a hang.
    lock = _explain(_fixture("inconsistent_hardirq")).explanation.answer
    assert lock.verdict is Judgement.HANGS_IF and "gizmo_irq()" in lock.text


@pytest.mark.parametrize("name", NAMES)
def test_braces_in_names_of_locks_are_only_characters(name: str) -> None:
    """A damaged name may have them; the fuzzer found one that was taken for a format."""
    text = re.sub(r"\((&?[\w>.-]+)\)\{", r"(\1}{after}{0)){", _fixture(name))
    for one in explain_text(text).reports:
        as_text.render(explain_text(text), verbose=True)
        assert one.explanation.answer.text
