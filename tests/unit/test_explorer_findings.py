# SPDX-License-Identifier: Apache-2.0
"""What the reference explorer reports, and what it must stay silent about: each finding with its twin."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from quiesce.compiler.program import compile_scenario
from quiesce.explorer import Bounds, CheckResult, Options, check_reference
from quiesce.explorer.reference.trace import follow
from quiesce.primitives import (
    Mutex,
    RcuWait,
    SpinLock,
    schedule,
    set_current_state,
)
from quiesce.protocol import (
    READ_ONCE,
    TASK_UNINTERRUPTIBLE,
    WRITE_ONCE,
    Array,
    Bool,
    Int,
    Protocol,
    Ref,
    Scenario,
    always,
    atomic,
    choose,
    current,
    eventually,
    sometimes,
    thread,
    wait_until,
)
from quiesce.verdict import Verdict

Build = Callable[[], Scenario]


def checked(scenario: Scenario, fairness: str = "strong", fuse: bool = True) -> CheckResult:
    program = compile_scenario(scenario, fuse=fuse)
    return check_reference(program, Options(keep_going=True, fairness=fairness))


def found(scenario: Scenario, fairness: str = "strong", fuse: bool = True) -> dict[str, str]:
    """Return the kind of finding of each property that is violated, on the whole space."""
    result = checked(scenario, fairness, fuse)
    assert result.complete or "not known" in result.incomplete
    return {p.name: p.finding.kind for p in result.properties if p.finding is not None}


# --- Deadlock and stuck threads -----------------------------------------------------------------------


class Circle(Scenario):
    """Each thread takes its own lock and then its neighbour's; one may turn round."""

    locks = Array(SpinLock(), 3)

    def __init__(self, threads: int = 2, ordered: bool = False) -> None:
        self.threads = threads
        self.ordered = ordered

    @thread("threads")
    def walker(self) -> None:
        first = current().tid
        second = (first + 1) % self.threads
        if self.ordered and second < first:
            first, second = second, first
        with self.locks[first]:
            with self.locks[second]:
                pass


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("fuse", [True, False])
def test_deadlock(threads: int, fuse: bool) -> None:
    assert found(Circle(threads), fuse=fuse) == {"no_deadlock": "deadlock"}
    assert found(Circle(threads, ordered=True), fuse=fuse) == {}


def test_deadlock_path_is_shortest() -> None:
    result = checked(Circle(3))
    (finding,) = result.of_kind("deadlock")
    # Which initial state, and one step for each thread: its first lock.
    assert len(finding.path) == 1 + 3
    trace = follow(result.program, finding)
    assert {w.thread for w in trace.waiting} == {0, 1, 2}
    assert [w.holders for w in trace.waiting] == [[1], [2], [0]]


class Forgotten(Scenario):
    """One thread waits for what nobody will do; another one goes on for ever."""

    ready = Bool()
    turns = Bool()

    def __init__(self, told: bool, daemon: bool = False) -> None:
        self.told = told
        self.daemon = daemon

    @thread()
    def waiter(self) -> None:
        wait_until(lambda: self.ready)

    @thread()
    def runner(self) -> None:
        while True:
            WRITE_ONCE(self).turns = True
            if self.told:
                WRITE_ONCE(self).ready = True


def test_stuck_thread_while_another_runs() -> None:
    result = checked(Forgotten(told=False))
    (finding,) = result.of_kind("stuck thread")
    assert finding.thread == 0
    assert found(Forgotten(told=True)) == {}


class Servant(Scenario):
    """A daemon may wait for ever; anybody else may not."""

    work = Bool()

    @thread(daemon=True)
    def worker(self) -> None:
        while True:
            wait_until(lambda: self.work)
            WRITE_ONCE(self).work = False

    @thread()
    def client(self) -> None:
        WRITE_ONCE(self).work = True


class Master(Servant):
    @thread()
    def worker(self) -> None:
        wait_until(lambda: self.work)
        WRITE_ONCE(self).work = False
        wait_until(lambda: self.work)


def test_a_daemon_may_wait_for_ever() -> None:
    assert found(Servant()) == {}
    assert found(Master()) == {"no_deadlock": "deadlock"}


# --- Lost wakeups ---------------------------------------------------------------------------------------


