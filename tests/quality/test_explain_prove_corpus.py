# SPDX-License-Identifier: Apache-2.0
"""Proofs over real reports, and over reports that were damaged."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from quiesce.compiler.program import compile_scenario
from quiesce.explain.judge.cycle import Blocking
from quiesce.explain.judge.kinds import cycle_of
from quiesce.explain.judge.ladder import two_addresses
from quiesce.explain.prove.proof import ProofResult, prove
from quiesce.explain.read.model import PrintedReport
from quiesce.explain.read.read_log import read_text
from quiesce.explorer import Bounds, Options, check_reference
from quiesce.loading import load_scenario

FIXTURES = Path(__file__).parents[1] / "data" / "splats"
KINDS = ("circular", "recursive", "inconsistent", "safe-unsafe", "irq-inversion")
MUTATIONS = 150


@cache
def _proofs(reference: Path) -> tuple[tuple[str, PrintedReport, ProofResult], ...]:
    return tuple(
        (path.name, report, prove(report))
        for path in _files(reference)
        for report in read_text(path.read_text(encoding="utf-8", errors="replace")).reports
        if report.kind in KINDS
    )


def _files(reference: Path) -> Iterator[Path]:
    yield from sorted((reference / "splats" / "other").glob("*.txt"))
    folder = reference / "splats" / "syzkaller"
    yield from sorted(path for path in folder.iterdir() if path.suffix != ".tsv")


def test_the_verdicts(reference: Path, golden: Callable[[str, str], None]) -> None:
    """For each report: verdict, steps to the hang, letter of the reason against it, readings."""
    lines = []
    for name, report, proof in _proofs(reference):
        letters = "".join(sorted(set(re.findall(r"\(([a-j])[):]", proof.reason))))
        steps = str(proof.steps or "")
        readings = "/".join(reading.verdict for reading in proof.readings)
        line = f"{name:52} {report.kind:13} {proof.verdict:12} {steps:>3} {letters:2} {readings}"
        lines.append(line.rstrip())
    counts = Counter((report.kind, proof.verdict) for _, report, proof in _proofs(reference))
    lines += ["", *(f"{kind} {verdict}: {n}" for (kind, verdict), n in sorted(counts.items()))]
    golden("explain_prove/corpus.txt", "\n".join(lines) + "\n")


def test_every_whole_circle_is_decided(reference: Path) -> None:
    for name, report, proof in _proofs(reference):
        if report.kind in ("circular", "recursive"):
            whole = cycle_of(report) is not None
            assert (proof.verdict in ("blocks", "does-not-block")) == whole, name
            assert (proof.verdict == "incomplete") == (not whole), name


def test_each_refutation_has_a_reason_in_the_report(reference: Path) -> None:
    for name, report, proof in _proofs(reference):
        if report.kind not in ("circular", "recursive") or proof.verdict != "does-not-block":
            continue
        cycle = cycle_of(report)
        assert cycle is not None
        open_circle = any(wait.blocking is Blocking.NEVER for wait in cycle.waits)
        assert open_circle or not cycle.tasks or two_addresses(report, cycle), name
        assert re.search(r"\([achi]\)", proof.reason), name


def test_every_model_compiles_and_says_the_same_again(reference: Path, tmp_path: Path) -> None:
    """The file alone, without the settings of the proof: nothing is lost in writing it."""
    for number, (name, _, proof) in enumerate(_proofs(reference)):
        if not proof.model:
            continue
        path = tmp_path / f"model_{number}.py"
        path.write_text(proof.model, encoding="utf-8")
        program = compile_scenario(load_scenario(str(path), []))
        result = check_reference(program, Options(bounds=Bounds(max_states=4000)))
        if result.complete or result.finding is not None:
            assert (result.finding is not None) == any(
                reading.verdict == "blocks" for reading in proof.readings
            ), name


def test_damaged_reports_never_raise() -> None:
    """Lines lost, doubled, swapped and cut, lock names exchanged: any verdict, no exception."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(FIXTURES.glob("*.txt"))]
    draw = random.Random(5)
    verdicts = Counter(
        prove(report).verdict
        for _ in range(MUTATIONS)
        for report in read_text(_damaged(draw, draw.choice(texts))).reports
    )
    assert set(verdicts) == {"blocks", "does-not-block", "not_modelled", "incomplete"}, verdicts


def _damaged(draw: random.Random, text: str) -> str:
    lines = text.splitlines()
    for _ in range(draw.randint(1, 4)):
        here, there = draw.randrange(len(lines)), draw.randrange(len(lines))
        match draw.randrange(5):
            case 0:
                del lines[here]
            case 1:
                lines[here], lines[there] = lines[there], lines[here]
            case 2:
                lines.insert(here, lines[there])
            case 3:
                lines[here] = lines[here][: draw.randint(0, len(lines[here]))]
            case _:
                names = re.findall(r"\(([^(){}]+)\)\{", text) or ["&x->y"]
                lines = "\n".join(lines).replace(draw.choice(names), draw.choice(names)).split("\n")
        lines = lines or [""]
    return "\n".join(lines)


@pytest.mark.parametrize("length", [1, 2, 7, 19])
def test_long_ways_through_contexts(length: int) -> None:
    """Python nests 20 blocks at most; a task that goes through more contexts is not modelled."""
    parts = ["WARNING: possible circular locking dependency detected", "6.9.0-toy #1 Not tainted"]
    parts = ["=" * 54, *parts, "-" * 54, "toyd/42 is trying to acquire lock:"]
    parts += [
        "ffff1 (&toy->a){+.+.}-{3:3}, at: toy+0x1/0x2",
        "",
        "but task is already holding lock:",
    ]
    parts += [f"ffff2 (fs_reclaim#{length + 1}){{+.+.}}-{{0:0}}, at: toy+0x1/0x2", ""]
    parts += ["which lock already depends on the new lock.", ""]
    parts += ["the existing dependency chain (in reverse order) is:", ""]
    for number in range(length, 0, -1):
        parts += [f"-> #{number} (fs_reclaim#{number + 1}){{+.+.}}-{{0:0}}:"]
        parts += ["       fs_reclaim_acquire+0x1/0x2", "       toy_alloc+0x1/0x2", ""]
    parts += ["-> #0 (&toy->a){+.+.}-{3:3}:", "       mutex_lock+0x1/0x2", "       toy+0x1/0x2", ""]
    (report,) = read_text("\n".join(parts) + "\n").reports
    proof = prove(report)
    assert proof.verdict == ("not_modelled" if length > 16 else "blocks"), proof.reason
