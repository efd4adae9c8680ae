# SPDX-License-Identifier: Apache-2.0
"""Checks the source of a report's scenario: the very file that ``--model`` writes.

Small scenarios are searched whole. A cycle of ten tasks has millions of interleavings, but the one
that hangs is known in advance: everybody takes the first lock, the writers queue, everybody goes on.
That run is tried first, step by step in the compiled program, and where it ends with no task able to
move, it is the proof. Only where it does not is the space searched, up to a bound.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explain.prove.plan import IN_TURN, MANY_TASKS, ModelThread, ScenarioModel
from quiesce.explorer import Bounds, CheckResult, Finding, Options, check
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.reference.record import Record
from quiesce.explorer.reference.stepper import State, Stepper
from quiesce.explorer.reference.trace import follow
from quiesce.explorer.reference.waiting import unfinished
from quiesce.loading import load_scenario
from quiesce.properties import NO_DEADLOCK, FindingKind
from quiesce.report.interleaving import render_interleaving

MAX_STATES = 10_000
"""Where a search of a report's scenario ends: below a second with the plain-Python explorer."""


@dataclass(frozen=True)
class ProofOutcome:
    """What a check of a scenario found.

    :param hangs: some tasks wait forever.
    :param broken: what else went wrong, in a sentence; empty if nothing.
    :param complete: True when every interleaving was tried, or when one that hangs was found.
    :param steps: of the hang; *interleaving*: drawn.
    :param states: how many were looked at.
    """

    hangs: bool
    broken: str = ""
    complete: bool = True
    steps: int = 0
    interleaving: str = ""
    states: int = 0


class SourceRunner:
    """Holds the source in a file of its own, as long as it is checked.

    Use it as a context manager.

    :raises OSError: there is no place for temporary files.
    """

    def __init__(self, model: ScenarioModel, source: str) -> None:
        self._model = model
        self._source = source

    def __enter__(self) -> SourceRunner:
        self._folder = tempfile.TemporaryDirectory(prefix="quiesce-")
        self._path = Path(self._folder.name) / "report.py"
        self._path.write_text(self._source, encoding="utf-8")
        return self

    def __exit__(self, *exc: object) -> None:
        sys.modules.pop(f"quiesce_protocol_{self._path.stem}", None)
        self._folder.cleanup()

    def run(self, settings: Mapping[str, object], *, briefly: bool = False) -> ProofOutcome:
        """Check the scenario, built with *settings*.

        :param briefly: of a large scenario, try only the run that is expected to hang.
        """
        program = self._compile(settings, in_turn=False)
        many = len(self._tasks(program)) > MANY_TASKS
        if many:
            finding = self._expected_hang(program)
            if finding is not None:
                return _outcome(program, finding, len(finding.path))
            if briefly:
                return ProofOutcome(False, complete=False)
        if many and IN_TURN in self._model.parameters:
            program = self._compile(settings, in_turn=True)
        bounds = Bounds(max_states=MAX_STATES)
        result = check(program, Options(bounds=bounds), NativeOptions(explorer="reference"))
        return _judge(result)

    def _compile(self, settings: Mapping[str, object], *, in_turn: bool) -> Program:
        # A shortened cycle may have lost what a setting is about, its annotations for instance.
        wanted = {**settings, IN_TURN: in_turn}
        known = {name: value for name, value in wanted.items() if name in self._model.parameters}
        words = [f"{name}={str(value).lower()}" for name, value in known.items()]
        return compile_scenario(load_scenario(str(self._path), words))

    def _expected_hang(self, program: Program) -> Finding | None:
        """Return the run in which everybody takes the first lock before any goes on, if it hangs."""
        tasks = self._tasks(program)
        others = [number for number in range(len(program.threads)) if number not in tasks]
        run = _DirectedRun(program)
        for number, task in tasks.items():
            run.take(number, len(task.body) - 1)
        for number in (*others, *tasks):
            run.take(number, None)
        return run.finding()

    def _tasks(self, program: Program) -> dict[int, ModelThread]:
        """Return the threads of *program* that are tasks of the report, by their numbers."""
        tasks = {thread.name: thread for thread in self._model.threads if not thread.extra}
        kinds = [thread.name.rpartition("/")[0] for thread in program.threads]
        return {number: tasks[kind] for number, kind in enumerate(kinds) if kind in tasks}


class _DirectedRun:
    """One run of a program in which the caller chooses the thread that moves."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._stepper = Stepper(program, Record())
        self._state: State = self._stepper.initial_states()[0]
        self._path = [0]

    def take(self, thread: int, locks: int | None) -> None:
        """Let *thread* move until it has taken so many *locks*, or waits, or has finished.

        :param locks: None: let it move as far as it can.
        """
        taken = 0
        while locks is None or taken < locks:
            before = sum(len(self._stepper.steps_of(self._state, t)) for t in range(thread))
            steps = self._stepper.steps_of(self._state, thread)
            if not steps or steps[0].failure is not None:
                return
            calls = steps[0].record.locks if steps[0].record is not None else []
            taken += sum(call.action == "acquire" for call in calls)
            self._path.append(before)
            self._state = steps[0].target

    def finding(self) -> Finding | None:
        """Return the run as a deadlock, if it has come to one."""
        waiting = unfinished(self._program, self._state)
        if not waiting or self._stepper.successors(self._state):
            return None
        return Finding(FindingKind.DEADLOCK, NO_DEADLOCK.name, "nobody can move", tuple(self._path))


def _judge(result: CheckResult) -> ProofOutcome:
    finding = result.finding
    if finding is not None:
        return _outcome(result.program_of(finding), finding, result.states)
    return ProofOutcome(False, complete=result.complete, states=result.states)


def _outcome(program: Program, finding: Finding, states: int) -> ProofOutcome:
    hangs = finding.kind in (FindingKind.DEADLOCK, FindingKind.STUCK_THREAD)
    trace = follow(program, finding)
    text = render_interleaving(trace).rstrip("\n")
    failure = trace.steps[-1].failure if trace.steps else None
    broken = "" if hangs else (failure.message if failure is not None else finding.kind)
    return ProofOutcome(hangs, broken, True, len(finding.path) - 1, text, states)
