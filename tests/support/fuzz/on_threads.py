# SPDX-License-Identifier: Apache-2.0
"""One protocol on real threads: what they show must be reachable, by the oracle."""

from __future__ import annotations

from typing import Any

from oracle import Judgement
from oracle.declared import Component, Elements, Slot, Task
from oracle.judge import VIOLATION

from quiesce.protocol import Protocol, Scenario, always
from quiesce.threads import run

Values = tuple[tuple[str, str], ...]


def impossible(
    scenario: Scenario, judgement: Judgement, seconds: float, seed: int
) -> tuple[list[str], int]:
    """Run *scenario*; return what the oracle calls unreachable, and how many states were compared."""
    paths = [
        p for p, m in judgement.declared.members.items() if isinstance(m, Slot) and _is_ours(p)
    ]
    seen: set[Values] = set()

    def look(self: Scenario) -> bool:
        seen.add(tuple((path, _shown(_value(self, path))) for path in paths))
        return True

    watched = type("Watched", (type(scenario),), {"look": always(look)})()
    result = run(watched, seconds, seed)
    lines = [d for f in result.findings for d in _finding(judgement, f.kind, f.message)]
    if judgement.space.raced:
        # Plain accesses that race may tear; the explorers say "data race" and no more.
        return lines, 0
    reachable = {_of_oracle(judgement, state[0], paths) for state in judgement.space.states}
    for values in sorted(seen - reachable):
        lines.append("threads: unreachable state " + ", ".join(f"{p} = {v}" for p, v in values))
    return lines, len(seen)


def _is_ours(path: str) -> bool:
    """Return whether a variable has the same name in quiesce: it is not a part of a lock, or a task."""
    return not path.startswith(("l0.", "l1.", "wq.", "task."))


def _value(scenario: Scenario, path: str) -> Any:
    value: Any = scenario
    for part in path.split("."):
        if part.isdigit():
            value = list(value)[int(part)]
        else:
            value = getattr(value, part)
    return value


def _shown(value: Any) -> str:
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(_shown(v) for v in value)) + "}"
    if isinstance(value, Protocol):
        return getattr(value, "name", "") or value.path
    return repr(value)


def _of_oracle(judgement: Judgement, shared: tuple[Any, ...], paths: list[str]) -> Values:
    members = judgement.declared.members
    values = []
    for path in paths:
        slot = members[path]
        assert isinstance(slot, Slot)
        values.append((path, _named(judgement, shared[slot.index])))
    return tuple(values)


def _named(judgement: Judgement, value: Any) -> str:
    """Return a value of the oracle as :func:`_shown` shows the same value of quiesce."""
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(_named(judgement, v) for v in value)) + "}"
    if isinstance(value, Task):
        return judgement.declared.threads[value.index].name
    if isinstance(value, Component):
        array, _, index = value.path.rpartition(".")
        inside = isinstance(judgement.declared.members.get(array), Elements)
        return f"{array}[{index}]" if inside else value.path
    return repr(value)


def _finding(judgement: Judgement, kind: str, message: str) -> list[str]:
    """Return a line if a finding of a run is one that the oracle rules out."""
    space, verdicts = judgement.space, judgement.verdicts
    failures = set().union(*space.failures)
    daemons = {i for i, c in enumerate(space.codes) if c.thread.daemon}
    states = range(len(space.states))
    if kind == "deadlock":
        left = [{t for t in range(len(space.codes)) if not space.finished(s, t)} for s in states]
        possible = any(not space.enabled[s] and left[s] - daemons for s in states)
    elif kind == "stuck thread":
        possible = any(judgement.stuck.threads) or "endless step" in failures
    elif kind == "broken invariant":
        possible = verdicts[message.split()[0]].verdict == VIOLATION
    else:
        possible = kind in failures
    return [] if possible else [f"threads: {kind}, which cannot be: {message}"]
