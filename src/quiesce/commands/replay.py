# SPDX-License-Identifier: Apache-2.0
"""``quiesce replay``: a counterexample again, proved from the program."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass

from quiesce.compiler.program import Program, compile_scenario
from quiesce.errors import UsageError
from quiesce.explorer import Bounds, Options
from quiesce.explorer.findings import Finding
from quiesce.explorer.prove_again import Proof, prove_again
from quiesce.explorer.reference.races import RACED
from quiesce.explorer.reference.trace import follow
from quiesce.explorer.replay import Token, read_token
from quiesce.explorer.walk import Walk, walk
from quiesce.harmless import json_text, one_line
from quiesce.loading import build, load_text
from quiesce.properties import FindingKind
from quiesce.protocol import Scenario
from quiesce.report.check_json import finding_to_json
from quiesce.report.check_sections import FAIRNESS_TEXT, render_finding
from quiesce.report.interleaving import render_interleaving
from quiesce.report.progress import ProgressLine
from quiesce.token_file import find_file
from quiesce.verdict import Verdict

_LONGEST = 9 << 20


@dataclass(frozen=True, slots=True)
class _Source:
    """The scenario that a token is about, as it is here and now.

    :param file: the file that was executed, or None for the KVM system.
    :param changed: what has changed since the token was made, or empty.
    """

    scenario: Scenario
    file: str | None
    changed: str


@dataclass(frozen=True, slots=True)
class _ReplayCheck:
    """What came out.

    :param changed: as in :class:`_Source`, with what is known since it was compiled.
    """

    token: Token
    file: str | None
    program: Program
    changed: str
    run: Walk
    proof: Proof

    @property
    def verdict(self) -> Verdict:
        """VIOLATION: proved again. INCOMPLETE: not proved, which says nothing about other runs."""
        return Verdict.INCOMPLETE if self.proof.finding is None else Verdict.VIOLATION

    @property
    def target(self) -> str:
        """What was replayed: ``FILE:CLASS``, or the settings of the KVM system."""
        origin = self.token.origin
        if self.file is not None:
            return f"{self.file}:{origin.scenario}"
        return ", ".join(["kvm", *origin.settings])

    @property
    def check(self) -> str:
        """The command that checks the same scenario."""
        target = ["kvm", "check"] if self.file is None else ["check", self.target]
        settings = [x for s in self.token.origin.settings for x in ("--set", s)]
        return shlex.join(["quiesce", *target, *settings])


def replay_command(args: argparse.Namespace) -> int:
    """Repeat the run of a token and prove its finding again; return the exit code.

    :raises UsageError: it is not a token, or one that does not fit a program that has not changed.
    """
    bounds = Bounds(args.max_states, max_seconds=args.max_seconds)
    token = read_token(_read(args.token))
    source = _load(token, args.file)
    program = compile_scenario(source.scenario, fuse=token.fuse)
    changed = source.changed
    if not changed and program.digest != token.program:
        imported = f"what {source.file} imports, or quiesce, has"
        changed = "quiesce has" if source.file is None else imported
    run = walk(program, token.initial, token.moves)
    progress = ProgressLine("replaying", args.json)
    options = Options(True, token.fairness, bounds, progress, progress.warn)
    try:
        proof = prove_again(program, run, token, options)
    finally:
        progress.clear()
    replayed = _ReplayCheck(token, source.file, program, changed, run, proof)
    if not changed:
        _require_exact(replayed)
    if args.json:
        print(json_text(_to_json(replayed)))
    else:
        print(_to_text(replayed), end="")
    return replayed.verdict.exit_code


def _require_exact(replayed: _ReplayCheck) -> None:
    """Refuse a token that does not say what its program, which has not changed, does.

    :raises UsageError: the run is not possible, or the property does not fail exactly at its end.
    """
    proof, run = replayed.proof, replayed.run
    if not proof.decided:
        return
    if run.blocked or proof.finding is None or proof.finding.path != tuple(run.path):
        name = replayed.token.property
        why = run.blocked or proof.why or f"`{name}` does not fail at the end of its run"
        raise UsageError(
            f"this token claims what is not so: {replayed.target} has not changed, but {why}",
            f"check it again: {replayed.check}",
        )


def _read(token: str) -> str:
    if token != "-":
        return token
    if sys.stdin is None:
        raise UsageError("standard input is closed", "give the token as an argument")
    return sys.stdin.read(_LONGEST)


def _load(token: Token, chosen: str) -> _Source:
    """Return the scenario that *token* is about; say first which file is executed for it."""
    origin = token.origin
    if not origin.file:
        if chosen:
            raise UsageError("--file: this token is of the KVM system, which is part of quiesce")
        from quiesce.kvm.scenarios import MemslotUpdates

        return _Source(build(MemslotUpdates, origin.settings), None, "")
    found = find_file(origin, chosen)
    since = ", which has changed since this counterexample was found" if found.changed else ""
    print(f"quiesce: executing {one_line(found.name)}{since}", file=sys.stderr, flush=True)
    scenario = load_text(found.name, found.text, origin.scenario, origin.settings)
    return _Source(scenario, found.name, f"{found.name} has" if found.changed else "")


def _to_text(replayed: _ReplayCheck) -> str:
    token, run, finding = replayed.token, replayed.run, replayed.proof.finding
    verdict = "NOT PROVED AGAIN" if finding is None else replayed.verdict.name
    lines = [f"{verdict}  {replayed.target}"]
    if replayed.changed:
        lines.append(f"  {replayed.changed} changed since this counterexample was found")
    if run.blocked:
        lines.append(f"  no longer possible: {run.blocked}")
    if finding is None:
        lines += _not_proved(replayed)
        walked = follow(replayed.program, Finding(FindingKind.NOTHING, "", "", tuple(run.path)))
        lines += ["", render_interleaving(walked)]
    else:
        what = "the same finding, proved again"
        if run.blocked:
            what = "another run that begins in the same way"
        lines.append(f"  {what}: `{finding.property}` fails {_where(finding)}")
        if finding.loop_start is not None:
            lines.append(f"  fairness assumed: {FAIRNESS_TEXT[token.fairness]}")
        lines += ["", render_finding(replayed.program, finding)]
    return "\n".join(lines).rstrip() + "\n"


def _where(finding: Finding) -> str:
    """Say how long the run of *finding* is."""
    steps = len(finding.path) - 1
    if finding.loop_start is None:
        return f"after {steps} {'step' if steps == 1 else 'steps'}"
    return f"in {steps - finding.loop_start} steps that repeat forever, after {finding.loop_start}"


def _not_proved(replayed: _ReplayCheck) -> list[str]:
    name, proof = replayed.token.property, replayed.proof
    if not proof.decided:
        hint = "--max-states N explores more"
        if RACED in proof.why:
            hint = f"{replayed.check} --no-fusion"
        return [f"  `{name}`: {proof.why}", f"  {hint}"]
    lines = []
    if not replayed.run.blocked:
        lines = [f"  the run is still possible, but `{name}` no longer fails in it: {proof.why}"]
    return [*lines, f"  that says nothing about other runs: {replayed.check}"]


def _to_json(replayed: _ReplayCheck) -> dict[str, object]:
    origin, finding = replayed.token.origin, replayed.proof.finding
    return {
        "schema": 1,
        "scenario": origin.scenario,
        "settings": list(origin.settings),
        "file": replayed.file,
        "changed": bool(replayed.changed),
        "property": replayed.token.property,
        "verdict": replayed.verdict.value,
        "incomplete_because": replayed.proof.why or None,
        "no_longer_possible": replayed.run.blocked or None,
        "fairness": replayed.token.fairness,
        "counterexample": finding_to_json(replayed.program, finding) if finding else None,
    }
