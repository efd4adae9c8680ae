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
from quiesce.explorer.replay import Token, read_token
from quiesce.explorer.trace import follow
from quiesce.explorer.walk import Walk, walk
from quiesce.harmless import json_text, one_line
from quiesce.loading import build, load_text
from quiesce.protocol import Scenario
from quiesce.report.check_json import finding_to_json
from quiesce.report.check_text import FAIRNESS_TEXT, render_finding
from quiesce.report.interleaving import render_interleaving
from quiesce.report.progress import ProgressLine
from quiesce.token_file import find_file
from quiesce.verdict import Verdict

_LONGEST = 9 << 20


@dataclass(frozen=True, slots=True)
class _Source:
    """What a token is about, as it is here and now.

    :param file: the file that was executed, or None for the KVM system.
    :param changed: what has changed since the token was made, or empty.
    """

    scenario: Scenario
    file: str | None
    changed: str


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
        changed = (
            "quiesce has" if source.file is None else f"what {source.file} imports, or quiesce, has"
        )
    run = walk(program, token.initial, token.moves)
    progress = ProgressLine("replaying", args.json)
    options = Options(True, token.fairness, bounds, progress, progress.warn)
    try:
        proof = prove_again(program, run, token, options)
    finally:
        progress.clear()
    if not changed and proof.decided and (proof.finding is None or run.blocked):
        name = _target(token, source)
        raise UsageError(
            f"this token claims what is not so: {name} has not changed, but {proof.why or run.blocked}",
            f"check it again: {_check(token, source)}",
        )
    verdict = Verdict.INCOMPLETE if proof.finding is None else Verdict.VIOLATION
    if args.json:
        print(json_text(_to_json(token, source, program, changed, proof, verdict)))
    else:
        print(_to_text(token, source, program, changed, run, proof), end="")
    return verdict.exit_code


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


def _target(token: Token, source: _Source) -> str:
    if source.file is not None:
        return f"{source.file}:{token.origin.scenario}"
    return ", ".join(["kvm", *token.origin.settings])


def _check(token: Token, source: _Source) -> str:
    """Return the command that checks the scenario of *token*."""
    settings = token.origin.settings
    target = ["kvm", "check"] if source.file is None else ["check", _target(token, source)]
    return shlex.join(["quiesce", *target, *(x for s in settings for x in ("--set", s))])


def _to_text(
    token: Token, source: _Source, program: Program, changed: str, run: Walk, proof: Proof
) -> str:
    finding = proof.finding
    name = _target(token, source)
    lines = [f"NOT PROVED AGAIN  {name}" if finding is None else f"VIOLATION  {name}"]
    if changed:
        lines.append(f"  {changed} changed since this counterexample was found")
    if finding is None:
        lines += _not_proved(token, source, run, proof)
        lines.append(render_interleaving(follow(program, Finding("", "", "", tuple(run.path)))))
    else:
        lines.append(
            f"  the same finding, proved again: `{finding.property}` fails {_where(finding)}"
        )
        if finding.loop_start is not None:
            lines.append(f"  fairness assumed: {FAIRNESS_TEXT[token.fairness]}")
        lines += ["", render_finding(program, finding)]
    return "\n".join(lines).rstrip() + "\n"


def _where(finding: Finding) -> str:
    """Say how long the run of *finding* is."""
    steps = len(finding.path) - 1
    if finding.loop_start is None:
        return f"after {steps} {'step' if steps == 1 else 'steps'}"
    return f"in {steps - finding.loop_start} steps that repeat forever, after {finding.loop_start}"


def _not_proved(token: Token, source: _Source, run: Walk, proof: Proof) -> list[str]:
    if not proof.decided:
        return [f"  `{token.property}`: {proof.why}", "  --max-states N explores more", ""]
    if run.blocked:
        first = f"  no longer possible: {run.blocked}"
    else:
        first = f"  the run is still possible, but `{token.property}` no longer fails in it: {proof.why}"
    return [
        first,
        f"  that says nothing about other runs: {_check(token, source)}",
        "",
    ]


def _to_json(
    token: Token, source: _Source, program: Program, changed: str, proof: Proof, verdict: Verdict
) -> dict[str, object]:
    finding = proof.finding
    return {
        "schema": 1,
        "scenario": token.origin.scenario,
        "settings": list(token.origin.settings),
        "file": source.file,
        "changed": bool(changed),
        "property": token.property,
        "verdict": verdict.value,
        "incomplete_because": proof.why or None,
        "fairness": token.fairness,
        "counterexample": finding_to_json(program, finding) if finding is not None else None,
    }
