# SPDX-License-Identifier: Apache-2.0
"""An oracle for traces: it tries every linearisation. It shares no code with the checker.

Each call has one hidden step, somewhere between its beginning and its return: a start raises the count (and
takes the ticket of the phase), an end lowers it, an update publishes. ``phased`` has two hidden steps in an
update: it flips the phase, and publishes. All reachable states are kept, so this is for small traces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# A state: (phase, tickets, calls, updates). tickets: sorted (task, phase) of what has passed the gate;
# calls: sorted (task, kind) whose hidden step is still to come; updates: (stage, phase that was left).
State = tuple[int, tuple[tuple[str, int], ...], tuple[tuple[str, str], ...], tuple[int, int]]

IDLE, ASKED, FLIPPED, DONE = range(4)


def is_run(events: Sequence[tuple[str, str]], design: str) -> bool:
    """Return whether *events*, (kind, task) of one VM, can be a run of *design*."""
    states: set[State] = {(0, (), (), (IDLE, 0))}
    inside: dict[str, str] = {}
    passed: dict[str, int] = {}
    for kind, task in events:
        if not _in_order(kind, task, inside, passed):
            return False
        states = _closure(states, design)
        states = {after for state in states if (after := _visible(state, kind, task)) is not None}
        if not states:
            return False
    return True


def _in_order(kind: str, task: str, inside: dict[str, str], passed: dict[str, int]) -> bool:
    """What no task can do, whatever the gate."""
    now = inside.get(task, "")
    if kind in ("start", "end", "swap"):
        if now or (kind == "end" and not passed.get(task, 0)):
            return False
        if kind == "swap" and {"swap", "published"} & set(inside.values()):
            return False
        if kind == "end":
            passed[task] -= 1
        inside[task] = kind
        return True
    if kind == "published":
        if now != "swap":
            return False
        inside[task] = "published"
        return True
    if now != {"start_done": "start", "end_done": "end", "grace_done": "published"}[kind]:
        return False
    if kind == "start_done":
        passed[task] = passed.get(task, 0) + 1
    del inside[task]
    return True


def _visible(state: State, kind: str, task: str) -> State | None:
    """The state after an event, or None if the hidden step that it waits for has not been taken."""
    phase, tickets, calls, update = state
    if kind in ("start", "end"):
        return phase, tickets, tuple(sorted([*calls, (task, kind)])), update
    if kind == "swap":
        return phase, tickets, calls, (ASKED, 0)
    if kind in ("start_done", "end_done"):
        return None if (task, kind.removesuffix("_done")) in calls else state
    if kind == "published":
        return (phase, tickets, calls, (IDLE, 0)) if update[0] == DONE else None
    return state


def _closure(states: set[State], design: str) -> set[State]:
    todo, seen = list(states), set(states)
    while todo:
        for after in _hidden(todo.pop(), design):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


def _hidden(state: State, design: str) -> Iterator[State]:
    phase, tickets, calls, (stage, left) = state
    for call in set(calls):
        task, kind = call
        rest = list(calls)
        rest.remove(call)
        if kind == "start":
            yield phase, tuple(sorted([*tickets, (task, phase)])), tuple(rest), (stage, left)
        else:
            for ticket in {t for t in tickets if t[0] == task}:
                others = list(tickets)
                others.remove(ticket)
                yield phase, tuple(others), tuple(rest), (stage, left)
    if design == "phased":
        if stage == ASKED:
            yield 1 - phase, tickets, calls, (FLIPPED, phase)
        if stage == FLIPPED and not any(ticket == left for _task, ticket in tickets):
            yield phase, tickets, calls, (DONE, left)
    elif stage == ASKED and (design == "always_lock" or not tickets):
        yield phase, tickets, calls, (DONE, left)
