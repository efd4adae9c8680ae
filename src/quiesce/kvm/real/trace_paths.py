# SPDX-License-Identifier: Apache-2.0
"""Paths of the explorer as traces: a counterexample of ``quiesce kvm check --json``.

A step of the model is exact, so the events stand where the steps are. A call begins with the notifier's
lockdep map, and what it is, a start or an end, shows at the step that looks at the memslots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quiesce.errors import UsageError
from quiesce.kvm.real.trace_events import Event, Kind, Trace

_MAP = "mmu_notifier_invalidate_range_start"
_BEGIN = "__kvm_handle_hva_range(kvm_mmu_invalidate_begin)"
_END = "__kvm_handle_hva_range(kvm_mmu_invalidate_end)"
_SWAP = "slots = space.get_inactive_memslots()"
_PUBLISH = "rcu_assign_pointer(kvm->memslots)"
_GRACE = "synchronize_srcu(&kvm->srcu)"


def trace_of_json(data: Any, name: str, design: str) -> Trace:
    """Return the counterexample of a check as a trace.

    :param data: what ``quiesce kvm check --json`` printed.
    :param name: the file's name, for messages.
    :param design: of several designs, the one whose counterexample it is.
    :raises UsageError: there is no counterexample in *data*.
    """
    found = _chosen(data, name, design)
    example = found.get("counterexample")
    steps = example.get("steps") if isinstance(example, dict) else None
    if not isinstance(steps, list):
        raise UsageError(
            f"{name} has no counterexample, so it has no path",
            "give the JSON of a check that found a violation: quiesce kvm check --design count --json",
        )
    loop = example.get("loop_start") if isinstance(example, dict) else None
    try:
        stem = _actions(steps if loop is None else steps[:loop])
        around = [] if loop is None else _actions(steps[loop:])
    except (TypeError, KeyError) as error:
        raise UsageError(f"{name}: a step of the counterexample lacks {error}") from None
    # Twice around the loop: what a call at its end is, shows at its beginning.
    length = len(stem) + len(around)
    events = [e for e in events_of_actions([*stem, *around, *around]) if e.time < length]
    trace = Trace(events, "path of the explorer", unit="steps")
    if around:
        trace.loop_from = sum(event.time < len(stem) for event in events)
    if not trace.events:
        raise UsageError(
            f"{name}: the counterexample has no invalidation and no memslot update",
            "give the JSON of `quiesce kvm check`",
        )
    return trace


Action = tuple[str, str, str]
"""The thread of an action, its text as reports print it, and its place in the source or nothing."""


def _actions(steps: Sequence[Any]) -> list[Action]:
    return [
        (step["thread"], action["text"], f"{action['file']}:{action['line']}")
        for step in steps
        for action in step["actions"]
    ]


def _chosen(data: Any, name: str, design: str) -> dict[str, Any]:
    designs = data.get("designs") if isinstance(data, dict) else None
    if designs is None:
        if isinstance(data, dict) and "counterexample" in data:
            return data
        raise UsageError(
            f"{name} is JSON, but not of `quiesce kvm check --json`",
            "give what that command prints",
        )
    for one in designs:
        if isinstance(one, dict) and one.get("design") == design:
            return one
    raise UsageError(f"{name} has no check of the design `{design}`", "choose one with --design")


def events_of_actions(actions: Sequence[Action]) -> list[Event]:
    """Return the events of a path, whose *actions* are given in order."""
    events = []
    entered: dict[str, Kind] = {}
    """What is entered at a place in the source, as far as the path shows it."""
    begun: set[str] = set()
    """Threads whose grace period has begun: it is two steps, of one name."""
    for index, (thread, text, place) in enumerate(actions):
        kind = _kind(actions, index, thread, text)
        if kind in (Kind.START, Kind.END) and place:
            entered[place] = kind
        elif kind is None and _MAP in text and not _leaves(text):
            kind = entered.get(place)
        if kind is Kind.GRACE_DONE:
            begun ^= {thread}
            if thread in begun:
                continue
        if kind is not None:
            events.append(Event(kind, thread, "0", index))
    return _without_unknown(events)


def _kind(actions: Sequence[Action], index: int, thread: str, text: str) -> Kind | None:
    if _MAP in text:
        if _leaves(text):
            before = _look(reversed(actions[:index]), thread)
            return {_BEGIN: Kind.START_DONE, _END: Kind.END_DONE}.get(before)
        after = _look(actions[index + 1 :], thread)
        return {_BEGIN: Kind.START, _END: Kind.END}.get(after)
    if text.startswith(_SWAP):
        return Kind.SWAP
    if _PUBLISH in text:
        return Kind.PUBLISHED
    return Kind.GRACE_DONE if _GRACE in text else None


def _leaves(text: str) -> bool:
    """Return whether an action of the notifier's map leaves it."""
    return "release" in text or "unlock" in text


def _look(actions: Any, thread: str) -> str:
    """Return which of the two handlers *thread* runs first in *actions*; empty if neither."""
    for other, text, _place in actions:
        if other == thread and text in (_BEGIN, _END):
            return str(text)
    return ""


def _without_unknown(events: list[Event]) -> list[Event]:
    """Leave out what depends on the future: a call that was entered, and whose kind the path does not show.

    The path ends inside it, so it has no other events. A return is left out with its call.
    """
    inside: dict[str, Kind] = {}
    kept = []
    for event in events:
        if event.kind in (Kind.START_DONE, Kind.END_DONE) and event.task not in inside:
            continue
        if event.kind in (Kind.START, Kind.END):
            inside[event.task] = event.kind
        elif event.kind in (Kind.START_DONE, Kind.END_DONE):
            inside.pop(event.task, None)
        kept.append(event)
    return kept
