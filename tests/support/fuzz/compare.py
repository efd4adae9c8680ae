# SPDX-License-Identifier: Apache-2.0
"""One protocol, judged by the oracle and by quiesce, with every combination of reductions."""

from __future__ import annotations

import itertools
import linecache
from dataclasses import dataclass
from pathlib import Path

from oracle import Judgement
from oracle import Options as OracleOptions
from oracle.judge import VIOLATION, judge

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import CheckResult, Options, check
from quiesce.explorer.findings import NeverExecuted
from quiesce.explorer.native.options import NativeOptions
from quiesce.loading import load_scenario
from quiesce.protocol import Scenario


@dataclass(frozen=True)
class Setting:
    """How quiesce is asked."""

    explorer: str = "reference"
    fuse: bool = True
    symmetry: bool = True
    partial_order: bool = True
    cores: int = 1
    fairness: str = "strong"

    def __str__(self) -> str:
        words = [self.explorer]
        words += ["fusion"] * self.fuse
        if self.explorer == "native":
            words += ["symmetry"] * self.symmetry + ["partial order"] * self.partial_order
            words += [f"{self.cores} cores"] * (self.cores > 1)
        return ", ".join(words) + f"; fairness {self.fairness}"


REFERENCE = [Setting(), Setting(fuse=False)]
FAIRNESS = [Setting(fairness="weak"), Setting(fairness="none")]
NATIVE = [
    Setting("native", fuse, symmetry, partial_order)
    for fuse, symmetry, partial_order in itertools.product((True, False), repeat=3)
] + [Setting("native", cores=2)]


def load(text: str, folder: Path) -> Scenario:
    """Import the file with this *text*; it is written to *folder* and stays there until the next."""
    path = folder / "generated.py"
    path.write_text(text, encoding="utf-8")
    linecache.checkcache(str(path))
    return load_scenario(f"{path}:Generated", [])


def disagreements(
    text: str, judgement: Judgement, settings: list[Setting], folder: Path, limit: int = 20_000
) -> list[str]:
    """Return where quiesce and the oracle differ: a line for each property and setting."""
    scenario = load(text, folder)
    programs: dict[bool, Program] = {}
    judgements = {"strong": judgement}
    lines = []
    for setting in settings:
        if setting.fuse not in programs:
            programs[setting.fuse] = compile_scenario(scenario, fuse=setting.fuse)
        if setting.fairness not in judgements:
            judgements[setting.fairness] = judge(text, OracleOptions(setting.fairness, limit))
        result = check(
            programs[setting.fuse],
            Options(keep_going=True, fairness=setting.fairness),
            NativeOptions(
                explorer=setting.explorer, symmetry=setting.symmetry,
                partial_order=setting.partial_order, cores=setting.cores,
            ),
        )  # fmt: skip
        lines += [f"{setting}: {d}" for d in differences(judgements[setting.fairness], result)]
    return lines


def differences(judgement: Judgement, result: CheckResult) -> list[str]:
    """Return where one result of quiesce differs from the oracle's judgement."""
    lines = []
    found = {p.name: p for p in result.properties}
    for name, expected in judgement.verdicts.items():
        prop = found.pop(name, None)
        if prop is None:
            lines.append(f"{name}: the oracle says {expected.verdict}, quiesce does not list it")
            continue
        verdict = prop.verdict.value
        kind = prop.finding.kind if prop.finding is not None else ""
        if verdict != expected.verdict:
            kinds = ", ".join(sorted(expected.kinds)) or "nothing"
            lines.append(
                f"{name}: the oracle says {expected.verdict} ({kinds}), "
                f"quiesce says {verdict} ({kind or 'nothing'})"
            )
        elif verdict == VIOLATION and kind not in expected.kinds:
            kinds = ", ".join(sorted(expected.kinds))
            lines.append(f"{name}: the oracle finds {kinds}, quiesce finds {kind}")
    lines += [f"{name}: the oracle does not know it" for name in found]
    return lines + _never_executed(judgement, result)


def _never_executed(judgement: Judgement, result: CheckResult) -> list[str]:
    """Return what only one of the two says was never executed; nothing if a step fails."""
    if not judgement.complete or result.never_executed is None:
        return []
    ours = judgement.never_executed
    theirs = {_in_words(one) for one in result.never_executed}
    return [
        *(f"never executed: only the oracle says {x}" for x in sorted(ours - theirs)),
        *(f"never executed: only quiesce says {x}" for x in sorted(theirs - ours)),
    ]


def _in_words(one: NeverExecuted) -> str:
    """Return what was never executed as the oracle says it."""
    if one.kind == "thread":
        return one.text.replace("never reaches its end", "never ends")
    if one.kind == "statement":
        return f"line {one.loc.line}"
    of_loops = {"never enters its body": "is never true", "never ends": "is never false"}
    outcome = one.text.rpartition("`")[2].strip()
    return f"line {one.loc.line} {of_loops.get(outcome, outcome)}"
