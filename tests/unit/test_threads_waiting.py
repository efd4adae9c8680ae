# SPDX-License-Identifier: Apache-2.0
"""Real threads: waiting, choosing, daemons, and that a run leaves nothing behind."""

from __future__ import annotations

import json
import sys
import threading

import pytest

from quiesce.errors import UsageError
from quiesce.explorer import check
from quiesce.primitives import Mutex, RwSemUnfair
from quiesce.protocol import (
    READ_ONCE,
    WRITE_ONCE,
    Array,
    Bool,
    Int,
    Mode,
    PerTask,
    Protocol,
    Scenario,
    Task,
    always,
    atomic,
    choose,
    current,
    eventually,
    thread,
    wait_until,
)
from quiesce.report.run_sections import render_run
from quiesce.threads import RunResult, run
from quiesce.verdict import Verdict

LONG = 20.0
"""Seconds that no test takes, since the finding ends the run."""


@pytest.fixture(autouse=True)
def _nothing_is_left() -> object:
    threads, interval = threading.active_count(), sys.getswitchinterval()
    yield
    assert threading.active_count() == threads
    assert sys.getswitchinterval() == interval


def kinds(result: RunResult) -> list[str]:
    return [finding.kind for finding in result.findings]


class Handover(Scenario):
    """One thread waits for a plain store of the other."""

    ready = Bool()
    done = Int(0)

    def __init__(self, store: str = "plain") -> None:
        self.store = store

    @thread()
    def waiter(self) -> None:
        wait_until(lambda: self.ready)
        self.done = 1

    @thread()
    def setter(self) -> None:
        if self.store == "plain":
            self.ready = True
        elif self.store == "marked":
            WRITE_ONCE(self).ready = True
        elif self.store == "never":
            self.ready = False


@pytest.mark.parametrize("store", ["plain", "marked"])
def test_a_wait_sees_a_store_that_is_no_step(store: str) -> None:
    result = run(Handover(store), 0.2)
    assert result.findings == ()
    assert all(role.finished > 1 for role in result.roles)


def test_a_wait_for_what_never_comes_is_a_deadlock() -> None:
    result = run(Handover("never"), LONG)
    assert kinds(result) == ["deadlock"]
    (waiter,) = result.findings[0].threads
    assert (waiter.name, waiter.step, waiter.lock) == ("waiter/0", "wait_until", "")
    assert waiter.site is not None
    assert waiter.site.text == "wait_until(lambda: self.ready)"


class Chooser(Scenario):
    """A step that goes with one of its options only."""

    taken: Array[bool] = Array(Bool(), 3)
    turns = Int(0, high=3)

    def __init__(self, free: int = 1) -> None:
        self.free = free

    @thread(count=2)
    def worker(self) -> None:
        self.take()

    @atomic
    def take(self) -> None:
        side = choose(0, 1)
        slot = choose(0, 1, 2)
        wait_until(side == 1 and slot < self.free and not self.taken[slot])
        self.taken[slot] = True


def test_a_step_tries_every_option_before_it_waits() -> None:
    result = run(Chooser(free=2), 0.2)
    assert result.findings == ()
    assert result.rounds > 1


def test_a_step_whose_options_are_used_up_waits() -> None:
    result = run(Chooser(free=1), LONG)
    assert kinds(result) == ["deadlock"]
    assert len(result.findings[0].threads) == 1


class Recorder(Scenario):
    """Keeps what was chosen, outside the protocol's state."""

    def __init__(self) -> None:
        self.chosen: dict[str, list[tuple[int, ...]]] = {}

    @thread(count=2)
    def chooser(self) -> None:
        mine = [choose(0, 1, 2) for _ in range(10)]
        mine += [self.choose_in_a_step() for _ in range(10)]
        self.chosen.setdefault(current().name, []).append(tuple(mine))

    @atomic
    def choose_in_a_step(self) -> int:
        return choose(0, 1, 2)


def chosen(seed: int) -> dict[str, list[tuple[int, ...]]]:
    scenario = Recorder()
    assert run(scenario, 0.1, seed).findings == ()
    return {name: rounds[:3] for name, rounds in scenario.chosen.items()}


