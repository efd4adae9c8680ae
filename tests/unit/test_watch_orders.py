# SPDX-License-Identifier: Apache-2.0
"""``watch()``: inversions among Python's own locks, and silence where there is none."""

from __future__ import annotations

import concurrent.futures
import gc
import queue
import threading
from collections.abc import Callable

import pytest

from quiesce.watch import watch

pytest_plugins = ["pytester"]

REAL = (threading.Lock, threading.RLock, threading.Semaphore, threading.BoundedSemaphore)


def in_thread(work: Callable[[], None]) -> None:
    """Run *work* in a thread of its own, to its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def a_then_b(a: threading.Lock, b: threading.Lock) -> None:
    with a, b:
        pass


def b_then_a(a: threading.Lock, b: threading.Lock) -> None:
    with b, a:
        pass


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"])
def test_inversion_that_never_deadlocked(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with watch() as watched:
        make = getattr(threading, kind)
        a = make()
        b = make()
        in_thread(lambda: a_then_b(a, b))
        assert watched.report is None
        in_thread(lambda: b_then_a(a, b))
    report = watched.report
    assert report is not None and report.kind == "circular"
    # Both stacks: where B was taken under A, and where A is taken under B.
    assert [step.stack[0].function for step in report.steps] == ["a_then_b", "b_then_a"]
    assert all(at.file == __file__ for step in report.steps for at in step.places)
    assert report.text() in capsys.readouterr().err
    assert [name for name, _ in report.locks] == ["a", "b"]


def test_one_order_is_silent() -> None:
    with watch() as watched:
        a = threading.Lock()
        b = threading.Lock()
        for _ in range(3):
            in_thread(lambda: a_then_b(a, b))
    assert watched.reports == []


def test_class_is_the_creation_site() -> None:
    """Other instances of the same two lines invert as well as these do."""
    with watch(quiet=True) as watched:
        pairs = []
        for _ in range(2):
            a = threading.Lock()
            b = threading.Lock()
            pairs.append((a, b))
        a_then_b(*pairs[0])
        b_then_a(*pairs[1])
    assert watched.report is not None and watched.report.kind == "circular"


def test_locks_of_one_site_in_one_order_and_then_not() -> None:
    with watch(quiet=True) as watched:
        first, second, third = (threading.Lock() for _ in range(3))
        a_then_b(first, second)
        a_then_b(second, third)
        a_then_b(first, third)
        assert watched.report is None
        a_then_b(third, first)
    report = watched.report
    assert report is not None and report.kind == "recursive"
    assert [step.places[0].function for step in report.steps] == ["a_then_b", "a_then_b"]
    assert "in the other order" in report.steps[1].does
    assert "the lock comparison function returns 1" in report.kernel_text()


def test_several_inversions_are_all_told_and_each_once() -> None:
    with watch(quiet=True) as watched:
        a = threading.Lock()
        b = threading.Lock()
        c = threading.Lock()
        for one, other in ((a, b), (b, a), (b, a), (a, c), (c, a)):
            a_then_b(one, other)
    assert len(watched.reports) == 2


def test_trylock_and_timeout_make_no_order() -> None:
    with watch() as watched:
        a = threading.Lock()
        b = threading.Lock()
        a_then_b(a, b)
        with b:
            assert a.acquire(blocking=False)
            a.release()
            assert a.acquire(timeout=1)
            a.release()
    assert watched.reports == []


def test_what_is_taken_under_a_trylock_counts() -> None:
    with watch(quiet=True) as watched:
        a = threading.Lock()
        b = threading.Lock()
        a_then_b(a, b)
        assert b.acquire(blocking=False)
        with a:
            pass
        b.release()
    assert watched.report is not None and watched.report.kind == "circular"


def test_rlock_again_is_nothing_new() -> None:
    with watch() as watched:
        a = threading.RLock()
        b = threading.Lock()
        with a, b, a:
            pass
        a_then_b(a, b)  # type: ignore[arg-type]
    assert watched.reports == []


def test_condition_lets_go_while_it_waits() -> None:
    """B is taken by the waker while the waiter, which took A then B's condition, waits."""
    with watch() as watched:
        condition = threading.Condition()
        other = threading.Lock()
        ready = threading.Event()
        done: list[str] = []

        def waiter() -> None:
            with condition:
                ready.set()
                condition.wait_for(lambda: bool(done), timeout=30)
            with other, condition:
                pass

        thread = threading.Thread(target=waiter)
        thread.start()
        ready.wait(30)
        with condition:
            done.append("woken")
            condition.notify_all()
        thread.join()
    assert watched.reports == []