class Sleep(Scenario):
    """An updater sleeps until a count is zero; the state is set before or after the lock is dropped."""

    lock = SpinLock()
    count = Int(1)
    wait = RcuWait()

    def __init__(self, early: bool, recheck: bool = True) -> None:
        self.early = early
        self.recheck = recheck

    @thread()
    def sleeper(self) -> None:
        self.lock.lock()
        self.wait.prepare_to_rcuwait()
        while self.count:
            if self.early:
                set_current_state(TASK_UNINTERRUPTIBLE)
            self.lock.unlock()
            if not self.early:
                set_current_state(TASK_UNINTERRUPTIBLE)
            schedule()
            self.lock.lock()
        self.wait.finish_rcuwait()
        self.lock.unlock()

    @thread()
    def waker(self) -> None:
        with self.lock:
            self.count -= 1
        self.wait.wake_up()


@pytest.mark.parametrize("fuse", [True, False])
def test_lost_wakeup(fuse: bool) -> None:
    assert found(Sleep(early=False), fuse=fuse) == {"no_deadlock": "lost wakeup"}
    assert found(Sleep(early=True), fuse=fuse) == {}


class NeverTold(Scenario):
    """It sleeps for ever, but what it waits for is not so: no lost wakeup."""

    count = Int(1, marked=True)

    @thread()
    def sleeper(self) -> None:
        while READ_ONCE(self.count):
            set_current_state(TASK_UNINTERRUPTIBLE)
            schedule()


def test_a_sleeper_without_reason_to_wake_is_a_deadlock() -> None:
    assert found(NeverTold()) == {"no_deadlock": "deadlock"}


class LooksAfterwards(Scenario):
    """The sleeper keeps in a local variable what it looks at again only after it was woken."""

    flag = Bool(True, marked=True)

    def __init__(self, lowered: bool) -> None:
        self.lowered = lowered

    @thread()
    def sleeper(self) -> None:
        raised = READ_ONCE(self.flag)
        while raised:
            set_current_state(TASK_UNINTERRUPTIBLE)
            schedule()
            raised = READ_ONCE(self.flag)

    @thread()
    def other(self) -> None:
        if self.lowered:
            WRITE_ONCE(self).flag = False


def test_what_a_sleeper_would_look_at_decides_and_not_what_it_has_seen() -> None:
    assert found(LooksAfterwards(lowered=True)) == {"no_deadlock": "lost wakeup"}
    assert found(LooksAfterwards(lowered=False)) == {"no_deadlock": "deadlock"}


# --- Data races -----------------------------------------------------------------------------------------


class Races(Scenario):
    """Two threads and the ways in which they may reach the same variable."""

    lock = SpinLock()
    other = SpinLock()
    x = Int(0)
    y = Int(0)
    m = Int(0, marked=True)
    items = Array(Int(0), 3)
    slots = Array(SpinLock(), 2)
    ready = Bool(marked=True)
    chosen = Ref(slots, 0)

    def __init__(self, how: str) -> None:
        self.how = how

    @thread()
    def writer(self) -> None:
        if self.how == "plain":
            self.x = 1
        elif self.how == "after several steps":
            with self.lock:
                self.y = 1
            with self.lock:
                self.y = 2
            self.x = 1
        elif self.how in ("locked", "two locks"):
            with self.lock:
                self.x = 1
        elif self.how == "marked":
            WRITE_ONCE(self).x = 1
        elif self.how == "half marked":
            self.x = 1
        elif self.how == "declared marked":
            self.m = 1
        elif self.how in ("elements", "other elements"):
            self.items[choose(0, 1)] = 1
        elif self.how in ("published", "published too early"):
            if self.how == "published too early":
                self.ready = True
            self.x = 1
            self.ready = True
        elif self.how in ("in a condition", "in a condition that is marked"):
            self.y = 1
        elif self.how == "atomic against plain":
            self.put()
        elif self.how == "in an option":
            self.x = 1

    @thread()
    def reader(self) -> None:
        if self.how == "plain":
            self.y = self.x
        elif self.how == "after several steps":
            with self.lock:
                self.y = 3
            if self.x == 0:
                pass
        elif self.how in ("locked", "two locks"):
            with self.lock if self.how == "locked" else self.other:
                self.x += 1
        elif self.how == "marked":
            if READ_ONCE(self.x):
                pass
        elif self.how == "half marked":
            if READ_ONCE(self.x):
                pass
        elif self.how == "declared marked":
            self.m += 1
        elif self.how == "elements":
            self.items[choose(1, 2)] = 2
        elif self.how == "other elements":
            self.items[2] = 2
        elif self.how in ("published", "published too early"):
            wait_until(lambda: self.ready)
            self.x = 2
        elif self.how == "in a condition":
            wait_until(lambda: self.y == 1)
        elif self.how == "in a condition that is marked":
            wait_until(lambda: READ_ONCE(self.m) == 0)
        elif self.how == "atomic against plain":
            self.x = 2
        elif self.how == "in an option":
            self.y = choose(self.x, 2)

    @atomic
    def put(self) -> None:
        self.x = 1


