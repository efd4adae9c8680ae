# SPDX-License-Identifier: Apache-2.0
"""A thread that spins, for people: in which loop, on which variables, and which step set them so.

The variables are those that the loop reads. Of these, the ones that another thread changed last are what
keeps the thread in its loop; if no other thread changed any, all of them are named.
"""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.compiler.program import Program
from quiesce.errors import Loc
from quiesce.explorer.analysis.footprint import step_footprint
from quiesce.explorer.reference.action_text import shown, statement_text
from quiesce.explorer.reference.getting_on import loop_around
from quiesce.explorer.reference.stepper import State
from quiesce.explorer.reference.trace import Trace


@dataclass(frozen=True, slots=True)
class Watched:
    """A variable that a loop reads, and its value.

    :param thread: the thread that changed it last, or -1; *step*: in which step, from 1; *action*: by what.
    """

    name: str
    value: object
    thread: int = -1
    step: int = 0
    action: str = ""
    loc: Loc | None = None


@dataclass(frozen=True, slots=True)
class Spinning:
    """A thread that spins in the loop at *loc*, whose head is *text*."""

    thread: int
    loc: Loc
    text: str
    watched: tuple[Watched, ...]


def find_spinning(trace: Trace) -> list[Spinning]:
    """Return what is known of each thread that spins in the finding of *trace*."""
    return [
        _spinning(trace, thread)
        for thread in trace.finding.spinning
        if loop_around(trace.program, trace.last, thread) is not None
    ]


def _spinning(trace: Trace, thread: int) -> Spinning:
    loop = loop_around(trace.program, trace.last, thread)
    assert loop is not None
    declared = trace.program.threads[thread]
    cells: set[int] = set()
    for number, at in enumerate(declared.kind.locations):
        if at.position in loop:
            cells |= {c for c in step_footprint(declared.kind, number, thread).reads if c >= 0}
    watched = [_watched(trace, cell) for cell in sorted(cells)]
    foreign = tuple(w for w in watched if w.thread not in (-1, thread))
    return Spinning(thread, loop.loc, statement_text(loop.loc), foreign or tuple(watched))


def _watched(trace: Trace, cell: int) -> Watched:
    """Return the value of *cell* at the end of *trace*, and which step changed it last."""
    program, name = trace.program, trace.program.cells[cell].name
    value = _value(program, trace.last, cell)
    states = [trace.initial, *(step.state for step in trace.steps)]
    for number in range(len(trace.steps), 0, -1):
        if states[number][cell] != states[number - 1][cell]:
            step = trace.steps[number - 1]
            last = step.actions[-1] if step.actions else None
            text, loc = (last.text, last.loc) if last is not None else ("", None)
            return Watched(name, value, step.thread, number, text, loc)
    return Watched(name, value)


def _value(program: Program, state: State, cell: int) -> object:
    return shown(program, program.cells[cell].type, state[cell])
