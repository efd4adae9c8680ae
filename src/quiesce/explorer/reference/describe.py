# SPDX-License-Identifier: Apache-2.0
"""Findings in words: one sentence each, from the state in which something is wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from quiesce.compiler.ir import Begin, End
from quiesce.compiler.program import CompiledProperty, Program
from quiesce.errors import Loc
from quiesce.explorer.findings import Finding, Path
from quiesce.explorer.reference.evaluate import StepFailure
from quiesce.explorer.reference.getting_on import loop_around
from quiesce.explorer.reference.races import Race
from quiesce.explorer.reference.stepper import State
from quiesce.explorer.reference.waiting import lost_wakeup
from quiesce.properties import (
    ALWAYS,
    BROKEN_BY,
    NO_DATA_RACE,
    NO_LIVELOCK,
    NO_STARVATION,
    BuiltInKind,
    FindingKind,
    Quantifier,
)


def stuck_forever(
    program: Program,
    values: State,
    threads: tuple[int, ...],
    able: Collection[int],
    others_run: bool,
    path: Path,
    asked: BuiltInKind,
) -> Finding:
    """Describe *threads* that can never get on again in the state *values*.

    :param able: the threads that can take a step there: those of *threads* spin.
    :param asked: the property that this breaks.
    """
    name = asked.name
    for thread in threads:
        if lost_wakeup(program, values, thread):
            text = (
                f"{program.threads[thread].name} sleeps though what it waits for is already so, "
                "and no thread will wake it"
            )
            return Finding(FindingKind.LOST_WAKEUP, name, text, path, thread=thread)
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
            FindingKind.STUCK_THREAD,
            name,
            text,
            path,
            thread=threads[0],
            spinning=tuple(spinning),
        )
    if others_run:
        text = f"{what}, while others run on"
    else:
        text = f"no thread can {'get on' if spinning else 'run'}: {what}"
    return Finding(FindingKind.DEADLOCK, name, text, path, spinning=tuple(spinning))


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
    places = (race.first.op.loc, race.second.op.loc)
    return Finding(
        FindingKind.DATA_RACE, NO_DATA_RACE.name, text, path, thread=race.thread, places=places
    )


def failure_finding(program: Program, thread: int, failure: StepFailure, path: Path) -> Finding:
    """Describe a failed step, the last of *path*."""
    asked, kind = BROKEN_BY[failure.kind]
    places = _places(program, thread, failure)
    inside = f" (in {places[1].short})" if len(places) > 1 else ""
    text = f"{program.threads[thread].name} at {places[0].short}{inside}: {failure.message}"
    return Finding(kind, asked.name, text, path, thread=thread, places=places)


def _places(program: Program, thread: int, failure: StepFailure) -> tuple[Loc, ...]:
    """Return where a step fails: in an atomic method of another file, first where that was called."""
    ops = program.threads[thread].kind.code.ops
    here = failure.op.loc
    position = next((i for i, op in enumerate(ops) if op is failure.op), 0)
    while position > 0 and not isinstance(ops[position], Begin | End):
        position -= 1
    begin = ops[position]
    if isinstance(begin, Begin) and begin.loc.file != here.file:
        return begin.loc, here
    return (here,)


def broken_finding(prop: CompiledProperty, message: str, path: Path) -> Finding:
    """Describe a property that is false where *path* ends, or cannot be evaluated because of *message*."""
    kind = prop.spec.kind if prop.spec.kind.quantifier is Quantifier.EVERY_STATE else ALWAYS
    text = kind.broken.format(name=prop.name) + (f": {message}" if message else "")
    return Finding(kind.finds[0], prop.name, text, path)


def never_seen_finding(prop: CompiledProperty) -> Finding:
    """Describe a property that is true in no reachable state."""
    kind = prop.spec.kind
    return Finding(kind.finds[0], prop.name, kind.broken.format(name=prop.name))


def _starving_text(program: Program, values: State, thread: int, spins: bool) -> str:
    """Say where *thread* waits or spins forever."""
    starved = program.threads[thread]
    if spins:
        return f"{starved.name} {_spins(program, values, thread)} forever"
    label = starved.kind.locations[values[starved.base]].label
    return f"{starved.name} waits in {label} forever"


def _livelock_text(program: Program, values: State, threads: Sequence[int]) -> str:
    """Say which threads take steps forever without getting on."""
    parts = [f"{program.threads[t].name} {_spins(program, values, t)}" for t in threads]
    return f"{listed(parts)}: they take steps forever, and none of them gets on"


def never_again_finding(prop: CompiledProperty, ends: bool, path: Path, loop_start: int) -> Finding:
    """Describe a property that need not come true again.

    :param ends: the run ends there; otherwise *path* is a stem and a loop.
    """
    kind = prop.spec.kind
    text = (kind.broken_at_end if ends else kind.broken).format(name=prop.name)
    return Finding(kind.finds[0], prop.name, text, path, loop_start)


def starving_finding(
    program: Program, values: State, thread: int, spins: bool, path: Path, loop_start: int
) -> Finding:
    """Describe *thread*, which waits or spins forever in the loop that begins in the state *values*."""
    text = _starving_text(program, values, thread, spins)
    spinning = (thread,) if spins else ()
    return Finding(
        FindingKind.STARVATION, NO_STARVATION.name, text, path, loop_start, thread, spinning
    )


def livelock_finding(
    program: Program, values: State, movers: Iterable[int], path: Path, loop_start: int
) -> Finding:
    """Describe the threads *movers*, which take steps forever in a loop without getting on."""
    threads = tuple(sorted(set(movers)))
    text = _livelock_text(program, values, threads)
    return Finding(FindingKind.LIVELOCK, NO_LIVELOCK.name, text, path, loop_start, spinning=threads)


def listed(names: list[str]) -> str:
    """Return *names* as a list in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verb(write: bool) -> str:
    return "writes" if write else "reads"