RACY = [
    "plain",
    "after several steps",
    "two locks",
    "half marked",
    "elements",
    "published too early",
    "in a condition",
    "atomic against plain",
    "in an option",
]
SILENT = [
    "locked",
    "marked",
    "declared marked",
    "other elements",
    "published",
    "in a condition that is marked",
]


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("how", RACY)
def test_data_race(how: str, fuse: bool) -> None:
    result = checked(Races(how), fuse=fuse)
    assert [f.kind for f in result.of_kind("data race")] == ["data race"]
    follow(result.program, result.of_kind("data race")[0])


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("how", SILENT)
def test_no_data_race(how: str, fuse: bool) -> None:
    assert found(Races(how), fuse=fuse) == {}


# --- Invariants, assertions, ranges -----------------------------------------------------------------------


class Counters(Scenario):
    """Two threads count; what goes wrong is chosen."""

    lock = Mutex()
    n = Int(0, high=3)
    items = Array(Int(0), 2)
    slots = Array(SpinLock(), 2)
    chosen = Ref(slots)

    def __init__(self, wrong: str = "", turns: int = 1) -> None:
        self.wrong = wrong
        self.turns = turns

    @thread(count=2)
    def counter(self) -> None:
        for _ in range(self.turns):
            with self.lock:
                self.n += 1
                if self.wrong == "assert":
                    assert self.n < 2, "at most one"
                if self.wrong == "index":
                    self.items[self.n] = 1
                if self.wrong == "null":
                    self.chosen.lock()
                if self.wrong == "division":
                    self.items[0] = 2 // (self.n - 2)
                if self.wrong == "endless":
                    while self.n == 2:
                        pass

    @always
    def at_most_one(self) -> bool:
        return self.wrong != "always" or self.n < 2

    @sometimes
    def three(self) -> bool:
        return self.wrong != "sometimes" or self.n == 3

    @always
    def can_be_evaluated(self) -> bool:
        return self.wrong != "property" or 6 // (2 - self.n) > 0


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("", {}),
        ("assert", {"assertions": "failed assert"}),
        ("index", {"ranges": "out of range"}),
        ("null", {"ranges": "out of range"}),
        ("division", {"ranges": "out of range"}),
        ("always", {"at_most_one": "broken invariant"}),
        ("sometimes", {"three": "vacuous"}),
        ("property", {"can_be_evaluated": "broken invariant"}),
    ],
)
def test_what_a_step_or_a_state_may_not_be(wrong: str, expected: dict[str, str]) -> None:
    assert found(Counters(wrong)) == expected


def test_range_of_a_variable() -> None:
    assert found(Counters(turns=2)) == {"ranges": "out of range"}


class Silent(Scenario):
    """A thread that touches nothing shared, and still goes wrong."""

    n = Int(0)

    def __init__(self, wrong: str) -> None:
        self.wrong = wrong

    @thread()
    def run(self) -> None:
        x = choose(1, 2)
        if self.wrong == "assert":
            assert x == 1
        if self.wrong == "division":
            x = 1 // (x - 2)
        if self.wrong == "endless":
            while x == 2:
                pass
        if self.wrong == "endless choice":
            while x:
                x = choose(1, 2)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("", {}),
        ("assert", {"assertions": "failed assert"}),
        ("division", {"ranges": "out of range"}),
        ("endless", {"ranges": "endless step"}),
        ("endless choice", {"ranges": "endless step"}),
    ],
)
def test_a_thread_may_fail_before_its_first_access(wrong: str, expected: dict[str, str]) -> None:
    result = checked(Silent(wrong))
    assert {p.name: p.finding.kind for p in result.properties if p.finding} == expected
    if result.finding is not None:
        trace = follow(result.program, result.finding)
        assert trace.steps[-1].failure is not None


