# SPDX-License-Identifier: Apache-2.0
"""Findings in words: one sentence each, from the state in which something is wrong."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from quiesce.compiler.program import Program
from quiesce.explorer.findings import Finding, Path
from quiesce.explorer.reference.evaluate import StepFailure
from quiesce.explorer.reference.getting_on import loop_around
from quiesce.explorer.reference.races import Race
from quiesce.explorer.reference.stepper import State
from quiesce.explorer.reference.waiting import lost_wakeup

FAILURES = {
    "assertion": ("assertions", "failed assert"),
    "range": ("ranges", "out of range"),
    "index": ("ranges", "out of range"),
    "null": ("ranges", "out of range"),
    "division": ("ranges", "out of range"),
    "endless step": ("ranges", "endless step"),
}
"""For each kind of failed step, the property that it breaks and the kind of the finding."""


def stuck_forever(
    program: Program,
    values: State,
    threads: tuple[int, ...],
    able: Collection[int],
    others_run: bool,
    path: Path,
    name: str,
) -> Finding:
    """Describe *threads* that can never get on again in the state *values*.

    :param able: the threads that can take a step there: those of *threads* spin.
    """
    for thread in threads:
        if lost_wakeup(program, values, thread):
            text = (
                f"{program.threads[thread].name} sleeps though what it waits for is already so, "
                "and no thread will wake it"
            )
            return Finding("lost wakeup", name, text, path, thread=thread)
    spinning = [t for t in threads if t in able]
    waiting = [t for t in threads if t not in able]
    parts = []
    if waiting:
        verb = "waits" if len(waiting) == 1 else "wait"
        parts.append(f"{listed([program.threads[t].name for t in waiting])} {verb}")
    parts += [f"{program.threads[t].name} {_spins(program, values, t)}" for t in spinning]
    what = f"{listed(parts)} forever"
    if len(threads) == 1 and others_run:
        text = f"{what} and can never get on, while others run on"
        return Finding(
            "stuck thread", name, text, path, thread=threads[0], spinning=tuple(spinning)
        )
    if others_run:
        text = f"{what}, while others run on"
    else:
        text = f"no thread can {'get on' if spinning else 'run'}: {what}"
    return Finding("deadlock", name, text, path, spinning=tuple(spinning))


def _spins(program: Program, values: State, thread: int) -> str:
    loop = loop_around(program, values, thread)
    return "spins" if loop is None else f"spins in the loop at {loop.loc.short}"


def race_finding(program: Program, race: Race, path: Path) -> Finding:
    """Describe a data race."""
    cell = race.first.cell
    name = program.cells[cell].name if cell >= 0 else program.layout.versions[-1 - cell]
    first = f"{program.threads[race.thread].name} {_verb(race.first.write)} it at {race.first.op.loc.short}"
    second = f"{program.threads[race.other].name} {_verb(race.second.write)} it at {race.second.op.loc.short}"
    text = f"{name}: {first} and {second}, with nothing to keep them apart"
    return Finding("data race", "no_data_race", text, path, thread=race.thread)


def failure_finding(program: Program, thread: int, failure: StepFailure, path: Path) -> Finding:
    """Describe a failed step, the last of *path*."""
    name, kind = FAILURES[failure.kind]
    text = f"{program.threads[thread].name} at {failure.op.loc.short}: {failure.message}"
    return Finding(kind, name, text, path, thread=thread)


def broken_finding(name: str, message: str, path: Path) -> Finding:
    """Describe a property that is false, or cannot be evaluated because of *message*."""
    text = f"`{name}` is false here" + (f": {message}" if message else "")
    return Finding("broken invariant", name, text, path)


def vacuous_finding(name: str) -> Finding:
    """Describe a ``sometimes`` that never is."""
    text = f"`{name}` is true in no reachable state: the scenario proves nothing about it"
    return Finding("vacuous", name, text)


def starving_text(program: Program, values: State, thread: int, spins: bool) -> str:
    """Say where *thread* waits or spins forever."""
    starved = program.threads[thread]
    if spins:
        return f"{starved.name} {_spins(program, values, thread)} forever"
    label = starved.kind.locations[values[starved.base]].label
    return f"{starved.name} waits in {label} forever"


def livelock_text(program: Program, values: State, threads: Sequence[int]) -> str:
    """Say which threads take steps forever without getting on."""
    parts = [f"{program.threads[t].name} {_spins(program, values, t)}" for t in threads]
    return f"{listed(parts)}: they take steps forever, and none of them gets on"


def never_again_text(name: str, ends: bool) -> str:
    """Say that the property *name* need not come true again."""
    if ends:
        return f"`{name}` is false where the run ends"
    return f"`{name}` need never be true again: a fair run goes on forever without it"


def listed(names: list[str]) -> str:
    """Return *names* as a list in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verb(write: bool) -> str:
    return "writes" if write else "reads"