def test_a_seed_reproduces_the_choices() -> None:
    first = chosen(7)
    assert len(first["chooser/0"]) == 3
    assert chosen(7) == first
    assert chosen(8) != first
    assert first["chooser/0"] != first["chooser/1"]
    assert first["chooser/0"][0] != first["chooser/0"][1]


class Worker(Scenario):
    """A daemon serves requests; the client makes a few and goes."""

    request = Bool()

    def __init__(self, daemon_busy: bool = False) -> None:
        self.daemon_busy = daemon_busy

    @thread(daemon=True)
    def server(self) -> None:
        while True:
            if self.daemon_busy:
                self.poll()
            else:
                self.serve()

    @thread()
    def client(self) -> None:
        for _ in range(3):
            self.ask()

    @atomic
    def ask(self) -> None:
        wait_until(not self.request)
        self.request = True

    @atomic
    def serve(self) -> None:
        wait_until(self.request)
        self.request = False

    @atomic
    def poll(self) -> None:
        self.request = False


@pytest.mark.parametrize("busy", [False, True])
def test_a_daemon_left_alone_is_no_deadlock_and_ends_the_round(busy: bool) -> None:
    result = run(Worker(busy), 0.25)
    assert result.findings == ()
    assert result.rounds > 1


class Starving(Scenario):
    """The second thread waits for what the first never does; the first continues forever."""

    never = Bool()

    @thread()
    def busy(self) -> None:
        while True:
            self.go_on()

    @thread()
    def patient(self) -> None:
        wait_until(lambda: self.never)

    @atomic
    def go_on(self) -> None:
        pass


def test_a_long_wait_is_the_headline_and_leaves_the_run_undecided() -> None:
    result = run(Starving(), 0.35, patience=0.1)
    assert result.verdict is Verdict.INCOMPLETE
    (note,) = result.notes
    assert note.kind == "long wait"
    assert note.message.startswith("patient/0 has waited for 0.")
    assert note.threads[0].step == "wait_until"
    assert note.seconds >= 0.1
    assert note.steps > 100
    headline = render_run(result).splitlines()[2]
    assert headline.startswith("NOT DECIDED: patient/0 has waited for 0.")
    shown = json.loads(json.dumps(result.to_dict()))
    assert (shown["verdict"], shown["proved"]) == ("incomplete", False)
    assert shown["incomplete_because"].startswith("patient/0 has waited for 0.")


class Progressing(Scenario):
    """A property that is to come true again and again; *stops* after so many times."""

    ready = Bool()
    times = Int(0, high=5)

    def __init__(self, stops: int = 0) -> None:
        self.stops = stops

    @thread()
    def toggler(self) -> None:
        while True:
            self.toggle()

    @atomic
    def toggle(self) -> None:
        if not self.stops:
            self.ready = not self.ready
        elif self.times < self.stops:
            self.ready = not self.ready
            if self.ready:
                self.times += 1
        else:
            self.ready = False

    @eventually()
    def gets_ready(self) -> bool:
        return self.ready


def test_a_property_that_keeps_coming_true_is_counted() -> None:
    result = run(Progressing(), 0.3, patience=0.1)
    assert result.verdict is Verdict.HOLDS
    (recurrence,) = result.recurrences
    assert recurrence.name == "gets_ready"
    assert recurrence.times > 100


def test_a_property_that_stays_false_is_the_headline() -> None:
    result = run(Progressing(stops=3), 0.4, patience=0.1)
    assert result.verdict is Verdict.INCOMPLETE
    assert result.recurrences[0].times == 3
    assert "NOT DECIDED: gets_ready came true 3 times and was false for 0." in render_run(result)


class Overlapping(Scenario):
    """Readers that are never all outside: a reader leaves when another one is inside."""

    lock = RwSemUnfair()

    @thread(count=3)
    def reader(self) -> None:
        while True:
            self.lock.down_read()
            self.leave()

    @atomic
    def leave(self) -> None:
        wait_until(self.lock.readers >= 2)
        self.lock.up_read()

    @thread()
    def writer(self) -> None:
        while True:
            self.lock.down_write()
            self.lock.up_write()