def test_waiting_with_another_lock_held_is_an_inversion() -> None:
    """wait() takes its lock again with the other one held: other -> condition -> other."""
    with watch(quiet=True) as watched:
        condition = threading.Condition()
        other = threading.Lock()
        with condition, other:
            condition.wait(timeout=0.01)
    assert watched.report is not None and watched.report.kind == "circular"


def test_semaphore_as_a_signal() -> None:
    with watch() as watched:
        done = threading.Semaphore(0)
        a = threading.Lock()
        done.release()
        done.acquire()
        with a:
            pass
        with a:
            done.release()
    assert watched.reports == []


def test_semaphore_handed_over() -> None:
    """Who acquired it no longer holds it once another thread has released it."""
    with watch() as watched:
        slots = threading.Semaphore(1)
        a = threading.Lock()
        slots.acquire()
        in_thread(slots.release)
        with a:
            pass
        with a, slots:
            pass
    assert watched.reports == []


def test_lock_released_by_another_thread() -> None:
    with watch() as watched:
        a = threading.Lock()
        b = threading.Lock()
        a.acquire()
        in_thread(a.release)
        a_then_b(b, a)
        a_then_b(b, a)
    assert watched.reports == []


def test_locks_behave_as_before() -> None:
    with watch() as watched:
        lock = threading.Lock()
        assert not lock.locked()
        with lock:
            assert lock.locked()
            assert not lock.acquire(blocking=False)
            assert not lock.acquire(timeout=0.001)
        with pytest.raises(RuntimeError):
            lock.release()
        rlock = threading.RLock()
        with pytest.raises(RuntimeError):
            rlock.release()
        bounded = threading.BoundedSemaphore(1)
        with pytest.raises(ValueError):
            bounded.release()
        with threading.Condition(lock) as locked:
            assert locked
    assert watched.reports == []


def test_the_standard_library_on_top() -> None:
    with watch() as watched:
        channel: queue.Queue[int] = queue.Queue(maxsize=1)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(channel.put, i) for i in range(4)]
            assert sorted(channel.get() for _ in range(4)) == [0, 1, 2, 3]
            concurrent.futures.wait(futures)
        barrier = threading.Barrier(1)
        barrier.wait()
    assert watched.reports == []


def test_off_means_off() -> None:
    with watch(quiet=True) as watched:
        a = threading.Lock()
        b = threading.Lock()
        a_then_b(a, b)
    assert (
        threading.Lock,
        threading.RLock,
        threading.Semaphore,
        threading.BoundedSemaphore,
    ) == REAL
    b_then_a(a, b)
    assert watched.reports == []


def test_lock_made_before_is_not_touched() -> None:
    before = threading.Lock()
    with watch(quiet=True) as watched:
        inside = threading.Lock()
        a_then_b(before, inside)
        b_then_a(before, inside)
    assert watched.reports == []


def test_frames_are_not_kept_alive() -> None:
    class Big:
        alive = 0

        def __init__(self) -> None:
            Big.alive += 1

        def __del__(self) -> None:
            Big.alive -= 1

    with watch() as watched:
        lock = threading.Lock()

        def work() -> None:
            big = Big()
            with lock:
                assert big

        work()
        gc.collect()
        assert Big.alive == 0
    assert watched.reports == []


PLUGIN_TESTS = """
    import threading

    def test_inverts():
        a = threading.Lock()
        b = threading.Lock()
        with a, b:
            pass
        with b, a:
            pass

    def test_does_not():
        a = threading.Lock()
        b = threading.Lock()
        with a, b:
            pass
"""


def test_pytest_option(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PLUGIN_TESTS)
    pytester.runpytest_subprocess().assert_outcomes(passed=2)
    result = pytester.runpytest_subprocess("--quiesce-lockdep")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["quiesce: possible deadlock: a and b are acquired in both orders"])
