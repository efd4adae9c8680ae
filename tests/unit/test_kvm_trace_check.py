# SPDX-License-Identifier: Apache-2.0
"""Traces against designs: the recorded one, mutated ones, and small ones against an oracle."""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path

import pytest
from trace_oracle import is_run

from quiesce.kvm.real.trace_check import TraceResult, check_trace
from quiesce.kvm.real.trace_events import Event, Kind, Trace, events_text
from quiesce.kvm.real.trace_read import read_trace

RECORDED = Path(__file__).parents[1] / "data" / "kvm" / "trace-kprobes-6.1.192.txt"


@pytest.fixture(scope="module")
def recorded() -> Trace:
    return read_trace(RECORDED.read_text(encoding="utf-8"), RECORDED.name)


def check(*events: str, **about: object) -> TraceResult:
    """Check events given as ``task kind`` at VM 0."""
    made = []
    for line, text in enumerate(events, 1):
        task, kind = text.split()
        made.append(Event(Kind(kind), task, "0", line, line))
    return check_trace(Trace(made, **about))  # type: ignore[arg-type]


def test_the_recorded_trace_is_a_run_of_the_merged_design(recorded: Trace) -> None:
    result = check_trace(recorded)
    assert (result.updates, result.invalidations, result.waited) == (329, 1253, 42)
    assert (result.tasks, result.vms, result.nested, result.open) == (10, 1, 3, 0)
    assert result.refused == {}


def test_ten_thousand_events_a_second(recorded: Trace) -> None:
    text = RECORDED.read_text(encoding="utf-8")
    before = time.process_time()
    check_trace(read_trace(text, "again"))
    assert len(recorded.events) / (time.process_time() - before) > 10_000


# --- Mutated traces -----------------------------------------------------------------------------------


def without_event(events: list[Event], rng: random.Random) -> list[Event]:
    at = rng.randrange(len(events))
    return events[:at] + events[at + 1 :]


def without_call(kind: Kind, done: Kind) -> object:
    def mutate(events: list[Event], rng: random.Random) -> list[Event]:
        at = rng.choice([i for i, e in enumerate(events) if e.kind is kind])
        back = next(i for i in range(at + 1, len(events)) if events[i].task == events[at].task)
        assert events[back].kind is done
        return [e for i, e in enumerate(events) if i not in (at, back)]

    return mutate


def publication_into_invalidation(events: list[Event], rng: random.Random) -> list[Event]:
    """Move a whole update to where an invalidation is surely under way."""
    begins = [
        i
        for i, e in enumerate(events)
        if e.kind is Kind.SWAP and events[i + 1].task == events[i + 2].task == e.task
    ]
    at = rng.choice(begins)
    update = events[at : at + 3]
    rest = events[:at] + events[at + 3 :]
    places = []
    updating = 0
    for i, event in enumerate(rest):
        updating += (event.kind is Kind.SWAP) - (event.kind is Kind.GRACE_DONE)
        if event.kind is Kind.START_DONE and not updating and event.task != update[0].task:
            places.append(i + 1)
    here = rng.choice(places)
    return rest[:here] + update + rest[here:]


def twice(events: list[Event], rng: random.Random) -> list[Event]:
    at = rng.randrange(len(events))
    return [*events[: at + 1], *events[at:]]


def other_task(events: list[Event], rng: random.Random) -> list[Event]:
    at = rng.randrange(len(events))
    task = rng.choice(sorted({e.task for e in events} - {events[at].task}))
    changed = Event(events[at].kind, task, events[at].vm, events[at].time, events[at].line)
    return [*events[:at], changed, *events[at + 1 :]]


def return_before_call(events: list[Event], rng: random.Random) -> list[Event]:
    """Exchange a call with its return."""
    at = rng.choice([i for i, e in enumerate(events) if e.kind in (Kind.START, Kind.END)])
    back = next(i for i in range(at + 1, len(events)) if events[i].task == events[at].task)
    changed = list(events)
    changed[at], changed[back] = changed[back], changed[at]
    return changed


MUTATIONS = {
    "an event dropped": without_event,
    "a start dropped": without_call(Kind.START, Kind.START_DONE),
    "an end dropped": without_call(Kind.END, Kind.END_DONE),
    "a publication moved into an invalidation": publication_into_invalidation,
    "an event twice": twice,
    "an event of another task": other_task,
    "a return before its call": return_before_call,
}


