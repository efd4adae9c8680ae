# SPDX-License-Identifier: Apache-2.0
"""Proofs of reports: both verdicts for every kind, by editing what a report says."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from quiesce.cli import main
from quiesce.commands.explain import explain_command
from quiesce.compiler.program import compile_scenario
from quiesce.errors import UsageError
from quiesce.explain import log
from quiesce.explain.log import explain_text
from quiesce.explain.prove.proof import ProofResult, prove, write_model
from quiesce.explain.read.model import PrintedReport
from quiesce.explain.read.read_log import read_text
from quiesce.explain.show import as_json
from quiesce.explorer import Options, check_reference
from quiesce.loading import load_scenario
from quiesce.verdict import Verdict

FIXTURES = Path(__file__).parents[1] / "data" / "splats"
MODELLED = (
    "circular_2012",
    "circular_all_readers",
    "circular_five_links",
    "circular_two_mutexes",
    "inconsistent_hardirq",
    "irq_inversion_softirq",
    "recursive_print_fn",
    "recursive_two_objects",
    "safe_unsafe_hardirq",
)


def _fixture(name: str) -> str:
    return (FIXTURES / f"{name}.txt").read_text(encoding="utf-8")


def _report(text: str) -> PrintedReport:
    (report,) = read_text(text).reports
    return report


def _proof(text: str) -> ProofResult:
    return prove(_report(text))


def _chain(wants: list[tuple[str, str]], usage: str = "+.+.") -> str:
    """Return a circular report.

    :param wants: for each link from #0 on, the lock and the function that takes it.
    """
    top = len(wants) - 1
    lines = [
        "======================================================",
        "WARNING: possible circular locking dependency detected",
        "6.9.0-toy #1 Not tainted",
        "------------------------------------------------------",
        "toyd/42 is trying to acquire lock:",
        f"ffff888100000000 ({wants[0][0]}){{{usage}}}-{{3:3}}, at: toy_0+0x1/0x10",
        "",
        "but task is already holding lock:",
        f"ffff8881000000ff ({wants[top][0]}){{{usage}}}-{{3:3}}, at: toy_outer+0x1/0x10",
        "",
        "which lock already depends on the new lock.",
        "",
        "the existing dependency chain (in reverse order) is:",
    ]
    for number in range(top, -1, -1):
        name, function = wants[number]
        lines += [
            "",
            f"-> #{number} ({name}){{{usage}}}-{{3:3}}:",
            "       lock_acquire+0xd1/0x2d0",
            f"       {function}+0x30/0x40",
            f"       toy_{number}+0x10/0x20",
        ]
    lines += ["", "other info that might help us debug this:", ""]
    return "\n".join(lines) + "\n"


# --- Circles --------------------------------------------------------------------------------------


def test_two_mutexes_hang() -> None:
    proof = _proof(_fixture("circular_two_mutexes"))
    assert (proof.verdict, proof.reason) == ("blocks", "these 2 tasks hang, 2 steps")
    assert proof.steps == 2
    assert proof.interleaving.count("<- waits for") == 2
    assert [reading.name for reading in proof.readings] == [""]


def test_a_trylock_opens_the_circle() -> None:
    proof = _proof(_chain([("&toy->a", "mutex_trylock"), ("&toy->b", "mutex_lock")]))
    assert proof.verdict == "does-not-block"
    assert "(h)" in proof.reason and "&toy->a" in proof.reason
    assert _proof(_chain([("&toy->a", "mutex_lock"), ("&toy->b", "mutex_lock")])).verdict == (
        "blocks"
    )


def test_fair_readers_hang_with_a_writer_only() -> None:
    text = _chain([("&toy->a", "down_read"), ("&toy->b", "mutex_lock")], usage=".+.+")
    proof = _proof(text)
    assert proof.verdict == "blocks"
    assert "only if a writer of &toy->a waits in between" in proof.reason
    assert "writer" in proof.interleaving
    (thread,) = re.findall(r"def (writer\w*)\(self\)", proof.model)
    assert f"{thread}/0" in proof.interleaving


def test_recursive_readers_do_not_hang_even_with_a_writer() -> None:
    """A path in an interrupt takes an rwlock without regard to waiting writers."""
    text = _chain([("&toy->a", "_raw_read_lock"), ("&toy->b", "_raw_spin_lock")], usage=".+.+")
    in_irq = text.replace("toy_0+0x10/0x20", "toy_0+0x10/0x20\n       common_interrupt+0x1/0x2")
    assert _proof(text).verdict == "blocks"
    proof = _proof(in_irq)
    assert proof.verdict == "does-not-block" and "(a)" in proof.reason
    assert "read_lock_in_irq" in proof.model and "def writer" in proof.model


def test_an_annotation_is_checked_as_a_lock_and_as_what_it_stands_for() -> None:
    proof = _proof(_fixture("circular_five_links"))
    real, drawn = proof.readings
    assert (proof.verdict, proof.steps) == (real.verdict, real.steps) == ("blocks", 5)
    assert "these 3 tasks hang" in real.reason and "enters reclaim" in real.reason
    assert "these 5 tasks hang" in drawn.reason and "reclaim" not in drawn.reason
    assert "link_3" not in real.interleaving and "link_3/0" in drawn.interleaving


def test_a_circle_of_contexts_only_makes_nobody_wait() -> None:
    names = [("fs_reclaim", "fs_reclaim_acquire"), ("toy_lockdep_map", "toy_enter")]
    text = _chain(names).replace("-{3:3}", "-{0:0}")
    proof = _proof(text)
    assert proof.verdict == "does-not-block" and "(i) no task waits" in proof.reason
    assert [reading.verdict for reading in proof.readings] == ["does-not-block", "blocks"]


def test_a_worker_that_nobody_waits_for_while_he_waits() -> None:
    """The worker waits for the mutex, its holder flushes the work: a hang. A trylock: none."""
    work = "(work_completion)(&toy->work)"
    text = _chain([("&toy->a", "mutex_lock"), (work, "__flush_work")])
    text = text.replace(f"({work}){{+.+.}}-{{3:3}}", f"({work}){{+.+.}}-{{0:0}}")
    proof = _proof(text)
    assert proof.verdict == "blocks" and "wait_for_end" in proof.model
    assert _proof(text.replace("mutex_lock+", "mutex_trylock+")).verdict == "does-not-block"


def test_a_cut_chain_is_incomplete_and_other_kinds_are_not_modelled() -> None:
    text = _fixture("circular_two_mutexes")
    assert _proof(text[: text.index("-> #1")]).verdict == "incomplete"
    # Link #0 is in the header as well.
    assert _proof(text[: text.index("-> #0")]).verdict == "blocks"
    assert _proof(_fixture("rcu_dereference")).verdict == "not_modelled"


def test_a_large_circle_is_proved_by_the_run_that_is_expected_to_hang() -> None:
    names = [(f"&toy->lock_{chr(97 + n)}{chr(97 + n)}", "mutex_lock") for n in range(24)]
    proof = _proof(_chain(names))
    assert proof.reason == "these 24 tasks hang, 24 steps"
    assert proof.readings[0].states <= 25, "nothing but that run was looked at"
    assert "in_turn" in proof.model


@pytest.mark.parametrize("size", [3, 6, 8, 24])
def test_one_trylock_opens_a_circle_of_any_size(size: int) -> None:
    """Beyond a size the neighbours that surely wait are taken together, which is said."""
    names = [(f"&toy->lock_{chr(97 + n)}{chr(97 + n)}", "mutex_lock") for n in range(size)]
    proof = _proof(_chain([(names[0][0], "mutex_trylock"), *names[1:]]))
    assert proof.verdict == "does-not-block" and "(h)" in proof.reason
    assert ("taken together" in proof.reason) == (size > 7)


def test_a_shortened_circle_may_lose_its_annotations() -> None:
    names = [(f"&toy->lock_{chr(97 + n)}{chr(97 + n)}", "mutex_lock") for n in range(10)]
    names[0], names[4] = (names[0][0], "mutex_trylock"), ("fs_reclaim", "fs_reclaim_acquire")
    text = _chain(names).replace("(fs_reclaim){+.+.}-{3:3}", "(fs_reclaim){+.+.}-{0:0}")
    proof = _proof(text)
    assert proof.verdict == "does-not-block" and "taken together" in proof.reason
    assert proof.readings[1].verdict == "incomplete"


def test_a_circle_too_large_is_said_to_be() -> None:
    proof = _proof(_chain([(f"&toy->lock{n}x", "mutex_lock") for n in range(45)]))
    assert proof.verdict == "not_modelled" and "45 paths" in proof.reason


# --- Recursion ------------------------------------------------------------------------------------


def test_two_objects_do_not_hang_alone_but_crosswise() -> None:
    proof = _proof(_fixture("recursive_two_objects"))
    assert proof.verdict == "does-not-block" and "(c) two objects of one class" in proof.reason
    assert [reading.verdict for reading in proof.readings] == ["does-not-block", "blocks"]
    assert "other_task/0" in proof.readings[1].interleaving


def test_one_object_twice_hangs_alone() -> None:
    text = _fixture("recursive_two_objects")
    wanted, holding = re.findall(r"(ffff\w+) \(&node->lock/1\)", text)[:2]
    proof = _proof(text.replace(holding, wanted))
    assert (proof.verdict, proof.reason) == ("blocks", "one task hangs, 1 step")


def test_without_addresses_the_same_object_is_a_condition() -> None:
    text = re.sub(r"ffff[0-9a-f]{12}", "(____ptrval____)", _fixture("recursive_two_objects"))
    assert "only if it is the same object both times" in _proof(text).reason


# --- Interrupts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["inconsistent_hardirq", "irq_inversion_softirq", "safe_unsafe_hardirq"]
)
def test_an_interrupt_hangs_unless_it_is_kept_away(name: str) -> None:
    proof = _proof(_fixture(name))
    assert proof.verdict == "blocks" and "interrupt comes on" in proof.reason
    reported, fixed = proof.readings
    assert "<interrupted task>" in reported.interleaving
    assert fixed.verdict == "does-not-block" and "off where" in fixed.name


def test_readers_in_interrupts_and_outside() -> None:
    """What the usage columns say is read, is read; two readers need a writer in between."""
    text = _fixture("safe_unsafe_hardirq")
    reading_irq = _proof(text.replace("(&gz->irq_lock){-...}", "(&gz->irq_lock){+-..}"))
    assert "read_lock_in_irq" in reading_irq.model and reading_irq.verdict == "blocks"
    read_only = _proof(re.sub(r"\(&gz->cfg_lock\)\{....\}", "(&gz->cfg_lock){.+.+}", text))
    assert "a writer of &gz->cfg_lock waits in between" in read_only.reason
    assert "writer/0" in read_only.interleaving


def test_interrupts_and_reclaim() -> None:
    """Nobody waits for fs_reclaim: what is wrong there is no hang, and is not called one."""
    text = _fixture("inconsistent_hardirq").replace("&gz->q_lock", "fs_reclaim")
    proof = _proof(text.replace("-{2:2}", "-{0:0}"))
    assert proof.verdict == "not_modelled" and "(i) fs_reclaim is not a lock" in proof.reason


def test_reclaim_of_old_kernels_is_the_tasks_own() -> None:
    text = _fixture("inconsistent_hardirq").replace("HARDIRQ-ON-W", "RECLAIM_FS-ON-W")
    proof = _proof(text.replace("IN-HARDIRQ-W", "IN-RECLAIM_FS-W"))
    assert proof.verdict == "blocks" and "cpu" not in proof.model.lower()
    assert "one task hangs" in proof.reason and "(f:" in proof.reason


def test_a_writer_of_a_sequence_count_on_top_of_another() -> None:
    text = _fixture("inconsistent_hardirq").replace("&gz->q_lock", "&gz->stats.syncp->seq")
    proof = _proof(text.replace("-{2:2}", "-{0:0}"))
    assert proof.verdict == "blocks"
    assert proof.reason.startswith("no task hangs, but this goes wrong: two writers")


# --- The file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELLED)
def test_the_model_is_a_file_to_read_and_to_check(
    name: str,
    golden: Callable[[str, str], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / f"{name}.py"
    write_model(_report(_fixture(name)), path)
    golden(f"explain_prove/{name}.py", path.read_text(encoding="utf-8"))
    assert main(["check", str(path), "--quiet"]) == Verdict.VIOLATION.exit_code
    assert "deadlock" in capsys.readouterr().out


def _check(source: str, path: Path, *settings: str) -> Verdict:
    path.write_text(source, encoding="utf-8")
    scenario = load_scenario(str(path), list(settings))
    return check_reference(compile_scenario(scenario), Options()).verdict


def test_a_fix_can_be_tried_in_the_file(tmp_path: Path) -> None:
    """Mending one path, in the ways that the explanation proposes, makes the model hold."""
    source = _proof(_fixture("circular_two_mutexes")).model
    assert _check(source, tmp_path / "as_it_is.py") is Verdict.VIOLATION
    first, second = re.findall(r"self\.(\w+) = Mutex", source)
    head, link_0, link_1 = re.split(r"(?=    @thread\(\))", source)
    swapped = link_1.replace(first, "X").replace(second, first).replace("X", second)
    assert _check(head + link_0 + swapped, tmp_path / "swapped.py") is Verdict.HOLDS


def test_the_seed(reference: Path, tmp_path: Path) -> None:
    """One task's nested invalidation and a waiting writer; neither alone, nor unfair readers."""
    path = reference / "splats" / "other" / "kvm-mmu_notifier_slots_lock-5.12.txt"
    (report,) = read_text(path.read_text(encoding="utf-8", errors="replace")).reports
    proof = prove(report)
    assert proof.verdict == "blocks"
    assert "one task hangs, 3 steps; only if one task, with " in proof.reason
    assert "(a nested invalidation)" in proof.reason
    assert "a writer of &kvm->mmu_notifier_slots_lock waits in between" in proof.reason
    drawn = proof.readings[1]
    assert drawn.verdict == "blocks" and "these 2 tasks hang" in drawn.reason
    assert _check(proof.model, tmp_path / "a.py") is Verdict.VIOLATION
    assert _check(proof.model, tmp_path / "b.py", "writers=0") is Verdict.HOLDS
    unfair = proof.model.replace("RwSem", "RwSemUnfair")
    assert _check(unfair, tmp_path / "c.py") is Verdict.HOLDS