def test_a_queue_does_not_help_a_writer_that_can_never_enter() -> None:
    result = run(Overlapping(), 0.6, patience=0.1)
    assert result.verdict is Verdict.INCOMPLETE
    assert "writer/0" in result.undecided[0]


class InLine(Scenario):
    """Many threads that want one lock: each waits for long, and gets it in turn."""

    lock = Mutex()

    @thread(count=30)
    def user(self) -> None:
        while True:
            self.lock.lock()
            self.lock.unlock()


def test_threads_in_line_are_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quiesce.threads.world.TURN", 0.0)
    result = run(InLine(), 0.6, patience=0.1)
    assert result.verdict is Verdict.HOLDS


class Brief(Scenario):
    """The waiter can go for a moment only; its step then fails or returns a value."""

    open = Bool()
    passed = Bool()

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    @thread()
    def toggler(self) -> None:
        while not READ_ONCE(self.passed):
            self.toggle(True)
            self.toggle(False)

    @atomic
    def toggle(self, value: bool) -> None:
        self.open = value

    @thread()
    def waiter(self) -> None:
        if self.go_through() == 7:
            WRITE_ONCE(self).passed = True

    @atomic(queued=True)
    def go_through(self) -> int:
        wait_until(self.open)
        assert not self.fails, f"{current().name} fails"
        return 7


