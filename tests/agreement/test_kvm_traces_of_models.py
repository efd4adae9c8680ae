# SPDX-License-Identifier: Apache-2.0
"""What the model does, the trace checker allows: paths of the explorer, and runs on real threads."""

from __future__ import annotations

import random

import pytest

from quiesce.compiler.program import compile_scenario
from quiesce.explorer.findings import Finding
from quiesce.explorer.reference.stepper import Stepper
from quiesce.explorer.reference.trace import follow
from quiesce.kvm.real.trace_check import TraceResult, check_trace
from quiesce.kvm.real.trace_events import Trace, events_text
from quiesce.kvm.real.trace_paths import events_of_actions
from quiesce.kvm.real.trace_read import read_trace
from quiesce.kvm.real.trace_threads import recorded_scenario
from quiesce.kvm.scenarios import MemslotUpdates
from quiesce.properties import FindingKind
from quiesce.threads import run

DESIGNS = ("always_lock", "elide_unguarded", "rwsem", "count", "phased")


def random_walk(design: str, seed: int, steps: int, operations: str) -> TraceResult:
    """Take random steps of the model, and check them as a trace."""
    scenario = MemslotUpdates(design, notifiers=2, operations=operations, unrelated="zap")
    program = compile_scenario(scenario)
    stepper, rng = Stepper(program), random.Random(seed)
    path = [0]
    state = stepper.initial_states()[0]
    for _ in range(steps):
        successors = stepper.successors(state)
        if not successors or successors[-1].failure is not None:
            break
        # Updates are few among the steps of three threads: give them half of the turns.
        updates = [i for i, s in enumerate(successors) if program.threads[s.thread].name[0] == "u"]
        number = rng.choice(updates) if updates and rng.random() < 0.5 else -1
        number = number if number >= 0 else rng.randrange(len(successors))
        if successors[number].failure is not None:
            break
        path.append(number)
        state = successors[number].target
    walked = follow(program, Finding(FindingKind.DEADLOCK, "", "", tuple(path)))
    actions = [
        (program.threads[s.thread].name, a.text, str(a.loc))
        for s in walked.steps
        for a in s.actions
    ]
    return check_trace(Trace(events_of_actions(actions), "path of the explorer"))


@pytest.mark.parametrize("operations", ["zap", "copy_on_write,reap"])
@pytest.mark.parametrize("design", DESIGNS)
def test_a_walk_through_the_model_is_allowed_by_its_design(design: str, operations: str) -> None:
    ruled_out: set[str] = set()
    updates = invalidations = 0
    for seed in range(2):
        result = random_walk(design, seed, 200, operations)
        # A reaper takes no semaphore, and no trace shows which invalidation is a reaper's.
        if design != "rwsem" or operations == "zap":
            assert result.allowed(design), result.refused[design]
        ruled_out |= set(result.refused)
        updates += result.updates
        invalidations += result.invalidations
    assert updates >= 2
    assert invalidations >= 5
    # A design that publishes at any time is told from one that does not.
    if design in ("always_lock", "elide_unguarded"):
        assert "count" in ruled_out


@pytest.mark.parametrize("design", DESIGNS)
def test_a_run_on_threads_is_allowed_by_its_design(design: str) -> None:
    for _ in range(8):  # A machine that is very busy may not even let the threads begin.
        scenario, recorder = recorded_scenario({"design": design, "unrelated": "zap"})
        result = run(scenario, 1.5, 3)
        checked = check_trace(recorder.trace())
        assert checked.allowed(design), checked.refused[design]
        if checked.updates > 0 or result.findings:
            break
    assert checked.invalidations + checked.updates > 0
    if design in ("always_lock", "count", "phased"):
        assert result.findings == ()
        assert checked.updates > 0
    text = events_text(recorder.events)
    assert check_trace(read_trace(text, "threads")).updates == checked.updates