def test_no_model_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not about a hang"):
        write_model(_report(_fixture("held_freed")), tmp_path / "m.py")
    with pytest.raises(UsageError, match="cannot be written"):
        write_model(_report(_fixture("circular_two_mutexes")), tmp_path / "no" / "m.py")


@pytest.mark.parametrize(
    "name",
    [
        'quote" and """ three',
        "back\\slash\\",
        "&toy->self",
        "&toy->class",
        "link_0",
        "writers",
        "(((",
        "&ünïcode->löck",
        "&x->" + "very_long_" * 40 + "name",
        "&a->lock{braces}",
        "tasks",
        "import os  # comment",
    ],
)
def test_names_from_logs_cannot_break_the_source(name: str) -> None:
    text = _chain([(name, "mutex_lock"), ("&toy->b", "mutex_lock")])
    proof = _proof(text)
    assert proof.verdict == "blocks", proof.reason
    assert proof.reason == "these 2 tasks hang, 2 steps"


# --- Around it ------------------------------------------------------------------------------------


def test_json_and_command_carry_the_proof(tmp_path: Path) -> None:
    text = _fixture("circular_five_links")
    (report,) = json.loads(as_json.to_json(explain_text(text)))["reports"]
    proof = report["proof"]
    assert report["verdict"] == "hangs-if" and proof["verdict"] == "blocks"
    assert proof["steps"] == 5 and len(proof["readings"]) == 2
    out, path = io.StringIO(), tmp_path / "model.py"
    assert explain_command(text, model=path, verbose=True, out=out, err=io.StringIO()) in (0, 3)
    assert "class Report(Scenario)" in path.read_text(encoding="utf-8")
    assert "The drawn cycle blocks: these 3 tasks hang, 5 steps" in out.getvalue()


def test_only_so_many_problems_of_a_log_are_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_PROVED", 1)
    two = _fixture("circular_two_mutexes") + _fixture("circular_all_readers")
    verdicts = [one.proof.verdict for one in explain_text(two + two).reports]
    assert verdicts == ["blocks", "not_modelled"] * 2