def test_a_finding_is_where_it_says() -> None:
    result = checked(Counters("assert"))
    (finding,) = result.of_kind("failed assert")
    trace = follow(result.program, finding)
    assert trace.steps[-1].failure is not None
    assert trace.steps[-1].failure.message == "at most one"
    # lock, n += 1, unlock by one thread; lock and the failing step by the other.
    assert len(trace.steps) == 4


# --- Liveness ---------------------------------------------------------------------------------------------


class Invalidations(Scenario):
    """Readers raise and lower a count; a writer waits until it is zero. There is no queue."""

    count = Int(0, marked=True)
    done = Bool(marked=True)

    def __init__(self, rounds: int = 0, readers: int = 2) -> None:
        self.rounds = rounds
        self.readers = readers

    @thread("readers")
    def reader(self) -> None:
        if not self.rounds:
            while True:
                self.inside()
        for _ in range(self.rounds):
            self.inside()

    def inside(self) -> None:
        self.enter()
        self.leave()

    @atomic
    def enter(self) -> None:
        self.count += 1

    @atomic
    def leave(self) -> None:
        self.count -= 1

    @thread()
    def writer(self) -> None:
        wait_until(lambda: self.count == 0)
        self.done = True

    @eventually()
    def written(self) -> bool:
        return self.done


def test_waiting_without_a_queue_starves() -> None:
    both = {"no_starvation": "starvation", "written": "starvation"}
    assert found(Invalidations(), "strong") == both
    assert found(Invalidations(), "weak") == both
    assert found(Invalidations(), "none") == both
    assert found(Invalidations(rounds=1), "strong") == {}
    assert found(Invalidations(rounds=1), "weak") == {}


class Gate(Protocol):
    """A lock that lets in whoever comes; whether its waiters queue is chosen."""

    taken = Bool()

    @atomic(queued=True)
    def enter_queued(self) -> None:
        wait_until(not self.taken)
        self.taken = True

    @atomic
    def enter(self) -> None:
        wait_until(not self.taken)
        self.taken = True

    @atomic
    def leave(self) -> None:
        self.taken = False


class Turns(Scenario):
    gate = Gate()
    inside = Bool(marked=True)

    def __init__(self, queued: bool) -> None:
        self.queued = queued

    @thread()
    def greedy(self) -> None:
        while True:
            self.go()

    @thread()
    def modest(self) -> None:
        self.go()
        self.inside = True

    def go(self) -> None:
        if self.queued:
            self.gate.enter_queued()
        else:
            self.gate.enter()
        self.gate.leave()

    @eventually()
    def modest_was_inside(self) -> bool:
        return self.inside


def test_a_queue_gives_strong_fairness() -> None:
    both = {"no_starvation": "starvation", "modest_was_inside": "starvation"}
    assert found(Turns(queued=True), "strong") == {}
    assert found(Turns(queued=True), "weak") == both
    assert found(Turns(queued=False), "strong") == both


class Roles(Scenario):
    """Threads of one kind whose number says what they do: only the last one can starve."""

    gate = Gate()

    def __init__(self, threads: int = 3) -> None:
        self.threads = threads

    @thread("threads")
    def worker(self) -> None:
        if current().tid == self.threads - 1:
            self.gate.enter()
        else:
            while True:
                self.gate.enter_queued()
                self.gate.leave()


def test_threads_of_one_kind_that_differ_are_all_looked_at() -> None:
    result = checked(Roles())
    (finding,) = result.of_kind("starvation")
    assert finding.thread == 2


class Idle(Scenario):
    """Nobody waits, but without any fairness a thread need not move at all."""

    done = Bool(marked=True)
    turns = Bool(marked=True)

    @thread()
    def busy(self) -> None:
        while True:
            self.turns = not self.turns

    @thread()
    def once(self) -> None:
        self.done = True

    @eventually()
    def finished(self) -> bool:
        return self.done


def test_weak_fairness_lets_everybody_move() -> None:
    assert found(Idle(), "strong") == {}
    assert found(Idle(), "weak") == {}
    assert found(Idle(), "none") == {"finished": "starvation"}


class Ends(Scenario):
    """Every run ends; the property has to be true there."""

    n = Int(0, high=2)

    def __init__(self, last: int, broken: bool = False) -> None:
        self.last = last
        self.broken = broken

    @thread()
    def run(self) -> None:
        WRITE_ONCE(self).n = 1
        WRITE_ONCE(self).n = 2
        if self.broken:
            assert READ_ONCE(self.n) == 0

    @eventually()
    def there(self) -> bool:
        return self.n == self.last

    @always
    def small(self) -> bool:
        return not self.broken or self.n < 3


