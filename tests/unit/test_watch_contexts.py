# SPDX-License-Identifier: Apache-2.0
"""Python's own contexts: finalisers, signal handlers, waiting for an end, fork."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quiesce.watch import Watch, watch


@pytest.fixture
def watched() -> Iterator[Watch]:
    with watch(quiet=True) as one:
        yield one


def kinds(watched: Watch) -> list[str]:
    return [one.kind for one in watched.reports]


def in_thread(work: Callable[[], Any], name: str = "worker") -> threading.Thread:
    thread = threading.Thread(target=work, name=name)
    thread.start()
    return thread


def touch(lock: Any) -> None:
    with lock:
        pass


class Closes:
    """An object in a cycle, whose finaliser locks."""

    def __init__(self, lock: Any, own: bool = False) -> None:
        self.me = self
        self.lock = threading.Lock() if own else lock

    def close(self) -> None:
        touch(self.lock)

    __del__ = close


def test_finaliser_of_a_collection_and_ordinary_code(watched: Watch) -> None:
    lock = threading.Lock()
    Closes(lock)
    gc.collect()
    assert kinds(watched) == []
    touch(lock)
    assert kinds(watched) == ["inconsistent"]
    report = watched.reports[0]
    assert "a finaliser in a garbage collection" in report.title
    assert [step.places[0].function for step in report.steps] == ["touch", "touch"]
    assert "IN-SOFTIRQ-W" in report.kernel_text()


def test_finaliser_that_locks_its_own_object(watched: Watch) -> None:
    """No other code can hold a lock that is collected, although the class is used everywhere."""
    for _ in range(3):
        Closes(None, own=True).close()
        gc.collect()
    assert kinds(watched) == []


def test_finaliser_and_rlock(watched: Watch) -> None:
    lock = threading.RLock()
    Closes(lock)
    gc.collect()
    touch(lock)
    assert kinds(watched) == []


def test_finaliser_that_runs_at_a_known_place(watched: Watch) -> None:
    class Refers:
        def __init__(self, lock: Any) -> None:
            self.lock = lock

        def __del__(self) -> None:
            touch(self.lock)

    lock = threading.Lock()
    Refers(lock)
    touch(lock)
    assert kinds(watched) == []


@pytest.fixture
def handled() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Set a handler of SIGUSR1 and raise it."""
    before = signal.getsignal(signal.SIGUSR1)

    def handle(work: Callable[[], object]) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: work())
        signal.raise_signal(signal.SIGUSR1)

    yield handle
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("first", [True, False])
def test_signal_handler_and_main_thread(
    watched: Watch, handled: Callable[[Callable[[], object]], None], first: bool
) -> None:
    events: queue.Queue[int] = queue.Queue()
    if first:
        events.put(1)
    handled(lambda: events.put(2))
    if not first:
        events.put(1)
    assert kinds(watched) == ["inconsistent"]
    assert "a signal handler" in watched.reports[0].title
    assert "IN-HARDIRQ-W" in watched.reports[0].kernel_text()


def test_signal_handler_and_another_thread(
    watched: Watch, handled: Callable[[Callable[[], object]], None]
) -> None:
    """A handler interrupts the main thread only."""
    lock = threading.Lock()
    handled(lambda: touch(lock))
    in_thread(lambda: touch(lock)).join()
    assert kinds(watched) == []


def test_signal_handler_that_tries(
    watched: Watch, handled: Callable[[Callable[[], object]], None]
) -> None:
    lock = threading.Lock()
    handled(lambda: lock.release() if lock.acquire(False) else None)
    touch(lock)
    assert kinds(watched) == []


def test_join_with_a_lock_held_that_the_thread_acquires(watched: Watch) -> None:
    lock = threading.Lock()
    thread = in_thread(lambda: touch(lock))
    while thread.is_alive():
        pass
    with lock:
        thread.join()
    assert kinds(watched) == ["wait-for-end"]
    assert "waits for worker to end with lock held" in watched.reports[0].title
    assert "possible circular locking dependency" in watched.reports[0].kernel_text()


def test_join_with_another_lock_held(watched: Watch) -> None:
    lock, other = threading.Lock(), threading.Lock()
    thread = in_thread(lambda: touch(lock))
    with other:
        thread.join()
    assert kinds(watched) == []


def test_join_with_another_object_of_the_class_held(watched: Watch) -> None:
    locks = [threading.Lock() for _ in range(2)]
    thread = in_thread(lambda: touch(locks[0]))
    with locks[1]:
        thread.join()
    assert kinds(watched) == []


def test_join_with_a_timeout(watched: Watch) -> None:
    lock = threading.Lock()
    thread = in_thread(lambda: touch(lock))
    while thread.is_alive():
        pass
    with lock:
        thread.join(1)
    assert kinds(watched) == []


def test_result_of_a_job(watched: Watch) -> None:
    lock = threading.RLock()
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(touch, lock)
        other = pool.submit(touch, threading.Lock())
        job.result()
        with lock:
            other.result()
        assert kinds(watched) == []
        with lock:
            job.result()
    assert kinds(watched) == ["wait-for-end"]


def test_shutdown_of_an_executor(watched: Watch) -> None:
    lock = threading.RLock()
    pool = ThreadPoolExecutor(1)
    pool.submit(touch, lock).result()
    with lock:
        pool.shutdown(wait=True)
    assert kinds(watched) == ["wait-for-end"]


def test_event_that_is_set_after_the_lock(watched: Watch) -> None:
    lock, done = threading.Lock(), threading.Event()

    def work() -> None:
        touch(lock)
        done.set()

    in_thread(work).join()
    with lock:
        done.wait()
    assert kinds(watched) == ["wait-for-end"]


def test_event_that_one_thread_sets_without_the_lock(watched: Watch) -> None:
    lock, done = threading.Lock(), threading.Event()

    def work() -> None:
        touch(lock)
        done.set()

    in_thread(work).join()
    in_thread(done.set).join()
    with lock:
        done.wait()
    assert kinds(watched) == []


def test_item_of_a_queue(watched: Watch) -> None:
    lock = threading.Lock()
    items: queue.Queue[int] = queue.Queue()

    def work() -> None:
        with lock:
            items.put(1)

    in_thread(work).join()
    with lock:
        items.get()
    assert kinds(watched) == ["wait-for-end"]


def test_semaphore_that_waits_is_no_wait_for_an_end(watched: Watch) -> None:
    slots = threading.Semaphore(2)
    slots.acquire()
    slots.acquire()
    thread = in_thread(slots.acquire)
    slots.release()
    thread.join()
    assert kinds(watched) == []


def test_fork_with_a_lock_of_another_thread(watched: Watch) -> None:
    lock = threading.Lock()
    holds, end = threading.Event(), threading.Event()

    def work() -> None:
        with lock:
            holds.set()
            end.wait()

    thread = in_thread(work)
    holds.wait()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    end.set()
    thread.join()
    assert kinds(watched) == ["fork"]
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert kinds(watched) == ["fork"]


def test_await_with_a_lock_held(watched: Watch) -> None:
    lock = threading.Lock()

    async def task() -> None:
        with lock:
            await asyncio.sleep(0)

    asyncio.run(task())
    assert kinds(watched) == ["await"]
    assert "suspended with lock held" in watched.reports[0].title


def test_tasks_that_release_before_they_await(watched: Watch) -> None:
    lock, outside = threading.Lock(), threading.Lock()

    async def task() -> None:
        with lock:
            pass
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(task() for _ in range(3)))

    with outside:
        asyncio.run(main())
    assert kinds(watched) == []
