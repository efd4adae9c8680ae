# SPDX-License-Identifier: Apache-2.0
"""Waiting and waking: nobody sleeps for ever, and each broken twin does."""

from __future__ import annotations

from quiesce.explorer import CheckResult, check
from quiesce.primitives import (
    Completion,
    Mutex,
    RcuWait,
    SpinLock,
    WaitQueue,
    schedule,
    set_current_state,
)
from quiesce.protocol import TASK_UNINTERRUPTIBLE, Bool, Scenario, thread
from quiesce.verdict import Verdict


def kinds(result: CheckResult) -> set[str]:
    return {p.finding.kind for p in result.properties if p.finding and not p.informational}


class Sleeper(Scenario):
    """One task sleeps in an rcuwait until another has made a condition true.

    :param order: ``right``; ``test_first``: the condition is tested before the state is set;
        ``wake_first``: the waker wakes before it makes the condition true; ``no_wake``.
    """

    lock = SpinLock()
    wait = RcuWait()
    ready = Bool()

    def __init__(self, order: str = "right") -> None:
        self.order = order

    @thread()
    def sleeper(self) -> None:
        self.wait.prepare_to_rcuwait()
        self.lock.lock()
        while not self.ready:
            if self.order != "test_first":
                set_current_state(TASK_UNINTERRUPTIBLE)
            self.lock.unlock()
            if self.order == "test_first":
                set_current_state(TASK_UNINTERRUPTIBLE)
            schedule()
            self.lock.lock()
        self.lock.unlock()
        self.wait.finish_rcuwait()

    @thread()
    def waker(self) -> None:
        if self.order == "wake_first":
            self.wait.wake_up()
        with self.lock:
            self.ready = True
        if self.order != "wake_first" and self.order != "no_wake":
            self.wait.wake_up()


def test_rcuwait_loses_no_wakeup() -> None:
    assert check(Sleeper()).verdict is Verdict.HOLDS


def test_rcuwait_in_the_wrong_order_does() -> None:
    assert kinds(check(Sleeper("test_first"))) == {"lost wakeup"}
    assert kinds(check(Sleeper("wake_first"))) == {"lost wakeup"}
    assert "lost wakeup" in kinds(check(Sleeper("no_wake")))


class TwoInOneRcuwait(Scenario):
    wait = RcuWait()
    lock = Mutex()

    def __init__(self, serialised: bool = False) -> None:
        self.serialised = serialised

    @thread(2)
    def waiter(self) -> None:
        if self.serialised:
            self.lock.lock()
        self.wait.prepare_to_rcuwait()
        self.wait.finish_rcuwait()
        if self.serialised:
            self.lock.unlock()


def test_an_rcuwait_has_room_for_one() -> None:
    assert kinds(check(TwoInOneRcuwait())) == {"failed assert"}
    assert check(TwoInOneRcuwait(serialised=True)).verdict is Verdict.HOLDS


class Queue(Scenario):
    """Two tasks sleep in a wait queue; one wake-up is for both.

    :param late: a task looks at the condition before it queues, instead of after.
    """

    queue = WaitQueue()
    ready = Bool(marked=True)

    def __init__(self, late: bool = False) -> None:
        self.late = late

    @thread(2)
    def sleeper(self) -> None:
        if not self.late:
            self.queue.prepare_to_wait()
        while not self.ready:
            if self.late:
                self.queue.prepare_to_wait()
            self.queue.schedule()
            if not self.late:
                self.queue.prepare_to_wait()
        self.queue.finish_wait()

    @thread()
    def waker(self) -> None:
        self.ready = True
        self.queue.wake_up_all()


def test_a_wait_queue_wakes_everybody() -> None:
    assert check(Queue()).verdict is Verdict.HOLDS


def test_looking_before_queueing_loses_the_wakeup() -> None:
    assert kinds(check(Queue(late=True))) == {"lost wakeup"}


class Completed(Scenario):
    """Two tasks wait for a completion that is completed *times* times, or once for all."""

    done = Completion()

    def __init__(self, times: int = 2, for_all: bool = False) -> None:
        self.times = times
        self.for_all = for_all

    @thread(2)
    def waiter(self) -> None:
        self.done.wait_for_completion()

    @thread()
    def worker(self) -> None:
        for _ in range(self.times):
            self.done.complete()
        if self.for_all:
            self.done.complete_all()


def test_a_completion_lets_one_waiter_go_each_time() -> None:
    assert check(Completed(times=2)).verdict is Verdict.HOLDS
    assert kinds(check(Completed(times=1))) == {"deadlock"}


def test_complete_all_lets_all_go() -> None:
    assert check(Completed(times=0, for_all=True)).verdict is Verdict.HOLDS