def test_mutated_traces_are_refused_and_each_refusal_is_right(recorded: Trace) -> None:
    rng = random.Random(12)
    refused = 0
    cases = list(itertools.islice(itertools.cycle(MUTATIONS.items()), 210))
    for name, mutate in cases:
        events = mutate(recorded.events, rng)  # type: ignore[operator]
        refusal = check_trace(Trace(events)).refused.get("count")
        if refusal is None:
            continue
        refused += 1
        # Right: up to the event before it the trace is a run; with it, it is not.
        plain = [(e.kind.value, e.task) for e in events[: refusal.index + 1]]
        assert not is_run(plain, "count"), (name, refusal)
        assert is_run(plain[:-1], "count"), (name, refusal)
    assert refused >= 0.95 * len(cases), refused


# --- Against an oracle that tries every linearisation ---------------------------------------------------


def random_events(rng: random.Random) -> list[tuple[str, str]]:
    """A random small trace: mostly in order, so that the gate decides."""
    tasks, events = ["a", "b", "u"], []
    inside: dict[str, str | None] = {}
    for _ in range(rng.randrange(4, 16)):
        task = rng.choice(tasks)
        now, after = inside.get(task), None
        if now == "swap":
            kind = after = "published"
        elif now == "published":
            kind = "grace_done"
        elif now is not None:
            kind = f"{now}_done"
        else:
            kind = after = "swap" if task == "u" else rng.choice(["start", "end"])
        inside[task] = after
        events.append((kind, task))
    if rng.random() < 0.2:
        at = rng.randrange(len(events))
        events[at] = (rng.choice([k.value for k in Kind]), rng.choice(tasks))
    return events


@pytest.mark.parametrize("design", ["always_lock", "count", "phased"])
def test_checker_and_oracle_agree_on_small_traces(design: str) -> None:
    rng = random.Random(f"oracle {design}")
    verdicts = [0, 0]
    for _ in range(3_000):
        events = random_events(rng)
        result = check(*(f"{task} {kind}" for kind, task in events))
        expected = is_run(events, design)
        assert result.allowed(design) == expected, (events, result.refused.get(design))
        verdicts[expected] += 1
    assert min(verdicts) > 100, verdicts


# --- What is said ---------------------------------------------------------------------------------------


def test_the_first_event_and_what_stands_in_its_way_are_named() -> None:
    result = check(
        "n start", "n start_done", "u swap", "u published", "n end", "n end_done", "u grace_done"
    )
    refusal = result.refused["count"]
    assert (refusal.event.line, refusal.rule) == (4, "gate")
    assert "n since line 2" in refusal.reason
    assert sorted(result.refused) == ["count", "phased", "rwsem"]


def test_a_storm_that_an_update_passes_rules_out_the_count_and_not_the_phases() -> None:
    storm = ["a start", "a start_done", "u swap", "b start", "b start_done", "a end", "a end_done"]
    result = check(*storm, "u published", "u grace_done", "b end", "b end_done")
    assert sorted(result.refused) == ["count", "rwsem"]


def test_moments_inside_calls_are_given_the_benefit() -> None:
    quiet = check("n start", "u swap", "u published", "n start_done", "u grace_done")
    assert quiet.refused == {}
    ending = check(
        "n start", "n start_done", "n end", "u swap", "u published", "n end_done", "u grace_done"
    )
    assert ending.refused == {}


def test_two_vms_do_not_disturb_each_other() -> None:
    events = [
        Event(kind, task, vm)
        for kind, task, vm in [
            (Kind.START, "n", "1"),
            (Kind.START_DONE, "n", "1"),
            (Kind.SWAP, "u", "2"),
            (Kind.PUBLISHED, "u", "2"),
            (Kind.GRACE_DONE, "u", "2"),
        ]
    ]
    assert check_trace(Trace(events)).refused == {}
    one = [Event(e.kind, e.task, "1") for e in events]
    assert "count" in check_trace(Trace(one)).refused


def test_what_was_lost_is_not_held_against_the_trace() -> None:
    cut = ["u published", "u grace_done", "n end", "n end_done"]
    assert "count" in check(*cut).refused
    assert check(*cut, begins_late=True).refused == {}
    lost = check("n start", "n start_done", "u swap", "u published", lost=[3])
    assert lost.refused == {}
    assert "line 4" in lost.undecided
    late = [*cut, "n start", "n start_done", "u swap", "u published"]
    assert sorted(check(*late, lost=[2], begins_late=True).refused) == ["count", "phased", "rwsem"]


def test_the_text_of_a_trace_is_read_back(recorded: Trace) -> None:
    again = read_trace(events_text(recorded.events), "again")
    assert [(e.kind, e.task, e.time) for e in again.events] == [
        (e.kind, e.task, e.time) for e in recorded.events
    ]
    assert check_trace(again).refused == {}