def test_eventually_looks_at_where_a_run_ends() -> None:
    assert found(Ends(2)) == {}
    assert found(Ends(1)) == {"there": "starvation"}
    result = checked(Ends(1))
    (finding,) = result.of_kind("starvation")
    assert finding.loop_start == len(finding.path) - 1


class Cut(Scenario):
    """A run that ends in a failed step says nothing about what would have come after."""

    n = Int(0, high=2)
    over = Bool()

    def __init__(self, how: str) -> None:
        self.how = how

    @thread()
    def run(self) -> None:
        WRITE_ONCE(self).n = 1
        if self.how == "assert":
            assert READ_ONCE(self.n) == 0
        WRITE_ONCE(self).over = True

    @always
    def zero(self) -> bool:
        return self.how != "always" or self.n == 0

    @eventually()
    def comes_to_an_end(self) -> bool:
        return self.over


def test_a_broken_run_is_no_starved_run() -> None:
    assert found(Cut("")) == {}
    assert found(Cut("assert")) == {"assertions": "failed assert"}
    assert found(Cut("always")) == {"zero": "broken invariant"}


class Informational(Idle):
    @eventually(informational=True)
    def finished(self) -> bool:
        return self.done


def test_an_informational_property_decides_nothing() -> None:
    result = checked(Informational(), "none")
    assert result.property("finished").verdict is Verdict.VIOLATION
    assert result.verdict is Verdict.HOLDS
    assert result.finding is None


# --- Bounds, determinism, paths -----------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [1, 5, 20])
def test_a_bound_is_never_a_pass(bound: int) -> None:
    whole = checked(Circle(3, ordered=True))
    assert whole.states > 20
    program = compile_scenario(Circle(3, ordered=True))
    result = check_reference(program, Options(bounds=Bounds(max_states=bound)))
    assert result.verdict is Verdict.INCOMPLETE
    assert str(bound) in result.incomplete
    assert result.states <= bound + 3
    assert {p.verdict for p in result.properties} == {Verdict.INCOMPLETE}


def test_a_bound_that_is_just_enough_is_no_bound() -> None:
    states = checked(Circle(2, ordered=True)).states
    program = compile_scenario(Circle(2, ordered=True))
    assert check_reference(program, Options(bounds=Bounds(states))).verdict is Verdict.HOLDS
    assert check_reference(program, Options(bounds=Bounds(states - 1))).incomplete


def test_memory_bound() -> None:
    program = compile_scenario(Circle(2, ordered=True))
    result = check_reference(program, Options(bounds=Bounds(max_memory=1)))
    assert result.verdict is Verdict.INCOMPLETE
    assert "memory" in result.incomplete


def test_a_violation_before_the_bound_is_a_violation() -> None:
    program = compile_scenario(Circle(2))
    full = check_reference(program, Options())
    result = check_reference(program, Options(bounds=Bounds(full.states)))
    assert result.verdict is Verdict.VIOLATION


def test_two_runs_are_equal() -> None:
    def once() -> list[object]:
        result = checked(Sleep(early=False))
        return [
            result.states,
            result.transitions,
            *[(p.name, p.finding) for p in result.properties],
        ]

    assert once() == once()


class Switches(Scenario):
    """x and y have to be raised, in any order; runs of equal length differ in how often threads change."""

    x = Int(0, high=3, marked=True)
    y = Int(0, high=3, marked=True)

    @thread()
    def left(self) -> None:
        for _ in range(3):
            self.up_x()

    @thread()
    def right(self) -> None:
        for _ in range(3):
            self.up_y()

    @atomic
    def up_x(self) -> None:
        self.x += 1

    @atomic
    def up_y(self) -> None:
        self.y += 1

    @always
    def not_both(self) -> bool:
        return self.x + self.y < 5


def test_of_the_shortest_runs_the_one_with_the_fewest_switches() -> None:
    result = checked(Switches())
    (finding,) = result.of_kind("broken invariant")
    trace = follow(result.program, finding)
    threads = [s.thread for s in trace.steps]
    assert len(threads) == 5
    assert sum(a != b for a, b in itertools.pairwise(threads)) == 1