@pytest.mark.parametrize("turn", [0.0, 0.05])
def test_a_step_taken_by_another_thread_is_the_waiters_own(
    turn: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quiesce.threads.world.TURN", turn)
    result = run(Brief(), 0.3)
    assert result.findings == ()
    assert all(role.finished > 1 for role in result.roles)
    (finding,) = run(Brief(fails=True), LONG).findings
    assert (finding.kind, finding.message) == ("failed assert", "waiter/0: waiter/0 fails")
    assert finding.site is not None
    assert finding.site.text.startswith("assert not self.fails")


def test_a_short_wait_is_not_noted() -> None:
    assert run(Handover(), 0.2).notes == ()


class Spinner(Scenario):
    """Loops that meet no atomic step."""

    flag = Bool(marked=True)
    flags: Array[bool] = Array(Bool(marked=True), 2)
    mine = PerTask(Int(0, marked=True))
    plain = Bool()
    spins = Int(0)

    def __init__(self, how: str = "plain") -> None:
        self.how = how

    @thread()
    def spinner(self) -> None:
        if self.how == "plain":
            while not self.plain:
                pass
        elif self.how == "READ_ONCE":
            while not READ_ONCE(self.plain):
                pass
        elif self.how == "variable":
            while not self.flag:
                pass
        elif self.how == "array":
            while not self.flags[1]:
                pass
        elif self.how == "task":
            while not self.mine[current()]:
                pass

    @always
    def nobody_sets_it(self) -> bool:
        return not self.flag and not self.flags[0] and not self.plain


@pytest.mark.parametrize("how", ["READ_ONCE", "variable", "array", "task"])
def test_marked_accesses_are_steps_at_which_a_thread_stops(how: str) -> None:
    scenario = Spinner(how)
    result = run(scenario, 0.15, patience=0.1)
    assert result.findings == ()
    assert result.roles[0].steps > 100
    assert result.looks > 2
    assert type(scenario) is Spinner


def test_a_thread_without_steps_is_stuck_and_is_stopped_all_the_same() -> None:
    result = run(Spinner("plain"), LONG, patience=0.3)
    assert kinds(result) == ["stuck thread"]
    assert result.findings[0].message.startswith("no thread has taken a step for")
    site = result.findings[0].threads[0].site
    assert site is not None
    assert site.text in ("while not self.plain:", "pass")


class EndlessStep(Scenario):
    never = Bool()

    @thread()
    def looper(self) -> None:
        self.loop()

    @atomic
    def loop(self) -> None:
        while not self.never:
            pass


def test_a_step_that_does_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quiesce.threads.watch.ENDLESS", 0.3)
    result = run(EndlessStep(), LONG, patience=0.2)
    assert kinds(result) == ["stuck thread"]
    assert result.findings[0].message == "looper/0: the step loop does not end"


class Locked(Scenario):
    outer = Mutex()
    inner = Mutex()

    @thread(count=2)
    def user(self) -> None:
        for _ in range(5):
            self.outer.lock()
            self.inner.lock()
            self.inner.unlock()
            self.outer.unlock()


class Heard:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def waits(self, task: Task, lock: Protocol, mode: Mode) -> None:
        self.events.append(("waits", task.name, lock.path))

    def acquires(self, task: Task, lock: Protocol, mode: Mode, trylock: bool) -> None:
        assert mode is Mode.EXCLUSIVE
        assert not trylock
        self.events.append(("acquires", task.name, lock.path))

    def releases(self, task: Task, lock: Protocol) -> None:
        self.events.append(("releases", task.name, lock.path))


@pytest.mark.parametrize("turn", [0.0, 0.05])
def test_a_listener_hears_of_every_lock_in_order(
    turn: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quiesce.threads.world.TURN", turn)
    heard = Heard()
    assert run(Locked(), 0.1, listener=heard).findings == ()
    held: list[tuple[str, str]] = []
    for action, task, lock in heard.events:
        if action == "acquires":
            assert all(other != lock for other, _ in held)
            held.append((lock, task))
        elif action == "releases":
            held.remove((lock, task))
    assert len(held) <= 2  # the run is cut off somewhere
    assert any(action == "waits" for action, *_ in heard.events)


class Nothing(Scenario):
    pass


def test_what_cannot_be_run_is_refused() -> None:
    with pytest.raises(UsageError, match="Nothing has no threads to run"):
        run(Nothing())
    with pytest.raises(UsageError, match="cannot run for 0 seconds"):
        run(Handover(), 0)
    with pytest.raises(UsageError, match="cannot run for nan seconds"):
        run(Handover(), float("nan"))


def test_the_result_is_told_in_text_and_as_json() -> None:
    result = run(Handover("never"), LONG, seed=3)
    text = render_run(result)
    assert text.startswith("Handover on real threads: ")
    assert "deadlock: no thread can run: waiter/0 waits forever" in text
    assert "waiter/0 waits in wait_until for" in text
    assert "Verdict: violation." in text
    assert max(len(line) for line in text.splitlines()) <= 80
    shown = json.loads(json.dumps(result.to_dict()))
    assert shown["schema"] == 1
    assert shown["verdict"] == "violation"
    assert shown["seed"] == 3
    assert shown["findings"][0]["kind"] == "deadlock"
    assert shown["findings"][0]["threads"][0]["name"] == "waiter/0"
    assert {role["kind"] for role in shown["roles"]} == {"waiter", "setter"}


def test_a_silent_run_says_that_it_proves_nothing() -> None:
    text = render_run(run(Handover(), 0.05))
    assert "Nothing wrong was seen, which proves nothing" in text


LOOKED_FOR = ("deadlock", "stuck thread", "broken invariant", "failed assert", "out of range")


@pytest.mark.parametrize("how", ["READ_ONCE", "variable", "array", "task"])
def test_the_explorer_sees_the_endless_spinning_that_a_run_does_not(how: str) -> None:
    assert [f.kind for f in check(Spinner(how)).of_kind(*LOOKED_FOR, "data race")] == ["deadlock"]


def test_the_explorer_agrees_on_who_waits_for_ever() -> None:
    assert [f.kind for f in check(Chooser(free=1)).of_kind(*LOOKED_FOR)] == ["deadlock"]
    assert [f.kind for f in check(Handover("nobody")).of_kind(*LOOKED_FOR)] == ["deadlock"]
    for scenario in (Chooser(free=2), Handover("marked"), Worker(), Worker(daemon_busy=True)):
        assert check(scenario).of_kind(*LOOKED_FOR, "data race") == []
